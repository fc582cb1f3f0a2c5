// A browser alone, without our library, plays a film from a node's gateway.
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { makeVideo } from '../../examples/pages/video.mjs';
import { closeBrowsers, openTab, skipWithout } from './support/browsers.mjs';
import { eventually } from './support/cdn.mjs';
import { startNode } from './support/node.mjs';

/** Longer than what any browser loads ahead. */
const seconds = 240;
const film = makeVideo(seconds);

let node;
let folder;
let log;
before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'codio-media-'));
  log = join(folder, 'access.log');
  node = await startNode({ 'clock.mp4': film }, [], ['--access-log', log]);
});
after(async () => {
  await closeBrowsers();
  await node?.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** The answers about the film, as the node logged them. */
const answers = (target) =>
  (existsSync(log) ? readFileSync(log, 'utf8') : '')
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line))
    .filter((line) => line.target === target);

for (const browser of ['chromium', 'firefox']) {
  describe(browser, { skip: skipWithout(browser) }, () => {
    test('An MP4 plays by ranges, and seeks without the rest of it', async () => {
      const target = `/ipfs/${node.roots[0].cid}?filename=${browser}.mp4`;
      const tab = await openTab(browser, `${node.http}${target}`);
      const seen = await tab.evaluate(async (at) => {
        const video = document.querySelector('video');
        const happens = (name) => new Promise((resolve) => video.addEventListener(name, resolve, { once: true }));
        if (video.readyState < 1) await happens('loadedmetadata');
        video.muted = true;
        video.currentTime = at;
        await happens('seeked');
        await video.play();
        while (video.currentTime <= at) await happens('timeupdate');
        video.pause();
        const { duration, videoWidth, error } = video;
        return { duration, videoWidth, error };
      }, seconds - 20);
      assert.deepEqual(seen, { duration: seconds, videoWidth: 320, error: null });
      await tab.context().close();
      await eventually(() => assert.ok(answers(target).some(({ status }) => status === 206)), 30_000);
      const bytes = answers(target).reduce((sum, answer) => sum + answer.bytes, 0);
      assert.ok(bytes < film.length, `${bytes} bytes of ${film.length}`);
    });
  });
}
