import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Ranged } from '../src/ranged';

const mebibyte = 1_048_576;
const file = Uint8Array.from({ length: 8 * mebibyte }, (_, i) => i ^ (i >> 8) ^ (i >> 16));
const partSize = 200_000;

/** A file of 8 MiB whose streams are counted: where each began, how far it was read, and whether it is open. */
function openings(size = file.length) {
  const opened: { begin: number; at: number; open: boolean }[] = [];
  const ranged = new Ranged((begin) => {
    const one = { begin, at: begin, open: true };
    opened.push(one);
    return new ReadableStream<Uint8Array<ArrayBuffer>>(
      {
        pull(controller) {
          const end = Math.min(size, one.at + partSize);
          if (one.at === end) return controller.close();
          controller.enqueue(file.slice(one.at, end));
          one.at = end;
        },
        cancel: () => void (one.open = false),
      },
      { highWaterMark: 0 },
    );
  });
  const expect = async (begin: number, end: number) => assert.deepEqual(await ranged.read(begin, end), file.slice(begin, end));
  return { ranged, opened, expect };
}

test('Reads that go on share a stream, which is read no further than they are', async () => {
  const { opened, expect } = openings();
  await expect(0, 8);
  await expect(8, 300_000);
  await expect(250_000, 400_000);
  await Promise.all([expect(900_000, 900_010), expect(400_000, 500_000)]);
  assert.deepEqual(opened, [{ begin: 0, at: 1_000_000, open: true }]);
});

test('A read far ahead and one far behind have streams of their own, and the one unused for longest goes', async () => {
  const { opened, expect } = openings();
  await expect(0, 10);
  await expect(5 * mebibyte, 5 * mebibyte + 10);
  await expect(20, 30);
  await expect(7 * mebibyte, 7 * mebibyte + 10);
  assert.deepEqual(opened.map(({ begin, open }) => [begin, open]), [[0, true], [5 * mebibyte, false], [7 * mebibyte, true]]);
});

test('Little is kept behind', async () => {
  const { opened, expect } = openings();
  for (let at = 0; at < 5 * mebibyte; at += 100_000) await expect(at, at + 100_000);
  await expect(4 * mebibyte, 4 * mebibyte + 10);
  assert.equal(opened.length, 1);
  await expect(mebibyte, mebibyte + 10);
  assert.deepEqual(opened.map(({ begin }) => begin), [0, mebibyte]);
});

test('A file that ends before its size fails the read', async () => {
  const { ranged } = openings(1000);
  await assert.rejects(ranged.read(900, 1100), /no bytes from 1000 on/);
});
