// A rendezvous that puts somebody between two peers is found out, and content comes from elsewhere.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { closeBrowsers, openTab, skipWithout } from './support/browsers.mjs';
import { awaitProviders, download, eventually, join, pseudoRandom, sha256, stats, upload } from './support/cdn.mjs';
import { buildFile } from './support/dag.mjs';
import { startGateway } from './support/gateway.mjs';
import { startImpostor, startLyingRendezvous } from './support/lying-rendezvous.mjs';
import { startNode } from './support/node.mjs';

let node;
before(async () => {
  node = await startNode();
});
after(async () => {
  await closeBrowsers();
  await node?.stop();
});

const logged = (page, name) => page.evaluate((wanted) => window.log.filter((event) => event.name === wanted), name);

for (const browser of ['chromium', 'firefox']) {
  test(`${browser}: an impostor between two peers is noticed`, { skip: skipWithout(browser, 'chromium') }, async () => {
    const rendezvous = await startLyingRendezvous();
    const bytes = pseudoRandom(7, 1_500_000);
    const { cid, blocks } = buildFile(bytes);
    const gateway = await startGateway(blocks);
    const options = { rendezvous: [rendezvous.url], gateways: [] };

    const seeder = await openTab('chromium', node.http);
    await join(seeder, options);
    assert.equal(await upload(seeder, 7, bytes.length), cid);
    const early = await openTab(browser, node.http);
    await join(early, { ...options, seed: false });
    const honest = await download(early, cid);
    assert.equal(honest.hash, sha256(bytes), honest.error);
    const [seederId] = Object.keys(honest.peers);
    assert.match(seederId, /^[\w-]{43}$/);
    await early.context().close();

    const page = await openTab('chromium', node.http);
    await startImpostor(page, rendezvous.url);
    const impostor = () => page.evaluate(() => window.impostor);
    const { uploaded } = await stats(seeder);
    const viewer = await openTab(browser, node.http);
    await join(viewer, { ...options, gateways: [gateway.url], seed: false });
    const got = await download(viewer, cid);
    assert.equal(got.hash, sha256(bytes), got.error);
    assert.deepEqual(Object.keys(got.sources), ['gateway']);
    // On a fast gateway the download may be over before the connection is open.
    await eventually(async () => {
      const [problem] = await logged(viewer, 'error');
      assert.equal(problem?.code, 'forged');
      assert.ok(problem.message.startsWith(`${seederId}: the peer did not prove`), problem.message);
    });
    await eventually(async () => assert.equal((await logged(seeder, 'error'))[0]?.code, 'forged'));
    const { opened, carried, offers } = await impostor();
    assert.equal(opened, 2);
    assert.ok(carried > 0);
    assert.deepEqual(await viewer.evaluate(() => window.cdn.get_peers()), []);
    assert.equal((await stats(seeder)).uploaded, uploaded);

    await viewer.evaluate(() => window.cdn.cache.clear());
    assert.equal((await download(viewer, cid)).hash, sha256(bytes));
    assert.equal((await impostor()).offers, offers, 'it is not connected again');
    gateway.stop();
    rendezvous.stop();
    for (const one of [seeder, page, viewer]) await one.context().close();
  });
}

test('A browser without Ed25519 is anonymous, and shares all the same', { skip: skipWithout('chromium') }, async () => {
  const anonymous = async () => {
    const page = await openTab('chromium', node.http);
    await page.evaluate(() => {
      crypto.subtle.generateKey = async () => {
        throw new DOMException('Unrecognized algorithm', 'NotSupportedError');
      };
    });
    await join(page, { gateways: [] });
    return page;
  };
  const bytes = pseudoRandom(9, 300_000);
  const seeder = await anonymous();
  const cid = await upload(seeder, 9, bytes.length);
  const keyed = await openTab('chromium', node.http);
  await join(keyed, { gateways: [] });
  for (const viewer of [keyed, await anonymous()]) {
    await awaitProviders(viewer, cid, 1);
    const got = await download(viewer, cid);
    assert.equal(got.hash, sha256(bytes), got.error);
    assert.match(Object.keys(got.peers)[0], /^[0-9a-f]{32}$/);
    await viewer.context().close();
  }
  await seeder.context().close();
});
