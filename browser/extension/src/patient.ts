type Bytes = Uint8Array<ArrayBuffer>;

/** Of failures that pass: who has it may be asleep, or this computer was. */
const passing = ['not-found', 'unavailable', 'timeout'];
const firstPause = 1_000;
const lastPause = 30_000;

/**
 * A file's bytes from `begin` on. When nobody has the rest now it goes on where it was after a pause, and longer ones while
 * nothing comes, until it is cancelled. `open`: the bytes from there on; `wait`: settles after so many milliseconds.
 */
export function patientStream(
  open: (begin: number) => ReadableStream<Bytes>,
  begin: number,
  wait: (pause: number, why: Error) => Promise<void>,
): ReadableStream<Bytes> {
  let at = begin;
  let pause = firstPause;
  let isCancelled = false;
  let reader = open(at).getReader();
  return new ReadableStream<Bytes>(
    {
      async pull(controller) {
        while (!isCancelled) {
          try {
            const { value } = await reader.read();
            if (!value) return controller.close();
            at += value.length;
            pause = firstPause;
            return controller.enqueue(value);
          } catch (error) {
            if (!isPassing(error)) throw error;
            await wait(pause, error);
            pause = Math.min(lastPause, 2 * pause);
            if (!isCancelled) reader = open(at).getReader();
          }
        }
      },
      cancel(reason) {
        isCancelled = true;
        return reader.cancel(reason);
      },
    },
    { highWaterMark: 0 },
  );
}

function isPassing(error: unknown): error is Error {
  return error instanceof Error && 'code' in error && passing.includes(String(error.code));
}
