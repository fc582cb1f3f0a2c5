import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import init, { CodioCDN } from '../src/index';

const core = new URL('../pkg/codio_wasm.wasm', import.meta.url); // As seen from build/browser/test.
const builder = new URL('../pkg/codio_builder.wasm', import.meta.url);
const skip = existsSync(builder) ? false : 'the core is not built: script/build browser';

/** What `ipfs add --cid-profile=unixfs-v1-2025` prints. */
const known: [what: string, bytes: Uint8Array<ArrayBuffer>, cid: string][] = [
  ['nothing', new Uint8Array(), 'bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku'],
  ['a short text', new TextEncoder().encode('hello world'), 'bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e'],
  ['one byte more than a chunk', new Uint8Array(1_048_577), 'bafybeihd4yzq7n5umhjngdum4r6k2to7egxfkf2jz6thvwzf6djus22cmq'],
  ['10 MiB', new Uint8Array(10_485_760), 'bafybeibfjdi66hrbmooad7adyrxlrjsn6cizfqmiyupkpye7nropwx4rya'],
];

const compiled = (file: URL) => new WebAssembly.Module(readFileSync(file));

function streamOf(bytes: Uint8Array<ArrayBuffer>, partSize: number): ReadableStream<Uint8Array<ArrayBuffer>> {
  let at = 0;
  return new ReadableStream({
    pull(controller) {
      if (at >= bytes.length) return controller.close();
      controller.enqueue(bytes.slice(at, at + partSize));
      at += partSize;
    },
  });
}

for (const [what, bytes, cid] of known) {
  test(`The CID of ${what} is the one that IPFS gives it, however it comes`, { skip }, async () => {
    await init(compiled(core), compiled(builder));
    assert.equal(await CodioCDN.cidOf(bytes), cid);
    assert.equal(await CodioCDN.cidOf(bytes.buffer), cid);
    assert.equal(await CodioCDN.cidOf(new Blob([bytes])), cid);
    for (const partSize of [65_521, 3_000_000]) assert.equal(await CodioCDN.cidOf(streamOf(bytes, partSize)), cid);
  });
}

test('A file that fails while it is read has no CID', { skip }, async () => {
  await init(compiled(core), compiled(builder));
  const failing = new ReadableStream<Uint8Array<ArrayBuffer>>({
    start(controller) {
      controller.enqueue(new Uint8Array(10));
    },
    pull(controller) {
      controller.error(new Error('the network is gone'));
    },
  });
  await assert.rejects(CodioCDN.cidOf(failing), /the network is gone/);
});
