import { CodioError } from './error';
import { free } from './free';
import { matches } from './matches';

/** Verified blocks by CID. */
export interface BlockStore {
  /** The bytes, all of their buffer, are the caller's. */
  get(cid: string): Promise<Uint8Array<ArrayBuffer> | undefined>;
  /**
   * Takes `bytes`, all of their buffer, over. A pinned block stays; if there is no room for it, it rejects with `too-large`.
   * Others go, oldest use first. Tells whether this call pinned it: not if it was before.
   */
  put(cid: string, bytes: Uint8Array<ArrayBuffer>, pinned: boolean): Promise<boolean>;
  isPinned(cid: string): boolean;
  /** Lets a pinned block go in its turn, as others do. */
  unpin(cid: string): Promise<void>;
  stats(): Promise<CacheStats>;
  /** Lets all go that is not pinned. */
  clear(): Promise<void>;
  /** Bytes that may still be pinned. */
  readonly room: number;
}

export interface CacheStats {
  bytes: number;
  blocks: number;
  /** Bytes that it may grow to, less where the browser's quota is less. */
  capacity: number;
  /** Where new blocks are kept; `memory` also after the browser refused to write. */
  kind: 'opfs' | 'indexeddb' | 'memory';
}

/** Blocks that are kept, and go, together: a file in OPFS, else one block. */
export interface Pack {
  readonly cids: Set<string>;
  bytes: number;
  pins: number;
}

export interface Block {
  readonly pack: Pack;
  readonly offset: number;
  readonly size: number;
  /** If it is in memory. */
  readonly bytes?: Uint8Array<ArrayBuffer>;
  pinned: boolean;
  /** This session wrote it, or has compared it with its CID, and nobody else can have changed it since. */
  checked: boolean;
}

/** Where blocks are kept that outlive the worker. append(), remove() and clear() do not overlap. */
export interface Medium {
  readonly kind: Exclude<CacheStats['kind'], 'memory'>;
  /** What earlier sessions left, oldest first. */
  readonly found: Iterable<[cid: string, block: Block]>;
  /** Rejects if there is no room. */
  append(cid: string, bytes: Uint8Array<ArrayBuffer>, pinned: boolean): Promise<Block>;
  /** Bytes that may be wrong, if the block is not `checked` then. */
  read(block: Block): Promise<Uint8Array<ArrayBuffer> | undefined>;
  remove(pack: Pack): Promise<unknown>;
  /** Removes also what it has not told of, except what other tabs are using. */
  clear(): Promise<unknown>;
}

export function newPack(): Pack {
  return { cids: new Set(), bytes: 0, pins: 0 };
}

export function inMemory(bytes: Uint8Array<ArrayBuffer>, pinned: boolean): Block {
  return { pack: newPack(), offset: 0, size: bytes.length, bytes, pinned, checked: true };
}

/** Bounds the index, which is in memory. */
const maxBlocks = 65_536;
/** Of bytes that wait to be written; blocks beyond are not kept. */
const maxWaiting = 16 * 1024 * 1024;

/** Keeps at most `capacity` bytes: in memory, where there is no medium or it cannot be written. */
export class CachedBlocks implements BlockStore {
  readonly #capacity: number;
  readonly #blocks = new Map<string, Block>();
  /** In order of use, least recent first. */
  readonly #packs = new Set<Pack>();
  readonly #opened: Promise<unknown>;
  readonly #waiting = new Map<string, Uint8Array<ArrayBuffer>>();
  #waitingBytes = 0;
  #medium: Medium | undefined;
  #writable = true;
  /** What the medium bears. */
  #limit: number;
  #bytes = 0;
  #pinnedBytes = 0;
  #last: Promise<unknown>;

