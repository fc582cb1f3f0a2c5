import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseAddress } from '../src/address';

test('An address is a CID with or without a path', () => {
  assert.deepEqual(parseAddress('bafy'), { cid: 'bafy', path: '' });
  assert.deepEqual(parseAddress('bafy/a/b.txt'), { cid: 'bafy', path: 'a/b.txt' });
  assert.deepEqual(parseAddress('bafy//a/'), { cid: 'bafy', path: 'a' });
});

test('A codio URL keeps the case of its CID and is percent-decoded', () => {
  assert.deepEqual(parseAddress('codio://QmYw/a%20b?x#y'), { cid: 'QmYw', path: 'a b' });
  assert.deepEqual(parseAddress('web+codio://QmYw'), { cid: 'QmYw', path: '' });
});

test('A plain path is taken literally', () => {
  assert.deepEqual(parseAddress('bafy/100%?.txt'), { cid: 'bafy', path: '100%?.txt' });
});

for (const text of ['', '/a', 'codio://', 'codio:///a', 'codio://bafy/%', 'codio://bafy/a%2fb']) {
  test(`"${text}" is no address`, () => {
    assert.throws(() => parseAddress(text), { name: 'CodioError', code: 'malformed' });
  });
}
