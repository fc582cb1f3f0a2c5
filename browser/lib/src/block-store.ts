import { CodioError } from './error';

/** Verified blocks by CID. */
export interface BlockStore {
  get(cid: string): Promise<Uint8Array<ArrayBuffer> | undefined>;
  /** A pinned block stays; if there is no room for it, it rejects with `too-large`. Others go, oldest use first. */
  put(cid: string, bytes: Uint8Array<ArrayBuffer>, pinned: boolean): Promise<void>;
  /** Lets a pinned block go in its turn, as others do. */
  unpin(cid: string): Promise<void>;
  /** Bytes that may still be pinned. */
  readonly room: number;
}

/** Keeps blocks for the life of the worker in at most `capacity` bytes. */
export class MemoryBlockStore implements BlockStore {
  /** In order of use, least recent first. */
  readonly #loose = new Map<string, Uint8Array<ArrayBuffer>>();
  readonly #pinned = new Map<string, Uint8Array<ArrayBuffer>>();
  #bytes = 0;
  #pinnedBytes = 0;

  constructor(readonly capacity: number) {}

  get room(): number {
    return this.capacity - this.#pinnedBytes;
  }

  async get(cid: string): Promise<Uint8Array<ArrayBuffer> | undefined> {
    const bytes = this.#loose.get(cid);
    if (!bytes) return this.#pinned.get(cid);
    this.#loose.delete(cid);
    this.#loose.set(cid, bytes);
    return bytes;
  }

  async put(cid: string, bytes: Uint8Array<ArrayBuffer>, pinned: boolean): Promise<void> {
    if (this.#pinned.has(cid)) return;
    const before = this.#loose.get(cid);
    if (before && !pinned) return;
    const size = bytes.length;
    if (size > this.room) {
      if (!pinned) return;
      throw new CodioError('too-large', `uploads fill the ${this.capacity} bytes of storeBytes`);
    }
    if (before) {
      this.#loose.delete(cid);
      this.#bytes -= before.length;
    }
    (pinned ? this.#pinned : this.#loose).set(cid, bytes);
    this.#bytes += size;
    if (pinned) this.#pinnedBytes += size;
    for (const [oldest, old] of this.#loose) {
      if (this.#bytes <= this.capacity) break;
      this.#loose.delete(oldest);
      this.#bytes -= old.length;
    }
  }
  async unpin(cid: string): Promise<void> {
    const bytes = this.#pinned.get(cid);
    if (!bytes) return;
    this.#pinned.delete(cid);
    this.#pinnedBytes -= bytes.length;
    this.#loose.set(cid, bytes);
  }
}
