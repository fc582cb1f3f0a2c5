import assert from 'node:assert/strict';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, test } from 'node:test';
import { GatewayClient } from '../src/gateway';

const servers: Server[] = [];
after(() => servers.forEach((server) => server.close().closeAllConnections()));

async function serve(listener: RequestListener): Promise<string> {
  const server = createServer(listener).listen(0, '127.0.0.1');
  servers.push(server);
  await new Promise((resolve) => server.on('listening', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/ipfs/`;
}

const block = new TextEncoder().encode('the block');
const verify = async (bytes: Uint8Array) => Buffer.compare(bytes, block) === 0;
const never = new AbortController().signal;
const good: RequestListener = (_, response) => response.end(block);

test('A gateway is asked for the raw block', async () => {
  let asked: unknown;
  const url = await serve((request, response) => {
    asked = [request.url, request.headers.accept];
    response.end(block);
  });
  const { bytes, gateway } = await new GatewayClient([url], 1000).fetchBlock('bafy', verify, never);
  assert.deepEqual(asked, ['/ipfs/bafy?format=raw', 'application/vnd.ipld.raw']);
  assert.deepEqual(bytes, block);
  assert.equal(gateway, url);
});

const bad: Record<string, [RequestListener, RegExp]> = {
  'has nothing': [(_, response) => response.writeHead(404).end(), /HTTP 404/],
  'is broken': [(_, response) => response.writeHead(500).end(), /HTTP 500/],
  'answers with a page': [
    (_, response) => response.writeHead(200, { 'content-type': 'text/html' }).end('<html>'),
    /a web page, not a block/,
  ],
  lies: [(_, response) => response.end('something else'), /do not match the CID/],
  hangs: [() => {}, /no byte in time/],
  'stops midway': [(_, response) => response.writeHead(200, { 'content-length': 9 }).write('the'), /no byte in time/],
  'breaks off': [
    (_, response) => response.writeHead(200, { 'content-length': 9 }).write('the', () => response.destroy()),
    /unreachable/,
  ],
  'never ends': [
    (_, response) => {
      const more = () => response.write(Buffer.alloc(65_536), (error) => error || setImmediate(more));
      more();
    },
    /more than the 2097152 bytes/,
  ],
};

for (const [what, [listener, cause]] of Object.entries(bad)) {
  test(`The next gateway is asked when one ${what}`, async () => {
    const url = await serve(listener);
    const next = await serve(good);
    const found = await new GatewayClient([url, next], 400).fetchBlock('bafy', verify, never);
    assert.equal(found.gateway, next);
    await assert.rejects(new GatewayClient([url], 400).fetchBlock('bafy', verify, never), (error: Error) => {
      assert.match(error.message, /^all gateways failed: /);
      assert.ok(error.message.includes(`${url}bafy: `));
      assert.match(error.message, cause);
      return true;
    });
  });
}

test('An unreachable gateway is named', async () => {
  const client = new GatewayClient(['http://127.0.0.1:1/ipfs/'], 400);
  await assert.rejects(client.fetchBlock('bafy', verify, never), {
    code: 'unavailable',
    message: /^all gateways failed: http:\/\/127\.0\.0\.1:1\/ipfs\/bafy: unreachable/,
  });
});

test('What no gateway has is not found', async () => {
  const url = await serve((_, response) => response.writeHead(404).end());
  await assert.rejects(new GatewayClient([url, url], 400).fetchBlock('bafy', verify, never), { code: 'not-found' });
});

test('A gateway that keeps failing is asked last', async () => {
  let asked = 0;
  const url = await serve((_, response) => {
    asked++;
    response.writeHead(500).end();
  });
  const client = new GatewayClient([url, await serve(good)], 400);
  for (let i = 0; i < 5; i++) await client.fetchBlock('bafy', verify, never);
  assert.equal(asked, 3);
});

test('An aborted request rejects with the reason and leaves room for others', async () => {
  const client = new GatewayClient([await serve((request, response) => {
    if (request.url?.includes('good')) response.end(block);
  })], 5000);
  const abort = new AbortController();
  const waiting = Array.from({ length: 8 }, () => client.fetchBlock('bafy', verify, abort.signal));
  const results = Promise.allSettled(waiting);
  setTimeout(() => abort.abort('enough'), 50);
  for (const result of await results) assert.equal(result.status === 'rejected' && result.reason, 'enough');
  assert.ok(await client.fetchBlock('good', verify, never));
});

test('At most six requests run at a time', async () => {
  let running = 0;
  let most = 0;
  const url = await serve((_, response) => {
    most = Math.max(most, ++running);
    setTimeout(() => {
      running--;
      response.end(block);
    }, 20);
  });
  const client = new GatewayClient([url], 1000);
  await Promise.all(Array.from({ length: 20 }, () => client.fetchBlock('bafy', verify, never)));
  assert.equal(most, 6);
});
