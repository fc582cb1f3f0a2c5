// Bytes between peers: tab and tab, tab and native node, across browsers.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { closeBrowsers, openTab, patchWorkers, skipWithout } from './support/browsers.mjs';
import { download, eventually, join, pseudoRandom, sha256, stats, upload, uploadRandom } from './support/cdn.mjs';
import { buildFile } from './support/dag.mjs';
import { startGateway } from './support/gateway.mjs';
import { startNode } from './support/node.mjs';

const MiB = 1_048_576;
const onNode = randomBytes(24 * MiB + 5);

let node;
before(async () => {
  node = await startNode({ 'film.bin': onNode });
});
after(async () => {
  await closeBrowsers();
  await node?.stop();
});

async function tab(browser, options = {}) {
  const page = await openTab(browser, node.http);
  await join(page, options);
  return page;
}

const close = (...pages) => Promise.all(pages.map((page) => page.context().close()));

for (const [from, to] of [
  ['chromium', 'chromium'],
  ['firefox', 'firefox'],
  ['chromium', 'firefox'],
  ['firefox', 'chromium'],
]) {
  test(`${from} serves ${to} what no node has`, { skip: skipWithout(from, to) }, async () => {
    const seeder = await tab(from);
    const viewer = await tab(to, { gateways: [] });
    const { cid, hash } = await uploadRandom(seeder, 4 * MiB);
    const got = await download(viewer, cid);
    assert.equal(got.hash, hash);
    assert.deepEqual(Object.keys(got.sources), ['peer']);
    const rate = (4 * 1.048576 * 1000) / got.ms;
    assert.ok(rate > 1, `${rate.toFixed(1)} MB/s`);
    await eventually(async () => assert.ok((await stats(seeder)).uploaded >= 4 * MiB));
    assert.deepEqual([...seeder.problems, ...viewer.problems], []);
    await close(seeder, viewer);
  });
}

test('An upload has the CID that the same file has elsewhere', { skip: skipWithout('chromium') }, async () => {
  const page = await tab('chromium');
  for (const size of [0, 1, MiB, MiB + 1, 3 * MiB]) {
    assert.equal(await upload(page, 1, size), buildFile(pseudoRandom(1, size)).cid, `${size} bytes`);
  }
  await close(page);
});

test('A tab that does not seed gives its uploads, and nothing that it downloaded', { skip: skipWithout('chromium') }, async () => {
  const seeder = await tab('chromium');
  const quiet = await tab('chromium', { gateways: [], seed: false });
  const viewer = await tab('chromium', { gateways: [] });
  const { cid } = await uploadRandom(seeder, 1 * MiB);
  assert.equal((await download(quiet, cid)).error, undefined);
  await close(seeder);
  const own = await uploadRandom(quiet, 1 * MiB);
  assert.equal((await download(viewer, own.cid)).hash, own.hash);
  // They are connected, and the viewer asks for the other one too.
  assert.match((await download(viewer, cid)).error, /no peer has/);
  await close(quiet, viewer);
});

test('What a tab downloaded it serves in turn', { skip: skipWithout('chromium') }, async () => {
  const [first, second, third] = [await tab('chromium'), await tab('chromium', { gateways: [] }), await tab('chromium', { gateways: [] })];
  const { cid, hash } = await uploadRandom(first, 2 * MiB);
  await download(second, cid);
  await close(first);
  const got = await eventually(async () => {
    const result = await download(third, cid);
    assert.equal(result.hash, hash, result.error);
    return result;
  });
  assert.deepEqual(Object.keys(got.sources), ['peer']);
  await close(second, third);
});

test('Several peers share the work', { skip: skipWithout('chromium') }, async () => {
  const viewer = await tab('chromium', { gateways: [] });
  const seeders = [await tab('chromium'), await tab('chromium'), await tab('chromium')];
  const bytes = pseudoRandom(1, 12 * MiB);
  const cids = await Promise.all(seeders.map((page) => upload(page, 1, bytes.length)));
  const got = await download(viewer, cids[0]);
  assert.equal(got.hash, sha256(bytes));
  assert.equal(Object.keys(got.peers).length, 3);
  for (const share of Object.values(got.peers)) assert.ok(share >= MiB, JSON.stringify(got.peers));
  assert.equal((await viewer.evaluate(() => window.cdn.get_peers())).length, 3);
  await close(viewer, ...seeders);
});

