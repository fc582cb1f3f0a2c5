import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { CachedBlocks } from '../src/block-store';
import { OpfsPacks } from '../src/opfs-packs';
import { rawCid } from './cids';
import { FakeFile, FakeFolder } from './fake-folder';

const indexBytes = 131_072;
const capacity = 16_000; // A pack takes 1,000 bytes, and what begins before them.

function open(folder: FakeFolder, most = capacity): CachedBlocks {
  return new CachedBlocks(most, OpfsPacks.open(folder as unknown as FileSystemDirectoryHandle, most));
}

/** The same bytes for the same number. */
function block(number: number, size = 600): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(size);
  for (let at = 0; at < size; at += 32) {
    bytes.set(createHash('sha256').update(`${number} ${at}`).digest().subarray(0, size - at), at);
  }
  return bytes;
}

async function put(store: CachedBlocks, number: number, { pinned = false, size = 600 } = {}): Promise<void> {
  await store.put(rawCid(block(number, size)), block(number, size), pinned);
}

async function has(store: CachedBlocks, number: number, size = 600): Promise<boolean> {
  const bytes = await store.get(rawCid(block(number, size)));
  if (bytes) assert.deepEqual(bytes, block(number, size));
  return bytes !== undefined;
}

async function present(store: CachedBlocks, numbers: number[]): Promise<number[]> {
  const found = [];
  for (const number of numbers) if (await has(store, number)) found.push(number);
  return found;
}

const range = (begin: number, end: number) => Array.from({ length: end - begin }, (_, i) => begin + i);

/** The file with this block. */
function fileWith(folder: FakeFolder, number: number, size = 600): FakeFile {
  const file = [...folder.files.values()].find(({ bytes }) =>
    Buffer.from(bytes.subarray(0, indexBytes)).includes(rawCid(block(number, size))),
  );
  assert.ok(file);
  return file;
}

test('What a tab wrote is there after it is gone', async () => {
  const folder = new FakeFolder();
  const first = open(folder);
  for (const number of range(0, 5)) await put(first, number);
  assert.deepEqual(await first.stats(), { kind: 'opfs', bytes: 3000, blocks: 5, capacity });
  folder.crash();
  const second = open(folder);
  assert.deepEqual(await second.stats(), { kind: 'opfs', bytes: 3000, blocks: 5, capacity });
  assert.deepEqual(await present(second, range(0, 6)), range(0, 5));
  await put(second, 5);
  folder.crash();
  assert.deepEqual(await present(open(folder), range(0, 6)), range(0, 6));
});

test('An empty block is kept too', async () => {
  const folder = new FakeFolder();
  await put(open(folder), 0, { size: 0 });
  folder.crash();
  assert.ok(await has(open(folder), 0, 0));
});

test('A line that a crash cut short is no block, and the next one takes its place', async () => {
  const folder = new FakeFolder();
  const first = open(folder);
  await put(first, 0);
  await put(first, 1);
  const { bytes } = fileWith(folder, 1);
  const end = bytes.subarray(0, indexBytes).lastIndexOf(10);
  for (const cut of [1, 2, 5, 40]) {
    bytes.fill(0, end + 1 - cut, end + 1);
    folder.crash();
    const store = open(folder);
    assert.deepEqual(await present(store, [0, 1]), [0]);
    assert.equal((await store.stats()).blocks, 1);
  }
  folder.crash();
  const last = open(folder);
  await put(last, 2);
  folder.crash();
  assert.deepEqual(await present(open(folder), [0, 1, 2]), [0, 2]);
});

test('A line whose bytes never came is no block', async () => {
  const folder = new FakeFolder();
  const first = open(folder);
  await put(first, 0);
  await put(first, 1);
  const file = fileWith(folder, 1);
  file.resize(file.bytes.length - 1);
  folder.crash();
  const store = open(folder);
  assert.equal((await store.stats()).blocks, 1);
  assert.deepEqual(await present(store, [0, 1]), [0]);
});

test('Bytes that do not match their CID are not given out, and are replaced', async () => {
  const folder = new FakeFolder();
  const first = open(folder);
  for (const number of [0, 1, 2]) await put(first, number);
  const { bytes } = fileWith(folder, 1);
  bytes[indexBytes + 600 + 300]! ^= 1;
  folder.crash();
  const store = open(folder);
  assert.deepEqual(await present(store, [0, 1, 2]), [0, 2]);
  assert.equal((await store.stats()).blocks, 2);
  await put(store, 1);
  assert.ok(await has(store, 1));
});

