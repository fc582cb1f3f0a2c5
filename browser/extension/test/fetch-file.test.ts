import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, test } from 'node:test';
import { fetchFile, nameOf } from '../src/fetch-file';

const part = Buffer.alloc(1_048_576);
let base = '';
/** `/N`: N parts of zeros, `/N?said`: with their length; anything else is not there. */
const server = createServer(async ({ url }, response) => {
  const { pathname, search } = new URL(url ?? '', 'http://site');
  const parts = Number(pathname.slice(1));
  if (!Number.isInteger(parts)) return void response.writeHead(404).end();
  if (search === '?said') response.setHeader('content-length', parts * part.length);
  for (let i = 0; i < parts && !response.destroyed; i++) {
    if (!response.write(part)) await new Promise<void>((resolve) => response.once('drain', resolve).once('close', resolve));
  }
  response.end();
});
before(async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
});
after(() => {
  server.close();
  server.closeAllConnections();
});

const atMost = (bytes: number) => ({ bytes, reason: 'all that fits' });

async function sizeOf(url: string, most = Infinity): Promise<number> {
  let size = 0;
  for await (const bytes of (await fetchFile(url, atMost(most))).bytes) size += bytes.length;
  return size;
}

test('A file is read to its end', async () => {
  assert.equal(await sizeOf(`${base}3`), 3 * part.length);
});

test('One that is larger than we take is not', async () => {
  assert.equal(await sizeOf(`${base}4`, 4 * part.length), 4 * part.length);
  await assert.rejects(sizeOf(`${base}4`, 4 * part.length - 1), /4 goes on and on, which is more than 4\.2 MB, all that fits/);
});

test('One that says so is refused before it is read', async () => {
  assert.equal((await fetchFile(`${base}4?said`, atMost(4 * part.length))).size, 4 * part.length);
  await assert.rejects(fetchFile(`${base}4?said`, atMost(1e6)), /4\?said has 4\.2 MB, which is more than 1\.0 MB, all that fits/);
});

test('Who stops it gets the reason', async () => {
  const stopping = new AbortController();
  const { bytes } = await fetchFile(`${base}1000`, atMost(Infinity), stopping.signal);
  const reader = bytes.getReader();
  await reader.read();
  stopping.abort(new Error('enough'));
  await assert.rejects(async () => {
    while (!(await reader.read()).done);
  }, /enough/);
});

test('What cannot be read says so', async () => {
  await assert.rejects(fetchFile(`${base}what`, atMost(1)), /what: HTTP 404/);
  await assert.rejects(fetchFile('http://127.0.0.1:1/', atMost(1)), /127\.0\.0\.1:1\/ cannot be read: /);
});

test('A file is called what its URL says, as far as that has a name', () => {
  assert.equal(nameOf('https://a.example/b/c%20d.txt?e'), 'c d.txt');
  assert.equal(nameOf('https://a.example/b/'), 'a.example');
  assert.equal(nameOf('https://a.example/100%.txt'), '100%.txt');
});
