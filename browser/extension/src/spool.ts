import type { SpoolAnswer, SpoolCommand } from './spool-worker';

const maxAge = 86_400_000;
const retryAfter = 300;
const maxTries = 12;

/** A file of ours on disk that a download fills; one that was interrupted goes on where it ended. */
export class Spool {
  readonly #worker = new Worker('spool-worker.js', { type: 'module' });
  #name = '';
  #size = 0;

  /** For those bytes: what they are called decides, so it must tell their content. */
  static async open(content: string): Promise<Spool> {
    await removeOld();
    const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(content)));
    const name = [...hash].map((byte) => byte.toString(16).padStart(2, '0')).join('');
    const spool = new Spool();
    // Another tab may be filling the first, or be about to let go of it.
    for (let tries = 0; ; tries++) {
      spool.#name = tries < maxTries ? name : `${name}-${crypto.randomUUID()}`;
      const answer = await spool.#tell({ name: spool.#name });
      if ('size' in answer) {
        spool.#size = answer.size;
        return spool;
      }
      if (tries >= maxTries) throw new Error(`no room on disk: ${answer.error}`);
      await new Promise((resolve) => setTimeout(resolve, retryAfter));
    }
  }

  get size(): number {
    return this.#size;
  }

  async append(bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    const at = this.#size;
    this.#size += bytes.length;
    const answer = await this.#tell({ bytes, at }, [bytes.buffer]);
    if ('error' in answer) throw new Error(`not saved: ${answer.error}`);
  }

  /** Nothing can be appended any more. */
  async finish(): Promise<File> {
    await this.#tell('close');
    this.#worker.terminate();
    return (await (await folder()).getFileHandle(this.#name)).getFile();
  }

  /** What is there stays, for another try. */
  async leave(): Promise<void> {
    await this.#tell('close');
    this.#worker.terminate();
  }

  async remove(): Promise<void> {
    await (await folder()).removeEntry(this.#name);
  }

  #tell(command: SpoolCommand, transfer: Transferable[] = []): Promise<SpoolAnswer> {
    return new Promise((resolve) => {
      this.#worker.onmessage = ({ data }: MessageEvent<SpoolAnswer>) => resolve(data);
      this.#worker.postMessage(command, transfer);
    });
  }
}

/** Puts the bytes on disk for as long as they are used. */
export async function spooled<Result>(bytes: ReadableStream<Uint8Array<ArrayBuffer>>, use: (file: File) => Promise<Result>): Promise<Result> {
  const spool = await Spool.open(crypto.randomUUID());
  try {
    try {
      for await (const part of bytes) await spool.append(part);
    } catch (error) {
      await spool.leave();
      throw error;
    }
    return await use(await spool.finish());
  } finally {
    await spool.remove();
  }
}

async function folder(): Promise<FileSystemDirectoryHandle> {
  return (await navigator.storage.getDirectory()).getDirectoryHandle('spool', { create: true });
}

async function removeOld(): Promise<void> {
  const spool = await folder();
  for await (const file of spool.values() as AsyncIterable<FileSystemFileHandle>) {
    const { lastModified } = await file.getFile();
    if (lastModified < Date.now() - maxAge) await spool.removeEntry(file.name).catch(() => {}); // It is in use.
  }
}
