import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CachedBlocks } from '../src/block-store';

const block = (size: number) => new Uint8Array(size);
const inMemory = () => new CachedBlocks(30, Promise.resolve(undefined));

test('The block used least recently goes first', async () => {
  const store = inMemory();
  for (const cid of ['a', 'b', 'c']) await store.put(cid, block(10), false);
  await store.get('a');
  await store.put('d', block(10), false);
  assert.equal(await store.get('b'), undefined);
  for (const cid of ['a', 'c', 'd']) assert.equal((await store.get(cid))?.length, 10);
});

test('A pinned block stays, and one without room is refused', async () => {
  const store = inMemory();
  await store.put('pinned', block(20), true);
  await store.put('a', block(10), false);
  await store.put('b', block(10), false);
  assert.ok(await store.get('pinned'));
  assert.equal(await store.get('a'), undefined);
  await assert.rejects(store.put('more', block(11), true), { code: 'too-large' });
  await store.put('b', block(10), true);
  await store.put('c', block(1), false);
  assert.ok(await store.get('b'));
  assert.equal(await store.get('c'), undefined);
});

test('What get() gives is the caller’s', async () => {
  const store = inMemory();
  await store.put('a', Uint8Array.of(1, 2, 3), false);
  const bytes = await store.get('a');
  assert.ok(bytes);
  structuredClone(bytes, { transfer: [bytes.buffer] });
  assert.deepEqual(await store.get('a'), Uint8Array.of(1, 2, 3));
});

test('Only the call that pinned a block is told so', async () => {
  const store = inMemory();
  assert.equal(await store.put('a', block(10), false), false);
  assert.equal(await store.put('a', block(10), true), true);
  assert.equal(await store.put('a', block(10), true), false);
});

test('A block that is unpinned goes in its turn', async () => {
  const store = inMemory();
  await store.put('a', block(20), true);
  assert.equal(store.room, 10);
  await store.unpin('a');
  assert.equal(store.room, 30);
  assert.ok(await store.get('a'));
  await store.put('b', block(20), false);
  assert.equal(await store.get('a'), undefined);
});

test('clear() lets all go but what is pinned', async () => {
  const store = inMemory();
  await store.put('a', block(10), false);
  await store.put('b', block(10), true);
  await store.clear();
  assert.equal(await store.get('a'), undefined);
  assert.ok(await store.get('b'));
  assert.deepEqual(await store.stats(), { kind: 'memory', bytes: 10, blocks: 1, capacity: 30 });
});

test('Blocks that wait for a slow medium are bounded, and pinned ones are not left out', async () => {
  const MiB = 1_048_576;
  let open: () => void = () => {};
  const store = new CachedBlocks(512 * MiB, new Promise((resolve) => (open = () => resolve(undefined))));
  const puts = Array.from({ length: 20 }, (_, i) => store.put(`loose ${i}`, block(MiB), false));
  puts.push(store.put('pinned', block(MiB), true));
  const read = store.get('loose 0');
  open();
  await Promise.all(puts);
  assert.ok(await read);
  assert.ok(await store.get('pinned'));
  assert.equal((await store.stats()).blocks, 17);
  await store.put('loose 19', block(MiB), false);
  assert.ok(await store.get('loose 19'));
});

test('What waits is read as a copy: the store has taken the block over, and gives its memory back once it is written', async () => {
  let open: () => void = () => {};
  const store = new CachedBlocks(30, new Promise((resolve) => (open = () => resolve(undefined))));
  const given = block(10);
  const put = store.put('a', given, false);
  const read = store.get('a');
  open();
  await put;
  assert.notEqual((await read)?.buffer, given.buffer);
  assert.deepEqual(await read, block(10));
});

test('The number of blocks is bounded as well', async () => {
  const store = new CachedBlocks(1_048_576, Promise.resolve(undefined));
  for (let i = 0; i < 65_540; i++) await store.put(String(i), block(1), false);
  assert.equal((await store.stats()).blocks, 65_536);
  assert.equal(await store.get('3'), undefined);
  assert.ok(await store.get('4'));
});
