// Film in the extension's viewer: it plays as it comes, and from wherever it is wanted.
import assert from 'node:assert/strict';
import { after, before, describe, test as testNode } from 'node:test';
import { makeVideo } from '../../examples/pages/video.mjs';
import { closeBrowsers, skipWithout } from './support/browsers.mjs';
import { openExtension, shown, text } from './support/extension.mjs';
import { tablesLast } from './support/mp4.mjs';
import { startNode } from './support/node.mjs';

const test = (name, run) => testNode(name, { timeout: 180_000 }, run);
/** Much longer than what is loaded ahead. */
const seconds = 240;
const film = makeVideo(seconds);
const files = { 'tables-first.mp4': film, 'tables-last.mp4': tablesLast(film) };

let node;
before(async () => {
  node = await startNode(files);
});
after(async () => {
  await closeBrowsers();
  await node?.stop();
});
const cidOf = (name) => node.roots[Object.keys(files).indexOf(name)].cid;
const uploaded = async () => (await node.stats()).uploaded;

for (const browser of ['chromium', 'firefox']) {
  describe(browser, { skip: skipWithout(browser) }, () => {
    for (const name of Object.keys(files)) {
      test(`${name} plays before it is here, and goes where it is wanted without what is between`, async () => {
        const extension = await openExtension(browser, { settings: { node: node.http, privacy: 'p2p-only' } });
        try {
          const before = await uploaded();
          const viewer = await extension.page(`view.html?u=codio://${cidOf(name)}`);
          await shown(viewer, 'video');
          await viewer.evaluate(() => {
            const video = document.querySelector('video');
            video.muted = true;
            video.onplaying = () => (window.isPlaying = true);
            void video.play();
          });
          await viewer.waitForFunction(() => window.isPlaying && document.querySelector('video').currentTime > 0);
          const atFirst = (await uploaded()) - before;
          assert.ok(atFirst < film.length / 2, `${atFirst} of ${film.length} bytes had come when it played`);
          await viewer.evaluate((at) => void (document.querySelector('video').currentTime = at), seconds - 20);
          await viewer.waitForFunction((at) => !document.querySelector('video').seeking && document.querySelector('video').currentTime > at, seconds - 20);
          const { duration, videoWidth, error } = await viewer.evaluate(() => {
            const { duration, videoWidth, error } = document.querySelector('video');
            return { duration, videoWidth, error };
          });
          assert.deepEqual({ duration, videoWidth, error }, { duration: seconds, videoWidth: 320, error: null });
          await viewer.waitForFunction((end) => {
            const { buffered } = document.querySelector('video');
            return buffered.end(buffered.length - 1) > end - 0.5;
          }, seconds);
          const inAll = (await uploaded()) - before;
          assert.ok(inAll < 0.8 * film.length, `${inAll} of ${film.length} bytes came in all`);
          assert.ok((await viewer.evaluate(() => document.querySelector('video').buffered.start(0))) > 100, 'what is far behind is still in memory');
          assert.equal(await viewer.evaluate(() => document.querySelector('#note').hidden), true, await text(viewer, '#note'));
        } finally {
          await extension.stop();
        }
      });
    }
  });
}
