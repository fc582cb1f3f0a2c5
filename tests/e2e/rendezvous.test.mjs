// Several nodes as one rendezvous, and what is left when a part of it dies; rendezvous elsewhere.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join as joinPath } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { WebSocketServer } from 'ws';
import { closeBrowsers, openTab, skipWithout } from './support/browsers.mjs';
import { download, eventually, join, sha256, uploadRandom } from './support/cdn.mjs';
import { program, startNode } from './support/node.mjs';
import { connect } from './support/rendezvous-client.mjs';
import { skipWithoutPrograms, startNats } from './support/services.mjs';

const film = randomBytes(3_000_000);
const cid = 'bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e';
const folder = mkdtempSync(joinPath(tmpdir(), 'codio-e2e-'));

after(async () => {
  await closeBrowsers();
  rmSync(folder, { recursive: true, force: true });
});

async function get(root, ...options) {
  const output = joinPath(folder, `got-${Math.random()}`);
  const repo = joinPath(folder, `repo-${Math.random()}`);
  const words = ['get', root, '-o', output, '--repo', repo, '--no-gateway', ...options];
  await promisify(execFile)(program, words, { timeout: 60_000 });
  return readFileSync(output);
}

describe('Three nodes on one bus', { skip: skipWithoutPrograms('nats-server') }, () => {
  let nats;
  let nodes = [];
  before(async () => {
    nats = await startNats();
    nodes = await Promise.all([0, 1, 2].map(() => startNode({}, [], ['--bus', nats.url])));
  });
  after(async () => {
    await Promise.all(nodes.map((node) => node.stop().catch(() => {})));
    await nats?.stop();
  });

  /** Waits until a client of one node is found through the others. */
  async function serveAt(node) {
    const client = await connect(node.rendezvous);
    client.say({ type: 'announce', cids: [cid] });
    return client;
  }

  test('A native node fetches over one what is served at another', async () => {
    const seeder = await startNode({ film }, [], ['--rendezvous', nodes[1].rendezvous]);
    const root = seeder.roots[0].cid;
    const asker = await connect(nodes[0].rendezvous);
    await eventually(async () => assert.equal((await asker.find(root)).length, 1));
    assert.deepEqual(await get(root, '--rendezvous', nodes[0].rendezvous), film);
    asker.close();
    await seeder.stop();
  });

  for (const [from, to] of [['chromium', 'firefox']]) {
    test(`A ${from} at one node serves a ${to} at another`, { skip: skipWithout(from, to) }, async () => {
      const seeder = await openTab(from, nodes[0].http);
      const viewer = await openTab(to, nodes[1].http);
      await join(seeder);
      await join(viewer, { gateways: [] });
      const { cid: root, hash } = await uploadRandom(seeder, 1_000_000);
      await eventually(async () => {
        const got = await download(viewer, root);
        assert.equal(got.hash, hash, got.error);
        assert.deepEqual(Object.keys(got.sources), ['peer']);
      });
    });
  }

  test('kill -9 of NATS parts the nodes, and its return joins them; no client notices', async () => {
    const [asker, near, far] = [await connect(nodes[0].rendezvous), await serveAt(nodes[0]), await serveAt(nodes[1])];
    await eventually(async () => assert.deepEqual(new Set(await asker.find(cid)), new Set([near.id, far.id])));
    await nats.stop();
    await eventually(async () => assert.deepEqual(await asker.find(cid), [near.id]));
    asker.say({ type: 'offer', to: near.id, session: 's', sdp: 'x' });
    assert.equal((await near.hear(({ type }) => type === 'offer')).from, asker.id);
    nats = await startNats(nats.port);
    await eventually(async () => assert.deepEqual(new Set(await asker.find(cid)), new Set([near.id, far.id])), 20_000);
    asker.say({ type: 'offer', to: far.id, session: 's', sdp: 'x' });
    assert.equal((await far.hear(({ type }) => type === 'offer')).from, asker.id);
    for (const client of [asker, near, far]) client.close();
  });

  test('kill -9 of a node loses its clients only, and they come back at another', async () => {
    const urls = `${nodes[2].rendezvous},${nodes[1].rendezvous}`;
    const seeder = await startNode({ film }, [], ['--rendezvous', urls]);
    const root = seeder.roots[0].cid;
    const [asker, stays] = [await connect(nodes[0].rendezvous), await serveAt(nodes[1])];
    await eventually(async () => assert.equal((await asker.find(root)).length, 1));
    await nodes[2].stop('SIGKILL');
    assert.deepEqual(await asker.find(cid), [stays.id]);
    await eventually(async () => assert.equal((await asker.find(root)).length, 1), 20_000);
    assert.deepEqual(await get(root, '--rendezvous', nodes[0].rendezvous), film);
    nodes[2] = await startNode({}, [], ['--bus', nats.url]);
    for (const client of [asker, stays]) client.close();
    await seeder.stop();
  });

  test('SIGTERM sends clients elsewhere, one after the other, before the node ends', async () => {
    const clients = await Promise.all(Array.from({ length: 20 }, () => connect(nodes[2].rendezvous)));
    const ended = nodes[2].stop('SIGTERM');
    const hints = await Promise.all(clients.map(({ hear }) => hear(({ type }) => type === 'moving')));
    const times = hints.map(({ afterMs }) => afterMs).sort((a, b) => a - b);
    assert.deepEqual(times.map((time) => time - times[0]), clients.map((_, i) => i * 10));
    assert.deepEqual(new Set(await Promise.all(clients.map(({ closed }) => closed))), new Set([1001]));
    await ended;
    nodes[2] = await startNode({}, [], ['--bus', nats.url]);
  });
});

