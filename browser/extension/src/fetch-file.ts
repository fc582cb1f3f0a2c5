import { decoded } from './addresses';
import { formatBytes } from './format';

export interface FetchedFile {
  /** Of all, as far as the server says. */
  size: number | undefined;
  bytes: ReadableStream<Uint8Array<ArrayBuffer>>;
}

/** What is taken of a file. `reason`: why no more, after a comma. */
export interface Limit {
  bytes: number;
  reason: string;
}

/** A file as it comes, fetched without credentials. Fails, then or while it is read, with a reason to show, or the signal's. */
export async function fetchFile(url: string, limit: Limit, signal?: AbortSignal): Promise<FetchedFile> {
  const response = await fetch(url, { credentials: 'omit', signal: signal ?? null }).catch((cause: unknown) => {
    signal?.throwIfAborted();
    throw new Error(`${url} cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`);
  });
  if (!response.ok || !response.body) throw new Error(`${url}: HTTP ${response.status}`);
  const size = sizeOf(response);
  if (size !== undefined && size > limit.bytes) {
    void response.body.cancel();
    throw new Error(`${url} has ${formatBytes(size)}, ${excess(limit)}`);
  }
  let received = 0;
  const bound = new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>({
    transform(part, controller) {
      received += part.length;
      if (received > limit.bytes) controller.error(new Error(`${url} goes on and on, ${excess(limit)}`));
      else controller.enqueue(part);
    },
  });
  return { size, bytes: (response.body as ReadableStream<Uint8Array<ArrayBuffer>>).pipeThrough(bound) };
}

function excess({ bytes, reason }: Limit): string {
  return `which is more than ${formatBytes(bytes)}, ${reason}`;
}

/** A compressed answer's length is not its file's. */
function sizeOf({ headers }: Response): number | undefined {
  const length = headers.get('content-length');
  return length === null || headers.has('content-encoding') ? undefined : Number(length);
}

export function nameOf(url: string): string {
  const { pathname, hostname } = new URL(url);
  return decoded(pathname.slice(pathname.lastIndexOf('/') + 1)) || hostname;
}
