import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readSettings } from '../src/drop-in-settings';

test('Without attributes everything is on and the library has its defaults', () => {
  const { options, problems, ...rest } = readSettings({});
  assert.deepEqual(options, {});
  assert.deepEqual(problems, []);
  assert.equal(rest.rewrite, true);
  assert.equal(rest.fallback, undefined);
});

test('Attributes become options', () => {
  const { options, base, rewrite, protocolHandler, fallback, problems } = readSettings({
    node: 'https://node.example',
    rendezvous: 'wss://a.example/rendezvous, wss://b.example/rendezvous',
    policy: 'fastest',
    maxUpload: '500K',
    maxDownload: '2.5M',
    uploadSlots: '4',
    minSwarm: '5',
    pauseHidden: 'on',
    storeBytes: '1G',
    iceTransportPolicy: 'relay',
    seed: 'off',
    persist: 'false',
    rewrite: 'off',
    protocolHandler: '',
    base: '/files/codio/',
  });
  assert.deepEqual(problems, []);
  assert.deepEqual(options, {
    node: 'https://node.example',
    rendezvous: ['wss://a.example/rendezvous', 'wss://b.example/rendezvous'],
    policy: 'fastest',
    maxUpload: 512_000,
    maxDownload: 2_621_440,
    uploadSlots: 4,
    minSwarm: 5,
    pauseHidden: true,
    storeBytes: 1_073_741_824,
    iceTransportPolicy: 'relay',
    seed: false,
    persist: false,
  });
  assert.deepEqual({ base, rewrite, protocolHandler }, { base: '/files/codio/', rewrite: false, protocolHandler: true });
  assert.equal(fallback, 'https://node.example/codio/');
});

test('An upload of 0 and lists of none are values too, and a gateway is the fallback before the node', () => {
  const { options, fallback } = readSettings({ maxUpload: '0', rendezvous: '', node: 'https://a.example', gateways: 'https://g.example/ipfs/' });
  assert.equal(options.maxUpload, 0);
  assert.deepEqual(options.rendezvous, []);
  assert.equal(fallback, 'https://g.example/ipfs/');
  assert.equal(readSettings({ maxUpload: 'none' }).options.maxUpload, Infinity);
});

test('What is not understood is left out, and said with what would be', () => {
  const { options, base, problems } = readSettings({
    node: 'node.example',
    policy: 'p2p',
    maxUpload: '5 MB',
    maxDownload: '0',
    uploadSlots: '-1',
    seed: 'maybe',
    base: 'https://other.example/',
    gateways: 'javascript:alert(1)',
    polcy: 'fastest',
  });
  assert.deepEqual(options, {});
  assert.equal(base, undefined);
  assert.equal(problems.length, 9);
  assert.equal(problems[1], 'data-policy="p2p" is not understood: use p2p-first, fastest, gateway-only, p2p-only');
  assert.match(problems[8] ?? '', /^there is no data-polcy; there are data-node, /);
});

test('The worker is looked for, can be elsewhere, or off', () => {
  assert.equal(readSettings({}).serviceWorker, undefined);
  assert.equal(readSettings({ serviceWorker: 'off' }).serviceWorker, '');
  assert.equal(readSettings({ serviceWorker: '/sw.js' }).serviceWorker, '/sw.js');
  assert.equal(readSettings({ serviceWorker: 'https://other.example/sw.js' }).problems.length, 1);
});

test('The worker is told what to intercept and whom to trust', () => {
  const cids = ['QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG', 'bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi'];
  const right = readSettings({ intercept: 'https://ipfs.io/ipfs/, https://dweb.link/ipfs/', trusted: cids.join(' ') });
  assert.deepEqual(right.problems, []);
  assert.deepEqual(right.intercept, ['https://ipfs.io/ipfs/', 'https://dweb.link/ipfs/']);
  assert.deepEqual(right.trusted, cids);
  const wrong = readSettings({ intercept: 'https://ipfs.io/ipfs', trusted: 'https://example.org/', firstVisitWait: '1s' });
  assert.equal(wrong.problems.length, 3);
  assert.deepEqual([wrong.intercept, wrong.trusted, wrong.firstVisitWait], [[], [], undefined]);
});
