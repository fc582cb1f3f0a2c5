import { CodioError } from './error';

/** The body, at most `limit` bytes of it: `too-large` as soon as more come. `onBytes` is called with how many came. */
export async function readBounded(
  response: Response,
  limit: number,
  onBytes?: (count: number) => void,
): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  const reader = response.body?.getReader();
  for (let part = await reader?.read(); part?.value; part = await reader?.read()) {
    onBytes?.(part.value.length);
    size += part.value.length;
    if (size > limit) {
      void reader?.cancel().catch(() => {});
      throw new CodioError('too-large', `more than the ${limit} bytes allowed`);
    }
    chunks.push(part.value);
  }
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}
