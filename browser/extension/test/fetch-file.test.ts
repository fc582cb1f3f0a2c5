import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, test } from 'node:test';
import { fetchFile, nameOf } from '../src/fetch-file';

const part = Buffer.alloc(1_048_576);
let base = '';
/** `/N`: N parts of zeros; anything else is not there. */
const server = createServer(async ({ url }, response) => {
  const parts = Number(url?.slice(1));
  if (!Number.isInteger(parts)) return void response.writeHead(404).end();
  for (let i = 0; i < parts && !response.destroyed; i++) {
    if (!response.write(part)) await new Promise<void>((resolve) => response.once('drain', resolve).once('close', resolve));
  }
  response.end();
});
before(async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
});
after(() => server.close());

async function sizeOf(url: string, most?: number): Promise<number> {
  let size = 0;
  for await (const bytes of await fetchFile(url, most)) size += bytes.length;
  return size;
}

test('A file is read to its end', async () => {
  assert.equal(await sizeOf(`${base}3`), 3 * part.length);
});

test('One that is larger than we take is not', async () => {
  assert.equal(await sizeOf(`${base}4`, 4 * part.length), 4 * part.length);
  await assert.rejects(sizeOf(`${base}4`, 4 * part.length - 1), /4 has more than 4194303 bytes/);
});

test('What cannot be read says so', async () => {
  await assert.rejects(fetchFile(`${base}what`), /what: HTTP 404/);
  await assert.rejects(fetchFile('http://127.0.0.1:1/'), /127\.0\.0\.1:1\/ cannot be read: /);
});

test('A file is called what its URL says, as far as that has a name', () => {
  assert.equal(nameOf('https://a.example/b/c%20d.txt?e'), 'c d.txt');
  assert.equal(nameOf('https://a.example/b/'), 'a.example');
  assert.equal(nameOf('https://a.example/100%.txt'), '100%.txt');
});
