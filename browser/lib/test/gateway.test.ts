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
  const { bytes, gateway } = await new GatewayClient([url], 60_000).fetchBlock('bafy', verify, never);
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
    const timeout = cause.test('no byte in time') ? 400 : 60_000;
    const found = await new GatewayClient([url, next], timeout).fetchBlock('bafy', verify, never);
    assert.equal(found.gateway, next);
    await assert.rejects(new GatewayClient([url], timeout).fetchBlock('bafy', verify, never), (error: Error) => {
      assert.match(error.message, /^all gateways failed: /);
      assert.ok(error.message.includes(`${url}bafy: `));
      assert.match(error.message, cause);
      return true;
    });
  });
}

test('An unreachable gateway is named', async () => {
  const client = new GatewayClient(['http://127.0.0.1:1/ipfs/'], 60_000);
  await assert.rejects(client.fetchBlock('bafy', verify, never), {
    code: 'unavailable',
    message: /^all gateways failed: http:\/\/127\.0\.0\.1:1\/ipfs\/bafy: unreachable/,
  });
});

test('What no gateway has is not found', async () => {
  const url = await serve((_, response) => response.writeHead(404).end());
  await assert.rejects(new GatewayClient([url, url], 60_000).fetchBlock('bafy', verify, never), { code: 'not-found' });
});

test('A gateway that keeps failing is asked last', async () => {
  let asked = 0;
  const url = await serve((_, response) => {
    asked++;
    response.writeHead(500).end();
  });
  const client = new GatewayClient([url, await serve(good)], 60_000);
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

test('Another gateway is asked too when one is silent, and that request ends', async () => {
  let asked = 0;
  let ended = () => {};
  const gone = new Promise<void>((resolve) => (ended = resolve));
  const silent = await serve((_, response) => {
    asked++;
    response.on('close', ended);
  });
  const next = await serve(good);
  const client = new GatewayClient([silent, next], 60_000);
  for (let i = 0; i < 3; i++) assert.equal((await client.fetchBlock('bafy', verify, never)).gateway, next);
  await gone;
  assert.equal(asked, 1);
});

test('Another gateway is asked too when one trickles', async () => {
  const trickling = await serve((_, response) => {
    const timer = setInterval(() => response.write('t'), 20);
    response.on('close', () => clearInterval(timer));
  });
  const next = await serve(good);
  assert.equal((await new GatewayClient([trickling, next], 60_000).fetchBlock('bafy', verify, never)).gateway, next);
});

test('A late answer counts when the other gateway has none', async () => {
  let asked = () => {};
  const both = new Promise<void>((resolve) => (asked = resolve));
  const missing = await serve((_, response) => response.writeHead(404).end(asked));
  const late = await serve((_, response) => void both.then(() => response.end(block)));
  assert.equal((await new GatewayClient([late, missing], 60_000).fetchBlock('bafy', verify, never)).gateway, late);
});

test('A third gateway is asked when one is silent and the next has not', async () => {
  const silent = await serve(() => {});
  const missing = await serve((_, response) => response.writeHead(404).end());
  const third = await serve(good);
  const client = new GatewayClient([silent, missing, third], 60_000);
  assert.equal((await client.fetchBlock('bafy', verify, never)).gateway, third);
});

test('A gateway that lied is never asked again', async () => {
  let asked = 0;
  const liar = await serve((_, response) => {
    asked++;
    response.end('something else');
  });
  const client = new GatewayClient([liar, await serve(good)], 60_000);
  for (let i = 0; i < 5; i++) await client.fetchBlock('bafy', verify, never);
  assert.equal(asked, 1);
  const alone = new GatewayClient([liar], 60_000);
  await assert.rejects(alone.fetchBlock('bafy', verify, never), { code: 'mismatch' });
  await assert.rejects(alone.fetchBlock('bafy', verify, never), { code: 'mismatch', message: /it lied before/ });
  assert.equal(asked, 2);
});

test('A gateway is left alone as long as it says', async () => {
  let asked = 0;
  const busy = await serve((_, response) => {
    if (++asked === 1) response.writeHead(429, { 'retry-after': '1' }).end();
    else response.end(block);
  });
  const began = performance.now();
  await new GatewayClient([busy], 60_000).fetchBlock('bafy', verify, never);
  assert.ok(performance.now() - began >= 999);
  assert.equal(asked, 2);
});

test('Others are asked while one wants to be left alone, and nobody waits longer than the timeout', async () => {
  let asked = 0;
  // Ten minutes on the server's clock, which is far behind.
  const [date, until] = ['Sat, 01 Jan 2000 00:00:00 GMT', 'Sat, 01 Jan 2000 00:10:00 GMT'];
  const busy = await serve((_, response) => {
    asked++;
    response.writeHead(503, { date, 'retry-after': until }).end();
  });
  const client = new GatewayClient([busy, await serve(good)], 60_000);
  for (let i = 0; i < 5; i++) await client.fetchBlock('bafy', verify, never);
  assert.equal(asked, 1);
  const alone = new GatewayClient([busy], 60_000);
  await assert.rejects(alone.fetchBlock('bafy', verify, never), { code: 'unavailable', message: /HTTP 503/ });
  await assert.rejects(alone.fetchBlock('bafy', verify, never), { message: /left alone/ });
  assert.equal(asked, 2);
});

test('What came before a gateway broke off is kept', async () => {
  let given = 0;
  const dying = await serve((_, response) => {
    if (++given <= 3) response.end(block);
    else response.writeHead(200, { 'content-length': 9 }).write('the', () => response.destroy());
  });
  let asked = 0;
  const other = await serve((_, response) => {
    asked++;
    response.end(block);
  });
  const client = new GatewayClient([dying, other], 60_000);
  await Promise.all(Array.from({ length: 6 }, () => client.fetchBlock('bafy', verify, never)));
  assert.equal(asked, 3);
});

test('At most six requests run at a time at a gateway', async () => {
  let running = 0;
  let most = 0;
  const url = await serve((_, response) => {
    most = Math.max(most, ++running);
    setTimeout(() => {
      running--;
      response.end(block);
    }, 20);
  });
  const client = new GatewayClient([url], 60_000);
  await Promise.all(Array.from({ length: 20 }, () => client.fetchBlock('bafy', verify, never)));
  assert.equal(most, 6);
});
