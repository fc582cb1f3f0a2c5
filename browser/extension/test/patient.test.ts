import assert from 'node:assert/strict';
import { test } from 'node:test';
import { patientStream } from '../src/patient';

const failure = (code: string) => Object.assign(new Error(code), { code });

/** Streams that each bring so many bytes and then fail so, or end; and where they began. */
function source(...turns: [bytes: number, failure?: string][]) {
  const begins: number[] = [];
  const open = (begin: number) => {
    begins.push(begin);
    const [bytes, code] = turns.shift() ?? [0];
    let given = false;
    return new ReadableStream<Uint8Array<ArrayBuffer>>({
      pull(controller) {
        if (!given && bytes > 0) controller.enqueue(Uint8Array.from({ length: bytes }, (_, i) => begin + i));
        else if (code) controller.error(failure(code));
        else controller.close();
        given = true;
      },
    });
  };
  return { open, begins };
}

async function read(stream: ReadableStream<Uint8Array<ArrayBuffer>>): Promise<number[]> {
  const bytes: number[] = [];
  for await (const part of stream) bytes.push(...part);
  return bytes;
}

test('It goes on where it was, with pauses that grow until something comes', async () => {
  const { open, begins } = source([3, 'unavailable'], [0, 'not-found'], [2, 'timeout'], [0, 'not-found'], [1]);
  const pauses: number[] = [];
  const stream = patientStream(open, 10, async (pause) => void pauses.push(pause));
  assert.deepEqual(await read(stream), [10, 11, 12, 13, 14, 15]);
  assert.deepEqual(begins, [10, 13, 13, 15, 15]);
  assert.deepEqual(pauses, [1000, 2000, 1000, 2000]);
});

test('No pause is longer than half a minute', async () => {
  const { open } = source(...Array.from({ length: 8 }, (): [number, string] => [0, 'unavailable']), [1]);
  const pauses: number[] = [];
  await read(patientStream(open, 0, async (pause) => void pauses.push(pause)));
  assert.equal(Math.max(...pauses), 30_000);
});

test('What does not pass fails it', async () => {
  for (const code of ['cancelled', 'malformed', 'too-large']) {
    const { open } = source([3, code]);
    await assert.rejects(read(patientStream(open, 0, async () => assert.fail())), { code });
  }
});

test('Cancelled while it waits, it asks no more', async () => {
  const { open, begins } = source([3, 'not-found']);
  let goOn = () => {};
  let waits = () => {};
  const waiting = new Promise<void>((resolve) => (waits = resolve));
  const reader = patientStream(open, 0, () => {
    waits();
    return new Promise((resolve) => (goOn = resolve));
  }).getReader();
  await reader.read();
  const next = reader.read();
  await waiting;
  await reader.cancel().catch(() => {});
  goOn();
  await next;
  assert.deepEqual(begins, [0]);
});
