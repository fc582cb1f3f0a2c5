/** What is read of a file to share it or to tell its CID. */
const maxFile = 1_073_741_824;

/** The file's bytes as they come, fetched without credentials. Fails, then or while it is read, with a reason to show. */
export async function fetchFile(url: string): Promise<ReadableStream<Uint8Array<ArrayBuffer>>> {
  const response = await fetch(url, { credentials: 'omit' }).catch((cause: unknown) => {
    throw new Error(`${url} cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`);
  });
  if (!response.ok || !response.body) throw new Error(`${url}: HTTP ${response.status}`);
  let size = 0;
  const bound = new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>({
    transform(part, controller) {
      size += part.length;
      if (size > maxFile) controller.error(new Error(`${url} has more than ${maxFile} bytes`));
      else controller.enqueue(part);
    },
  });
  return (response.body as ReadableStream<Uint8Array<ArrayBuffer>>).pipeThrough(bound);
}

export function nameOf(url: string): string {
  const { pathname, hostname } = new URL(url);
  const last = pathname.slice(pathname.lastIndexOf('/') + 1);
  try {
    return decodeURIComponent(last) || hostname;
  } catch {
    return last; // A percent sign that means itself.
  }
}
