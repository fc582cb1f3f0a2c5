// Verified blocks outlive the tab: interrupted downloads go on, and tabs of one origin share what they have.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { closeBrowsers, openTab, patchWorkers, skipWithout } from './support/browsers.mjs';
import { download, join, sha256, stats, uploadRandom } from './support/cdn.mjs';
import { buildFile } from './support/dag.mjs';
import { startNode } from './support/node.mjs';

const MiB = 1_048_576;
const film = randomBytes(40 * MiB + 5);
const song = randomBytes(3 * MiB);
/** Of all blocks, so with the inner nodes. */
const filmBytes = [...buildFile(film).blocks.values()].reduce((sum, { length }) => sum + length, 0);

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

const cached = (page) => page.evaluate(() => window.cdn.cache.stats());

/** Settles when half of the film has been handed over; the download goes on. */
async function downloadHalf(page) {
  await page.evaluate(
    (cid) =>
      new Promise((resolve) => {
        void window.cdn.download(cid, { onProgress: ({ received, total }) => received > total / 2 && resolve() });
      }),
    filmCid,
  );
}

/** In the same store as `page`. */
async function another(page, options = { gateways: [] }) {
  const tab = await page.context().newPage();
  await tab.goto(node.http);
  await join(tab, options);
  return tab;
}

const interruptions = {
  reload: async (page) => {
    await page.reload();
    await join(page, { gateways: [] });
    return page;
  },
  close: async (page) => {
    await Promise.all([page.context().newPage(), page.close()]);
    return another(page);
  },
  crash: async (page) => {
    await Promise.all([page.waitForEvent('crash'), page.goto('chrome://crash').catch(() => {})]);
    return another(page);
  },
};

