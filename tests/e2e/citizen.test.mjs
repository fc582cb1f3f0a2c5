// A visitor's connection is only lent when nothing speaks against it.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { closeBrowsers, openTab, skipWithout } from './support/browsers.mjs';
import { awaitProviders, download, eventually, join, stats, uploadRandom } from './support/cdn.mjs';
import { startNode } from './support/node.mjs';

const MiB = 1_048_576;

let node;
before(async () => {
  node = await startNode();
});
after(async () => {
  await closeBrowsers();
  await node?.stop();
});

for (const browser of ['chromium', 'firefox']) {
  describe(browser, { skip: skipWithout(browser) }, () => {
    /** Whose `mayUpload` says what `window.agrees` does. */
    async function giver(agrees, options = {}) {
      const page = await openTab(browser, node.http);
      await page.evaluate((given) => (window.agrees = given), agrees);
      await join(page, { gateways: [], ...options }, '', 'mayUpload');
      return page;
    }
    const verdict = (page) => page.evaluate(() => window.cdn.uploading);

    test('Nothing is offered or given before the visitor agrees, nor after they changed their mind', async () => {
      const page = await giver(false);
      const { cid, hash } = await uploadRandom(page, MiB);
      assert.deepEqual(await verdict(page), { allowed: false, reason: 'it was not agreed to' });
      const viewer = await openTab(browser, node.http);
      await join(viewer, { gateways: [] });
      assert.equal((await download(viewer, cid)).code, 'not-found');

      await page.evaluate(() => {
        window.agrees = true;
        return window.cdn.askMayUpload();
      });
      await awaitProviders(viewer, cid, 1);
      assert.equal((await download(viewer, cid)).hash, hash);
      await eventually(async () => assert.ok((await stats(page)).uploaded >= MiB));

      await page.evaluate(() => {
        window.agrees = false;
        return window.cdn.askMayUpload();
      });
      const late = await openTab(browser, node.http);
      await join(late, { gateways: [] });
      await viewer.context().close();
      await eventually(async () => assert.equal((await download(late, cid)).code, 'not-found'));
      await page.context().close();
      await late.context().close();
    });

    test('A browser that saves data gives nothing', async () => {
      const page = await openTab(browser, node.http);
      await page.evaluate(() => {
        const connection = Object.assign(new EventTarget(), { saveData: true });
        Object.defineProperty(navigator, 'connection', { value: connection });
      });
      await join(page, { gateways: [] });
      const seen = page.evaluate(() => new Promise((resolve) => window.cdn.on('uploading', resolve)));
      assert.deepEqual(await verdict(page), { allowed: false, reason: 'the browser saves data' });
      await page.evaluate(() => {
        navigator.connection.saveData = false;
        navigator.connection.dispatchEvent(new Event('change'));
      });
      assert.deepEqual(await seen, { allowed: true, reason: '' });
      await page.context().close();
    });

    test('A swarm that is too small is left alone', async () => {
      const page = await giver(true);
      const { cid, hash } = await uploadRandom(page, MiB);
      const viewer = await openTab(browser, node.http);
      await join(viewer, { gateways: [], minSwarm: 2 });
      assert.equal((await download(viewer, cid)).code, 'not-found');
      const second = await openTab(browser, node.http);
      await join(second, { gateways: [] });
      assert.equal((await download(second, cid)).hash, hash);
      await awaitProviders(viewer, cid, 2);
      assert.equal((await download(viewer, cid)).hash, hash);
      for (const one of [page, viewer, second]) await one.context().close();
    });
  });
}
