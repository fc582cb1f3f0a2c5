// codio:// in pages, with the drop-in and no code: where the page's server answers /codio/, and where nobody does.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { closeBrowsers, openTab, skipWithout } from './support/browsers.mjs';
import { eventually } from './support/cdn.mjs';
import { buildFile, rawCid } from './support/dag.mjs';
import { startGateway } from './support/gateway.mjs';
import { startNode } from './support/node.mjs';
import { makePng } from './support/png.mjs';
import { startSite } from './support/site.mjs';
import { makeWav } from './support/wav.mjs';

const pictures = Array.from({ length: 50 }, (_, i) => makePng(40 + i, 30, 0x2f80c9 + 977 * i, randomBytes(9000)));
const cids = pictures.map(rawCid);
const script = Buffer.from('(window.ran ??= []).push(document.currentScript?.dataset.name ?? "module");');
const style = Buffer.from('#styled { color: rgb(1, 2, 3); }');
const text = Buffer.from('Some text.\n'.repeat(30_000));
const onGateway = randomBytes(3_000_000);
const gatewayFile = buildFile(onGateway);
const unknown = rawCid(randomBytes(50));

let folder;
let node;
let gateway;
/** CID of a directory with page.html, picture.svg and more. */
let directory;
before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'codio-site-'));
  mkdirSync(join(folder, 'site'));
  const write = (name, bytes) => writeFileSync(join(folder, 'site', name), bytes);
  write('page.html', '<title>By CID</title><h1 id="there">A page by its CID</h1>');
  write('picture.svg', '<svg xmlns="http://www.w3.org/2000/svg" width="20" height="10"><rect width="20" height="10"/></svg>');
  write('a name with spaces.txt', 'spaces');
  const files = { 'script.js': script, 'style.css': style, 'text.txt': text };
  pictures.forEach((bytes, i) => (files[`${i}.png`] = bytes));
  node = await startNode(files, [], [join(folder, 'site')]);
  directory = node.roots.find(({ path }) => path.endsWith('/site')).cid;
  gateway = await startGateway(gatewayFile.blocks);
});
after(async () => {
  await closeBrowsers();
  gateway?.stop();
  await node?.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** A page with the drop-in. */
function page(body, attributes = '', head = '') {
  return `<!doctype html><html><head><title>A site</title>
    ${head}
    <script type="module" src="/pkg/codio.js" data-persist="off" ${attributes}></script>
    </head><body>${body}</body></html>`;
}

/** Firefox counts what it logs of blocked loads among a page's errors; these are only the scripts'. */
const uncaught = (tab) => tab.evaluate(() => window.uncaught);
const ready = (tab) => tab.waitForFunction(() => window.codio, undefined, { timeout: 10_000 });
const shown = (tab, selector, count) =>
  tab.waitForFunction(
    ([all, wanted]) => {
      const images = [...document.querySelectorAll(all)];
      return images.length === wanted && images.every(({ complete, naturalWidth }) => complete && naturalWidth > 0);
    },
    [selector, count],
    { timeout: 20_000 },
  );

for (const browser of ['chromium', 'firefox']) {
  describe(browser, { skip: skipWithout(browser) }, () => {
    const sites = [];
    after(() => sites.forEach((site) => site.stop()));

    /** Opens the page on a site whose server answers /codio/ (`served`), or has only its own pages. */
    async function open(html, { served = true, more = {}, init, at = node.http } = {}) {
      const site = await startSite({ '/': html, ...more }, { node: at, codio: served });
      sites.push(site);
      const tab = await openTab(browser, 'about:blank');
      tab.warnings = [];
      tab.on('console', (message) => ['warning', 'info'].includes(message.type()) && tab.warnings.push(message.text()));
      await tab.addInitScript(() => {
        window.uncaught = [];
        addEventListener('error', (event) => event.error && window.uncaught.push(String(event.error)));
        addEventListener('unhandledrejection', ({ reason }) => window.uncaught.push(String(reason)));
      });
      if (init) await tab.addInitScript(init);
      await tab.goto(site.url);
      return { tab, site };
    }

    for (const served of [true, false]) {
      const where = served ? 'answered by the server' : 'answered by nobody';

      test(`A gallery of 50 images by CID loads, ${where}`, async () => {
        const images = cids.map((cid, i) => `<img id="i${i}" src="${i % 2 ? '' : 'web+'}codio://${cid}" alt="">`).join('');
        const { tab, site } = await open(page(images, `data-node="${node.http}"`), { served });
        await shown(tab, 'img', 50);
        const widths = await tab.$$eval('img', (all) => all.map(({ naturalWidth }) => naturalWidth));
        assert.deepEqual(widths, pictures.map((_, i) => 40 + i));
        await ready(tab);
        const { downloadedFromPeers } = await tab.evaluate(() => window.codio.stats());
        const fromServer = site.asked.filter((path) => cids.includes(path.replace('/codio/', '')));
        if (served) assert.equal(fromServer.length, 50);
        else assert.ok(fromServer.length === 0 && downloadedFromPeers > 0, `${fromServer} ${downloadedFromPeers}`);
        assert.deepEqual(await uncaught(tab), []);
      });

      test(`What names a URL in a document is rewritten, whenever it comes, ${where}`, async () => {
        const head = `<style nonce="n">
            #css { background-image: url("codio://${cids[1]}"); width: 9px; height: 9px }
            @media all { #nested { background: #fff url(codio://${cids[2]}) } }
          </style>
          <link rel="stylesheet" href="/own.css"><link rel="stylesheet" href="codio://${rawCid(style)}">`;
        const body = `
          <img id="srcset" srcset="codio://${cids[3]} 1x, codio://${cids[4]} 2x" alt="">
          <picture><source srcset="codio://${cids[5]}"><img id="picture" src="codio://${cids[6]}" alt=""></picture>
          <svg width="9" height="9"><image id="svg" href="codio://${cids[7]}" width="9" height="9"/></svg>
          <img id="named" src="codio://${directory}/picture.svg" alt="">
          <video id="video" poster="codio://${cids[8]}"></video>
          <input id="input" type="image" src="codio://${cids[9]}" alt="">
          <div id="css"></div><div id="nested"></div><div id="own"></div><div id="adopted"></div><div id="inserted"></div>
          <div id="inline" style="background-image: url('codio://${cids[10]}')"></div>
          <p id="styled">styled</p>
          <script data-name="first" src="codio://${rawCid(script)}"></script>`;
        const more = { '/own.css': `#own { background-image: url(codio://${cids[11]}) }` };
        const { tab } = await open(page(body, `data-node="${node.http}"`, head), { served, more });
        const image = (id) => tab.waitForFunction((name) => document.getElementById(name)?.naturalWidth > 0, id);
        const background = (id) =>
          tab.waitForFunction((name) => {
            const [, url] = /url\("(.*)"\)/.exec(getComputedStyle(document.getElementById(name)).backgroundImage) ?? [];
            return url && !url.includes('codio:');
          }, id);
        for (const id of ['srcset', 'picture', 'named']) await image(id);
        for (const id of ['css', 'nested', 'own', 'inline']) await background(id);
        await tab.waitForFunction(() => getComputedStyle(document.getElementById('styled')).color === 'rgb(1, 2, 3)');
        await tab.waitForFunction(() => window.ran?.includes('first'));
        for (const [id, name] of [['video', 'poster'], ['input', 'src'], ['svg', 'href']]) {
          await tab.waitForFunction(([one, which]) => !document.getElementById(one).getAttribute(which).includes('codio:'), [id, name]);
        }
        const rest = await tab.evaluate(
          async ([picture, other, code]) => {
            const loaded = (element) =>
              new Promise((resolve, reject) => {
                element.onload = () => resolve(element.naturalWidth ?? true);
                element.onerror = () => reject(new Error(`an error event: ${element.outerHTML}`));
              });
            const results = {};
            const detached = new Image();
            detached.src = `codio://${picture}`;
            results.detached = await loaded(detached);
            const inserted = document.createElement('div');
            inserted.innerHTML = `<p><img alt="" src="codio://${picture}"></p>`;
            document.body.append(inserted);
            results.inserted = await loaded(inserted.querySelector('img'));
            const changed = document.getElementById('named');
            changed.setAttribute('src', `codio://${other}`);
            results.changed = await loaded(changed);
            const host = document.createElement('div');
            const shadow = host.attachShadow({ mode: 'closed' });
            shadow.innerHTML = `<img alt="" src="codio://${picture}">`;
            document.body.append(host);
            results.shadow = await loaded(shadow.querySelector('img'));
            const added = Object.assign(document.createElement('script'), { src: `codio://${code}` });
            added.dataset.name = 'added';
            document.head.append(added);
            results.script = await loaded(added);
            document.styleSheets[0].insertRule(`#inserted { background-image: url(codio://${picture}) }`);
            const sheet = new CSSStyleSheet();
            sheet.replaceSync(`#adopted { background-image: url(codio://${picture}) }`);
            document.adoptedStyleSheets = [sheet];
            document.getElementById('inline').style.backgroundImage = `url(codio://${other})`;
            return results;
          },
          [cids[12], cids[13], rawCid(script)],
        );
        assert.deepEqual(rest, { detached: 52, inserted: 52, changed: 53, shadow: 52, script: true });
        for (const id of ['inserted', 'adopted', 'inline']) await background(id);
        assert.deepEqual(await tab.evaluate(() => window.ran), ['first', 'added'], 'each script ran once');
        assert.deepEqual(await uncaught(tab), []);
      });

      test(`fetch(), Request and XMLHttpRequest get files, ${where}`, async () => {
        const { tab } = await open(page('', `data-node="${node.http}"`), { served });
        await ready(tab);
        const got = await tab.evaluate(
          async ([cid, site, missing]) => {
            const url = `codio://${cid}`;
            const describe = async (response) => [response.status, (await response.arrayBuffer()).byteLength];
            const failure = (promise) => promise.then(() => 'none', (error) => error.name);
            const xhr = (address, prepare = () => {}) =>
              new Promise((resolve, reject) => {
                const request = new XMLHttpRequest();
                request.open('GET', address);
                request.responseType = 'arraybuffer';
                request.onload = () => resolve([request.status, request.response.byteLength]);
                request.onerror = () => reject(new Error('the request failed'));
                request.send();
                prepare(request);
              });
            const abort = new AbortController();
            abort.abort();
            return {
              text: await describe(await fetch(url)),
              object: await describe(await fetch(new URL(url))),
              request: await describe(await fetch(new Request(url))),
              named: await (await fetch(`codio://${site}/a%20name%20with%20spaces.txt`)).text(),
              range: await describe(await fetch(url, { headers: { range: 'bytes=10-19' } })),
              head: await fetch(url, { method: 'HEAD' }).then((one) => [one.status, one.headers.get('content-length')]),
              type: (await fetch(`codio://${site}/picture.svg`)).headers.get('content-type'),
              xhr: await xhr(url),
              aborted: await failure(fetch(url, { signal: abort.signal })),
              posted: await failure(fetch(url, { method: 'POST', body: 'x' })),
              malformed: await failure(fetch('codio://nonsense')),
              other: await describe(await fetch('/')).then(([status]) => status),
              missing: await fetch(`codio://${missing}`).then(({ ok }) => ok, ({ name }) => name),
            };
          },
          [rawCid(text), directory, unknown],
        );
        assert.deepEqual(got, {
          text: [200, text.length],
          object: [200, text.length],
          request: [200, text.length],
          named: 'spaces',
          range: [206, 10],
          head: [200, String(text.length)],
          type: 'image/svg+xml',
          xhr: [200, text.length],
          aborted: 'AbortError',
          posted: 'TypeError',
          malformed: 'TypeError',
          other: 200,
          missing: false,
        });
      });
    }

    test('A link leads to the page by its CID, and so does one that a script makes and clicks at once', async () => {
      const link = `codio://${directory}/page.html#there`;
      const { tab, site } = await open(page(`<a id="link" href="${link}">There</a>`));
      await tab.waitForFunction(() => document.getElementById('link').protocol === 'http:');
      assert.equal(await tab.getAttribute('#link', 'href'), `${site.url}/codio/${directory}/page.html#there`);
      await tab.click('#link');
      await tab.waitForSelector('h1#there');
      assert.equal(tab.url(), `${site.url}/codio/${directory}/page.html#there`);
      await tab.goto(site.url);
      await ready(tab);
      await tab.evaluate((href) => {
        const shadow = document.body.appendChild(document.createElement('div')).attachShadow({ mode: 'closed' });
        shadow.innerHTML = `<a href="${href}">There</a>`;
        shadow.firstChild.click();
      }, link);
      await tab.waitForSelector('h1#there');
      await tab.goto(`${site.url}/?codio=${encodeURIComponent(`web+${link}`)}`);
      await tab.waitForSelector('h1#there');
    });

    test('Without a server or worker, links and frames go to the fallback, and without one the console tells once', async () => {
      const body = `<a id="link" href="codio://${directory}/page.html">There</a><iframe src="codio://${directory}/page.html"></iframe>`;
      const helped = await open(page(body, `data-node="${node.http}"`), { served: false });
      await helped.tab.waitForFunction(() => document.getElementById('link').protocol === 'http:');
      assert.equal(await helped.tab.getAttribute('#link', 'href'), `${node.http}/codio/${directory}/page.html`);
      await helped.tab.frameLocator('iframe').locator('h1#there').waitFor();
      const { tab } = await open(page(`${body}<object data="codio://${cids[0]}"></object>`), { served: false });
      await eventually(() => assert.equal(tab.warnings.length, 1));
      assert.match(tab.warnings[0], /links and frames need a service worker.*site-owners/);
      assert.equal(await tab.getAttribute('#link', 'href'), `codio://${directory}/page.html`);
    });

    test('A strict Content-Security-Policy is kept, and suffices where the server answers', async () => {
      const csp = "default-src 'none'; script-src 'self' 'nonce-n' 'wasm-unsafe-eval'; img-src 'self'; style-src 'nonce-n'; connect-src 'self' ws:";
      const head = `<style nonce="n">#css { background-image: url(codio://${cids[1]}); width: 9px; height: 9px }</style>`;
      const body = `<img id="image" src="codio://${cids[0]}" alt=""><div id="css"></div>
        <script nonce="n" data-name="nonce" src="codio://${rawCid(script)}"></script>`;
      const html = page(body, '', head);
      const { tab } = await open({ body: html, headers: { 'content-security-policy': csp } });
      await shown(tab, '#image', 1);
      await tab.waitForFunction(() => getComputedStyle(document.getElementById('css')).backgroundImage.includes('/codio/'));
      const stricter = csp.replace(" 'wasm-unsafe-eval'", '').replace("connect-src 'self' ws:", "connect-src 'self'");
      const blocked = await open({ body: html, headers: { 'content-security-policy': stricter } });
      await shown(blocked.tab, '#image', 1);
      await eventually(() => assert.match(blocked.tab.warnings.join('\n'), /this page does without peers/));
      assert.deepEqual(await uncaught(blocked.tab), []);
    });

    test('What is no address stays as it is, and is told once', async () => {
      const wrong = ['codio://nonsense', `codio://${cids[0]}/../../pkg/codio.js`, 'codio://'];
      const body = wrong.map((url) => `<img src="${url}" alt=""><img src="${url}" alt="">`).join('') + '<a href="/?x=codio://y">a</a>';
      const { tab } = await open(page(body));
      await ready(tab);
      await eventually(() => assert.equal(tab.warnings.length, 3));
      const sources = await tab.$$eval('img', (all) => all.map((one) => one.getAttribute('src')));
      assert.deepEqual(sources, wrong.flatMap((url) => [url, url]));
      assert.equal(await tab.getAttribute('a', 'href'), '/?x=codio://y');
      wrong.forEach((url) => assert.equal(tab.warnings.filter((told) => told.includes(`${url} is left as it is`)).length, 1));
    });

    test('What the server does not have comes from elsewhere, and what nobody has is an error of the element', async () => {
      const there = rawCid(makePng(77, 5, 0x123456));
      const other = await startGateway(new Map([[there, makePng(77, 5, 0x123456)]]));
      const body = `<img id="there" src="codio://${there}" alt=""><img id="lost" src="codio://${unknown}" alt="" onerror="this.alt = 'lost'">`;
      const { tab } = await open(page(body, `data-gateways="${other.url}"`));
      await shown(tab, '#there', 1);
      await tab.waitForFunction(() => document.getElementById('lost').alt === 'lost');
      other.stop();
    });

    test('An XMLHttpRequest that the server fails hears of nothing but the answer from elsewhere', async () => {
      const { tab } = await open(page('', `data-gateways="${gateway.url}"`));
      const { tab: alone } = await open(page(''));
      await Promise.all([ready(tab), ready(alone)]);
      const xhr = (address, leave, from = tab) =>
        from.evaluate(
          ([url, abortAt]) =>
            new Promise((resolve) => {
              const heard = [];
              const request = new XMLHttpRequest();
              for (const type of ['readystatechange', 'loadstart', 'load', 'error', 'abort', 'loadend']) {
                request.addEventListener(type, () => {
                  heard.push(type === 'readystatechange' ? request.readyState : type);
                  if (heard.at(-1) === abortAt) request.abort();
                });
              }
              request.open('GET', url);
              request.responseType = 'arraybuffer';
              request.onloadend = () => resolve([request.status, request.response?.byteLength, heard.filter((one) => one !== 3).join()]);
              request.send();
            }),
          [address, leave],
        );
      assert.deepEqual(await xhr(`codio://${gatewayFile.cid}`), [200, onGateway.length, '1,loadstart,2,4,load,loadend']);
      const [status, , heard] = await xhr(`codio://${unknown}`);
      assert.deepEqual([status, heard], [404, '1,loadstart,2,4,load,loadend'], 'the gateway has the last word');
      const [first, , once] = await xhr(`codio://${unknown}`, undefined, alone);
      assert.deepEqual([first, once], [404, '1,loadstart,4,load,loadend'], 'there was no other way');
      const [, , aborted] = await xhr(`codio://${rawCid(text)}`, 2);
      assert.equal(aborted, '1,loadstart,2,4,abort,loadend');
    });

    test('Media that are too long to wait for come from the fallback, where nobody else streams them', async () => {
      const song = makeWav(100); // 17 MiB
      const other = await startNode({ 'song.wav': song });
      const cid = other.roots[0].cid;
      const body = `<audio id="song" preload="metadata" src="codio://${cid}"></audio>`;
      const { tab } = await open(page(body, `data-node="${other.http}"`), { served: false, at: other.http });
      await tab.waitForFunction(() => document.getElementById('song').readyState > 0);
      assert.equal(await tab.getAttribute('#song', 'src'), `${other.http}/codio/${cid}`);
      await other.stop();
    });

    test('A second call changes nothing, and undoing restores the page', async () => {
      const { tab } = await open('<!doctype html><title>A site</title>');
      const result = await tab.evaluate(async (cid) => {
        const natives = () => [fetch, Request, XMLHttpRequest.prototype.open, Element.prototype.setAttribute,
          Object.getOwnPropertyDescriptor(HTMLImageElement.prototype, 'src').set];
        const before = natives();
        const { rewriteCodioUrls } = await import('/pkg/codio-rewrite.js');
        const copy = await import('/pkg/codio-rewrite.js?another');
        const undo = rewriteCodioUrls();
        const during = natives();
        const again = [rewriteCodioUrls(), copy.rewriteCodioUrls()].map((one) => one === undo);
        const same = natives().every((one, i) => one === during[i]);
        undo();
        const restored = natives().map((one, i) => one === before[i]);
        const image = document.createElement('img');
        image.src = `codio://${cid}`;
        return { again, same, patched: during.every((one, i) => one !== before[i]), restored, src: image.getAttribute('src') };
      }, cids[0]);
      assert.deepEqual(result, {
        again: [true, true],
        same: true,
        patched: true,
        restored: [true, true, true, true, true],
        src: `codio://${cids[0]}`,
      });
    });

    test('With its node down the page has its files from the gateways, verified', async () => {
      const gone = await startSite({}, {});
      gone.stop();
      const { tab } = await open(page('', `data-node="${gone.url}" data-gateways="${gateway.url}"`), { served: false });
      await ready(tab);
      const size = await tab.evaluate(async (cid) => (await (await fetch(`codio://${cid}`)).arrayBuffer()).byteLength, gatewayFile.cid);
      assert.equal(size, onGateway.length);
      assert.match(tab.warnings.join('\n'), /no Codio node at .*; this page has its files from the gateways/);
      assert.deepEqual(await uncaught(tab), []);
    });

    for (const [what, init] of Object.entries({
      WebAssembly: () => delete globalThis.WebAssembly,
      WebRTC: () => delete globalThis.RTCPeerConnection,
      WebSocket: () => delete globalThis.WebSocket,
      Worker: () => delete globalThis.Worker,
    })) {
      test(`Without ${what} the images of the page load all the same`, async () => {
        const images = cids.slice(0, 5).map((cid) => `<img src="codio://${cid}" alt="">`).join('');
        const served = await open(page(images), { init });
        await shown(served.tab, 'img', 5);
        const alone = await open(page(images, `data-node="${node.http}"`), { init, served: false });
        await shown(alone.tab, 'img', 5);
        assert.deepEqual([...(await uncaught(served.tab)), ...(await uncaught(alone.tab))], []);
      });
    }
  });
}
