// <codio-status> beside the drop-in, with a real transfer. Screenshots go to build/e2e.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { closeBrowsers, openTab, skipWithout } from './support/browsers.mjs';
import { rawCid } from './support/dag.mjs';
import { startGateway } from './support/gateway.mjs';
import { startNode } from './support/node.mjs';
import { startSite } from './support/site.mjs';

const shots = fileURLToPath(new URL('../../build/e2e/', import.meta.url));
const fromPeer = randomBytes(6_000_000);
const fromGateway = randomBytes(1_000_000);

let node;
let gateway;
let site;
before(async () => {
  mkdirSync(shots, { recursive: true });
  node = await startNode({ 'peer.bin': fromPeer });
  gateway = await startGateway(new Map([[rawCid(fromGateway), fromGateway]]));
  const html = `<!doctype html><html><head><title>Status</title><meta name="color-scheme" content="light dark">
    <script type="module" src="/pkg/codio-status.js"></script>
    <script type="module" src="/pkg/codio.js" data-node="${node.http}" data-gateways="${gateway.url}" data-rewrite="off"
      data-rendezvous="${node.rendezvous}" data-persist="off" data-max-upload="2M"></script>
    </head><body><codio-status></codio-status></body></html>`;
  site = await startSite({ '/': { body: html, headers: { 'content-security-policy': "style-src 'self'" } } });
});
after(async () => {
  await closeBrowsers();
  site?.stop();
  gateway?.stop();
  await node?.stop();
});

for (const browser of ['chromium', 'firefox']) {
  describe(browser, { skip: skipWithout(browser) }, () => {
    test('The status shows the peers, rates and sources of a transfer, and limits uploads', async () => {
      const tab = await openTab(browser, site.url, { colorScheme: 'dark' });
      await tab.waitForFunction(() => window.codio);
      const timers = () =>
        tab.evaluate(() => {
          const native = window.setTimeout;
          window.timers = 0;
          window.setTimeout = (...given) => (window.timers++, native(...given));
        });
      const shown = (selector) => tab.locator('codio-status').locator(selector).textContent();
      const eventually = (selector, pattern) =>
        tab.waitForFunction(
          ([find, wanted]) => new RegExp(wanted).test(document.querySelector('codio-status').shadowRoot.querySelector(find).textContent),
          [selector, pattern],
        );
      assert.equal(await shown('#peers'), '0');
      await tab.evaluate((cid) => {
        window.sums = { peer: 0, gateway: 0, store: 0 };
        window.codio.on('verified', ({ bytes, source }) => (window.sums[source.kind] += bytes));
        window.first = window.codio.download(cid);
      }, node.roots[0].cid);
      await eventually('#down', '[1-9].* [kM]B/s');
      await eventually('#peers', '^1$');
      const sums = await tab.evaluate(
        async ([one, other]) => {
          await window.first;
          await Promise.all([window.codio.download(one), window.codio.download(other)]);
          return window.sums;
        },
        [node.roots[0].cid, rawCid(fromGateway)],
      );
      assert.ok(sums.peer > 0 && sums.gateway >= fromGateway.length && sums.store >= fromPeer.length, JSON.stringify(sums));
      const share = (bytes) => `${Math.round((100 * bytes) / (sums.peer + sums.gateway + sums.store))} %`;
      await eventually('ul', `Peers ${share(sums.peer)}Gateways ${share(sums.gateway)}Cache ${share(sums.store)}`);
      assert.match(await tab.locator('codio-status').locator('.bar').getAttribute('aria-label'), /^Where it came from: Peers \d+ %/);
      assert.equal(await tab.locator('codio-status').getByRole('img', { name: 'Peers connected: 1' }).count(), 1);
      await tab.screenshot({ path: `${shots}${browser}-status-dark.png` });
      await tab.emulateMedia({ colorScheme: 'light' });
      await tab.screenshot({ path: `${shots}${browser}-status-light.png` });

      await eventually('#down', '^0 B/s$');
      await timers();
      const pause = tab.getByLabel('Pause upload');
      assert.equal(await tab.evaluate(() => window.codio.limits.maxUpload), 2_097_152);
      await pause.check();
      assert.equal(await tab.evaluate(() => window.codio.limits.maxUpload), 0);
      await tab.getByLabel('Upload limit').selectOption('250 kB/s');
      assert.equal(await tab.evaluate(() => window.codio.limits.maxUpload), 0, 'it is paused still');
      await pause.uncheck();
      assert.equal(await tab.evaluate(() => window.codio.limits.maxUpload), 250_000);
      assert.equal(await tab.evaluate(() => window.timers), 0, 'it rests while nothing happens');

      await tab.evaluate(() => document.querySelector('codio-status').remove());
      await tab.evaluate((cid) => window.codio.download(cid), node.roots[0].cid);
      assert.equal(await tab.evaluate(() => window.timers), 0, 'it does nothing outside of the document');
      // Otherwise it would be a peer of the next browser's.
      await tab.context().close();
    });
  });
}
