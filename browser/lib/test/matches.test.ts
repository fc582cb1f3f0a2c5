import assert from 'node:assert/strict';
import { test } from 'node:test';
import { matches } from '../src/matches';
import { rawCid } from './cids';

const hello = new TextEncoder().encode('hello world');
const known: [cid: string, bytes: Uint8Array<ArrayBuffer>][] = [
  ['bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e', hello],
  ['bafkrgqbqt3gerhas23vuzrapkdeqf4vu2dwxp3srdj6hvg6nhsug2tgyn6mj3u23yx7utftq3i2ckw2fwdh5qmhid5qf3t35yvkc5e5ottlw6', hello],
  ['bafkrcfbkvzwdlskpz62blw7jl5aixhhjd3uen3i', hello],
  ['QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn', Uint8Array.of(10, 2, 8, 1)], // The empty directory.
];

for (const [cid, bytes] of known) {
  test(`${cid.slice(0, 8)}… is matched by its bytes and no others`, async () => {
    assert.equal(await matches(cid, bytes), true);
    assert.equal(await matches(cid, Uint8Array.of(...bytes, 0)), false);
    assert.equal(await matches(cid, new Uint8Array()), false);
  });
}

test('A text that is no CID is matched by nothing', async () => {
  for (const text of ['', 'b', 'Qm', 'nonsense', rawCid(hello).slice(0, -1)]) assert.equal(await matches(text, hello), false);
});
