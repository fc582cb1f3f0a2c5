// Nodes that know nothing of each other but a DHT of their own, on the loopback interface.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { closeBrowsers, openTab, skipWithout } from './support/browsers.mjs';
import { download, join as joinNetwork, sha256 } from './support/cdn.mjs';
import { program, startNode } from './support/node.mjs';

const content = Buffer.alloc(3_000_000, 'found in a DHT ');
let bootstrap;
let provider;
let other;
let folder;

/** Runs a command to its end, in a repo that is none of the nodes'. */
const run = (...options) => runIn('repo', ...options);

async function runIn(repo, ...options) {
  const process_ = spawn(program, [...options, '--repo', join(folder, repo), '--no-gateway', '--json']);
  let out = '';
  let error = '';
  process_.stdout.on('data', (data) => (out += data));
  process_.stderr.on('data', (data) => (error += data));
  const code = await new Promise((resolve) => process_.on('close', resolve));
  return { code, error, lines: out.split('\n').filter(Boolean).map((line) => JSON.parse(line)) };
}

const join_ = () => ['--dht-bootstrap', `127.0.0.1:${bootstrap.dht}`];

before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'codio-dht-'));
  bootstrap = await startNode({}, [], ['--dht-bootstrap', 'none']);
  provider = await startNode({ 'file.bin': content }, [], join_());
  other = await startNode({ 'other.txt': Buffer.from('something else') }, [], join_());
  await provider.announced(provider.roots[0].cid);
  await other.announced(other.roots[0].cid);
});

after(async () => {
  await closeBrowsers();
  for (const node of [bootstrap, provider, other]) await node?.stop();
  rmSync(folder, { recursive: true, force: true });
});

test('content added on one node is fetched by its CID alone', { timeout: 60_000 }, async () => {
  const output = join(folder, 'copy.bin');
  const got = await run('get', provider.roots[0].cid, '-o', output, ...join_());
  assert.equal(got.code, 0, got.error);
  assert.deepEqual(readFileSync(output), content);
  const [summary] = got.lines;
  assert.equal(summary.fromGateways, 0);
  assert.ok(summary.fromPeers + summary.fromHttp >= content.length, JSON.stringify(summary));
});

test('find says who provides it and how to reach them', { timeout: 60_000 }, async () => {
  const found = await run('find', other.roots[0].cid, ...join_());
  assert.equal(found.code, 0, found.error);
  assert.equal(found.lines.length, 1);
  const [one] = found.lines;
  assert.equal(one.peer, other.peer);
  assert.equal(`http://${one.address}`, other.http);
  assert.deepEqual(one.gateways, [`${other.http}/ipfs/`]);
  assert.deepEqual(one.rendezvous, [`${other.http.replace('http', 'ws')}/rendezvous`]);
  assert.ok(one.latency > 0);
});

for (const browser of ['chromium', 'firefox']) {
  const skip = skipWithout(browser);
  test(`a tab of ${browser} gets from one node what is on another`, { skip, timeout: 60_000 }, async () => {
    const tab = await openTab(browser, other.http);
    await joinNetwork(tab, { gateways: [], policy: 'p2p-only' });
    const got = await download(tab, provider.roots[0].cid);
    assert.equal(got.hash, sha256(content), got.error);
    assert.deepEqual(Object.keys(got.peers), [provider.peer]);
    const connected = await provider.beside('peers');
    assert.ok(connected.some(({ uploaded }) => uploaded >= content.length), JSON.stringify(connected));
    await tab.context().close();
  });
}

const unknown = 'bafkreicysg23kiwv34eg2d7qweipxwosdo2py4ldv42nbauguluen5v6am';

test('find says that nobody provides it', { timeout: 60_000 }, async () => {
  const found = await run('find', unknown, ...join_());
  assert.equal(found.code, 1);
  assert.deepEqual(found.lines[0].error.code, 'not-found');
  assert.match(found.lines[0].error.message, /nobody in the DHT provides it/);
});

test('find says that the DHT cannot be reached, and what to do', { timeout: 60_000 }, async () => {
  // In a repo that has not been in a DHT yet: the other remembers nodes.
  const found = await runIn('new', 'find', unknown, '--timeout', '2', '--dht-bootstrap', '127.0.0.1:9');
  assert.equal(found.code, 1);
  assert.equal(found.lines[0].error.code, 'unavailable');
  assert.match(found.lines[0].error.message, /no node of the DHT answers.*--dht-bootstrap/);
});

