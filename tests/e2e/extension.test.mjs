// The browser extension as its user has it, in Chromium and Firefox. Screenshots go to build/e2e.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { join as joinPath } from 'node:path';
import { after, before, describe, test as testNode } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { closeBrowsers, openTab, skipWithout } from './support/browsers.mjs';
import { download, eventually, join, sha256, uploadRandom } from './support/cdn.mjs';
import { buildFile, rawCid } from './support/dag.mjs';
import { at, built, click, navigate, openExtension, progressOf, savedHash, saveToSpool, setSettings, shown, text } from './support/extension.mjs';
import { startNode } from './support/node.mjs';

const test = (name, run) => testNode(name, { timeout: 90_000 }, run);
const shots = fileURLToPath(new URL('../../build/e2e/', import.meta.url));
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const film = randomBytes(24_000_000);
const picture = Buffer.from(
  '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 800 420"><rect width="800" height="420" fill="#7c3aed"/>' +
    '<circle cx="560" cy="250" r="60" fill="#fde68a"/><path d="M0 420V300l270-110 280 90 250 70v70z" fill="#0f172a"/></svg>',
);
const hostile = Buffer.from('<!doctype html><title>x</title><h1>Hello</h1><img src="/called-home"><script>parent.ran = true</script>');
/** A second of silence. */
const sound = Buffer.concat([Buffer.from('RIFF\x64\x1f\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x40\x1f\0\0\x01\0\x08\0data\x40\x1f\0\0', 'latin1'), Buffer.alloc(8000, 128)]);

const files = { 'film.bin': film, 'picture.svg': picture, 'page.html': hostile, 'sound.wav': sound };

let node;
let site;
const asked = [];
before(async () => {
  mkdirSync(shots, { recursive: true });
  node = await startNode(files);
  site = await startSite();
});
after(async () => {
  await closeBrowsers();
  await node?.stop();
  site?.close();
});
const cidOf = (name) => node.roots[Object.keys(files).indexOf(name)].cid;