test('An index of noise is survived, and so are lies in it', async () => {
  const folder = new FakeFolder();
  await put(open(folder), 0);
  const file = fileWith(folder, 0);
  const cid = rawCid(block(0));
  const lies = [`${cid} 0 600\n`, `${cid} ${indexBytes} 700\n`, `${cid} 99999999999999999999 600\n`, `${cid} -1 -1\n`, '\n\n', 'x 1'];
  for (const lie of [...lies, Buffer.from(block(7, 5000)).toString('latin1')]) {
    file.bytes.fill(0, 0, indexBytes);
    file.bytes.set(Buffer.from(lie, 'latin1'));
    folder.crash();
    const store = open(folder);
    assert.equal(await has(store, 0), false);
    await put(store, 1);
    assert.ok(await has(store, 1));
  }
});

test('A full store lets the packs go that were used least recently', async () => {
  const folder = new FakeFolder();
  const store = open(folder);
  for (const number of range(0, 26)) await put(store, number); // 13 packs of 2 blocks of 600: 15,600 bytes.
  assert.ok(await has(store, 0));
  await put(store, 26);
  assert.deepEqual(await present(store, range(0, 5)), [0, 1, 4]);
  const { bytes, blocks } = await store.stats();
  assert.deepEqual([bytes, blocks], [15_000, 25]);
  assert.ok(folder.used <= 13 * indexBytes + 15_000);
});

test('What an earlier session used last goes last', async () => {
  const folder = new FakeFolder();
  const first = open(folder);
  for (const number of range(0, 26)) await put(first, number);
  folder.crash();
  assert.ok(await has(open(folder), 0));
  folder.crash();
  const third = open(folder);
  for (const number of range(26, 40)) await put(third, number);
  const kept = await present(third, range(0, 12));
  assert.ok(kept.includes(0) && !kept.includes(4), String(kept));
});

test('A smaller limit than the last session had is kept to', async () => {
  const folder = new FakeFolder();
  const first = open(folder);
  for (const number of range(0, 20)) await put(first, number);
  folder.crash();
  const { bytes } = await open(folder, 5000).stats();
  assert.ok(bytes <= 5000 && bytes >= 3000, String(bytes));
});

test('A block that is too big for the store is left out', async () => {
  const folder = new FakeFolder();
  const store = open(folder);
  await put(store, 0);
  await put(store, 1, { size: capacity + 1 });
  assert.deepEqual([await has(store, 0), await has(store, 1, capacity + 1)], [true, false]);
});

test('Two tabs write side by side, and each reads what the other had when it opened', async () => {
  const folder = new FakeFolder();
  const first = open(folder);
  await put(first, 0);
  const second = open(folder);
  await put(second, 1);
  assert.deepEqual(await present(second, [0, 1]), [0, 1]);
  await put(first, 2);
  assert.deepEqual(await present(first, [0, 1, 2]), [0, 2]);
  folder.crash();
  assert.deepEqual(await present(open(folder), [0, 1, 2]), [0, 1, 2]);
});

test('What another tab removed or wrote over is not there', async () => {
  const folder = new FakeFolder();
  const first = open(folder);
  await put(first, 0);
  await put(first, 1);
  const second = open(folder);
  await second.stats();
  fileWith(folder, 0).bytes.fill(7, indexBytes, indexBytes + 600);
  assert.deepEqual(await present(second, [0, 1]), [1]);
  await first.clear();
  assert.deepEqual(await present(second, [0, 1]), []);
});

test('A tab that needs room leaves alone what another is using', async () => {
  const folder = new FakeFolder();
  const first = open(folder);
  await put(first, 0, { pinned: true });
  const second = open(folder);
  for (const number of range(1, 60)) await put(second, number);
  assert.ok(await has(first, 0));
  assert.ok((await second.stats()).bytes <= capacity);
});

test('A quota below the limit is the limit', async () => {
  const folder = new FakeFolder();
  for (const short of [false, true]) {
    Object.assign(folder, { short, quota: 4 * (indexBytes + 1200) });
    const store = open(folder);
    for (const number of range(0, 30)) await put(store, number);
    assert.ok(await has(store, 29));
    const { bytes } = await store.stats();
    assert.ok(bytes >= 2400 && bytes <= 4800, String(bytes));
    await store.clear();
  }
});

test('A browser that lets nothing be written any more has the rest in memory', async () => {
  const folder = new FakeFolder();
  const store = open(folder);
  for (const number of range(0, 4)) await put(store, number);
  folder.quota = 0;
  for (const number of range(4, 30)) await put(store, number);
  await put(store, 30, { pinned: true });
  assert.deepEqual(await present(store, range(2, 8)), [5, 6, 7]);
  folder.quota = Infinity;
  await store.clear();
  await put(store, 40);
  assert.deepEqual(await present(store, range(0, 41)), [30, 40]);
  assert.equal((await store.stats()).kind, 'opfs');
});