test('get says why it found nobody', { timeout: 60_000 }, async () => {
  const got = await run('get', unknown, '-o', join(folder, 'none'), ...join_());
  assert.equal(got.code, 1);
  assert.match(got.lines[0].error.message, /nobody in the DHT provides it/);
});

test('get asks a router that is named, and takes what it names', { timeout: 60_000 }, async () => {
  const output = join(folder, 'by-router.bin');
  // This one has not got it: it asks its DHT.
  const got = await runIn('routed', 'get', provider.roots[0].cid, '-o', output, '--no-dht', '--router', other.http);
  assert.equal(got.code, 0, got.error);
  assert.deepEqual(readFileSync(output), content);
  const dead = await runIn('routed', 'get', unknown, '-o', join(folder, 'none'), '--no-dht', '--router', 'http://127.0.0.1:9');
  assert.equal(dead.code, 1);
  assert.match(dead.lines[0].error.message, /the router http:\/\/127\.0\.0\.1:9 is no help/);
  const found = await runIn('routed', 'find', provider.roots[0].cid, '--no-dht', '--router', other.http);
  assert.deepEqual(found.lines.map(({ gateways }) => gateways), [[`${provider.http}/ipfs/`]], found.error);
});

test('a node announces what is pinned, and no more when it is not', { timeout: 60_000 }, async () => {
  const node = await startNode({ a: Buffer.from('first'), b: Buffer.from('second') }, [], join_());
  for (const { cid } of node.roots) await node.announced(cid);
  assert.equal((await node.beside('status')).node.dht.announced, 2);
  await node.beside('pin', 'rm', node.roots[0].cid);
  const { announced, waiting } = (await node.beside('status')).node.dht;
  assert.deepEqual({ announced, waiting }, { announced: 1, waiting: 0 });
  await node.stop();
});

const hasIpv6 = await new Promise((resolve) => {
  const server = createServer().once('error', () => resolve(false));
  server.listen(0, '::1', () => server.close(() => resolve(true)));
});

test('nodes find each other over IPv6', { skip: hasIpv6 ? false : 'this machine has no IPv6', timeout: 60_000 }, async () => {
  const six = (...options) => startNode(...options.slice(0, 1), [], ['--http', '[::1]:0', ...options.slice(1)]);
  const first = await six({}, '--dht-bootstrap', 'none');
  const second = await six({ 'six.bin': content }, '--dht-bootstrap', `[::1]:${first.dht}`);
  const root = second.roots[0].cid;
  await second.announced(root);
  assert.match(second.http, /^http:\/\/\[::1\]:/);
  const found = await runIn('six', 'find', root, '--dht-bootstrap', `[::1]:${first.dht}`);
  assert.deepEqual(found.lines[0]?.gateways, [`${second.http}/ipfs/`], found.error);
  const output = join(folder, 'six.bin');
  const got = await runIn('six', 'get', root, '-o', output, '--dht-bootstrap', `[::1]:${first.dht}`);
  assert.equal(got.code, 0, got.error);
  assert.deepEqual(readFileSync(output), content);
  const met = await runIn('met', 'get', root, '-o', `${output}.met`, '--no-dht', '--rendezvous', second.rendezvous);
  assert.equal(met.code, 0, met.error);
  assert.deepEqual(readFileSync(`${output}.met`), content);
  await Promise.all([first.stop(), second.stop()]);
});

test('provide --once announces what is here, and refuses what is not', { timeout: 90_000 }, async () => {
  const port = new URL(other.http).port;
  const provided = await run('provide', '--once', '--http', `127.0.0.1:${port}`, provider.roots[0].cid, ...join_());
  assert.equal(provided.code, 0, provided.error + JSON.stringify(provided.lines));
  assert.deepEqual(provided.lines, [{ event: 'announced', cid: provider.roots[0].cid, http: other.http }]);
  // Its node is gone by now, and the others still know it.
  const again = await run('provide', '--once', '--http', `127.0.0.1:${port}`, provider.roots[0].cid, ...join_());
  assert.deepEqual(again.lines, provided.lines, again.error);
  const refused = await run('provide', '--once', unknown, ...join_());
  assert.equal(refused.code, 1);
  assert.match(refused.lines[0].error.message, /is not whole here/);
});
