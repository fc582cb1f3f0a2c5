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
  handle: SyncAccessHandle | undefined;
  /** Another tab has the handle. */
  foreign: boolean;
  indexEnd: number;
  end: number;
}

/** Some 1,700 lines. */
const indexBytes = 128 * 1024;
const maxLine = 256;
/** In `capacity`: a full store loses a sixteenth at a time. */
const packCount = 16;

export async function openPacks(capacity: number): Promise<Medium> {
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

  /** Rejects where there are no sync access handles. */
  static async open(folder: FileSystemDirectoryHandle, capacity: number): Promise<OpfsPacks> {
    const packs = new OpfsPacks(folder, capacity / packCount);
    await packs.#find();
    await packs.#fill(0);
    return packs;
  }

  private constructor(folder: FileSystemDirectoryHandle, packBytes: number) {
    this.#folder = folder;
    this.#packBytes = packBytes;
  }

  async append(cid: string, bytes: Uint8Array<ArrayBuffer>, pinned: boolean): Promise<Block> {
    const pack = await this.#fill(pinned ? 1 : 0);
    const block = { pack, offset: pack.end, size: bytes.length, pinned, checked: true };
    const line = new TextEncoder().encode(`${cid} ${pack.end} ${bytes.length}\n`);
    write(pack, bytes, pack.end);
    write(pack, line, pack.indexEnd);
    pack.end += bytes.length;
    pack.indexEnd += line.length;
    return block;
  }

  async read({ pack, offset, size }: Block): Promise<Uint8Array<ArrayBuffer>> {
    const { file } = pack as PackFile;
    const handle = await this.#hold(pack as PackFile);
    if (!handle) return new Uint8Array(await (await file.getFile()).slice(offset, offset + size).arrayBuffer());
    const bytes = new Uint8Array(size);
    return bytes.subarray(0, handle.read(bytes, { at: offset }));
  }

  async remove(pack: Pack): Promise<void> {
    const { file, handle } = pack as PackFile;
    this.#packs.delete(pack as PackFile);
    this.#filling.forEach((one, which) => one === pack && (this.#filling[which] = undefined));
    // Should the file stay, because a tab that is closing has it or the lock is slow to go, it is empty at least.
    handle?.truncate(0);
    handle?.close();
    await this.#folder.removeEntry(file.name);
  }

  async clear(): Promise<void> {
    for await (const name of this.#folder.keys()) await this.#folder.removeEntry(name).catch(() => {});
  }

  async #find(): Promise<void> {
    const files: PackHandle[] = [];
    for await (const file of this.#folder.values()) files.push(file as PackHandle);
    const read = files.map(async (file) => {
      const content = await file.getFile();
      return { file, content, index: new Uint8Array(await content.slice(0, indexBytes).arrayBuffer()) };
    });
    // Those that went meanwhile are left out.
    const packs = (await Promise.allSettled(read)).flatMap((one) => (one.status === 'fulfilled' ? one.value : []));
    packs.sort((a, b) => a.content.lastModified - b.content.lastModified);
    for (const { file, content, index } of packs) {
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
      if (this.#filling.includes(pack) || !this.#hasRoom(pack) || !(await this.#hold(pack))) continue;
      if (this.#hasRoom(pack)) return (this.#filling[which] = pack);
    }
    const file = await this.#folder.getFileHandle(crypto.randomUUID(), { create: true });
    const pack = makePack(file as PackHandle);
    if (!(await this.#hold(pack))) {
      await this.#folder.removeEntry(file.name);
      throw new Error('no access handle');
    }
    this.#packs.add(pack);
    return (this.#filling[which] = pack);
  }

  #hasRoom({ end, indexEnd }: PackFile): boolean {
    return end < indexBytes + this.#packBytes && indexEnd + maxLine <= indexBytes;
  }

  async #hold(pack: PackFile): Promise<SyncAccessHandle | undefined> {
    if (pack.handle || pack.foreign) return pack.handle;
    try {
      pack.handle = await pack.file.createSyncAccessHandle();
      const index = new Uint8Array(indexBytes);
      pack.handle.read(index, { at: 0 });
      scan(pack, index, Infinity); // The tab that had it before may have added some.
      write(pack, index.subarray(0, 1), 0); // For the time of its last change.
    } catch {
      pack.handle?.close();
      pack.handle = undefined;
      pack.foreign = true;
    }
    return pack.handle;
  }
}

function makePack(file: PackHandle): PackFile {
  return { ...newPack(), file, handle: undefined, foreign: false, indexEnd: 0, end: indexBytes };
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

function write({ handle }: PackFile, bytes: Uint8Array<ArrayBuffer>, at: number): void {
  if (handle?.write(bytes, { at }) !== bytes.length) throw new Error('not written whole');
}
