import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseRange } from '../src/range';

test('A range is from, to, or the last of', () => {
  assert.deepEqual(parseRange('bytes=0-0'), { begin: 0, end: 1 });
  assert.deepEqual(parseRange('bytes=5-9'), { begin: 5, end: 10 });
  assert.deepEqual(parseRange('bytes=5-'), { begin: 5, end: undefined });
  assert.deepEqual(parseRange('bytes=-500'), { suffix: 500 });
  assert.deepEqual(parseRange(' Bytes = 1 - 2 '), { begin: 1, end: 3 });
});

test('What is no single range of bytes is as if it were not there', () => {
  const none = ['', 'bytes', 'bytes=', 'bytes=-', 'bytes=a-b', 'bytes=3-2', 'bytes=0-1,3-4', 'items=0-1', 'bytes=0-1-2'];
  for (const header of [null, ...none, 'bytes=99999999999999999999-', 'bytes=0-99999999999999999999']) {
    assert.equal(parseRange(header), undefined, String(header));
  }
});
