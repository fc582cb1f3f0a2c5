// What the extension lives through: its browser's restart, many wakers at once, refused permissions; and the ways into it.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import { after, before, describe, test as testNode } from 'node:test';
import { closeBrowsers, openTab, skipWithout } from './support/browsers.mjs';
import { download, eventually, join, sha256 } from './support/cdn.mjs';
import { buildFile } from './support/dag.mjs';
import { at, click, countNodes, navigate, openExtension, progressOf, savedHash, saveToSpool, setSettings, shown, text } from './support/extension.mjs';
import { startNode } from './support/node.mjs';

/** A browser that starts twice takes a minute on a busy machine. */
const test = (name, run) => testNode(name, { timeout: 240_000 }, run);
const film = randomBytes(24_000_000);
const picture = Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 8 4"><rect width="8" height="4" fill="#7c3aed"/></svg>');
const files = { 'film.bin': film, 'picture.svg': picture };
const cidOf = (name) => node.roots[Object.keys(files).indexOf(name)].cid;

let node;
let site;
before(async () => {
  node = await startNode(files);
  site = await startSite();
});
after(async () => {
  await closeBrowsers();
  await node?.stop();
  site?.close();
  site?.closeAllConnections();
});

const schemes = ['web', 'ext'];
/** Files that nobody has. */
const letter = randomBytes(700_000);
const large = randomBytes(60_000_000);

