/**
 * Blocks in pack files of the origin's private file system.
 *
 * A pack begins with its index, a text of `indexBytes` that grows by a line `CID offset size` for each block, written
 * after the block's bytes; the bytes follow the index. So a crash leaves at worst bytes that no line tells of, or a line
 * without its end, which is overwritten. Nothing is flushed: after a power loss a line may tell of bytes that never
 * reached the disk. That, and whatever else happens to a file, is why packs have no checksums of their own: what
 * another session wrote counts only after the bytes were hashed and compared with their CID (CachedBlocks), which
 * WebCrypto does faster than script could compute a checksum.
 *
 * Packs are small against the capacity, and go whole: making room is the removal of a file, and never moves a block.
 *
 * Only one worker at a time can have a file's sync access handle. A tab holds those of the packs that it writes or has
 * read from, so nobody else can write or remove them; the packs that others hold it reads as files, as far as their
 * index was when it started. A pack's age is the time of its last change: taking its handle counts as use.
 */
import { newPack, type Block, type Medium, type Pack } from './block-store';

/** Of TypeScript's library for workers, which excludes the one for pages. */
interface SyncAccessHandle {
  read(into: Uint8Array<ArrayBuffer>, options: { at: number }): number;
  write(bytes: Uint8Array<ArrayBuffer>, options: { at: number }): number;
  truncate(size: number): void;
  close(): void;
}
type PackHandle = FileSystemFileHandle & { createSyncAccessHandle(): Promise<SyncAccessHandle> };

interface PackFile extends Pack {
  readonly file: PackHandle;
  /** See hold(). */
  handle: Promise<SyncAccessHandle | undefined> | undefined;
  indexEnd: number;
  end: number;
}

/** Some 1,700 lines. */
const indexBytes = 128 * 1024;
const maxLine = 256;
/** In `capacity`: a full store loses a sixteenth at a time. */
const packCount = 16;

export async function openPacks(capacity: number): Promise<Medium> {
  if (!('createSyncAccessHandle' in FileSystemFileHandle.prototype)) throw new Error('no sync access handles');
  return openPacksToRead(capacity);
}

/** For workers that have no access handles: append() rejects there. */
export async function openPacksToRead(capacity: number): Promise<Medium> {
  const root = await navigator.storage.getDirectory();
  return OpfsPacks.open(await root.getDirectoryHandle('codio-1', { create: true }), capacity);
}

export class OpfsPacks implements Medium {
  readonly kind = 'opfs';
  readonly found: [string, Block][] = [];
  readonly #folder: FileSystemDirectoryHandle;
  readonly #packBytes: number;
  readonly #packs = new Set<PackFile>();
  /** What is being filled, with loose blocks and with pinned ones. */
  readonly #filling: [loose: PackFile | undefined, pinned: PackFile | undefined] = [undefined, undefined];

  static async open(folder: FileSystemDirectoryHandle, capacity: number): Promise<OpfsPacks> {
    const packs = new OpfsPacks(folder, capacity / packCount);
    await packs.#find();
    return packs;
  }

  private constructor(folder: FileSystemDirectoryHandle, packBytes: number) {
    this.#folder = folder;
    this.#packBytes = packBytes;
  }

  async append(cid: string, bytes: Uint8Array<ArrayBuffer>, pinned: boolean): Promise<Block> {
    const pack = await this.#fill(pinned ? 1 : 0);
    const handle = await hold(pack);
    const block = { pack, offset: pack.end, size: bytes.length, pinned, checked: true };
    const line = new TextEncoder().encode(`${cid} ${pack.end} ${bytes.length}\n`);
    write(handle, bytes, pack.end);
    write(handle, line, pack.indexEnd);
    pack.end += bytes.length;
    pack.indexEnd += line.length;
    return block;
  }

  async read(block: Block): Promise<Uint8Array<ArrayBuffer>> {
    const { offset, size } = block;
    const pack = block.pack as PackFile;
    const handle = await hold(pack);
    if (!handle) {
      block.checked = false;
      return bytesOf(await pack.file.getFile(), offset, offset + size);
    }
    const bytes = new Uint8Array(size);
    if (handle.read(bytes, { at: offset }) !== size) throw new Error('read short');
    return bytes;
  }

