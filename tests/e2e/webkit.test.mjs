// WebKitGTK, which has no WebRTC here: the library and the service worker go without peers, and nothing breaks.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { sha256 } from './support/cdn.mjs';
import { buildFile } from './support/dag.mjs';
import { startGateway } from './support/gateway.mjs';
import { startNode } from './support/node.mjs';
import { makePng } from './support/png.mjs';
import { startSite } from './support/site.mjs';
import { makeWav } from './support/wav.mjs';
import { openWebKit, skipWithoutWebKit } from './support/webkit.mjs';

const MiB = 1_048_576;
const song = makeWav(70);
const picture = makePng(64, 48, 0x7c3aed);
const file = randomBytes(5 * MiB + 1);
const { cid, blocks } = buildFile(file);
const other = buildFile(randomBytes(3 * MiB));
/** The gateway never ends its answer with this one. */
const stuck = [...other.blocks.keys()][1];
/** Tells at /ranges what ranges were asked of it. */
const worker = `
  const ranges = [];
  addEventListener('fetch', (event) => {
    if (event.request.url.endsWith('/ranges')) event.respondWith(Response.json(ranges));
    else if (event.request.url.includes('/codio/')) ranges.push(event.request.headers.get('Range'));
  });
  importScripts('/pkg/codio-sw.js');`;

describe('WebKit', { skip: skipWithoutWebKit() }, () => {
  let node;
  let gateway;
  let site;
  let page;
  let songCid;
  let pictureCid;
  before(async () => {
    node = await startNode({ 'song.wav': song, 'picture.png': picture });
    [songCid, pictureCid] = node.roots.map((root) => root.cid);
    gateway = await startGateway(new Map([...blocks, ...other.blocks]), (wanted, response) => {
      if (wanted === stuck) response.writeHead(200).flushHeaders();
      return wanted === stuck;
    });
    site = await startSite({ '/': '<!doctype html><title>site</title>', '/codio-sw.js': worker });
    page = await openWebKit(site.url);
    await page.evaluate(
      async ([home, more]) => {
        const { default: init, CodioCDN, serveServiceWorker } = await import('/pkg/codio_wasm.js');
        await init();
        window.cdn = await CodioCDN.new({ node: home, gateways: [`${home}/ipfs/`, more] });
        window.serve = async () => {
          window.unserve?.();
          window.unserve = await serveServiceWorker(window.cdn, '/codio-sw.js');
        };
        window.sha256 = async (bytes) => {
          const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
          return [...hash].map((byte) => byte.toString(16).padStart(2, '0')).join('');
        };
        window.get = async (url, how) => {
          const response = await fetch(url, how);
          const bytes = await response.arrayBuffer();
          const headers = Object.fromEntries(response.headers);
          return { status: response.status, headers, size: bytes.byteLength, hash: await window.sha256(bytes) };
        };
      },
      [node.http, gateway.url],
    );
  });
  after(async () => {
    await page?.close();
    gateway?.stop();
    site?.stop();
    await node?.stop();
  });

  const get = (url, how) => page.evaluate(([wanted, init]) => window.get(wanted, init), [url, how ?? {}]);
  const serve = () => page.evaluate(() => window.serve().then(() => true));

  test('The core loads, and a provider that cannot be connected leaves the download to the gateways', async () => {
    const got = await page.evaluate(async ([onNode, onGateway]) => {
      const sources = new Set();
      const off = window.cdn.on('verified', ({ source }) => sources.add(source.kind));
      const hashes = [];
      for (const wanted of [onNode, onGateway]) hashes.push(await window.sha256(await window.cdn.download(wanted)));
      off();
      return { hashes, sources: [...sources], peers: window.cdn.getPeers(), webRtc: 'RTCPeerConnection' in window };
    }, [pictureCid, cid]);
    assert.deepEqual(got.hashes, [sha256(picture), sha256(file)]);
    assert.deepEqual([got.webRtc, got.sources, got.peers], [false, ['gateway'], []]);
  });

  test('An upload has its CID, and can be had again', async () => {
    const again = await page.evaluate(async () => {
      const bytes = new TextEncoder().encode('from WebKit');
      return new TextDecoder().decode(await window.cdn.download(await window.cdn.upload(bytes)));
    });
    assert.equal(again, 'from WebKit');
  });

  test('The service worker answers by CID, in whole and in part', async () => {
    await serve();
    const whole = await get(`/codio/${cid}`);
    assert.deepEqual([whole.status, whole.hash], [200, sha256(file)]);
    assert.match(whole.headers['server-timing'], /source;desc="page"/);
    const part = await get(`/codio/${cid}`, { headers: { Range: 'bytes=1000000-3000000' } });
    assert.deepEqual([part.status, part.hash], [206, sha256(file.subarray(1_000_000, 3_000_001))]);
    const size = await page.evaluate(
      (src) =>
        new Promise((resolve, reject) => {
          const image = new Image();
          image.onload = () => resolve([image.naturalWidth, image.naturalHeight]);
          image.onerror = () => reject(new Error('no image'));
          image.src = src;
        }),
      `/codio/${pictureCid}`,
    );
    assert.deepEqual(size, [64, 48]);
  });

  for (const element of ['video', 'audio']) {
    test(`<${element}> plays, and seeks by ranges`, async () => {
      await serve();
      const seen = await page.evaluate(
        async ([kind, src]) => {
          const media = document.createElement(kind);
          media.preload = 'auto';
          media.muted = true;
          document.body.append(media);
          const happens = (name) =>
            new Promise((resolve, reject) => {
              media.addEventListener(name, resolve, { once: true });
              media.addEventListener('error', () => reject(new Error(media.error.message)), { once: true });
            });
          media.src = src;
          await happens('loadedmetadata');
          const seeked = happens('seeked');
          media.currentTime = 65;
          await seeked;
          const { duration, currentTime } = media;
          media.remove();
          return { duration, currentTime, ranges: await (await fetch('/ranges')).json() };
        },
        [element, `/codio/${songCid}?${element}`],
      );
      assert.deepEqual([Math.round(seen.duration), Math.round(seen.currentTime)], [70, 65]);
      const begins = seen.ranges.map((range) => Number(/^bytes=(\d+)-/.exec(range)?.[1] ?? 0));
      assert.ok(begins.some((begin) => begin > 10 * MiB), `asked for ${seen.ranges}`);
    });
  }

  test('Without a page that serves, the worker goes to the gateways itself', async () => {
    await serve();
    await page.evaluate(() => window.unserve());
    const got = await get(`/codio/${cid}`);
    assert.deepEqual([got.status, got.hash], [200, sha256(file)]);
    assert.match(got.headers['server-timing'], /source;desc="worker"/);
  });

  test('The worker survives a reader who leaves in the middle', async () => {
    await serve();
    await page.evaluate(() => window.unserve());
    await page.evaluate(async (url) => {
      const abort = new AbortController();
      const { body } = await fetch(url, { signal: abort.signal });
      await body.getReader().read();
      abort.abort();
    }, `/codio/${other.cid}`);
    const got = await get(`/codio/${cid}`);
    assert.deepEqual([got.status, got.hash], [200, sha256(file)]);
  });
});