async function startSite() {
  const links = schemes.map((scheme) => `<a id="${scheme}" href="${scheme}+codio://${cidOf('picture.svg')}">the picture</a>`);
  const bodies = { '/letter.bin': letter, '/large.bin': large };
  /** Of those that do not come to their end. */
  const lengths = { '/endless.bin': 90_000_000, '/huge.bin': 300_000_000 };
  const server = createServer(({ url }, response) => {
    const length = lengths[url];
    response.setHeader('content-type', length || bodies[url] ? 'application/octet-stream' : 'text/html');
    if (!length) return void response.end(bodies[url] ?? `<title>a site</title>${links.join('')}`);
    response.setHeader('content-length', length);
    response.write(large.subarray(0, 5_000_000));
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return Object.assign(server, { url: `http://127.0.0.1:${server.address().port}` });
}

for (const browser of ['chromium', 'firefox']) {
  describe(browser, { skip: skipWithout(browser) }, () => {
    const open = (options) => openExtension(browser, { ...options, settings: { node: node.http, ...options.settings } });
    /** For one test, in a profile of its own. */
    async function withExtension(options, run) {
      const extension = await open(options);
      try {
        await run(extension);
      } finally {
        await extension.stop();
      }
    }
    const view = (extension, name) => extension.page(`view.html?u=codio://${cidOf(name)}`);
    const showsPicture = (page) => page.waitForFunction(() => document.querySelector('#content img')?.naturalWidth > 0);

    test('After the browser’s restart a transfer goes on, totals stay, and what was shared is offered again', async () => {
      const options = { grant: true, install: 'for good', settings: { maxDownload: 2e6 } };
      const first = await open(options);
      let second;
      try {
        await first.open(site.url);
        await first.clickMenu('share', `${site.url}/letter.bin`, `${site.url}/`);
        const popup = await first.page('popup.html');
        await shown(popup, '#shares li');
        const viewer = await view(first, 'film.bin');
        await saveToSpool(viewer);
        await viewer.waitForFunction(() => Number(document.querySelector('#progress').getAttribute('aria-valuenow')) > 30);
        const lifetime = async (page) => (await page.evaluate(() => chrome.storage.local.get('totals'))).totals?.fromPeers ?? 0;
        const before = await eventually(async () => {
          const bytes = await lifetime(popup);
          assert.ok(bytes > 0);
          return bytes;
        }, 20_000);
        await first.stop({ keep: true });

        second = await openExtension(browser, { ...options, settings: {}, profile: first.profile, folder: first.folder });
        const taker = await openTab('chromium', node.http);
        await join(taker, { policy: 'p2p-only' });
        await eventually(async () => {
          const got = await download(taker, buildFile(letter).cid);
          assert.equal(got.hash, sha256(letter), got.error);
        }, 60_000);
        await taker.context().close();
        const anew = await view(second, 'film.bin');
        assert.ok((await lifetime(anew)) >= before);
        // It may be saved before anybody looks.
        await anew.evaluate(() => {
          const state = document.querySelector('#state');
          const note = () => (window.begun ??= /^([\d.]+) MB of/.exec(state.textContent)?.[1]);
          new MutationObserver(note).observe(state, { childList: true, characterData: true, subtree: true });
        });
        await saveToSpool(anew);
        await anew.waitForFunction(() => window.begun);
        const begun = await anew.evaluate(() => window.begun);
        assert.ok(Number(begun) > 5, `it began at ${begun} MB`);
        await anew.waitForFunction(() => document.querySelector('#state').textContent === 'Saved', undefined, { timeout: 40_000 });
        assert.equal(await savedHash(anew), sha256(film));
        assert.equal(await countNodes(second), 1);
      } finally {
        await (second ?? first).stop();
      }
    });

    test('However many wake it at once, and while it is told to end, there is one node', () =>
      withExtension({}, async (extension) => {
        const popup = await extension.page('popup.html');
        const wakeAll = () =>
          popup.evaluate(async () => {
            const woken = [];
            for (let i = 0; i < 20; i++) {
              woken.push(chrome.runtime.sendMessage({ type: 'wake' }));
              if (i % 3 === 2) void chrome.runtime.sendMessage({ type: 'idle' });
            }
            return Promise.all(woken);
          });
        assert.deepEqual(new Set((await wakeAll()).map(({ error }) => error)), new Set([undefined]));
        await extension.suspend();
        const viewers = await Promise.all(['picture.svg', 'picture.svg', 'picture.svg'].map((name) => view(extension, name)));
        await Promise.all([wakeAll(), ...viewers.map(showsPicture)]);
        assert.equal(await countNodes(extension), 1);
      }));

    test('The CID of a file that nobody knows is copied, and the file neither shared nor kept', () =>
      withExtension({ grant: true }, async (extension) => {
        const page = await extension.open(site.url);
        await page.bringToFront();
        await extension.clickMenu('copy', `${site.url}/letter.bin`, `${site.url}/`);
        await eventually(async () => assert.equal(await extension.clipboard(page), buildFile(letter).cid), 20_000);
        const popup = await extension.page('popup.html');
        assert.deepEqual(await popup.evaluate(() => chrome.storage.local.get('shares')), {});
        const taker = await openTab('chromium', node.http);
        await join(taker, { policy: 'p2p-only' });
        assert.equal((await download(taker, buildFile(letter).cid)).code, 'not-found');
        await taker.context().close();
      }));

    test('A large file is shared from the disk, with its progress, and can be stopped; one larger than the cache is not begun', () =>
      withExtension({ grant: true, settings: { storeBytes: 100e6 } }, async (extension) => {
        const page = await extension.open(site.url);
        const popup = await extension.page('popup.html');
        const share = (name) => extension.clickMenu('share', `${site.url}/${name}`, `${site.url}/`);
        const says = (what) => popup.waitForFunction((wanted) => new RegExp(wanted).test(document.querySelector('#notice').textContent), what);

        await share('endless.bin');
        await popup.waitForFunction(() => /^Transfers \(1\)/.test(document.querySelector('#transfers-title').textContent));
        await popup.waitForFunction(() => /MB of 90\.0 MB.*Read to be shared/.test(document.querySelector('#transfers').textContent));
        await click(popup, '#transfers button:not([hidden])');
        await popup.waitForFunction(() => document.querySelector('#transfers').childElementCount === 0);
        await says('^Not shared: endless\\.bin was stopped in the popup');
        assert.equal(await filesOnDisk(popup), 0);

        await share('huge.bin');
        await says('^Not shared: .*huge\\.bin has 300 MB, which is more than 100 MB, what is left of the cache');

        await share('large.bin');
        await shown(popup, '#shares li');
        const { shares } = await popup.evaluate(() => chrome.storage.local.get('shares'));
        assert.deepEqual([shares[0].cid, shares[0].size], [buildFile(large).cid, large.length]);
        await eventually(async () => assert.equal(await filesOnDisk(popup), 0));
        const taker = await openTab('chromium', node.http);
        await join(taker, { policy: 'p2p-only' });
        const got = await download(taker, shares[0].cid);
        assert.equal(got.hash, sha256(large), got.error);
        await taker.context().close();
        await page.close();
      }));

    test('A refused permission leaves the options as they are, and says so', () =>
      withExtension({ grant: 'never' }, async (extension) => {
        const options = await extension.page('options.html');
        await click(options, '#namedPages');
        await options.waitForFunction(() => document.querySelector('#namedPages-problem').textContent !== '');
        assert.equal(await text(options, '#namedPages-problem'), 'The browser did not allow it.');
        assert.equal(await options.evaluate(() => document.querySelector('#namedPages').checked), false);
        const { settings } = await options.evaluate(() => chrome.storage.local.get('settings'));
        assert.ok(!settings.namedPages);
      }));

    test('What is typed after the keyword opens', () =>
      withExtension({}, async (extension) => {
        await extension.open(site.url);
        await extension.type(`codio ${cidOf('picture.svg')}`);
        const opened = await eventually(async () => {
          const found = await extension.find('view.html');
          assert.ok(found);
          return found;
        }, 20_000);
        await showsPicture(opened);
      }));

    for (const scheme of schemes) {
      test(`${scheme}+codio: links open in the viewer`, () =>
        withExtension({}, async (extension) => {
          await extension.agreeToHandle?.(`${scheme}+codio`);
          const page = await extension.open(site.url);
          await click(page, `#${scheme}`);
          await at(page, 'view.html');
          await showsPicture(page);
        }));
    }

    if (browser === 'firefox') {
      test('A permission that is taken back takes with it what it was for', () =>
        withExtension({ settings: { namedPages: true, sites: { [node.http]: { node: true } } } }, async (extension) => {
          await extension.permit(true);
          const options = await extension.page('options.html');
          assert.equal(await options.evaluate(() => document.querySelector('#namedPages').checked), true);
          await extension.permit(false);
          await options.waitForFunction(() => !document.querySelector('#namedPages').checked);
          await options.waitForFunction(() => document.querySelector('#sites input')?.checked !== true);
        }));
    }

    if (browser === 'chromium') {
      test('A file is saved where the user chooses, no faster than that takes it', () =>
        withExtension({ settings: { maxDownload: 6e6 } }, async (extension) => {
          const viewer = await view(extension, 'film.bin');
          await shown(viewer, '#note');
          // The picker is the browser's; the file is real, and takes what it gets when it is let.
          await viewer.evaluate(() => {
            window.showSaveFilePicker = async ({ suggestedName }) => {
              window.suggested = suggestedName;
              const file = await (await navigator.storage.getDirectory()).getFileHandle('chosen', { create: true });
              const isLet = new Promise((resolve) => (window.letGo = resolve));
              return {
                createWritable: async () => {
                  const to = (await file.createWritable()).getWriter();
                  return new WritableStream({ write: (bytes) => isLet.then(() => to.write(bytes)), close: () => to.close() });
                },
              };
            };
          });
          await click(viewer, '#save');
          await viewer.waitForFunction(() => Number(document.querySelector('#progress').getAttribute('aria-valuenow')) > 20);
          // It stands still with a part of it in memory.
          let held = -1;
          await eventually(async () => {
            const before = held;
            held = await progressOf(viewer);
            await new Promise((resolve) => setTimeout(resolve, 700));
            assert.ok(before === held && held === (await progressOf(viewer)));
          }, 20_000);
          assert.ok(held < 75, `${held} % of it are in memory`);
          await viewer.evaluate(() => window.letGo());
          await viewer.waitForFunction(() => document.querySelector('#state').textContent === 'Saved', undefined, { timeout: 30_000 });
          const hash = await viewer.evaluate(async () => {
            const file = await (await (await navigator.storage.getDirectory()).getFileHandle('chosen')).getFile();
            const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', await file.arrayBuffer()));
            return [...digest].map((byte) => byte.toString(16).padStart(2, '0')).join('');
          });
          assert.equal(hash, sha256(film));
          assert.ok((await viewer.evaluate(() => window.suggested)).startsWith(cidOf('film.bin')));
        }));
    }
  });
}

/** That the extension keeps besides its cache. */
function filesOnDisk(page) {
  return page.evaluate(async () => {
    const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle('spool', { create: true });
    let count = 0;
    for await (const _ of folder.keys()) count++;
    return count;
  });
}
