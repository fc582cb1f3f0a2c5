// The example pages as script/examples serves them. Screenshots go to build/e2e.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { closeBrowsers, openTab, skipWithout } from './support/browsers.mjs';
import { program } from './support/node.mjs';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const shots = here('../../build/e2e/');

let server;
let url;
before(async () => {
  mkdirSync(shots, { recursive: true });
  const options = ['--no-gateway', '--no-dht', '--max-upload', '8M'];
  server = spawn(process.execPath, [here('../../examples/pages/serve.mjs'), program, '127.0.0.1:0', ...options]);
  server.stderr.pipe(process.stderr);
  for await (const line of createInterface({ input: server.stdout })) {
    url = /^Open\s+(\S+)/.exec(line)?.[1];
    if (url) break;
  }
  assert.ok(url, 'the examples did not start');
});
after(async () => {
  await closeBrowsers();
  server?.kill('SIGTERM');
});

for (const browser of ['chromium', 'firefox']) {
  describe(browser, { skip: skipWithout(browser) }, () => {
    async function open(name) {
      const tab = await openTab(browser, `${url}/${name}.html`);
      await tab.waitForFunction(() => window.codio, undefined, { timeout: 15_000 });
      return tab;
    }

    async function shoot(tab, name) {
      await tab.screenshot({ path: `${shots}${browser}-example-${name}.png`, fullPage: true });
      await tab.context().close();
    }

    test('Every page is linked from the first', async () => {
      const tab = await openTab(browser, url);
      const links = await tab.$$eval('li a', (all) => all.map(({ href }) => href));
      assert.equal(links.length, 4);
      for (const link of links) assert.equal((await tab.request.get(link)).status(), 200, link);
      await shoot(tab, 'index');
    });

    test('The gallery shows its 50 images', async () => {
      const tab = await open('gallery');
      await tab.waitForFunction(() => {
        const images = [...document.images];
        return images.length === 50 && images.every(({ complete, naturalWidth }) => complete && naturalWidth === 360);
      });
      await shoot(tab, 'gallery');
    });

    test('The video plays, and seeks without having all that is before', async () => {
      const tab = await open('video');
      await tab.waitForFunction(() => document.querySelector('video').readyState >= 2);
      const seen = await tab.evaluate(async () => {
        const video = document.querySelector('video');
        video.currentTime = 43;
        await new Promise((resolve) => video.addEventListener('seeked', resolve, { once: true }));
        const { duration, currentTime, videoWidth, error } = video;
        return { duration, currentTime, videoWidth, error };
      });
      assert.deepEqual(seen, { duration: 60, currentTime: 43, videoWidth: 320, error: null });
      await shoot(tab, 'video');
    });

    test('The download stops, goes on after a reload without what is here, and is saved', async () => {
      const tab = await open('download');
      await tab.click('#start');
      await tab.waitForFunction(() => document.getElementById('progress').value > 6_000_000);
      await tab.click('#stop');
      await tab.waitForFunction(() => document.getElementById('state').textContent.endsWith('Stopped.'));
      await tab.reload();
      await tab.waitForFunction(() => window.codio);
      await tab.click('#start');
      await tab.waitForSelector('#save:not([hidden])', { timeout: 60_000 });
      const text = await tab.textContent('#state');
      const kept = Number(/([\d.]+) MB were here/.exec(text)[1]);
      assert.ok(kept > 5, text);
      assert.match(text, /^33\.6 MB of 33\.6 MB, .*Complete, and every block verified\.$/);
      const size = await tab.evaluate(async () => (await (await fetch(document.getElementById('save').href)).blob()).size);
      assert.equal(size, 32 * 1_048_576);
      await shoot(tab, 'download');
    });

    test('The site is shown in a frame, with its style and picture, and its links work', async () => {
      const tab = await open('site');
      const frame = tab.frameLocator('iframe');
      await frame.locator('h1', { hasText: 'A small site' }).waitFor();
      await frame.locator('img').evaluate((image) => image.decode());
      assert.equal(await frame.locator('body').evaluate((body) => getComputedStyle(body).backgroundColor), 'rgb(17, 34, 51)');
      // A synthetic pointer does not find into a sandboxed frame, which has a process of its own in Chromium.
      await frame.getByText('About').evaluate((link) => link.click());
      await frame.locator('h1', { hasText: 'About' }).waitFor();
      await shoot(tab, 'site');
    });
  });
}
