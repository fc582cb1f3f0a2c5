import { decoded } from './addresses';

/** What is read of a file to share it or to tell its CID. */
const maxFile = 1_073_741_824;

/** Up to `most` bytes as they come, fetched without credentials. Fails, then or while it is read, with a reason to show. */
export async function fetchFile(url: string, most = maxFile): Promise<ReadableStream<Uint8Array<ArrayBuffer>>> {
  const response = await fetch(url, { credentials: 'omit' }).catch((cause: unknown) => {
    throw new Error(`${url} cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`);
  });
  if (!response.ok || !response.body) throw new Error(`${url}: HTTP ${response.status}`);
  let size = 0;
  const bound = new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>({
    transform(part, controller) {
      size += part.length;
      if (size > most) controller.error(new Error(`${url} has more than ${most} bytes`));
      else controller.enqueue(part);
    },
  });
  return (response.body as ReadableStream<Uint8Array<ArrayBuffer>>).pipeThrough(bound);
}

export function nameOf(url: string): string {
  const { pathname, hostname } = new URL(url);
  return decoded(pathname.slice(pathname.lastIndexOf('/') + 1)) || hostname;
}