test('Pinned blocks stay when others go, and go in their turn after a restart', async () => {
  const folder = new FakeFolder();
  const store = open(folder);
  await put(store, 0);
  await put(store, 0, { pinned: true });
  assert.equal(store.room, capacity - 600);
  for (const number of range(1, 60)) await put(store, number);
  assert.ok(await has(store, 0));
  await store.clear();
  assert.deepEqual(await present(store, range(0, 60)), [0]);
  await assert.rejects(put(store, 60, { pinned: true, size: capacity }), { code: 'too-large' });
  folder.crash();
  const next = open(folder);
  assert.equal(next.room, capacity);
  assert.ok(await has(next, 0));
  for (const number of range(1, 60)) await put(next, number);
  assert.equal(await has(next, 0), false);
});

test('Uploads keep no downloads with them', async () => {
  const store = open(new FakeFolder());
  await put(store, 0, { size: 300 });
  await put(store, 1, { size: 300, pinned: true });
  await put(store, 2, { size: 300 });
  await store.clear();
  assert.deepEqual([await has(store, 0, 300), await has(store, 1, 300), await has(store, 2, 300)], [false, true, false]);
});

test('What a tab still wrote while the next one opened is not written over', async () => {
  const folder = new FakeFolder();
  const first = open(folder);
  await put(first, 0, { size: 300 });
  const file = fileWith(folder, 0, 300);
  const { getFile } = FakeFile.prototype;
  file.getFile = async () => {
    const content = await getFile.call(file);
    await put(first, 1, { size: 300 });
    file.locked = false;
    return content;
  };
  const second = open(folder);
  await put(second, 2, { size: 300 });
  assert.equal(folder.files.size, 1);
  file.getFile = getFile;
  folder.crash();
  const third = open(folder);
  for (const number of [0, 1, 2]) assert.ok(await has(third, number, 300), String(number));
});

test('A pack that cannot be removed yet holds nothing more', async () => {
  const folder = new FakeFolder();
  const store = open(folder);
  await put(store, 0);
  folder.removeEntry = async () => {
    throw new DOMException('', 'NoModificationAllowedError');
  };
  await store.clear();
  assert.equal(folder.used, 0);
});

test('clear() removes also what other tabs left since', async () => {
  const folder = new FakeFolder();
  const store = open(folder);
  await put(store, 0);
  const other = open(folder);
  await put(other, 1);
  await store.clear();
  assert.deepEqual([await has(store, 0), await has(other, 1)], [false, true]);
  const file = fileWith(folder, 1);
  file.locked = false;
  await store.clear();
  assert.equal(folder.files.size, 0);
  assert.deepEqual(await store.stats(), { kind: 'opfs', bytes: 0, blocks: 0, capacity });
  await put(store, 2);
  assert.ok(await has(store, 2));
});

test('A pack whose index is full is followed by another', async () => {
  const folder = new FakeFolder();
  const store = open(folder, 2 ** 29);
  const count = 2000;
  const cids = [];
  for (let i = 0; i < count; i++) {
    const bytes = Uint8Array.of(i & 255, i >> 8);
    cids.push(rawCid(bytes));
    await store.put(rawCid(bytes), bytes, false);
  }
  assert.equal(folder.files.size, 2);
  folder.crash();
  const next = open(folder, 2 ** 29);
  assert.equal((await next.stats()).blocks, count);
  for (const cid of cids) assert.ok(await next.get(cid));
});

test('Where no access handle can be had blocks are in memory, and no file stays', async () => {
  const folder = new FakeFolder();
  const { getFileHandle } = folder;
  folder.getFileHandle = async (name) =>
    Object.assign(await getFileHandle.call(folder, name), { createSyncAccessHandle: undefined });
  const store = open(folder);
  await put(store, 0);
  assert.ok(await has(store, 0));
  assert.deepEqual(await store.stats(), { kind: 'memory', bytes: 600, blocks: 1, capacity });
  assert.equal(folder.files.size, 0);
});

test('What another tab can change is compared with its CID at every read', async () => {
  const folder = new FakeFolder();
  await put(open(folder), 0);
  const second = open(folder);
  assert.ok(await has(second, 0));
  fileWith(folder, 0).bytes[indexBytes]! ^= 1;
  assert.equal(await has(second, 0), false);
});

test('A pack that goes while it is read is no harm', async () => {
  const folder = new FakeFolder();
  await put(open(folder), 0);
  folder.crash();
  const store = open(folder);
  await store.stats();
  const read = has(store, 0);
  await store.clear();
  await read;
  assert.deepEqual([await has(store, 0), folder.files.size], [false, 0]);
  await put(store, 0);
  assert.ok(await has(store, 0));
});