for (const browser of ['chromium', 'firefox']) {
  describe(browser, { skip: skipWithout(browser) }, () => {
    async function tab(options = {}) {
      const page = await openTab(browser, node.http);
      await join(page, { gateways: [], ...options });
      return page;
    }

    for (const [name, interrupt] of Object.entries(interruptions)) {
      if (name === 'crash' && browser !== 'chromium') continue;
      test(`A download goes on after a ${name}, and nothing verified is fetched again`, async () => {
        const first = await tab();
        await downloadHalf(first);
        const second = await interrupt(first);
        const kept = await cached(second);
        assert.equal(kept.kind, 'opfs');
        assert.ok(kept.bytes >= film.length / 2 && kept.bytes < filmBytes, `${kept.bytes} bytes were kept`);
        const got = await download(second, filmCid);
        assert.equal(got.hash, sha256(film), got.error);
        assert.deepEqual(got.sources, { store: kept.bytes, peer: filmBytes - kept.bytes });
        assert.equal((await stats(second)).downloadedFromPeers, filmBytes - kept.bytes);
        assert.equal((await cached(second)).bytes, filmBytes);
        await second.context().close();
      });
    }

    test('A stream after a reload comes from what is here, without the network', async () => {
      const page = await tab();
      await download(page, songCid);
      await page.reload();
      await join(page, { gateways: [], rendezvous: [] });
      const size = await page.evaluate(async (cid) => {
        let sum = 0;
        for (const reader = window.cdn.stream(cid).getReader(); ; ) {
          const { done, value } = await reader.read();
          if (done) return sum;
          sum += value.length;
        }
      }, songCid);
      assert.equal(size, song.length);
      const got = await download(page, songCid);
      assert.equal(got.hash, sha256(song), got.error);
      await page.context().close();
    });

    test('Two tabs at once both keep blocks, and a third has what they had', async () => {
      const first = await tab();
      const second = await another(first);
      const [film_, song_] = await Promise.all([download(first, filmCid), download(second, songCid)]);
      assert.equal(film_.hash, sha256(film), film_.error);
      assert.equal(song_.hash, sha256(song), song_.error);
      const beside = await another(first, { gateways: [], rendezvous: [] });
      for (const [cid, bytes] of [[filmCid, film], [songCid, song]]) {
        const got = await download(beside, cid);
        assert.equal(got.hash, sha256(bytes), got.error);
      }
      const context = first.context();
      await context.newPage();
      await Promise.all([first, second, beside].map((page) => page.close()));
      const third = await another(first, { gateways: [], rendezvous: [] });
      for (const [cid, bytes] of [[filmCid, film], [songCid, song]]) {
        const got = await download(third, cid);
        assert.equal(got.hash, sha256(bytes), got.error);
        assert.deepEqual(Object.keys(got.sources), ['store']);
      }
      await context.close();
    });

    test('cache.clear() leaves nothing but uploads', async () => {
      const page = await tab();
      await download(page, songCid);
      const { cid, hash } = await uploadRandom(page, 2 * MiB);
      const full = await cached(page);
      assert.equal(full.capacity, 512 * MiB);
      await page.evaluate(() => window.cdn.cache.clear());
      const { bytes, blocks } = await cached(page);
      assert.deepEqual([bytes > 2 * MiB && bytes < 2.1 * MiB, blocks], [true, 3], JSON.stringify({ bytes, blocks }));
      assert.ok(full.bytes > bytes + song.length);
      const other = await tab();
      assert.equal((await download(other, cid)).hash, hash);
      const again = await download(page, songCid);
      assert.equal(again.hash, sha256(song), again.error);
      assert.deepEqual(Object.keys(again.sources), ['peer']);
      await page.evaluate(() => window.cdn.cache.clear());
      await page.reload();
      await join(page, { gateways: [] });
      assert.deepEqual(Object.keys((await download(page, songCid)).sources), ['peer']);
      await page.context().close();
      await other.context().close();
    });

    test('A store smaller than the file keeps to its limit', async () => {
      const page = await tab({ storeBytes: 8 * MiB });
      assert.equal((await download(page, filmCid)).hash, sha256(film));
      const { bytes } = await cached(page);
      assert.ok(bytes > 4 * MiB && bytes <= 8 * MiB, `${bytes} bytes`);
      await page.context().close();
    });

    test('Without access handles blocks are kept in IndexedDB', async () => {
      const page = await openTab(browser, node.http);
      await patchWorkers(page, 'delete FileSystemFileHandle.prototype.createSyncAccessHandle;');
      await join(page, { gateways: [] });
      await downloadHalf(page);
      await page.reload();
      await join(page, { gateways: [] });
      const kept = await cached(page);
      assert.equal(kept.kind, 'indexeddb');
      assert.ok(kept.bytes >= film.length / 4, `${kept.bytes} bytes were kept`);
      const got = await download(page, filmCid);
      assert.equal(got.hash, sha256(film), got.error);
      assert.deepEqual(got.sources, { store: kept.bytes, peer: filmBytes - kept.bytes });
      const { cid, hash } = await uploadRandom(page, 2 * MiB);
      await page.evaluate(() => window.cdn.cache.clear());
      assert.equal((await cached(page)).blocks, 3);
      assert.equal((await download(page, cid)).hash, hash);
      await page.context().close();
    });

    test('Where nothing can be kept, or is to be, blocks are in memory', async () => {
      const without =
        'delete StorageManager.prototype.getDirectory; delete self.indexedDB; delete WorkerGlobalScope.prototype.indexedDB;';
      for (const [script, options] of [[without, {}], ['', { persist: false }]]) {
        const page = await openTab(browser, node.http);
        await patchWorkers(page, script);
        await join(page, { gateways: [], ...options });
        for (const source of ['peer', 'store']) {
          const got = await download(page, songCid);
          assert.equal(got.hash, sha256(song), got.error);
          assert.deepEqual(Object.keys(got.sources), [source]);
        }
        assert.equal((await cached(page)).kind, 'memory');
        await page.reload();
        await join(page);
        assert.equal((await cached(page)).blocks, 0);
        await page.context().close();
      }
    });
  });
}