test('A second download from the same peer uses the same connection', { skip: skipWithout('chromium') }, async () => {
  const [seeder, viewer] = [await tab('chromium'), await tab('chromium', { gateways: [] })];
  for (let i = 0; i < 3; i++) {
    const { cid, hash } = await uploadRandom(seeder, 10_000);
    assert.equal((await download(viewer, cid)).hash, hash);
  }
  const { cid, hash } = await uploadRandom(viewer, 10_000);
  assert.equal((await download(seeder, cid)).hash, hash);
  assert.equal(await viewer.evaluate(() => window.log.filter(({ name }) => name === 'peer-connected').length), 1);
  await close(seeder, viewer);
});

for (const browser of ['chromium', 'firefox']) {
  test(`${browser}: when a seeder leaves midway, the gateway takes over`, { skip: skipWithout(browser) }, async () => {
    const bytes = pseudoRandom(1, 40 * MiB);
    const { cid, blocks } = buildFile(bytes);
    const gateway = await startGateway(blocks);
    const seeder = await tab(browser);
    const viewer = await tab(browser, { gateways: [gateway.url] });
    assert.equal(await upload(seeder, 1, bytes.length), cid);
    const running = download(viewer, cid);
    await viewer.waitForFunction(() => window.log.filter(({ name }) => name === 'verified').length > 5);
    await close(seeder);
    const got = await running;
    assert.equal(got.hash, sha256(bytes), got.error);
    assert.ok(got.sources.peer > MiB && got.sources.gateway > MiB, JSON.stringify(got.sources));
    gateway.stop();
    await close(viewer);
  });

  test(`${browser}: works where a channel cannot be transferred`, { skip: skipWithout(browser) }, async () => {
    const seeder = await openTab(browser, node.http);
    await seeder.evaluate(() => {
      const { postMessage } = Worker.prototype;
      Worker.prototype.postMessage = function (message, transfer) {
        if (transfer?.some((one) => one instanceof RTCDataChannel)) throw new DOMException('', 'DataCloneError');
        postMessage.call(this, message, transfer);
      };
    });
    await join(seeder);
    const viewer = await tab(browser, { gateways: [] });
    const there = await uploadRandom(seeder, 3 * MiB);
    assert.equal((await download(viewer, there.cid)).hash, there.hash);
    const back = await uploadRandom(viewer, 3 * MiB);
    assert.equal((await download(seeder, back.cid)).hash, back.hash);
    await close(seeder, viewer);
  });

  test(`The native node serves ${browser}`, { skip: skipWithout(browser) }, async () => {
    const viewer = await tab(browser, { gateways: [] });
    const got = await download(viewer, node.roots[0].cid);
    assert.equal(got.hash, sha256(onNode));
    assert.deepEqual(Object.keys(got.sources), ['peer']);
    await close(viewer);
  });
}

test('Messages that overtake the opening of their channel are not lost', { skip: skipWithout('chromium') }, async () => {
  const viewer = await openTab('chromium', node.http);
  // As in a busy worker, for longer.
  await patchWorkers(
    viewer,
    `const { prototype } = RTCDataChannel;
    const early = new WeakSet();
    const { set } = Object.getOwnPropertyDescriptor(prototype, 'onopen');
    const { get } = Object.getOwnPropertyDescriptor(prototype, 'readyState');
    const { send } = prototype;
    Object.defineProperty(prototype, 'readyState', {
      get() { return early.has(this) ? 'connecting' : get.call(this); },
    });
    Object.defineProperty(prototype, 'onopen', {
      set(handler) {
        early.add(this);
        set.call(this, (event) => setTimeout(() => { early.delete(this); handler(event); }, 300));
      },
    });
    prototype.send = function (bytes) {
      if (early.has(this)) throw new DOMException('', 'InvalidStateError');
      send.call(this, bytes);
    };`,
  );
  await join(viewer, { gateways: [] });
  const got = await download(viewer, node.roots[0].cid);
  assert.equal(got.hash, sha256(onNode), got.error);
  await close(viewer);
});

describe('A native node that dies midway', { skip: skipWithout('chromium') }, () => {
  test('is replaced by the gateway', async () => {
    const bytes = randomBytes(64 * MiB);
    const { cid, blocks } = buildFile(bytes);
    const mortal = await startNode({ 'film.bin': bytes });
    const gateway = await startGateway(blocks);
    const viewer = await openTab('chromium', mortal.http);
    await join(viewer, { gateways: [gateway.url] });
    const running = download(viewer, cid);
    await viewer.waitForFunction(() => window.log.filter(({ name }) => name === 'verified').length > 8);
    await mortal.stop();
    const got = await running;
    assert.equal(got.hash, sha256(bytes), got.error);
    assert.ok(got.sources.peer > MiB && got.sources.gateway > MiB, JSON.stringify(got.sources));
    gateway.stop();
    await close(viewer);
  });
});