  async remove(pack: Pack): Promise<void> {
    const { file, handle: holding } = pack as PackFile;
    this.#packs.delete(pack as PackFile);
    this.#filling.forEach((one, which) => one === pack && (this.#filling[which] = undefined));
    const handle = await holding;
    // Should the file stay, because a tab that is closing has it or the lock is slow to go, it is empty at least.
    handle?.truncate(0);
    handle?.close();
    await this.#folder.removeEntry(file.name);
  }

  async clear(): Promise<void> {
    for await (const name of this.#folder.keys()) await this.#folder.removeEntry(name).catch(() => {});
  }

  async #find(): Promise<void> {
    const read: { file: PackHandle; content: File; index: Uint8Array<ArrayBuffer> }[] = [];
    const reading: Promise<void>[] = [];
    const readIndex = async (file: PackHandle) => {
      const content = await file.getFile();
      read.push({ file, content, index: await bytesOf(content, 0, indexBytes) });
    };
    for await (const file of this.#folder.values()) reading.push(readIndex(file as PackHandle));
    await Promise.allSettled(reading); // What went meanwhile is left out.
    read.sort((a, b) => a.content.lastModified - b.content.lastModified);
    for (const { file, content, index } of read) {
      const pack = makePack(file);
      this.#packs.add(pack);
      this.found.push(...scan(pack, index, content.size));
    }
  }

  /** The pack to append to. */
  async #fill(which: 0 | 1): Promise<PackFile> {
    const last = this.#filling[which];
    if (last && this.#hasRoom(last)) return last;
    for (const pack of this.#packs) {
      if (this.#filling.includes(pack) || !this.#hasRoom(pack) || !(await hold(pack))) continue;
      if (this.#hasRoom(pack)) return (this.#filling[which] = pack);
    }
    const file = await this.#folder.getFileHandle(crypto.randomUUID(), { create: true });
    const pack = makePack(file as PackHandle);
    if (!(await hold(pack))) {
      await this.#folder.removeEntry(file.name);
      throw new Error('no access handle');
    }
    this.#packs.add(pack);
    return (this.#filling[which] = pack);
  }

  #hasRoom({ end, indexEnd }: PackFile): boolean {
    return end < indexBytes + this.#packBytes && indexEnd + maxLine <= indexBytes;
  }
}

/** The pack's access handle, from now on ours alone; nothing if another tab has it. */
function hold(pack: PackFile): Promise<SyncAccessHandle | undefined> {
  return (pack.handle ??= takeHandle(pack).catch(() => undefined));
}

async function takeHandle(pack: PackFile): Promise<SyncAccessHandle> {
  const handle = await pack.file.createSyncAccessHandle();
  try {
    const index = new Uint8Array(indexBytes);
    handle.read(index, { at: 0 });
    scan(pack, index, Infinity); // The tab that had it before may have added some.
    write(handle, index.subarray(0, 1), 0); // For the time of its last change.
    return handle;
  } catch (error) {
    handle.close();
    throw error;
  }
}

async function bytesOf(content: File, begin: number, end: number): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await content.slice(begin, end).arrayBuffer());
}

function makePack(file: PackHandle): PackFile {
  return { ...newPack(), file, handle: undefined, indexEnd: 0, end: indexBytes };
}

/** The blocks of which the index tells, as far as they are within the file; finds where it and they end. */
function scan(pack: PackFile, index: Uint8Array<ArrayBuffer>, fileSize: number): [string, Block][] {
  const text = new TextDecoder('latin1').decode(index); // A character a byte, whatever they are.
  const found: [string, Block][] = [];
  pack.indexEnd = text.lastIndexOf('\n') + 1;
  for (const [, cid = '', offsetText, sizeText] of text.matchAll(/^(\w+) (\d+) (\d+)\n/gm)) {
    const [offset, size] = [Number(offsetText), Number(sizeText)];
    if (offset < indexBytes || offset + size > fileSize) continue;
    pack.end = Math.max(pack.end, offset + size);
    found.push([cid, { pack, offset, size, pinned: false, checked: false }]);
  }
  return found;
}

function write(handle: SyncAccessHandle | undefined, bytes: Uint8Array<ArrayBuffer>, at: number): void {
  if (handle?.write(bytes, { at }) !== bytes.length) throw new Error('not written whole');
}
