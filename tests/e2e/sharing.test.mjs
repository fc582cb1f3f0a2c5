// The tabs of an origin share one node; the tab that has it leads, and is replaced when it goes.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';
import { closeBrowsers, openTab, skipWithout } from './support/browsers.mjs';
import { awaitProviders, download, eventually, join, sha256, stats, uploadRandom } from './support/cdn.mjs';
import { buildFile } from './support/dag.mjs';
import { startNode } from './support/node.mjs';

const MiB = 1_048_576;
const film = randomBytes(48 * MiB + 5);
const song = randomBytes(2 * MiB);
const songBytes = [...buildFile(song).blocks.values()].reduce((sum, { length }) => sum + length, 0);

let node;
let filmCid;
let songCid;
before(async () => {
  node = await startNode({ 'film.bin': film, 'song.bin': song });
  [filmCid, songCid] = node.roots.map(({ cid }) => cid);
});
after(async () => {
  await closeBrowsers();
  await node?.stop();
});

/** A page of the node's origin that has no node of its own, as the demo does. */
const blank = () => `${node.http}/healthz`;

for (const browser of ['chromium', 'firefox']) {
  describe(browser, { skip: skipWithout(browser) }, () => {
    async function tab(options = {}) {
      const page = await openTab(browser, blank());
      await join(page, { gateways: [], ...options });
      return page;
    }

    async function another(page, options = {}) {
      const sibling = await page.context().newPage();
      await sibling.goto(blank());
      await join(sibling, { gateways: [], ...options });
      return sibling;
    }

    /** What workers a page has tells whether it has a node. */
    const leads = (page) => page.workers().length > 0;

    /** Begins a download and settles when a quarter of it is here; the rest is in `window.rest`. */
    const downloadQuarter = (page, cid) =>
      page.evaluate(
        (wanted) =>
          new Promise((resolve) => {
            window.got = 0;
            window.rest = window.cdn.download(wanted, {
              onProgress: ({ received, total }) => {
                window.got = received;
                if (received > total / 4) resolve();
              },
            });
          }),
        cid,
      );

    const hashOfRest = (page) => page.evaluate(async () => window.sha256(await window.rest));

    test('A second tab uses the node, the peers and the blocks of the first', async () => {
      const first = await tab();
      const second = await another(first);
      assert.deepEqual([leads(first), leads(second)], [true, false]);
      const [one, two] = await Promise.all([download(first, songCid), download(second, songCid)]);
      assert.deepEqual([one.hash, two.hash], [sha256(song), sha256(song)]);
      const [of1, of2] = await Promise.all([stats(first), stats(second)]);
      assert.deepEqual(of2, of1);
      assert.equal(of1.downloadedFromPeers, songBytes);
      assert.deepEqual((await download(second, songCid)).sources, { store: songBytes });
      await first.context().close();
    });

    test('When the leader closes, the downloads of the others go on where they were', async () => {
      const first = await tab();
      const others = [await another(first), await another(first)];
      await Promise.all(others.map((page) => downloadQuarter(page, filmCid)));
      await first.close();
      for (const page of others) assert.equal(await hashOfRest(page), sha256(film));
      assert.equal(others.filter(leads).length, 1);
      const [of1, of2] = await Promise.all(others.map(stats));
      assert.deepEqual(of2, of1);
      assert.ok(of1.downloadedFromPeers < film.length * 0.8, `${of1.downloadedFromPeers} bytes came again`);
      await others[0].context().close();
    });

    const uncrashable = browser === 'firefox' && 'tabs of a site share a process in Firefox, and crash together';
    test('A leader whose process is killed is replaced, and the downloads of the others go on', { skip: uncrashable }, async () => {
      const first = await tab();
      const second = await another(first);
      await downloadQuarter(second, filmCid);
      first.goto('chrome://crash').catch(() => {});
      await once(first, 'crash');
      assert.equal(await hashOfRest(second), sha256(film));
      assert.equal(leads(second), true);
      await first.context().close();
    });

    test('A stream whose reader waits survives the leader too', async () => {
      const first = await tab();
      const second = await another(first);
      await second.evaluate(async (cid) => {
        window.reader = window.cdn.stream(cid).getReader();
        window.parts = [(await window.reader.read()).value];
      }, filmCid);
      await first.close();
      const hash = await second.evaluate(async () => {
        for (let part = await window.reader.read(); part.value; part = await window.reader.read()) window.parts.push(part.value);
        return window.sha256(await new Blob(window.parts).arrayBuffer());
      });
      assert.equal(hash, sha256(film));
      await second.context().close();
    });

    test('A tab that closes ends its transfers, and what it gave is still offered', async () => {
      const first = await tab();
      const second = await another(first);
      const { cid, hash } = await uploadRandom(second, MiB);
      await downloadQuarter(second, filmCid);
      await second.close();
      const viewer = await tab();
      await awaitProviders(viewer, cid, 1);
      assert.equal((await download(viewer, cid)).hash, hash);
      const before = (await stats(first)).downloadedFromPeers;
      assert.ok(before < film.length, 'its download went on');
      await first.context().close();
      await viewer.context().close();
    });

    test('What a tab gave outlives the leader', async () => {
      const first = await tab();
      const second = await another(first);
      const { cid, hash } = await uploadRandom(second, MiB);
      await first.close();
      const viewer = await tab();
      await eventually(() => leads(second) || assert.fail('nobody leads'));
      await awaitProviders(viewer, cid, 1);
      assert.equal((await download(viewer, cid)).hash, hash);
      await second.context().close();
      await viewer.context().close();
    });

    test('Other options, or none to share, make another node', async () => {
      const first = await tab();
      const other = await another(first, { policy: 'p2p-only' });
      const alone = await another(first, { share: false });
      assert.deepEqual([leads(first), leads(other), leads(alone)], [true, true, true]);
      await first.context().close();
    });

    test('A tab that leaves the network does not take the others with it', async () => {
      const first = await tab();
      const second = await another(first);
      await first.evaluate(() => window.cdn.disconnect());
      assert.equal((await download(first, songCid)).code, 'not-found');
      assert.equal((await download(second, songCid)).hash, sha256(song));
      await second.evaluate(() => window.cdn.disconnect());
      await eventually(async () => assert.equal((await stats(second)).peers, 0));
      const third = await another(first);
      assert.ok(leads(third), 'a new tab got the node that has left');
      await first.context().close();
    });

    test('After a reload a tab offers at once what it has, and after clear() nothing', async () => {
      const giver = await tab();
      const { cid, hash } = await uploadRandom(giver, MiB);
      const page = await tab();
      await download(page, cid);
      await giver.context().close();
      const viewer = await tab({ persist: false });
      for (const expected of [hash, undefined]) {
        await page.reload();
        await join(page, { gateways: [] });
        if (expected) await awaitProviders(page, cid, 1);
        const got = await download(viewer, cid);
        assert.equal(got.hash, expected, got.error);
        await page.evaluate(() => window.cdn.cache.clear());
        await viewer.evaluate(() => window.cdn.cache.clear());
      }
      await page.context().close();
      await viewer.context().close();
    });

    test('Twenty tabs have one node', async () => {
      const first = await tab();
      const pages = [first];
      while (pages.length < 20) pages.push(await another(first));
      const got = await Promise.all(pages.map((page) => download(page, songCid)));
      for (const { hash, error } of got) assert.equal(hash, sha256(song), error);
      assert.equal((await stats(first)).downloadedFromPeers, songBytes);
      assert.equal(pages.filter(leads).length, 1);
      await first.context().close();
    });
  });
}
