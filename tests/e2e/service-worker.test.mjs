// The service worker as a site's visitors meet it: P2P through a page, alone without one, and whole in between.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join as pathOf } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { closeBrowsers, openProfile, openTab, skipWithout } from './support/browsers.mjs';
import { eventually, pseudoRandom, sha256, upload } from './support/cdn.mjs';
import { buildFile, rawCid } from './support/dag.mjs';
import { startGateway } from './support/gateway.mjs';
import { startNode } from './support/node.mjs';
import { makePng } from './support/png.mjs';
import { startSite } from './support/site.mjs';
import { makeWav } from './support/wav.mjs';

const MiB = 1_048_576;
const picture = makePng(64, 48, 0x7c3aed, randomBytes(5000));
const song = makeWav(70);
const film = randomBytes(24 * MiB + 7);
const onGateway = randomBytes(9 * MiB + 3);
const filmDag = buildFile(film);
const gatewayDag = buildFile(onGateway);
const html = '<!doctype html><title>quiet</title><p id=p>a page</p><script>document.title = "loud"</script>';
const nowhere = 'https://gateway.invalid/ipfs/';
const noGateways = { gateways: [] };
const pages = {
  '/': '<!doctype html><title>site</title><link rel="icon" href="data:,"><h1>A site</h1>',
  '/codio-sw.js': "importScripts('/pkg/codio-sw.js');",
  '/data.json': '{"of":"the server"}',
};

