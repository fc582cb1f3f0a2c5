import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { configure, readDescriptor } from '../src/configuration';

const url = 'https://node.test/.well-known/codio';

test('A descriptor of another version is refused', () => {
  assert.throws(() => readDescriptor('{"version": 2}', url), { code: 'unsupported' });
});

for (const text of ['', 'null', '[]', '{"version": "1"}']) {
  test(`${JSON.stringify(text)} is no descriptor`, () => {
    assert.throws(() => readDescriptor(text, url), { name: 'CodioError' });
  });
}

for (const member of ['"gateways": "x"', '"rendezvous": [1]', '"iceServers": [{"urls": 3}]', '"iceServers": [null]']) {
  test(`A descriptor with ${member} is refused`, () => {
    assert.throws(() => readDescriptor(`{"version": 1, ${member}}`, url), { code: 'malformed' });
  });
}

test('URLs of a descriptor are relative to its own', async () => {
  const server = createServer((_, response) => {
    response.end('{"version":1,"rendezvous":["/rendezvous"],"gateways":["/ipfs/","https://g.test/ipfs/"],"new":1}');
  }).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.on('listening', resolve));
  const { port } = server.address() as AddressInfo;
  const configuration = await configure({}, `http://127.0.0.1:${port}/some/page.html`);
  assert.deepEqual(configuration.rendezvous, [`ws://127.0.0.1:${port}/rendezvous`]);
  assert.deepEqual(configuration.gateways, [`http://127.0.0.1:${port}/ipfs/`, 'https://g.test/ipfs/']);
  const given = await configure({ gateways: ['/other/'] }, `http://127.0.0.1:${port}/`);
  assert.deepEqual(given.gateways, [`http://127.0.0.1:${port}/other/`]);
  assert.deepEqual(given.rendezvous, configuration.rendezvous);
  server.close();
});

test('A descriptor without end is read no further than its limit', { timeout: 5_000 }, async () => {
  const server = createServer((_, response) => {
    const more = setInterval(() => response.write(' '.repeat(16_384)), 1);
    response.on('close', () => clearInterval(more));
  }).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.on('listening', resolve));
  const { port } = server.address() as AddressInfo;
  await assert.rejects(configure({}, `http://127.0.0.1:${port}/`), { code: 'too-large' });
  server.closeAllConnections();
  server.close();
});

test('Given both lists, no node is asked', async () => {
  const { rendezvous } = await configure({ rendezvous: ['https://r.test/x'], gateways: [] }, 'http://127.0.0.1:1/');
  assert.deepEqual(rendezvous, ['wss://r.test/x']);
});

test('A gateway has one URL, which a CID can be appended to', async () => {
  const given = ['https://G.test:443', 'https://g.test/ipfs', new URL('https://g.test/ipfs/'), 'http://[::1]:8080/a/ipfs/'];
  const { gateways } = await configure({ rendezvous: [], gateways: given }, 'https://page.test/');
  assert.deepEqual(gateways, ['https://g.test/ipfs/', 'http://[::1]:8080/a/ipfs/']);
});

for (const bad of ['ftp://g.test/ipfs/', 'https://g.test/ipfs/?a', 'https://g.test/ipfs/#a', 'https://me:secret@g.test/ipfs/']) {
  test(`${bad} is no gateway`, async () => {
    await assert.rejects(configure({ rendezvous: [], gateways: [bad] }, 'https://page.test/'), (error: Error) => {
      assert.match(error.message, /\/ipfs\/ is no gateway: it should be like https:\/\/host\/ipfs\//);
      assert.doesNotMatch(error.message, /secret/);
      return true;
    });
  });
}

test('A missing node is named', async () => {
  await assert.rejects(configure({}, 'http://127.0.0.1:1/'), {
    code: 'unavailable',
    message: /no Codio node at http:\/\/127\.0\.0\.1:1\/\.well-known\/codio/,
  });
});
