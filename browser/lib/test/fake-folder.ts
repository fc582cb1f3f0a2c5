/** A folder of the origin's private file system in memory, with its locks, a quota and a clock that each change advances. */
export class FakeFolder {
  readonly files = new Map<string, FakeFile>();
  quota = Infinity;
  /** What the quota does not let in is cut off instead of refused. */
  short = false;
  now = 0;

  get used(): number {
    return [...this.files.values()].reduce((sum, { bytes }) => sum + bytes.length, 0);
  }

  /** Every tab is gone, and with them their locks. */
  crash(): void {
    for (const file of this.files.values()) file.locked = false;
  }

  async getFileHandle(name: string): Promise<FakeFile> {
    const file = this.files.get(name) ?? new FakeFile(this, name);
    this.files.set(name, file);
    return file;
  }

  async removeEntry(name: string): Promise<void> {
    const file = this.files.get(name);
    if (!file) throw new DOMException(name, 'NotFoundError');
    if (file.locked) throw new DOMException(name, 'NoModificationAllowedError');
    this.files.delete(name);
  }

  async *keys(): AsyncGenerator<string> {
    yield* [...this.files.keys()];
  }

  async *values(): AsyncGenerator<FakeFile> {
    yield* [...this.files.values()];
  }
}

export class FakeFile {
  bytes = new Uint8Array();
  locked = false;
  changed = 0;

  constructor(
    readonly folder: FakeFolder,
    readonly name: string,
  ) {}

  async getFile(): Promise<File> {
    if (this.folder.files.get(this.name) !== this) throw new DOMException(this.name, 'NotFoundError');
    return new File([this.bytes], this.name, { lastModified: this.changed });
  }

  async createSyncAccessHandle(): Promise<FakeHandle> {
    if (this.locked) throw new DOMException(this.name, 'NoModificationAllowedError');
    this.locked = true;
    return new FakeHandle(this);
  }

  resize(size: number): void {
    const bytes = new Uint8Array(size);
    bytes.set(this.bytes.subarray(0, size));
    this.bytes = bytes;
    this.changed = ++this.folder.now;
  }
}

class FakeHandle {
  #open = true;

  constructor(readonly file: FakeFile) {}

  read(into: Uint8Array, { at }: { at: number }): number {
    this.#check();
    const part = this.file.bytes.subarray(at, at + into.length);
    into.set(part);
    return part.length;
  }

  write(bytes: Uint8Array, { at }: { at: number }): number {
    this.#check();
    const { file } = this;
    const grown = Math.max(0, at + bytes.length - file.bytes.length);
    const room = file.folder.quota - file.folder.used;
    if (grown > room && !file.folder.short) throw new DOMException('', 'QuotaExceededError');
    const written = bytes.subarray(0, bytes.length - Math.max(0, grown - room));
    file.resize(Math.max(file.bytes.length, at + written.length));
    file.bytes.set(written, at);
    return written.length;
  }

  truncate(size: number): void {
    this.#check();
    this.file.resize(size);
  }

  close(): void {
    this.#open = false;
    this.file.locked = false;
  }

  #check(): void {
    if (!this.#open) throw new DOMException('', 'InvalidStateError');
  }
}