let node;
let gateway;
let site;
let folder;
let ids;
before(async () => {
  folder = mkdtempSync(pathOf(tmpdir(), 'codio-site-'));
  mkdirSync(`${folder}/pages/empty`, { recursive: true });
  writeFileSync(`${folder}/pages/index.html`, html);
  writeFileSync(`${folder}/pages/hello world.txt`, 'hello');
  writeFileSync(`${folder}/pages/script.js`, 'window.ran = true;');
  writeFileSync(`${folder}/pages/empty/nothing.txt`, '');
  const files = { 'picture.png': picture, 'song.wav': song, 'film.bin': film };
  node = await startNode(files, [], [`${folder}/pages`]);
  ids = Object.fromEntries(['picture', 'song', 'film', 'pages'].map((name, i) => [name, node.roots[i].cid]));
  gateway = await startGateway(gatewayDag.blocks);
  site = await startSite(pages);
});
after(async () => {
  await closeBrowsers();
  gateway?.stop();
  site?.stop();
  await node?.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** Makes `page` serve the worker; in it, `window.stop()` ends that. */
async function serve(page, options = {}, workerOptions = {}) {
  await page.evaluate(
    async ([given, ofWorker]) => {
      const { default: init, CodioCDN, serveServiceWorker } = await import('/pkg/codio_wasm.js');
      await init();
      window.cdn = await CodioCDN.new(given);
      window.stop = await serveServiceWorker(window.cdn, '/codio-sw.js', ofWorker);
    },
    [{ node: node.http, ...options }, workerOptions],
  );
}

/** A fetch in the page: what came, without carrying it here, or how it failed. */
async function get(page, url, init = {}) {
  return page.evaluate(
    async ([wanted, how]) => {
      try {
        const response = await fetch(wanted, how);
        const { status, redirected } = response;
        const headers = Object.fromEntries(response.headers);
        const bytes = await response.arrayBuffer();
        const hash = [...new Uint8Array(await crypto.subtle.digest('SHA-256', bytes))];
        const text = bytes.byteLength < 10_000 ? new TextDecoder().decode(bytes) : '';
        const hex = hash.map((byte) => byte.toString(16).padStart(2, '0')).join('');
        return { status, headers, redirected, size: bytes.byteLength, hash: hex, text };
      } catch (error) {
        return { error: String(error) };
      }
    },
    [url, init],
  );
}

/** Begins a fetch, and resolves when `bytes` of it came; `finish()` reads the rest. */
async function begin(page, url, bytes) {
  await page.evaluate(
    async ([wanted, enough]) => {
      window.abort = new AbortController();
      const response = await fetch(wanted, { signal: window.abort.signal });
      const reader = response.body.getReader();
      const parts = [];
      const read = async (until) => {
        for (let size = parts.reduce((sum, { length }) => sum + length, 0); size < until; ) {
          const { value } = await reader.read();
          if (!value) break;
          parts.push(value);
          size += value.length;
        }
      };
      await read(enough);
      window.finish = async () => {
        try {
          await read(Infinity);
        } catch (error) {
          return { error: String(error) };
        }
        const all = await new Blob(parts).arrayBuffer();
        const hash = [...new Uint8Array(await crypto.subtle.digest('SHA-256', all))];
        return { size: all.byteLength, hash: hash.map((byte) => byte.toString(16).padStart(2, '0')).join('') };
      };
    },
    [url, bytes],
  );
  return { finish: () => page.evaluate(() => window.finish()) };
}

/** Where the first bytes came from: `page` or `worker`. */
const sourceOf = ({ headers }) => /source;desc="(\w+)"/.exec(headers['server-timing'])?.[1];
const fromPeers = (page) => page.evaluate(() => window.cdn.stats().downloadedFromPeers);
const transfers = (page) => page.evaluate(() => window.cdn.stats().transfers);

for (const browser of ['chromium', 'firefox']) {
  describe(browser, { skip: skipWithout(browser) }, () => {
    const open = (url = site.url) => openTab(browser, url);
    async function another(page, url = site.url) {
      const beside = await page.context().newPage();
      await beside.goto(url);
      return beside;
    }
    async function serving(options, workerOptions) {
      const page = await open();
      await serve(page, options, workerOptions);
      return page;
    }
    const showImage = (page, src) =>
      page.evaluate(
        (url) =>
          new Promise((resolve) => {
            const image = new Image();
            image.onload = () => resolve([image.naturalWidth, image.naturalHeight]);
            image.onerror = () => resolve('it did not load');
            image.src = url;
            document.body.append(image);
          }),
        src,
      );

    test('An image by CID comes from peers, and the server never hears of it', async () => {
      const own = await startSite(pages);
      const page = await open(own.url);
      await serve(page, noGateways);
      assert.deepEqual(await showImage(page, `/codio/${ids.picture}`), [64, 48]);
      await eventually(async () => assert.ok((await fromPeers(page)) >= picture.length));
      assert.ok(!own.asked.includes(`/codio/${ids.picture}`), String(own.asked));
      assert.deepEqual(page.problems, []);
      own.stop();
      await page.context().close();
    });

    test('The answer has the headers of an immutable file, and says what it took', async () => {
      const page = await serving(noGateways);
      const { status, headers, hash } = await get(page, `/codio/${ids.film}`);
      assert.equal(status, 200);
      assert.equal(hash, sha256(film));
      assert.equal(headers['content-length'], String(film.length));
      assert.equal(headers['content-type'], 'application/octet-stream');
      assert.equal(headers['accept-ranges'], 'bytes');
      assert.equal(headers.etag, `"${ids.film}"`);
      assert.match(headers['cache-control'], /immutable/);
      assert.equal(headers['x-content-type-options'], 'nosniff');
      const phases = /source;desc="page", find;dur=.*signal;dur=.*connect;dur=.*first-byte;dur=.*verify;dur=/;
      assert.match(headers['server-timing'], phases);
      const again = await get(page, `/codio/${ids.film}`, { headers: { 'If-None-Match': `W/"x", "${ids.film}"` } });
      assert.deepEqual([again.status, again.size], [304, 0]);
      const head = await get(page, `/codio/${ids.film}`, { method: 'HEAD' });
      assert.deepEqual([head.status, head.size], [200, 0]);
      assert.equal(head.headers['content-length'], String(film.length));
      assert.equal((await get(page, `/codio/${ids.picture}`, { method: 'HEAD' })).headers['content-type'], 'image/png');
      assert.equal(await transfers(page), 0);
      await page.context().close();
    });

    test('Ranges are answered as RFC 9110 says', async () => {
      const page = await serving(noGateways);
      const part = (range, more = {}) => get(page, `/codio/${ids.song}`, { headers: { Range: range, ...more } });
      const size = song.length;
      for (const [range, from, to] of [
        ['bytes=0-0', 0, 1],
        ['bytes=1000000-2999999', 1_000_000, 3_000_000],
        ['bytes=-500', size - 500, size],
        [`bytes=${size - 7}-`, size - 7, size],
        [`bytes=10-${size * 2}`, 10, size],
      ]) {
        const { status, headers, hash } = await part(range);
        assert.equal(status, 206, range);
        assert.equal(hash, sha256(song.subarray(from, to)), range);
        assert.equal(headers['content-range'], `bytes ${from}-${to - 1}/${size}`);
        assert.equal(headers['content-length'], String(to - from));
        assert.equal(headers['content-type'], 'audio/wav', 'sniffed, wherever the range begins');
      }
      for (const range of [`bytes=${size}-`, 'bytes=-0']) {
        const { status, headers } = await part(range);
        assert.deepEqual([status, headers['content-range']], [416, `bytes */${size}`], range);
      }
      for (const range of ['bytes=0-1,4-5', 'lines=1-2', 'bytes=5-4', 'bytes=-']) {
        const { status, hash } = await part(range);
        assert.deepEqual([status, hash], [200, sha256(song)], range);
      }
      assert.equal((await part('bytes=0-9', { 'If-Range': `"${ids.song}"` })).status, 206);
      assert.equal((await part('bytes=0-9', { 'If-Range': '"another"' })).status, 200);
      await page.context().close();
    });

    test('A video seeks, by P2P, without the rest of it', async () => {
      const page = await serving(noGateways);
      const seen = await page.evaluate(async (src) => {
        const video = document.createElement('video');
        video.preload = 'auto';
        video.muted = true;
        document.body.append(video);
        const happens = (name) =>
          new Promise((resolve, reject) => {
            video.addEventListener(name, resolve, { once: true });
            video.addEventListener('error', () => reject(new Error(video.error.message)), { once: true });
          });
        video.src = src;
        await happens('loadedmetadata');
        video.currentTime = 65;
        await happens('seeked');
        if (video.readyState < 3) await happens('canplay');
        await video.play();
        await happens('timeupdate');
        return { duration: video.duration, at: video.currentTime };
      }, `/codio/${ids.song}`);
      assert.ok(Math.abs(seen.duration - 70) < 0.1, `${seen.duration} s`);
      assert.ok(seen.at >= 65 && seen.at < 70, `${seen.at} s`);
      assert.ok((await fromPeers(page)) > 0);
      await page.context().close();
    });

    test('A fetch with X-Codio-CID is answered, whatever its URL', async () => {
      const page = await serving(noGateways);
      const headers = { 'X-Codio-CID': ids.picture };
      const got = await get(page, '/pictures/sunset.jpg', { headers });
      assert.deepEqual([got.status, got.hash], [200, sha256(picture)]);
      assert.equal(got.headers['content-type'], 'image/jpeg', 'the URL has the only name there is');
      assert.equal((await get(page, 'https://site.invalid/x', { headers })).hash, sha256(picture));
      const inFolder = await get(page, '/any', { headers: { 'X-Codio-CID': `${ids.pages}/hello world.txt` } });
      assert.deepEqual([inFolder.text, inFolder.headers['content-type']], ['hello', 'text/plain; charset=utf-8']);
      const wrong = await get(page, '/any', { headers: { 'X-Codio-CID': 'nonsense' } });
      assert.equal(wrong.status, 400);
      assert.match(wrong.text, /nonsense|CID/);
      await page.context().close();
    });

    test("A configured gateway's URLs are answered by peers, though the gateway is not there", async () => {
      const page = await serving(noGateways, { intercept: [nowhere] });
      assert.deepEqual(await showImage(page, `${nowhere}${ids.picture}`), [64, 48]);
      const got = await get(page, `${nowhere}${ids.pages}/hello%20world.txt?`);
      assert.equal(got.text, 'hello');
      assert.match((await get(page, `${nowhere}${ids.picture}?format=raw`)).error, /TypeError/, 'left to the network');
      assert.match((await get(page, `https://other.invalid/ipfs/${ids.picture}`)).error, /TypeError/);
      await page.context().close();
    });

    test('All else goes to the server as it is', async () => {
      const page = await serving(noGateways);
      assert.equal((await get(page, '/data.json')).text, '{"of":"the server"}');
      assert.equal((await get(page, '/codio/nonsense')).status, 404);
      assert.match((await get(page, `/codio/${ids.picture}`, { method: 'POST', body: 'x' })).text, /This site has no such page/);
      for (const path of ['/data.json', '/codio/nonsense', `/codio/${ids.picture}`]) assert.ok(site.asked.includes(path), path);
      await page.context().close();
    });

    test('An aborted fetch ends the transfer in the page', async () => {
      const page = await serving({ ...noGateways, maxDownload: MiB });
      await begin(page, `/codio/${ids.film}`, 1);
      assert.equal(await transfers(page), 1);
      await page.evaluate(() => window.abort.abort());
      await eventually(async () => assert.equal(await transfers(page), 0));
      await page.context().close();
    });

    test('An aborted fetch ends what the worker itself asks of a gateway', async () => {
      const [first] = gatewayDag.blocks.keys();
      let closed;
      const over = new Promise((resolve) => (closed = resolve));
      const slow = await startGateway(gatewayDag.blocks, (cid, response) => {
        if (cid === gatewayDag.cid || cid === first) return false;
        response.writeHead(200).write('slow');
        response.on('close', closed);
        return true;
      });
      const page = await serving({ gateways: [slow.url], gatewayTimeout: 600_000, persist: false });
      await page.evaluate(() => window.stop());
      await begin(page, `/codio/${gatewayDag.cid}`, MiB);
      await page.evaluate(() => window.abort.abort());
      await over;
      slow.stop();
      await page.context().close();
    });

    test('Of a fetch that is aborted before its first bytes, no more than those are fetched', async () => {
      const [first] = gatewayDag.blocks.keys();
      let release;
      const slow = await startGateway(gatewayDag.blocks, (cid, response) => {
        if (cid === first) release = () => response.writeHead(200).end(gatewayDag.blocks.get(first));
        return cid !== gatewayDag.cid;
      });
      const page = await serving({ gateways: [slow.url], rendezvous: [], gatewayTimeout: 600_000, persist: false });
      await page.evaluate((url) => {
        window.abort = new AbortController();
        window.failed = fetch(url, { signal: window.abort.signal }).catch((error) => error.name);
      }, `/codio/${gatewayDag.cid}`);
      await eventually(() => assert.ok(release));
      await page.evaluate(() => window.abort.abort());
      assert.equal(await page.evaluate(() => window.failed), 'AbortError');
      assert.equal(await transfers(page), 1, 'browsers do not tell the worker');
      release();
      await eventually(async () => assert.equal(await transfers(page), 0));
      slow.stop();
      await page.context().close();
    });

    test('When the tab that serves is closed midway, the worker completes the answer', async () => {
      const both = await startGateway(filmDag.blocks);
      const giver = await serving({ gateways: [both.url], maxDownload: 2 * MiB });
      const reader = await another(giver);
      const { finish } = await begin(reader, `/codio/${ids.film}`, 3 * MiB);
      assert.equal(await reader.evaluate(() => 'cdn' in window), false);
      const before = both.asked.length;
      await giver.close();
      const got = await finish();
      assert.deepEqual([got.size, got.hash], [film.length, sha256(film)], got.error);
      assert.ok(both.asked.length > before, 'the gateway gave the rest');
      assert.ok(both.asked.length < filmDag.blocks.size, `${both.asked.length} blocks: what was kept is not asked again`);
      both.stop();
      await reader.context().close();
    });

    test('When the core of the tab that serves stops midway, the worker completes the answer', async () => {
      const page = await open();
      await page.evaluate(() => {
        const { postMessage } = Worker.prototype;
        Worker.prototype.postMessage = function (message, transfer) {
          window.worker = this;
          postMessage.call(this, message, transfer);
        };
      });
      const both = await startGateway(filmDag.blocks);
      await serve(page, { gateways: [both.url], maxDownload: 2 * MiB });
      const { finish } = await begin(page, `/codio/${ids.film}`, 3 * MiB);
      await page.evaluate(() => window.worker.postMessage(null));
      const got = await finish();
      assert.deepEqual([got.size, got.hash], [film.length, sha256(film)], got.error);
      both.stop();
      await page.context().close();
    });

    test('When the seeding tab is closed while another one fetches, the answer is completed', async () => {
      const seeder = await open();
      await serve(seeder, { ...noGateways, maxUpload: 3 * MiB });
      const bytes = pseudoRandom(browser.length, 12 * MiB);
      const cid = await upload(seeder, browser.length, 12 * MiB);
      const both = await startGateway(buildFile(bytes).blocks);
      const page = await serving({ gateways: [both.url] });
      const { finish } = await begin(page, `/codio/${cid}`, 2 * MiB);
      await seeder.context().close();
      const got = await finish();
      assert.deepEqual([got.size, got.hash], [bytes.length, sha256(bytes)], got.error);
      assert.ok((await fromPeers(page)) > 0);
      both.stop();
      await page.context().close();
    });

    test('A worker that was stopped finds its pages and its configuration again', async () => {
      const own = await startSite({ ...pages, '/codio-sw.js': "fetch('/started'); importScripts('/pkg/codio-sw.js');" });
      const starts = () => own.asked.filter((path) => path === '/started').length;
      const idle = 500;
      const prefs = { 'dom.serviceWorkers.idle_timeout': idle, 'dom.serviceWorkers.idle_extended_timeout': idle };
      const page = await openProfile(browser, own.url, { firefoxUserPrefs: prefs });
      await serve(page, noGateways, { intercept: [nowhere] });
      await get(page, `/codio/${ids.pages}/`);
      const before = starts();
      if (browser === 'chromium') {
        const devtools = await page.context().newCDPSession(page);
        await devtools.send('ServiceWorker.enable');
        const stopped = new Promise((resolve) => {
          devtools.on('ServiceWorker.workerVersionUpdated', ({ versions }) => {
            if (versions.some(({ runningStatus }) => runningStatus === 'stopped')) resolve();
          });
        });
        await devtools.send('ServiceWorker.stopAllWorkers');
        await stopped;
      }
      let got;
      do {
        // Nothing but time stops one in Firefox, and nothing tells of it.
        if (browser === 'firefox') await new Promise((resolve) => setTimeout(resolve, 3 * idle));
        got = await get(page, `${nowhere}${ids.picture}`);
      } while (starts() === before);
      assert.deepEqual([got.hash, sourceOf(got)], [sha256(picture), 'page'], got.error);
      own.stop();
      await page.context().close();
    });

    test('What was fetched once is there without any network, with a page and without', async () => {
      const own = await startSite(pages);
      const away = await startNode({ 'picture.png': picture }, [], [`${folder}/pages`]);
      const page = await open(own.url);
      const root = away.roots[1].cid;
      await serve(page, { node: away.http, gateways: [] }, { trusted: [root] });
      const cid = away.roots[0].cid;
      for (const path of [cid, `${root}/`, `${root}/script.js`]) assert.equal((await get(page, `/codio/${path}`)).status, 200, path);
      await away.stop();
      own.stop();
      assert.equal((await get(page, `/codio/${cid}`)).hash, sha256(picture));
      await page.evaluate(() => window.stop());
      const alone = await get(page, `/codio/${cid}`);
      assert.deepEqual([alone.hash, sourceOf(alone)], [sha256(picture), 'worker'], alone.error);
      await page.goto(`${own.url}/codio/${root}/`);
      assert.equal(await page.title(), 'loud');
      await page.context().close();
    });

    test('What the worker fetched without a page is there without any network', async () => {
      const once = await startGateway(gatewayDag.blocks);
      const page = await serving({ gateways: [once.url], rendezvous: [] });
      await page.evaluate(() => window.stop());
      const first = await get(page, `/codio/${gatewayDag.cid}`);
      assert.deepEqual([first.hash, sourceOf(first)], [sha256(onGateway), 'worker'], first.error);
      once.stop();
      const again = await get(page, `/codio/${gatewayDag.cid}`);
      assert.deepEqual([again.hash, sourceOf(again)], [sha256(onGateway), 'worker'], again.error);
      await page.context().close();
    });

    test('With dead gateways peers serve, and with a dead rendezvous the gateway does', async () => {
      const peers = await serving({ gateways: ['http://127.0.0.1:1/ipfs/'] });
      assert.equal((await get(peers, `/codio/${ids.picture}`)).hash, sha256(picture));
      await peers.context().close();
      const page = await serving({ gateways: [gateway.url], rendezvous: ['ws://127.0.0.1:1/rendezvous'] });
      const got = await get(page, `/codio/${gatewayDag.cid}`);
      assert.deepEqual([got.hash, sourceOf(got)], [sha256(onGateway), 'page'], got.error);
      await page.context().close();
    });

    test('A first navigation is answered by the worker alone', async () => {
      const page = await serving({ gateways: [gateway.url], rendezvous: [] });
      const lone = await another(page, 'about:blank');
      await page.close();
      const response = await lone.goto(`${site.url}/codio/${rawCid(onGateway.subarray(0, MiB))}`).catch((error) => error);
      // It is no text, so that it is saved, or shown: either way it came.
      if (!(response instanceof Error)) assert.equal(response.status(), 200);
      else assert.match(response.message, /Download is starting|NS_BINDING_ABORTED|net::ERR_ABORTED/);
      await lone.context().close();
    });

    test('A gateway that lies gives an error, never bytes', async () => {
      const last = [...gatewayDag.blocks.keys()].at(-2);
      for (const serves of [true, false]) {
        const liar = await startGateway(gatewayDag.blocks, (cid, response) => {
          if (cid !== last) return false;
          response.writeHead(200).end(randomBytes(1000));
          return true;
        });
        const page = await serving({ gateways: [liar.url], rendezvous: [], persist: false });
        if (!serves) await page.evaluate(() => window.stop());
        const whole = await get(page, `/codio/${gatewayDag.cid}`);
        assert.match(whole.error, /Error/, 'the body breaks off, as it cannot be completed');
        const alone = await get(page, `/codio/${last}`);
        assert.equal(alone.status, 502);
        assert.match(alone.text, /it lied before/, 'which is remembered');
        liar.stop();
        await page.context().close();
      }
    });

    test('p2p-only holds for the worker too', async () => {
      const page = await serving({ gateways: [gateway.url], rendezvous: [], policy: 'p2p-only' });
      const before = gateway.asked.length;
      await page.evaluate(() => window.stop());
      const got = await get(page, `/codio/${gatewayDag.cid}`);
      assert.ok(got.status >= 400, JSON.stringify(got));
      assert.equal(gateway.asked.length, before);
      await page.context().close();
    });

    test('A directory shows its index.html, and files below it', async () => {
      const page = await serving(noGateways);
      const index = await get(page, `/codio/${ids.pages}/`);
      assert.deepEqual([index.text, index.headers['content-type']], [html, 'text/html; charset=utf-8']);
      assert.equal((await get(page, `/codio/${ids.pages}`)).text, html);
      assert.equal((await get(page, `/codio/${ids.pages}/hello%20world.txt`)).text, 'hello');
      assert.deepEqual([(await get(page, `/codio/${ids.pages}/empty/`)).status, (await get(page, `/codio/${ids.pages}/no`)).status], [404, 404]);
      const visitor = await another(page, `${site.url}/codio/${ids.pages}`);
      assert.equal(visitor.url(), `${site.url}/codio/${ids.pages}/`);
      await page.context().close();
    });

    test("A stranger's page is shown and can do nothing; a trusted one is the site's", async () => {
      const runScript = (page) =>
        page.evaluate(
          (src) =>
            new Promise((resolve) => {
              const script = document.createElement('script');
              script.src = src;
              script.onload = () => resolve(window.ran === true);
              script.onerror = () => resolve('refused');
              document.head.append(script);
            }),
          `/codio/${ids.pages}/script.js`,
        );
      const page = await serving(noGateways);
      assert.equal((await get(page, `/codio/${ids.pages}/`)).headers['content-security-policy'], 'sandbox');
      assert.equal((await get(page, `/codio/${ids.picture}`)).headers['content-security-policy'], undefined);
      assert.equal(await runScript(page), 'refused');
      const visitor = await another(page, `${site.url}/codio/${ids.pages}/`);
      assert.equal(await visitor.title(), 'quiet', 'its script did not run');
      assert.equal(await visitor.textContent('#p'), 'a page');
      await visitor.context().close();
      const trusting = await serving(noGateways, { trusted: [ids.pages] });
      assert.equal(await runScript(trusting), true);
      const trusted = await another(trusting, `${site.url}/codio/${ids.pages}/`);
      assert.equal(await trusted.title(), 'loud');
      assert.equal((await get(trusted, `/codio/${ids.pages}/`)).headers['content-security-policy'], undefined);
      await trusting.context().close();
    });

    test('The drop-in brings the worker: codio:// goes through it, and a script that it refuses comes as a blob', async () => {
      const script = `<script type="module" src="/pkg/codio.js" data-node="${node.http}"></script>`;
      const own = await startSite({ ...pages, '/drop': `<!doctype html><link rel="icon" href="data:,"><title>drop</title>${script}` });
      const page = await open(`${own.url}/drop`);
      await page.evaluate(async ([cid, code]) => {
        if (!window.codio) await new Promise((resolve) => addEventListener('codio-ready', resolve, { once: true }));
        await navigator.serviceWorker.ready;
        window.image = Object.assign(new Image(), { src: `codio://${cid}` });
        const script = Object.assign(document.createElement('script'), { src: `codio://${code}` });
        document.body.append(window.image, script);
      }, [ids.picture, `${ids.pages}/script.js`]);
      await page.waitForFunction(() => window.image.naturalWidth > 0 && window.ran, undefined, { timeout: 15_000 });
      assert.equal(await page.evaluate(() => window.image.currentSrc), `${own.url}/codio/${ids.picture}`);
      assert.ok(!own.asked.includes(`/codio/${ids.picture}`), 'the worker answered');
      own.stop();
      await page.context().close();
    });

    test('Even the first visit to a gallery goes by peers, though the server would answer it', async () => {
      const images = `<img src="codio://${ids.picture}" alt="">`.repeat(50);
      const script = `<script type="module" src="/pkg/codio.js" data-node="${node.http}" data-first-visit-wait="20000"></script>`;
      const own = await startSite({ ...pages, '/': `<!doctype html><link rel="icon" href="data:,">${script}${images}` }, { node: node.http });
      const page = await open(own.url);
      await page.waitForFunction(() => [...document.images].every(({ naturalWidth }) => naturalWidth > 0));
      assert.equal(await page.evaluate(() => document.images[0].currentSrc), `${own.url}/codio/${ids.picture}`);
      assert.ok(!own.asked.includes(`/codio/${ids.picture}`), 'the server was asked');
      assert.ok((await page.evaluate(() => window.codio.stats())).downloadedFromPeers > 0);
      own.stop();
      await page.context().close();
    });

    test('A first visit waits for no worker that does not come', async () => {
      const stuck = 'addEventListener("install", (event) => event.waitUntil(new Promise(() => {})));';
      const script = `<script type="module" src="/pkg/codio.js" data-node="${node.http}" data-first-visit-wait="300"></script>`;
      const own = await startSite(
        { '/codio-sw.js': stuck, '/': `<!doctype html>${script}<img src="codio://${ids.picture}" alt="">` },
        { node: node.http },
      );
      const page = await open(own.url);
      await page.waitForFunction(() => document.images[0].naturalWidth > 0, undefined, { timeout: 15_000 });
      assert.ok(own.asked.includes(`/codio/${ids.picture}`), 'the server answered');
      own.stop();
      await page.context().close();
    });

    test('A node serves the worker for its whole origin', async () => {
      const page = await open(node.http);
      const ready = await page.evaluate(async () => {
        const { default: init, CodioCDN, serveServiceWorker } = await import('/pkg/codio_wasm.js');
        await init();
        await serveServiceWorker(await CodioCDN.new({ persist: false }), '/pkg/codio-sw.js', { scope: '/' });
        return navigator.serviceWorker.controller !== null;
      });
      assert.equal(ready, true);
      const got = await get(page, `/codio/${ids.picture}`);
      assert.deepEqual([got.hash, sourceOf(got)], [sha256(picture), 'page']);
      await page.context().close();
    });

    test('A worker that cannot start says what it needs', async () => {
      const page = await open();
      const errors = await page.evaluate(async () => {
        const { default: init, CodioCDN, serveServiceWorker } = await import('/pkg/codio_wasm.js');
        await init();
        const cdn = await CodioCDN.new({ gateways: [], rendezvous: [] });
        const failed = (...given) => serveServiceWorker(cdn, ...given).then(() => 'it started', (error) => `${error.code}: ${error.message}`);
        return [await failed('/missing.js'), await failed('/pkg/codio-sw.js', { scope: '/' })];
      });
      for (const error of errors) assert.match(error, /^io: the service worker .* did not start: .*at or above its scope/);
      await page.context().close();
    });
  });
}