/** Pages that name content in every way there is. */
async function startSite() {
  const server = createServer((request, response) => {
    asked.push(request.url);
    const cid = cidOf('picture.svg');
    response.setHeader('content-type', 'text/html');
    if (request.url === '/header') response.setHeader('x-codio-cid', cid);
    if (request.url === '/picture.svg') response.setHeader('content-type', 'image/svg+xml');
    const bodies = {
      '/links': `<title>links</title><a href="codio://${cid}">the picture</a>`,
      '/header': '<title>the original</title>',
      '/link': `<head><title>the original</title><link rel="codio" href="codio://${cid}"></head>`,
      '/picture.svg': picture,
    };
    response.end(bodies[request.url] ?? `<title>the original</title>${request.url}`);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return Object.assign(server, { url: `http://127.0.0.1:${server.address().port}` });
}

const titled = (page, title) => page.waitForFunction((wanted) => document.title === wanted, title);

async function shoot(page, name, width, height) {
  if (page.context && page.setViewportSize) {
    await page.setViewportSize({ width, height });
    await page.screenshot({ path: `${shots}${name}.png`, fullPage: true });
  } else {
    // Firefox sometimes has no picture to give; the picture is for looking at, and no part of the test.
    await page.screenshot(width, height).then((image) => writeFileSync(`${shots}${name}.png`, image), () => {});
  }
}

/** What axe-core finds wrong: empty. */
async function findWrong(page) {
  const source = `async () => { ${axe}; const { violations } = await axe.run();
    return violations.map(({ id, nodes }) => id + ': ' + nodes.map(({ html }) => html).join(' ')); }`;
  return page.setViewportSize ? page.evaluate(`(${source})()`) : page.evaluate(source);
}

for (const browser of ['chromium', 'firefox']) {
  describe(browser, { skip: skipWithout(browser) }, () => {
    /** For one test, in a profile of its own. */
    async function withExtension(options, run) {
      const extension = await openExtension(browser, { ...options, settings: { node: node.http, ...options.settings } });
      try {
        await run(extension);
      } finally {
        await extension.stop();
      }
    }
    const view = (extension, name) => extension.page(`view.html?u=codio://${cidOf(name)}`);

    test('It asks for no site when installed, and no page sees it', () =>
      withExtension({}, async (extension) => {
        const options = await extension.page('options.html');
        const { origins = [], permissions } = await options.evaluate(() => chrome.permissions.getAll());
        assert.deepEqual(origins, []);
        assert.ok(!permissions.includes('webRequest') && !permissions.includes('tabs'));
        const page = await extension.open(`${site.url}/links`);
        const before = await page.evaluate(() => document.documentElement.outerHTML);
        assert.ok(!before.includes('codio-extension') && !before.includes('iframe'));
        assert.equal(await page.evaluate((url) => fetch(`${url}bridge.html`).then(() => 'seen', () => 'unseen'), extension.url), 'unseen');
      }));

    test('The popup follows a transfer, and its numbers are those of the other end', () =>
      withExtension({ settings: { maxDownload: 3e6, privacy: 'p2p-only' } }, async (extension) => {
        const before = await node.stats();
        const popup = await extension.page('popup.html');
        await popup.evaluate(() => {
          window.seen = new Set();
          new MutationObserver(() => window.seen.add(document.querySelector('#bytes-downloaded').textContent)).observe(document.body, {
            childList: true,
            subtree: true,
            characterData: true,
          });
        });
        assert.equal(await text(popup, '#bytes-downloaded'), '0 B');
        assert.equal(await text(popup, 'h1'), 'Codio CDN Status');
        const viewer = await view(extension, 'film.bin');
        await saveToSpool(viewer);
        await shown(popup, '#transfers progress, #transfers [role=progressbar]');
        await popup.waitForFunction(() => Number(document.querySelector('#transfers [role=progressbar]')?.getAttribute('aria-valuenow')) > 40);
        assert.equal(await text(popup, '#peer-count'), '1');
        // Speed and its history, and who sends.
        await popup.waitForFunction(() => {
          const heights = document.querySelector('#graph path').getAttribute('d').match(/ [\d.]+(?=[LZ])/g);
          return new Set(heights).size > 2 && /^[1-9][\d.]* [KM]B\/s$/.test(document.querySelector('#speed-down').textContent);
        });
        assert.equal(await popup.evaluate(() => document.querySelectorAll('#map circle').length), 2);
        assert.match(await text(popup, '#map-text'), /^1 peer\. .*Sending [\d.]+ MB\/s\.$/);
        assert.match(await text(popup, '#transfers'), /MB\/s.*100 % peers|MB\/s.*left.*% peers/);
        for (const scheme of ['light', 'dark']) {
          await setScheme(extension, popup, scheme);
          await shoot(popup, `${browser}-extension-popup-${scheme}`, 380, 720);
          assert.deepEqual(await findWrong(popup), []);
        }
        await popup.waitForFunction(() => document.querySelector('#transfers').childElementCount === 0);
        const after = await node.stats();
        const sent = after.uploaded - before.uploaded;
        await eventually(async () => assert.equal(await totals(popup), sent));
        assert.equal(await text(popup, '#bytes-downloaded'), await popup.evaluate((bytes) => `${(bytes / 1e6).toFixed(1)} MB`, sent));
        assert.ok((await popup.evaluate(() => window.seen.size)) > 8, 'it was not live');
      }));

    test('The popup lets the site below it use the node, or leaves it alone, and sets the limits', () =>
      withExtension({ grant: true }, async (extension) => {
        const page = await extension.open(`${site.url}/links`);
        const popup = await extension.page('popup.html');
        await page.bringToFront();
        await popup.evaluate(() => {
          window.isOld = true;
          setTimeout(() => location.reload());
        });
        await popup.waitForFunction(() => !window.isOld && document.querySelector('#site-section')?.checkVisibility());
        assert.match(await text(popup, '#site-section'), new RegExp(new URL(site.url).host));
        const kept = async () => (await popup.evaluate(() => chrome.storage.local.get('settings'))).settings;
        const rule = (wanted) => eventually(async () => assert.deepEqual((await kept()).sites?.[site.url], wanted));
        // Firefox asks its user, whom nobody can play.
        const node = browser === 'chromium' && { node: true };
        if (node) {
          await click(popup, '#site-node');
          await rule(node);
          await eventually(async () => {
            await navigate(page, `${site.url}/links`);
            await page.waitForFunction(() => document.documentElement.dataset.codioExtension === 'here', undefined, { timeout: 1000 });
          }, 15_000);
        }
        await click(popup, '#site-off');
        await rule({ ...node, off: true });
        const options = await extension.page('options.html');
        await options.waitForFunction((url) => document.querySelector('#sites tbody').textContent.includes(url), site.url);
        await click(options, '#sites tbody button');
        await rule(undefined);
        for (const [id, name] of [['max-upload', 'maxUpload'], ['max-download', 'maxDownload']]) {
          await popup.evaluate((one) => {
            const select = document.getElementById(one);
            select.value = '1000000';
            select.dispatchEvent(new Event('change'));
          }, id);
          await eventually(async () => assert.equal((await kept())[name], 1e6));
        }
      }));

    test('A transfer can be paused', () =>
      withExtension({ settings: { maxDownload: 6e6 } }, async (extension) => {
        const popup = await extension.page('popup.html');
        const viewer = await view(extension, 'film.bin');
        await saveToSpool(viewer);
        await popup.waitForFunction(() => Number(document.querySelector('#transfers [role=progressbar]')?.getAttribute('aria-valuenow')) > 10);
        await click(popup, '#transfers button');
        await popup.waitForFunction(() => document.querySelector('#transfers').textContent.includes('Paused'));
        // What was on its way arrives, and no more.
        let held = -1;
        await eventually(async () => {
          const before = held;
          held = await progressOf(viewer);
          await new Promise((resolve) => setTimeout(resolve, 700));
          assert.ok(before === held && held === (await progressOf(viewer)));
        }, 15_000);
        assert.ok(held < 90, `${held} % came`);
        await click(popup, '#transfers button');
        await viewer.waitForFunction(() => document.querySelector('#state').textContent === 'Saved');
        assert.equal(await savedHash(viewer), sha256(film));
      }));

    test('A transfer can be cancelled', () =>
      withExtension({ settings: { maxDownload: 3e6 } }, async (extension) => {
        const popup = await extension.page('popup.html');
        const viewer = await view(extension, 'film.bin');
        await saveToSpool(viewer);
        await popup.waitForFunction(() => Number(document.querySelector('#transfers [role=progressbar]')?.getAttribute('aria-valuenow')) > 10);
        await click(popup, '#transfers button:nth-of-type(2)');
        await shown(viewer, '#error');
        assert.match(await text(viewer, '#error'), /cancelled in the popup/);
      }));

    test('A transfer to disk survives its background, and goes on after its node', () =>
      withExtension({ settings: { maxDownload: 4e6 } }, async (extension) => {
        const viewer = await view(extension, 'film.bin');
        await saveToSpool(viewer);
        await viewer.waitForFunction(() => document.querySelector('#progress').getAttribute('aria-valuenow') > 15);
        await extension.suspend();
        await viewer.waitForFunction(() => document.querySelector('#progress').getAttribute('aria-valuenow') > 40);
        // Its node ends: settings of its foundation change.
        await setSettings(extension, { storeBytes: 500e6 });
        assert.ok((await progressOf(viewer)) >= 40);
        await viewer.waitForFunction(() => document.querySelector('#state').textContent === 'Saved', undefined, { timeout: 30_000 });
        assert.equal(await savedHash(viewer), sha256(film));
        // Nor does what has ended need one.
        await viewer.evaluate(() => {
          const state = document.querySelector('#state');
          window.seen = [];
          new MutationObserver(() => window.seen.push(state.textContent)).observe(state, { childList: true });
        });
        await setSettings(extension, { storeBytes: 600e6 });
        await viewer.waitForFunction(() => window.seen?.includes('The node has to start anew…') && document.querySelector('#state').textContent === 'Saved');
      }));

    test('A transfer to disk goes on in a new tab where the closed one was', () =>
      withExtension({ settings: { maxDownload: 6e6 } }, async (extension) => {
        const first = await view(extension, 'film.bin');
        await saveToSpool(first);
        await first.waitForFunction(() => document.querySelector('#progress').getAttribute('aria-valuenow') > 30);
        await first.close();
        const second = await view(extension, 'film.bin');
        await saveToSpool(second);
        await second.waitForFunction(() => document.querySelector('#state').textContent.includes('MB of'));
        const [, begun] = /^([\d.]+) MB of/.exec(await text(second, '#state')) ?? [];
        assert.ok(Number(begun) > 7, `it began at ${begun} MB`);
        await second.waitForFunction(() => document.querySelector('#state').textContent === 'Saved', undefined, { timeout: 30_000 });
        assert.equal(await savedHash(second), sha256(film));
      }));

    test('The viewer shows each type, and a stranger’s page can do nothing', () =>
      withExtension({}, async (extension) => {
        const viewer = await view(extension, 'picture.svg');
        await viewer.waitForFunction(() => document.querySelector('#content img')?.naturalWidth > 0);
        await viewer.waitForFunction(() => document.querySelector('#state').textContent === 'Verified');
        assert.match(await text(viewer, '#facts'), /B · image\/svg\+xml/);
        assert.match(await text(viewer, '#verdict'), /^\d+ B from (1 peer|a gateway)/);
        for (const scheme of ['light', 'dark']) {
          await setScheme(extension, viewer, scheme);
          await viewer.evaluate(() => (document.querySelector('details').open = true));
          await shoot(viewer, `${browser}-extension-view-${scheme}`, 1000, 720);
          assert.deepEqual(await findWrong(viewer), []);
        }
        const player = await view(extension, 'sound.wav');
        await player.waitForFunction(() => document.querySelector('audio')?.duration === 1);
        const page = await view(extension, 'page.html');
        await shown(page, '#content iframe');
        await page.waitForFunction(() => document.querySelector('#state').textContent === 'Verified');
        assert.equal(await page.evaluate(() => window.ran), undefined);
        assert.equal(await page.evaluate(() => document.querySelector('iframe').contentDocument), null);
        assert.ok(!asked.includes('/called-home'));
      }));

    test('What nobody has ends in a sentence', () =>
      withExtension({}, async (extension) => {
        const viewer = await extension.page(`view.html?u=codio://${rawCid(Buffer.from('nobody'))}`);
        await shown(viewer, '#error');
        assert.match(await text(viewer, '#error'), /all gateways failed/);
        const wrong = await extension.page('view.html?u=what');
        await shown(wrong, '#error');
        assert.match(await text(wrong, '#error'), /“what” is no CID/);
      }));

    test('codio:// links open in the viewer', () =>
      withExtension({}, async (extension) => {
        const page = await extension.open(`${site.url}/links`);
        await click(page, 'a');
        await at(page, 'view.html');
        await page.waitForFunction(() => document.querySelector('#content img')?.naturalWidth > 0);
      }));

    test('A codio:// address that is typed opens in the viewer', () =>
      withExtension({}, async (extension) => {
        const page = await extension.open(`${site.url}/links`);
        await extension.enter(page, `codio://${cidOf('picture.svg')}`);
        const viewer = await eventually(async () => {
          const found = await extension.find('view.html');
          assert.ok(found);
          return found;
        }, 20_000);
        await viewer.waitForFunction(() => document.querySelector('#content img')?.naturalWidth > 0);
      }));

    test('Gateway links open in the viewer where the user wants it, and the original is a click away', () =>
      withExtension({}, async (extension) => {
        const link = `${site.url}/ipfs/${cidOf('picture.svg')}`;
        const page = await extension.open();
        await navigate(page, link);
        await page.waitForFunction((url) => location.href === url && document.readyState === 'complete', link);
        await setSettings(extension, { gatewayLinks: true });
        await navigate(page, link);
        await at(page, 'view.html');
        await page.waitForFunction(() => document.querySelector('#content img')?.naturalWidth > 0);
        await click(page, '#original');
        await page.waitForFunction((url) => location.href === url && document.readyState === 'complete', link);
        // A link that leads nowhere here loads by itself from where it leads.
        const lost = `${site.url}/ipfs/${rawCid(Buffer.from('nowhere'))}`;
        await navigate(page, lost);
        await page.waitForFunction((url) => location.href === url && document.title === 'the original', lost);
        await setSettings(extension, { sites: { [new URL(link).origin]: { off: true } } });
        const another = await extension.open();
        await navigate(another, link);
        await another.waitForFunction((url) => location.href === url && document.readyState === 'complete', link);
      }));

    for (const way of ['header', 'link']) {
      test(`A page that names its content by a ${way} opens in the viewer where the user wants it`, () =>
        withExtension({ grant: true }, async (extension) => {
          const page = await extension.open(`${site.url}/${way}`);
          await titled(page, 'the original');
          await setSettings(extension, { namedPages: true });
          await eventually(async () => {
            await navigate(page, `${site.url}/${way}`);
            await at(page, 'view.html');
          }, 20_000);
          await page.waitForFunction(() => document.querySelector('#content img')?.naturalWidth > 0);
          await click(page, '#original');
          await titled(page, 'the original');
        }));
    }

    test('Sites use the node if the user lets them, and what one has the next gets without the network', () =>
      withExtension({ grant: true, settings: { privacy: 'p2p-only' } }, async (extension) => {
        const other = await startNode();
        const origins = [node.http, other.http];
        const open = async (origin) => {
          const page = await extension.open(origin);
          await join(page, { gateways: [] });
          return page;
        };
        const stranger = await open(node.http);
        assert.equal(await stranger.evaluate(() => document.documentElement.dataset.codioExtension), undefined);
        await stranger.close();
        await setSettings(extension, { sites: { [origins[0]]: { node: true }, [origins[1]]: { node: true } } });
        const popup = await extension.page('popup.html');
        const first = await eventually(() => marked(open, origins[0]), 15_000);
        const got = await download(first, cidOf('film.bin'));
        assert.equal(got.hash, sha256(film), got.error);
        assert.ok(got.sources.peer > 0);
        const before = (await node.stats()).uploaded;
        const second = await marked(open, origins[1]);
        const again = await download(second, cidOf('film.bin'));
        assert.equal(again.hash, sha256(film), again.error);
        assert.deepEqual(Object.keys(again.sources), ['store']);
        assert.equal((await node.stats()).uploaded, before);
        assert.deepEqual(await second.evaluate(() => window.cdn.stats()), { peers: 0, downloadedFromPeers: 0, downloadedFromGateways: 0, uploaded: 0, duplicates: 0, transfers: 0 });
        await eventually(async () => assert.match(await text(popup, '#bytes-saved'), /^2[45]\.\d MB$/));
        // The node starts anew, and the pages find it again.
        await setSettings(extension, { storeBytes: 500e6 });
        const anew = await download(second, cidOf('picture.svg'));
        assert.equal(anew.hash, sha256(picture), anew.error);
        await other.stop();
      }));

    test('A page that may use the node learns and changes nothing of others', () =>
      withExtension({ grant: true, settings: { sites: { [node.http]: { node: true } } } }, async (extension) => {
        const page = await eventually(() => marked(async (origin) => {
          const opened = await extension.open(origin);
          await join(opened);
          return opened;
        }, node.http), 15_000);
        const viewer = await view(extension, 'picture.svg');
        await viewer.waitForFunction(() => document.querySelector('#content img')?.naturalWidth > 0);
        assert.deepEqual(await page.evaluate(() => [window.cdn.getPeers(), window.cdn.stats().downloadedFromPeers]), [[], 0]);
        assert.equal(await page.evaluate(() => window.cdn.cache.clear().catch(({ code }) => code)), 'unsupported');
        await page.evaluate(() => window.cdn.setLimits({ maxDownload: 1 }));
        const next = await view(extension, 'sound.wav');
        await next.waitForFunction(() => document.querySelector('#state').textContent === 'Verified');
      }));

    test('The monthly budget is kept', () =>
      withExtension({ grant: true, settings: { monthlyUpload: 3e6, sites: { [node.http]: { node: true } } } }, async (extension) => {
        const page = await eventually(() => marked(async (origin) => {
          const opened = await extension.open(origin);
          await join(opened);
          return opened;
        }, node.http), 15_000);
        const { cid } = await uploadRandom(page, 9_000_000);
        const taker = await openTab('chromium', node.http);
        await join(taker, { policy: 'p2p-only' });
        const popup = await extension.page('popup.html');
        void download(taker, cid).catch(() => {});
        await shown(popup, '#problem');
        assert.match(await text(popup, '#problem'), /budget is used up/);
        const { downloadedFromPeers } = await taker.evaluate(() => window.cdn.stats());
        assert.ok(downloadedFromPeers <= 3e6 && downloadedFromPeers > 1e6, `${downloadedFromPeers} bytes were given`);
        await taker.context().close();
      }));

    test('A file of a page is shared by its context menu', () =>
      withExtension({ grant: true }, async (extension) => {
        const page = await extension.open(`${site.url}/links`);
        await extension.clickMenu('share', `${site.url}/picture.svg`, `${site.url}/links`);
        const popup = await extension.page('popup.html');
        await shown(popup, '#shares li');
        assert.match(await text(popup, '#shares'), /picture\.svg/);
        const { shares } = await popup.evaluate(() => chrome.storage.local.get('shares'));
        assert.equal(shares[0].cid, buildFile(picture).cid);
        const taker = await openTab('chromium', node.http);
        await join(taker, { policy: 'p2p-only' });
        const got = await download(taker, shares[0].cid);
        assert.equal(got.hash, sha256(picture), got.error);
        await taker.context().close();
        await page.close();
      }));

    test('Options are kept, checked, exported and imported', () =>
      withExtension({}, async (extension) => {
        const options = await extension.page('options.html');
        const fill = (id, value) =>
          options.evaluate(
            ([name, given]) => {
              const field = document.getElementById(name);
              field.value = given;
              field.dispatchEvent(new Event('change'));
            },
            [id, value],
          );
        const kept = async () => (await options.evaluate(() => chrome.storage.local.get('settings'))).settings;
        await fill('monthlyUpload', '2.5');
        await fill('rendezvous', 'wss://a.example/rendezvous\nwss://b.example/rendezvous');
        await fill('iceServers', '[{"urls": "stun:stun.example:3478"}]');
        await options.waitForFunction(() => chrome.storage.local.get('settings').then(({ settings }) => settings.iceServers?.length === 1));
        assert.equal((await kept()).monthlyUpload, 2.5e9);
        assert.deepEqual((await kept()).rendezvous, ['wss://a.example/rendezvous', 'wss://b.example/rendezvous']);
        for (const [id, value, message] of [
          ['node', 'not a url', /an address like https/],
          ['gateways', 'ftp://x/', /“ftp:\/\/x\/” is not an address/],
          ['iceServers', '{', /a list like/],
          ['uploadSlots', '0', /whole number from 1 to 100/],
          ['storeBytes', '1', /from 64 MB/],
        ]) {
          await fill(id, value);
          await options.waitForFunction((name) => document.getElementById(`${name}-problem`).textContent !== '', id);
          assert.match(await text(options, `#${id}-problem`), message);
          assert.equal(await options.evaluate((name) => document.getElementById(name).getAttribute('aria-invalid'), id), 'true');
        }
        assert.equal((await kept()).uploadSlots ?? 8, 8);
        for (const scheme of ['light', 'dark']) {
          await setScheme(extension, options, scheme);
          await options.evaluate(() => {
            window.isOld = true;
            location.reload();
          });
          await options.waitForFunction(() => !window.isOld && document.querySelector('#uploadSlots')?.value === '8');
          await shoot(options, `${browser}-extension-options-${scheme}`, 860, 900);
          assert.deepEqual(await findWrong(options), []);
        }
        const exported = await kept();
        await click(options, '#reset');
        await options.waitForFunction(() => chrome.storage.local.get('settings').then(({ settings }) => settings.rendezvous.length === 0));
        await options.evaluate(async (given) => {
          const input = document.querySelector('#import-file');
          const transfer = new DataTransfer();
          transfer.items.add(new File([JSON.stringify(given)], 'codio-settings.json'));
          input.files = transfer.files;
          input.dispatchEvent(new Event('change'));
        }, exported);
        await options.waitForFunction(() => document.querySelector('#saved').textContent.startsWith('Imported'));
        assert.deepEqual(await kept(), exported);
      }));

    test('Off is off', () =>
      withExtension({ settings: { enabled: false } }, async (extension) => {
        const before = (await node.stats()).uploaded;
        const viewer = await view(extension, 'picture.svg');
        await shown(viewer, '#turn-on');
        const popup = await extension.page('popup.html');
        await eventually(async () => assert.match(await text(popup, '#state'), /^Off/));
        assert.equal((await node.stats()).uploaded, before);
        await click(viewer, '#turn-on');
        await viewer.waitForFunction(() => document.querySelector('#content img')?.naturalWidth > 0);
      }));

    test('Uninstalled, it leaves nothing', () =>
      withExtension({ grant: true, settings: { sites: { [node.http]: { node: true } } } }, async (extension) => {
        const viewer = await view(extension, 'film.bin');
        await shown(viewer, '#note');
        const host = new URL(extension.url).host;
        const left = () => readdirSync(extension.profile, { recursive: true }).filter((path) => String(path).includes(host));
        assert.ok(left().length > 0);
        await extension.uninstall();
        const page = await extension.open(node.http);
        assert.equal(await page.evaluate(() => document.documentElement.dataset.codioExtension), undefined);
        await eventually(() => assert.deepEqual(left().filter((path) => !String(path).endsWith(host) && !/LOG|LOCK|CURRENT|MANIFEST/.test(path)), []), 15_000);
      }));

    async function setScheme(extension, page, scheme) {
      if (browser === 'chromium') await page.emulateMedia({ colorScheme: scheme });
      else await extension.setScheme(scheme);
      // A page of Firefox learns it late, and axe-core must not see both.
      await page.waitForFunction((dark) => matchMedia('(prefers-color-scheme: dark)').matches === dark, scheme === 'dark');
    }
  });
}

describe('packages', () => {
  test('They are the same whenever they are built', async () => {
    const hashes = () => readdirSync(built).filter((name) => name.endsWith('.zip')).map((name) => sha256(readFileSync(joinPath(built, name))));
    const before = hashes();
    assert.equal(before.length, 2);
    await promisify(execFile)('npm', ['run', 'build', '--workspace', 'codio-extension'], { cwd: fileURLToPath(new URL('../..', import.meta.url)) });
    assert.deepEqual(hashes(), before);
  });

  for (const browser of ['chrome', 'firefox']) {
    const folder = joinPath(built, browser);
    const manifest = JSON.parse(readFileSync(joinPath(folder, 'manifest.json')));

    test(`No code of ${browser}’s comes from elsewhere`, () => {
      assert.deepEqual(manifest.content_security_policy, { extension_pages: "script-src 'self' 'wasm-unsafe-eval'; object-src 'self'" });
      const all = readdirSync(folder, { recursive: true });
      for (const name of all.filter((one) => /\.(js|html)$/.test(one))) {
        const source = readFileSync(joinPath(folder, name), 'utf8');
        assert.doesNotMatch(source, /\beval\(|new Function\b|importScripts|(?:import\(|from|src=) *["'`](?:https?:)?\/\//, name);
        for (const [, script] of source.matchAll(/<script[^>]* src="([^"]+)"/g)) assert.ok(all.includes(script), `${name} loads ${script}`);
      }
    });

    test(`The documentation explains each permission of ${browser}’s`, () => {
      const docs = readFileSync(new URL('../../docs/extension.md', import.meta.url), 'utf8');
      const explained = new Set([...docs.matchAll(/^\| `(\w+)`/gm)].map(([, name]) => name));
      for (const name of [...manifest.permissions, ...manifest.optional_permissions]) assert.ok(explained.has(name), name);
      assert.deepEqual(manifest.optional_host_permissions, ['https://*/*', 'http://*/*']);
      assert.equal(manifest.host_permissions, undefined);
    });
  }

  test('Firefox’s is without fault for its linter', async () => {
    const linter = createRequire(import.meta.url).resolve('addons-linter/bin/addons-linter');
    const file = readdirSync(built).find((name) => /firefox.*zip$/.test(name));
    const { stdout } = await promisify(execFile)(process.execPath, [linter, '--output', 'json', '--self-hosted', joinPath(built, file)]);
    const { errors, warnings } = JSON.parse(stdout);
    assert.deepEqual([errors, warnings], [[], []]);
  });
});

/** The page, opened anew, if it is one with our script: the browser registers that after the settings have changed. */
async function marked(open, origin) {
  const page = await open(origin);
  const mark = await page.evaluate(() => document.documentElement.dataset.codioExtension);
  if (!mark) await page.close();
  assert.ok(mark);
  return page;
}

/** What the popup's totals say was downloaded in this session, to the byte. */
async function totals(page) {
  const { totals: kept } = await page.evaluate(() => chrome.storage.session.get('totals'));
  return (kept?.fromPeers ?? 0) + (kept?.fromGateways ?? 0);
}
