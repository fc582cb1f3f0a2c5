import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readConfiguration, writeConfiguration, type WorkerConfiguration } from '../src/service-worker-configuration';

const script = new URL('https://site.example/codio-sw.js?v=3');
const configuration: WorkerConfiguration = {
  core: 'https://cdn.example/codio_wasm.wasm',
  policy: 'p2p-only',
  gateways: ['https://ipfs.example/ipfs/?a=b&c=d#e'],
  gatewayTimeout: 5000,
  persist: false,
  storeBytes: 1e6,
  intercept: ['https://ipfs.example/ipfs/'],
  trusted: ['bafy'],
};

test("What a page writes into the script's URL, the worker reads there", () => {
  const url = writeConfiguration(script, configuration);
  assert.equal(url.searchParams.get('v'), '3');
  assert.deepEqual(readConfiguration(url), configuration);
});

test('Without a configuration the worker has the core beside it, and nobody to ask but pages', () => {
  const { core, gateways, intercept, trusted } = readConfiguration(script);
  assert.deepEqual([core, gateways, intercept, trusted], ['https://site.example/codio_wasm.wasm', [], [], []]);
});

test('What is none is refused', () => {
  const wrong: object[] = [
    { core: 1 },
    { policy: 'any' },
    { gateways: 'https://ipfs.example' },
    { intercept: [1] },
    { trusted: null },
    { gatewayTimeout: -1 },
    { storeBytes: 'much' },
    { persist: 1 },
  ];
  for (const text of ['{', ...wrong.map((one) => JSON.stringify({ ...configuration, ...one }))]) {
    const url = new URL(script);
    url.searchParams.set('codio', text);
    assert.throws(() => readConfiguration(url), { code: 'malformed', message: /codio-sw\.js is no configuration/ }, text);
  }
});
