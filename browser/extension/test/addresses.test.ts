import assert from 'node:assert/strict';
import { test } from 'node:test';
import { anyAddress, cidOf, codioAddress, gatewayAddress, searchedAddress } from '../src/addresses';

const cid = 'bafybeihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku';
const old = 'QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG';

test('codio URLs of every scheme name content', () => {
  for (const scheme of ['codio://', 'web+codio://', 'ext+codio:', 'codio:']) assert.equal(codioAddress(`${scheme}${old}/a/b?x#y`), `codio://${old}/a/b`);
  assert.equal(codioAddress('https://a.example/'), undefined);
  assert.equal(codioAddress('codio://short'), undefined);
});

test('Gateway URLs name content by path or by host', () => {
  assert.equal(gatewayAddress(`https://ipfs.io/ipfs/${cid}/a%20b/?x`), `codio://${cid}/a%20b`);
  assert.equal(gatewayAddress(`https://${cid}.ipfs.dweb.link/index.html`), `codio://${cid}/index.html`);
  assert.equal(gatewayAddress('https://a.example/ipfs/docs/'), undefined);
  assert.equal(gatewayAddress('https://docs.ipfs.tech/concepts/'), undefined);
  assert.equal(gatewayAddress(`ftp://a.example/ipfs/${cid}`), undefined);
});

test('People type CIDs with and without what goes around them', () => {
  for (const typed of [cid, ` ${cid} `, `/ipfs/${cid}`, `codio://${cid}`, `https://a.example/ipfs/${cid}`]) {
    assert.equal(anyAddress(typed), `codio://${cid}`);
  }
  assert.equal(anyAddress('what?'), undefined);
  assert.equal(anyAddress(`b${'a'.repeat(300)}`), undefined);
  assert.equal(cidOf(`codio://${cid}/a`), cid);
});

test('A search for nothing but an address names content', () => {
  const search = (what: string) => `https://search.example/?client=x&q=${encodeURIComponent(what)}`;
  assert.equal(searchedAddress(search(`codio://${cid}/a`)), `codio://${cid}/a`);
  assert.equal(searchedAddress(search(`what is codio://${cid}`)), undefined);
  assert.equal(searchedAddress(search('codio: the protocol')), undefined);
});
