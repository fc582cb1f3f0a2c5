/** Writes one file of the origin's private file system, where no byte stays in memory and none is lost in a crash. */

/** Of TypeScript's library for workers, which excludes the one for pages. */
interface SyncAccessHandle {
  write(bytes: Uint8Array<ArrayBuffer>, options: { at: number }): number;
  getSize(): number;
  flush(): void;
  close(): void;
}

export type SpoolCommand = { name: string } | { bytes: Uint8Array<ArrayBuffer>; at: number } | 'close';
/** Answers each in turn: the file's size, after `name`. */
export type SpoolAnswer = { size: number } | { error: string };

let handle: SyncAccessHandle | undefined;

async function carryOut(command: SpoolCommand): Promise<SpoolAnswer> {
  if (command === 'close') {
    handle?.flush();
    handle?.close();
  } else if ('name' in command) {
    const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle('spool', { create: true });
    const file = await folder.getFileHandle(command.name, { create: true });
    handle = await (file as FileSystemFileHandle & { createSyncAccessHandle(): Promise<SyncAccessHandle> }).createSyncAccessHandle();
    return { size: handle.getSize() };
  } else if (handle?.write(command.bytes, { at: command.at }) !== command.bytes.length) {
    return { error: 'the disk is full' };
  }
  return { size: 0 };
}

onmessage = async ({ data }: MessageEvent<SpoolCommand>) => {
  postMessage(await carryOut(data).catch((error: unknown): SpoolAnswer => ({ error: String(error) })));
};
