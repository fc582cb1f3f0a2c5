// From one tab to another: codio beside a bare data channel and beside WebTorrent's browser build, in one run and in turns.
//
// usage: node bench/tab-to-tab.mjs [--runs 3] [--mib 64] [--pairs chromium-chromium,firefox-firefox,…]
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { closeBrowsers, openProfile, skipWithout } from '../tests/e2e/support/browsers.mjs';
import { pseudoRandom } from '../tests/e2e/support/cdn.mjs';
import { startNode } from '../tests/e2e/support/node.mjs';
import { rawChannel } from './support/raw.mjs';
import { median, MiB, note, rate, settings, table } from './support/report.mjs';
import { close, transfer } from './support/transfer.mjs';

const { runs, mib, pairs } = settings({
  runs: 3,
  mib: 64,
  pairs: ['chromium-chromium', 'firefox-firefox', 'chromium-firefox', 'firefox-chromium'],
});
const size = mib * MiB;
/** Among the best ways of each pair of browsers, as `single-peer` finds them. */
const ways = [128, 512].map((kib) => ({ message: 64 * 1024, window: kib * 1024, thread: 'worker' }));
const patience = 120_000;
let seed = 1000;

async function startTracker() {
  const script = fileURLToPath(new URL('support/tracker.mjs', import.meta.url));
  const tracker = spawn(process.execPath, [script], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [port] = await createInterface({ input: tracker.stdout })[Symbol.asyncIterator]().next().then(({ value }) => [value]);
  return { url: `ws://127.0.0.1:${port}`, stop: () => tracker.kill() };
}

/** Gives the build to pages of any origin. */
async function serveWebTorrent() {
  const script = readFileSync(new URL('node_modules/webtorrent/dist/webtorrent.min.js', import.meta.url));
  const server = createServer((_, response) => {
    response.writeHead(200, { 'content-type': 'text/javascript', 'access-control-allow-origin': '*' }).end(script);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { url: `http://127.0.0.1:${server.address().port}/webtorrent.js`, stop: () => server.close() };
}

/** Milliseconds to the last byte and to the first, from the moment that the receiver names the torrent. */
async function webTorrent(page, tracker, script, from, to) {
  const giver = await openProfile(from, page);
  const magnet = await giver.evaluate(
    async ([url, announce, make, ...given]) => {
      const { default: WebTorrent } = await import(url);
      window.client = new WebTorrent();
      const file = new File([eval(`(${make})`)(...given)], 'film.bin');
      return new Promise((resolve) => window.client.seed(file, { announce: [announce] }, ({ magnetURI }) => resolve(magnetURI)));
    },
    [script, tracker, String(pseudoRandom), ++seed, size],
  );
  const taker = await openProfile(to, page);
  const took = await taker.evaluate(
    async ([url, announce, wanted, limit]) => {
      const { default: WebTorrent } = await import(url);
      const client = new WebTorrent();
      const began = performance.now();
      let first;
      return new Promise((resolve, reject) => {
        setTimeout(() => reject(new Error('WebTorrent did not end in time')), limit);
        const torrent = client.add(wanted, { announce: [announce] });
        torrent.on('download', () => (first ??= performance.now() - began));
        torrent.on('done', () => resolve({ ms: performance.now() - began, firstBlock: first }));
        client.on('error', reject);
      });
    },
    [script, tracker, magnet, patience],
  );
  await close(giver, taker);
  return took;
}

const node = await startNode();
const tracker = await startTracker();
const script = await serveWebTorrent();
const rows = [];
try {
  for (const pair of pairs) {
    const [from, to] = pair.split('-');
    const missing = skipWithout(from, to);
    if (missing) {
      note(`${pair}: ${missing}`);
      continue;
    }
    const bare = ways.map(() => []);
    const codio = [];
    const torrent = [];
    for (let run = 0; run < runs; run++) {
      for (const [which, way] of ways.entries()) bare[which].push(await rawChannel(node.http, from, to, size, way));
      codio.push(await transfer(from, to, size));
      torrent.push(await webTorrent(node.http, tracker.url, script.url, from, to));
      note(`${pair}: codio ${rate(size, codio.at(-1).ms).toFixed(1)}, WebTorrent ${rate(size, torrent.at(-1).ms).toFixed(1)} MB/s`);
    }
    const speed = (list) => median(list.map(({ ms }) => rate(size, ms))).toFixed(1);
    const first = (list) => median(list.map(({ firstBlock }) => firstBlock)).toFixed(0);
    const best = Math.max(...bare.map(median)).toFixed(1);
    rows.push([`${from} → ${to}`, best, speed(codio), speed(torrent), first(codio), first(torrent)]);
  }
} finally {
  await closeBrowsers();
  await node.stop();
  tracker.stop();
  script.stop();
}
table([`${mib} MiB`, 'bare channel, MB/s', 'codio', 'WebTorrent', 'first block of codio, ms', 'first bytes of WebTorrent'], rows);
