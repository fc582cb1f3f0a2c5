// Several native nodes serve one file, each at a limited rate; some of them go, and one peer lies.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join as joinPath } from 'node:path';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { closeBrowsers, openTab, skipWithout } from './support/browsers.mjs';
import { awaitProviders, download, eventually, join, pseudoRandom, sha256, stats } from './support/cdn.mjs';
import { startHostilePeer } from './support/hostile-peer.mjs';
import { program, startNode } from './support/node.mjs';

const MiB = 1_048_576;
const size = 24 * MiB + 5;
const bytes = pseudoRandom(1, size);
const hash = sha256(bytes);
/** Bytes a second of each node: all four together need three seconds, two of them six. */
const rate = 2 * MiB;

/** Where all meet: it has nothing itself. */
let hub;
let rendezvous;
let seeders;
let cid;
let folder;
let viewer;

before(async () => {
  hub = await startNode();
  rendezvous = `${hub.http.replace('http:', 'ws:')}/rendezvous`;
});

beforeEach(async () => {
  folder = mkdtempSync(joinPath(tmpdir(), 'codio-swarm-'));
  const options = ['--max-upload', String(rate), '--rendezvous', rendezvous];
  const start = () => startNode({ 'film.bin': bytes }, [], options);
  seeders = await Promise.all([start(), start(), start(), start()]);
  [{ cid }] = seeders[0].roots;
});

afterEach(async () => {
  for (const one of seeders) await one.stop();
  rmSync(folder, { recursive: true, force: true });
});

after(async () => {
  await closeBrowsers();
  await hub?.stop();
});

const killTwo = () => Promise.all([seeders[0].stop(), seeders[1].stop()]);

/** Until all four are found: who comes late is not asked. */
async function awaitSeeders(others = 0) {
  const page = await openTab('chromium', hub.http);
  await awaitProviders(page, cid, seeders.length + others);
  await page.context().close();
}

/** `codio get` into `folder`; `part` is how many bytes are in the file that it is making. */
function get(name) {
  const child = spawn(
    program,
    [
      ...['get', cid, '-o', joinPath(folder, name), '--repo', joinPath(folder, 'repo')],
      ...['--json', '--no-gateway', '--no-dht', '--rendezvous', rendezvous],
    ],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => (output += data));
  const ended = new Promise((resolve) => child.on('close', (status) => resolve({ status, output })));
  return {
    part: () => statSync(joinPath(folder, `.${name}.codio-part`)).size,
    kill: () => child.kill('SIGKILL'),
    /** What it said in the end. */
    summary: async () => {
      const { status, output: said } = await ended;
      assert.equal(status, 0, said);
      return JSON.parse(said);
    },
    ended,
  };
}

const reaches = (running, wanted) => eventually(async () => assert.ok(running.part() >= wanted), 20_000);
const fileHash = (name) => sha256(readFileSync(joinPath(folder, name)));

test('A tab has the file though two of four nodes die and a peer lies', { skip: skipWithout('chromium') }, async () => {
  const liar = await openTab('chromium', hub.http);
  await startHostilePeer(liar, cid, 'lies');
  await awaitSeeders(1);
  viewer = await openTab('chromium', hub.http);
  await join(viewer, { gateways: [], seed: false });
  const running = download(viewer, cid);
  await viewer.waitForFunction(() => window.log.filter(({ name }) => name === 'verified').length > 8);
  await killTwo();
  const got = await running;
  assert.equal(got.hash, hash, got.error);
  assert.deepEqual(Object.keys(got.sources), ['peer']);
  assert.equal(Object.keys(got.peers).length, 4, JSON.stringify(got.peers));
  // The liar's block came, and did not count.
  const { duplicates, downloadedFromPeers } = await stats(viewer);
  assert.ok(duplicates >= 1000, `${duplicates} bytes came for nothing`);
  assert.equal(downloadedFromPeers, got.sources.peer);
  const gone = await viewer.evaluate(() => window.log.filter(({ name }) => name === 'peer-disconnected'));
  assert.ok(gone.some(({ peer }) => !(peer in got.peers)), JSON.stringify(gone));
  await eventually(async () => assert.deepEqual(await liar.evaluate(() => window.hostile.goodbyes), [2]));
  await liar.context().close();
});

test('codio get has the file though two of four nodes die', { skip: skipWithout('chromium') }, async () => {
  await awaitSeeders();
  const running = get('film.bin');
  await reaches(running, 8 * MiB);
  await killTwo();
  const { fromPeers } = await running.summary();
  assert.ok(fromPeers >= size, `${fromPeers} bytes from peers`);
  assert.equal(fileHash('film.bin'), hash);
});

test('codio get that was killed goes on where it stopped', { skip: skipWithout('chromium') }, async () => {
  await awaitSeeders();
  const killed = get('film.bin');
  await reaches(killed, 8 * MiB);
  killed.kill();
  await killed.ended;
  const begun = killed.part();
  const { fromStore, fromPeers } = await get('film.bin').summary();
  assert.equal(fileHash('film.bin'), hash);
  // Its last blocks were still on their way to the disk.
  assert.ok(fromStore >= begun - 4 * MiB, `${begun} bytes were there, ${fromStore} came from the store`);
  assert.ok(fromPeers <= size - (begun - 4 * MiB), `${fromPeers} bytes came again`);
});

// A browser takes its time to give up a connection; meanwhile the tests above ran.
test('The tab tells whom it lost', { skip: skipWithout('chromium') }, async () => {
  await eventually(async () => {
    const lost = await viewer.evaluate(() => window.log.filter(({ name }) => name === 'peer-disconnected'));
    assert.ok(lost.length >= 3, JSON.stringify(lost));
    assert.ok(lost.every(({ reason }) => reason));
  }, 30_000);
  assert.ok((await stats(viewer)).peers <= 2);
  await viewer.context().close();
});