for (const browser of ['chromium', 'firefox']) {
  test(`A ${browser} goes to the next rendezvous when its own dies`, { skip: skipWithout(browser) }, async (context) => {
    const nodes = await Promise.all([startNode(), startNode(), startNode()]);
    context.after(() => Promise.all(nodes.map((node) => node.stop())));
    const [page, first, second] = nodes;
    const tab = await openTab(browser, page.http);
    await join(tab, { rendezvous: [first.rendezvous, second.rendezvous], gateways: [] });
    const { cid: root } = await uploadRandom(tab, 1000);
    const [at, then] = [await connect(first.rendezvous), await connect(second.rendezvous)];
    await eventually(async () => assert.equal((await at.find(root)).length, 1));
    await first.stop('SIGKILL');
    await eventually(async () => assert.equal((await then.find(root)).length, 1), 20_000);
    then.close();
    await tab.context().close();
  });

  test(`A ${browser} joins the rendezvous where a provider lives, and only then`, { skip: skipWithout(browser) }, async (context) => {
    const [page, far] = await Promise.all([startNode(), startNode({ film })]);
    context.after(() => Promise.all([page.stop(), far.stop()]));
    const root = far.roots[0].cid;
    const asker = await connect(far.rendezvous);
    const [provider] = await asker.find(root);
    asker.close();
    // A rendezvous that knows nobody itself, and of `far` by hearsay.
    const home = new WebSocketServer({ port: 0, host: '127.0.0.1' });
    await once(home, 'listening');
    context.after(() => {
      home.clients.forEach((socket) => socket.terminate());
      home.close();
    });
    home.on('connection', (socket) => {
      const challenge = 'A'.repeat(43);
      socket.send(JSON.stringify({ type: 'welcome', version: 1, peer: 'me', challenge, iceServers: [], maxAnnounced: 10 }));
      socket.on('message', (data) => {
        const { type, id, cid: wanted } = JSON.parse(String(data));
        if (type !== 'find') return;
        const answer = { type: 'providers', id, cid: wanted, peers: [] };
        socket.send(JSON.stringify({ ...answer, more: true }));
        const elsewhere = [{ peer: 'x y', rendezvous: far.rendezvous }, { peer: provider, rendezvous: far.rendezvous }];
        socket.send(JSON.stringify({ ...answer, elsewhere: wanted === root ? elsewhere : [] }));
      });
    });
    const tab = await openTab(browser, page.http);
    await tab.evaluate(() => {
      window.sockets = [];
      window.WebSocket = class extends WebSocket {
        constructor(url, protocol) {
          super(url, protocol);
          window.sockets.push(url);
        }
      };
    });
    const joinedFar = async () => (await tab.evaluate(() => window.sockets)).filter((url) => url === far.rendezvous).length;
    await join(tab, { rendezvous: [`ws://127.0.0.1:${home.address().port}/`], gateways: [], policy: 'p2p-only' });
    assert.ok((await download(tab, cid)).error);
    assert.equal(await joinedFar(), 0);
    const got = await download(tab, root);
    assert.equal(got.hash, sha256(film), got.error);
    assert.deepEqual(Object.keys(got.peers), [provider]);
    assert.equal(await joinedFar(), 1);
    await tab.context().close();
  });
}
