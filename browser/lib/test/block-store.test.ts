import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryBlockStore } from '../src/block-store';

const block = (size: number) => new Uint8Array(size);

test('The block used least recently goes first', async () => {
  const store = new MemoryBlockStore(30);
  for (const cid of ['a', 'b', 'c']) await store.put(cid, block(10), false);
  await store.get('a');
  await store.put('d', block(10), false);
  assert.equal(await store.get('b'), undefined);
  for (const cid of ['a', 'c', 'd']) assert.equal((await store.get(cid))?.length, 10);
});

test('A pinned block stays, and one without room is refused', async () => {
  const store = new MemoryBlockStore(30);
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

test('A block that is unpinned goes in its turn', async () => {
  const store = new MemoryBlockStore(30);
  await store.put('a', block(20), true);
  assert.equal(store.room, 10);
  await store.unpin('a');
  assert.equal(store.room, 30);
  assert.ok(await store.get('a'));
  await store.put('b', block(20), false);
  assert.equal(await store.get('a'), undefined);
});
