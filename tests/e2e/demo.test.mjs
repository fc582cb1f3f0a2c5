// The demo page as a visitor meets it. Screenshots go to build/e2e.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { closeBrowsers, openTab, skipWithout } from './support/browsers.mjs';
import { rawCid } from './support/dag.mjs';
import { startNode } from './support/node.mjs';

const shots = fileURLToPath(new URL('../../build/e2e/', import.meta.url));
const drawing =
  '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 800 420"><rect width="800" height="420" fill="#7c3aed"/>' +
  '<circle cx="560" cy="250" r="60" fill="#fde68a"/><path d="M0 420V300l270-110 280 90 250 70v70z" fill="#0f172a"/></svg>';

let node;
before(async () => {
  mkdirSync(shots, { recursive: true });
  node = await startNode({
    'sunset.svg': Buffer.from(drawing),
    'notes.txt': Buffer.from('Hello from a Codio node.\n'.repeat(40)),
    'archive.bin': randomBytes(9_000_000),
  });
});
after(async () => {
  await closeBrowsers();
  await node?.stop();
});

for (const browser of ['chromium', 'firefox']) {
  describe(browser, { skip: skipWithout(browser) }, () => {
    const shoot = (page, name) => page.screenshot({ path: `${shots}${browser}-${name}.png`, fullPage: true });
    const done = (page, name) => page.waitForSelector(`#check-${name}.done`, { timeout: 15_000 });

    test('One page proves that WASM loads, a CID downloads, P2P works and the fallback works', async () => {
      const giver = await openTab(browser, node.http, { colorScheme: 'dark' });
      await done(giver, 'wasm');
      const picture = `${drawing}<!--${randomBytes(1_500_000).toString('hex')}-->`;
      await giver.setInputFiles('#file', { name: 'sunset.svg', mimeType: 'image/svg+xml', buffer: Buffer.from(picture) });
      const link = await (await giver.waitForSelector('#uploads a')).getAttribute('href');
      await shoot(giver, 'upload');

      const taker = await openTab(browser, link);
      await done(taker, 'wasm');
      await done(taker, 'download');
      await done(taker, 'p2p');
      await taker.waitForSelector('#result img');
      assert.match(await taker.textContent('#figures-amount'), /3\.0 MB, verified/);
      assert.match(await taker.textContent('#share-legend'), /Peer .*100 %/);
      assert.equal(await taker.isVisible('#error'), false);
      await shoot(taker, 'p2p');

      await taker.click('#check-fallback button');
      await done(taker, 'fallback');
      await taker.waitForFunction(() => document.querySelector('#share-legend').textContent.includes('Gateway'));
      await shoot(taker, 'fallback');
      await taker.setViewportSize({ width: 390, height: 844 });
      await shoot(taker, 'narrow');
      const width = await taker.evaluate(() => document.documentElement.scrollWidth);
      assert.ok(width <= 390, `${width} px wide on a screen of 390`);
      assert.deepEqual([...giver.problems, ...taker.problems], []);
      await giver.context().close();
      await taker.context().close();
    });

    test('Files of the node are listed and open', async () => {
      const page = await openTab(browser, node.http);
      await page.click('#root-list li:nth-child(2) button');
      await done(page, 'download');
      assert.match(await page.textContent('#result pre'), /^Hello from a Codio node/);
      assert.equal(await page.getAttribute('#result a', 'download'), 'notes.txt');
      await page.context().close();
    });

    test('What nobody has ends in a sentence', async () => {
      const page = await openTab(browser, node.http, { colorScheme: 'dark' });
      await page.fill('#cid', rawCid(Buffer.from('nobody has this')));
      await page.click('#get-button');
      await page.waitForSelector('#error:not([hidden])', { timeout: 15_000 });
      assert.match(await page.textContent('#error'), /all gateways failed: http.*404/);
      await shoot(page, 'error');
      await page.fill('#cid', 'what?');
      await page.click('#get-button');
      await page.waitForFunction(() => document.querySelector('#error').textContent.includes('not an address'));
      await page.context().close();
    });
  });
}
