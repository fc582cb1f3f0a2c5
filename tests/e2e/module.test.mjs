// What the browser build is made of.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { webRoot } from './support/node.mjs';

const read = (name) => readFileSync(join(webRoot, 'pkg', name));
const gzipped = (name) => gzipSync(read(name), { level: 9 }).length;

test('The modules import nothing: they can do nothing but compute', () => {
  for (const name of ['codio_wasm.wasm', 'codio_builder.wasm']) {
    assert.deepEqual(WebAssembly.Module.imports(new WebAssembly.Module(read(name))), [], name);
  }
});

/** What it came to when somebody last looked, and 1 %: who adds more says why, here. */
const firstLoad = 69_500 * 1.01;

test('A page loads less than 70.2 KB before its first download', () => {
  const names = ['codio_wasm.js', 'codio_worker.js', 'codio_wasm.wasm'];
  const sizes = names.map(gzipped);
  assert.ok(sizes.reduce((sum, size) => sum + size) < firstLoad, `${names} gzipped: ${sizes}`);
});

test('The service worker adds less than 20 KiB to the core', () => {
  const size = gzipped('codio-sw.js');
  assert.ok(size < 20 * 1024, `codio-sw.js gzipped: ${size}`);
});
