// The extension on a computer that sleeps, and with peers on one: everything of it stops for longer than all others wait.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, test as testNode } from 'node:test';
import { skipWithout } from './support/browsers.mjs';
import { eventually, sha256 } from './support/cdn.mjs';
import { countNodes, openExtension, savedHashes, saveToSpool, text } from './support/extension.mjs';
import { startNode } from './support/node.mjs';
import { putToSleep } from './support/process-tree.mjs';

const test = (name, run) => testNode(name, { timeout: 400_000 }, run);
const picture = (colour) => Buffer.from(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 8 4"><rect width="8" height="4" fill="${colour}"/></svg>`);
const films = [randomBytes(24_000_000), randomBytes(24_000_000)];
const files = { 'a.bin': films[0], 'b.bin': films[1], 'a.svg': picture('red'), 'b.svg': picture('blue') };

/** Nobody is connected to it, in any way: what it had of others has ended. */
async function forgotten(node) {
  const metrics = await (await fetch(`${node.http}/metrics`, { headers: { connection: 'close' } })).text();
  const [, connections] = /^codio_http_connections (\d+)/m.exec(metrics);
  assert.deepEqual([Number(connections), await node.beside('peers')], [1, []]);
}

for (const browser of ['chromium', 'firefox']) {
  describe(browser, { skip: skipWithout(browser) }, () => {
    let node;
    let extension;
    before(async () => {
      node = await startNode(files);
      extension = await openExtension(browser, { settings: { node: node.http, privacy: 'p2p-only', maxDownload: 2e6 } });
    });
    after(async () => {
      await extension?.stop();
      await node?.stop();
    });
    const view = (name) => extension.page(`view.html?u=codio://${node.roots[Object.keys(files).indexOf(name)].cid}`);

    /** @returns the popup and the viewer, in the middle of it */
    async function begin(name) {
      const popup = await extension.page('popup.html');
      const viewer = await view(name);
      await saveToSpool(viewer);
      await viewer.waitForFunction(() => Number(document.querySelector('#progress').getAttribute('aria-valuenow')) > 10);
      await popup.waitForFunction(() => document.querySelector('#peer-count').textContent === '1');
      return { popup, viewer };
    }

    /** By itself, with what was there and with what is new. */
    async function goesOn({ popup, viewer }, film, next) {
      await viewer.waitForFunction(() => document.querySelector('#state').textContent === 'Saved', undefined, { timeout: 90_000 });
      assert.ok((await savedHashes(viewer)).includes(sha256(film)));
      await popup.waitForFunction(() => document.querySelector('#peer-count').textContent === '1' && document.querySelector('#transfers').childElementCount === 0);
      assert.match(await text(popup, '#state'), /^Connected to 1 peer/);
      assert.equal(await countNodes(extension), 1);
      const other = await view(next);
      await other.waitForFunction(() => document.querySelector('#content img')?.naturalWidth > 0);
    }

    test('A transfer goes on when its only peer has slept', async () => {
      const pages = await begin('a.bin');
      const wake = putToSleep(node.pid);
      try {
        await pages.viewer.waitForFunction(() => document.querySelector('#state').textContent.startsWith('Nobody has the rest now'), undefined, { timeout: 90_000 });
        await pages.popup.waitForFunction(() => document.querySelector('#peer-count').textContent === '0', undefined, { timeout: 90_000 });
      } finally {
        wake();
      }
      await goesOn(pages, films[0], 'a.svg');
    });

    test('A transfer goes on after the computer has slept', async () => {
      const pages = await begin('b.bin');
      const wake = putToSleep(extension.pid);
      try {
        await eventually(() => forgotten(node), 150_000);
      } finally {
        wake();
      }
      await goesOn(pages, films[1], 'b.svg');
    });
  });
}