  constructor(capacity: number, opening: Promise<Medium | undefined>) {
    this.#capacity = this.#limit = capacity;
    this.#opened = this.#last = opening.then(async (medium) => {
      this.#medium = medium;
      for (const [cid, block] of medium?.found ?? []) await this.#add(cid, block);
      await this.#makeRoom(0);
    });
  }

  get room(): number {
    return this.#capacity - this.#pinnedBytes;
  }

  async get(cid: string): Promise<Uint8Array<ArrayBuffer> | undefined> {
    await this.#opened;
    const block = this.#blocks.get(cid);
    if (!block) return this.#waiting.get(cid)?.slice();
    this.#packs.delete(block.pack);
    this.#packs.add(block.pack);
    const bytes = block.bytes?.slice() ?? (await this.#medium?.read(block).catch(() => undefined));
    if (bytes && (block.checked ||= await matches(cid, bytes))) return bytes;
    await this.#inTurn(async () => this.#blocks.get(cid) === block && this.#drop(cid, block));
    return undefined;
  }

  async put(cid: string, bytes: Uint8Array<ArrayBuffer>, pinned: boolean): Promise<boolean> {
    const size = bytes.length;
    if (!pinned && this.#waitingBytes + size > maxWaiting) {
      free(bytes.buffer);
      return false;
    }
    this.#waitingBytes += size;
    this.#waiting.set(cid, bytes);
    let inUse = false;
    return this.#inTurn(async () => {
      const block = await this.#write(cid, bytes, pinned);
      inUse = block?.bytes !== undefined;
      if (block) await this.#add(cid, block);
      return block !== undefined && pinned;
    }).finally(() => {
      this.#waitingBytes -= size;
      this.#waiting.delete(cid);
      if (!inUse) free(bytes.buffer);
    });
  }

  isPinned(cid: string): boolean {
    return this.#blocks.get(cid)?.pinned ?? false;
  }

  async unpin(cid: string): Promise<void> {
    return this.#inTurn(() => {
      const block = this.#blocks.get(cid);
      if (block) this.#unpin(block);
    });
  }

  async stats(): Promise<CacheStats> {
    return this.#inTurn(() => ({
      bytes: this.#bytes,
      blocks: this.#blocks.size,
      capacity: this.#capacity,
      kind: (this.#writable && this.#medium?.kind) || 'memory',
    }));
  }

  async clear(): Promise<void> {
    await this.#inTurn(async () => {
      for (const pack of this.#packs) if (pack.pins === 0) await this.#remove(pack);
      await this.#medium?.clear().catch(() => {});
      this.#limit = this.#capacity;
      this.#writable = true;
    });
  }

  #inTurn<Result>(job: () => Result | Promise<Result>): Promise<Result> {
    const result = this.#last.then(job);
    this.#last = result.catch(() => {});
    return result;
  }

  async #write(cid: string, bytes: Uint8Array<ArrayBuffer>, pinned: boolean): Promise<Block | undefined> {
    const before = this.#blocks.get(cid);
    if (before && (before.pinned || !pinned)) return undefined;
    const size = bytes.length;
    if (size > this.room) {
      if (!pinned) return undefined;
      throw new CodioError('too-large', `uploads fill the ${this.#capacity} bytes of storeBytes`);
    }
    const fits = await this.#makeRoom(size);
    for (let tries = 2; fits && this.#medium && this.#writable; ) {
      try {
        return await this.#medium.append(cid, bytes, pinned);
      } catch {
        this.#limit = this.#bytes; // The quota is less than our capacity.
        if (--tries > 0 && (await this.#makeRoom(size))) continue;
        this.#writable = false;
        this.#limit = this.#capacity;
      }
    }
    return fits || pinned ? inMemory(bytes, pinned) : undefined;
  }

  async #add(cid: string, block: Block): Promise<void> {
    const { pack, size, pinned } = block;
    const before = this.#blocks.get(cid);
    this.#blocks.set(cid, block);
    pack.cids.add(cid);
    pack.bytes += size;
    this.#bytes += size;
    if (pinned) {
      pack.pins++;
      this.#pinnedBytes += size;
    }
    this.#packs.delete(pack);
    this.#packs.add(pack);
    if (before && before.pack !== pack) await this.#leave(cid, before.pack);
  }

  async #drop(cid: string, block: Block): Promise<void> {
    this.#unpin(block);
    this.#blocks.delete(cid);
    await this.#leave(cid, block.pack);
  }

  #unpin(block: Block): void {
    if (!block.pinned) return;
    block.pinned = false;
    block.pack.pins--;
    this.#pinnedBytes -= block.size;
  }

  async #leave(cid: string, pack: Pack): Promise<void> {
    pack.cids.delete(cid);
    if (pack.cids.size === 0) await this.#remove(pack);
  }

  async #makeRoom(size: number): Promise<boolean> {
    if (size > this.#limit) return false;
    const fits = () => this.#bytes + size <= this.#limit && this.#blocks.size < maxBlocks;
    for (const pack of this.#packs) {
      if (fits()) break;
      if (pack.pins === 0) await this.#remove(pack);
    }
    return fits();
  }

  /** Where it cannot be removed because another tab uses it, that one answers for it. */
  async #remove(pack: Pack): Promise<void> {
    if (!this.#packs.delete(pack)) return;
    this.#bytes -= pack.bytes;
    for (const cid of pack.cids) this.#blocks.delete(cid);
    await this.#medium?.remove(pack).catch(() => {});
  }
}
