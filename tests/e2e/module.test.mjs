// What the browser build is made of.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import { webRoot } from './support/node.mjs';

const read = (name) => readFileSync(join(webRoot, 'pkg', name));

test('The modules import nothing: they can do nothing but compute', () => {
  for (const name of ['codio_wasm.wasm', 'codio_builder.wasm']) {
    assert.deepEqual(WebAssembly.Module.imports(new WebAssembly.Module(read(name))), [], name);
  }
});

test('The core\'s heap gives memory to one at a time, and joins what it gets back', () => {
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(read('codio_wasm.wasm')));
  exports._initialize();
  let seed = 1;
  const below = (limit) => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
    return Math.floor((seed / 2 ** 32) * limit);
  };
  // Most are nodes of maps, some frames, few blocks: any size below, so that no two fit each other's place.
  const sizes = [64, 64, 64, 64, 1024, 65_536, 2 * 1024 * 1024];
  const held = [];
  let heldBytes = 0;
  const ends = ({ address, size }) => [address, address + size - 1];
  const give = (place) => {
    const memory = new Uint8Array(exports.memory.buffer);
    const [one] = held.splice(place, 1);
    assert.deepEqual(ends(one).map((end) => memory[end]), [one.mark, one.mark], `the ends of ${one.size} bytes at ${one.address}`);
    exports.release(one.address);
    heldBytes -= one.size;
  };
  for (let step = 0; step < 10_000; step++) {
    const size = 1 + below(sizes[below(sizes.length)]);
    const one = { address: exports.allocate(size), size, mark: step % 251 };
    const memory = new Uint8Array(exports.memory.buffer);
    assert.ok(one.address % 16 === 0 && one.address + size <= memory.length, `${size} bytes at ${one.address}`);
    const shared = held.find(({ address, size: bytes }) => address < one.address + size && one.address < address + bytes);
    assert.equal(shared, undefined, `${size} bytes at ${one.address}`);
    for (const end of ends(one)) memory[end] = one.mark;
    held.push(one);
    heldBytes += size;
    while (heldBytes > 32 * 1024 * 1024 || held.length > 1000) give(below(held.length));
  }
  const most = exports.memory.buffer.byteLength;
  assert.ok(most < 64 * 1024 * 1024, `${most} bytes for 32 MiB`);
  while (held.length > 0) give(below(held.length));
  exports.release(exports.allocate(most - 1024 * 1024));
  assert.equal(exports.memory.buffer.byteLength, most, 'all of it is one piece again');
});

test('What servers may send in place of a file is the same file', () => {
  const names = readdirSync(join(webRoot, 'pkg')).filter((name) => /\.(js|wasm)$/.test(name));
  assert.ok(names.includes('codio_wasm.wasm') && names.includes('codio-sw.js'), String(names));
  for (const name of names) {
    assert.ok(gunzipSync(read(`${name}.gz`)).equals(read(name)), `${name}.gz`);
    assert.ok(brotliDecompressSync(read(`${name}.br`)).equals(read(name)), `${name}.br`);
  }
});

const together = (names, extension) => names.map((name) => read(name + extension).length).reduce((sum, size) => sum + size);

/** 60 KiB, and what Brotli came to when somebody last looked, and 1 %: who adds more says why, here. */
const budgets = { gz: 60 * 1024, br: 57_062 * 1.01 };

for (const [coding, budget] of Object.entries(budgets)) {
  test(`Before its first download a page loads less than ${Math.floor(budget)} bytes of ${coding}`, () => {
    const size = together(['codio_wasm.js', 'codio_worker.js', 'codio_wasm.wasm'], `.${coding}`);
    assert.ok(size < budget, `${size} bytes`);
  });
}

test('The service worker adds less than 20 KiB to the core', () => {
  const size = together(['codio-sw.js'], '.gz');
  assert.ok(size < 20 * 1024, `codio-sw.js.gz: ${size}`);
});
