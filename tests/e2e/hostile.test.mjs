// Peers that lie, keep silent or send noise cost time, never correctness.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, test } from 'node:test';
import { closeBrowsers, openTab, skipWithout } from './support/browsers.mjs';
import { download, eventually, join, pseudoRandom, sha256, upload } from './support/cdn.mjs';
import { buildFile } from './support/dag.mjs';
import { startGateway } from './support/gateway.mjs';
import { startHostilePeer } from './support/hostile-peer.mjs';
import { startNode } from './support/node.mjs';

let node;
before(async () => {
  node = await startNode();
});
after(async () => {
  await closeBrowsers();
  await node?.stop();
});

const manners = {
  lies: 'sends wrong bytes',
  silent: 'connects and says nothing',
  promises: 'says it has all and sends nothing',
  garbage: 'sends noise',
  oversize: 'announces a block of 3 GB',
};

for (const browser of ['chromium', 'firefox']) {
  for (const [manner, what] of Object.entries(manners)) {
    test(`${browser}: a peer that ${what} costs a moment`, { skip: skipWithout(browser, 'chromium') }, async () => {
      const bytes = randomBytes(3_000_000);
      const { cid, blocks } = buildFile(bytes);
      const gateway = await startGateway(blocks);
      const hostile = await openTab('chromium', node.http);
      await startHostilePeer(hostile, cid, manner);
      const viewer = await openTab(browser, node.http);
      await join(viewer, { gateways: [gateway.url] });
      const got = await download(viewer, cid);
      assert.equal(got.hash, sha256(bytes), got.error);
      assert.deepEqual(Object.keys(got.sources), ['gateway']);
      const limit = browser === 'firefox' ? 4000 : 2500;
      assert.ok(got.ms < limit, `${got.ms} ms`);
      // On a fast gateway the download may be over before the connection is open.
      await eventually(async () => assert.equal(await hostile.evaluate(() => window.hostile.connected), 1));
      if (manner === 'garbage') {
        await eventually(async () => assert.equal((await viewer.evaluate(() => window.cdn.get_peers())).length, 0));
      }
      gateway.stop();
      await viewer.context().close();
      await hostile.context().close();
    });
  }
}

test('A liar is dropped, told why, and not connected again', { skip: skipWithout('chromium') }, async () => {
  const bytes = pseudoRandom(1, 12_000_000);
  const { cid } = buildFile(bytes);
  const hostile = await openTab('chromium', node.http);
  await startHostilePeer(hostile, cid, 'lies');
  const seeder = await openTab('chromium', node.http);
  await join(seeder);
  assert.equal(await upload(seeder, 1, bytes.length), cid);
  const viewer = await openTab('chromium', node.http);
  await join(viewer, { gateways: [] });
  const got = await download(viewer, cid);
  assert.equal(got.hash, sha256(bytes), got.error);
  assert.equal(Object.keys(got.peers).length, 1);
  await eventually(async () => assert.deepEqual(await hostile.evaluate(() => window.hostile.goodbyes), [2]));
  await eventually(async () => assert.equal((await viewer.evaluate(() => window.cdn.get_peers())).length, 1));
  await download(viewer, cid, { begin: 0, end: 10 });
  assert.equal(await hostile.evaluate(() => window.hostile.connected), 1);
  for (const page of [hostile, seeder, viewer]) await page.context().close();
});
