// What the service worker costs: a file from a native node by P2P into a tab, read from stream() in the page and from a fetch of
// /codio/CID that the worker answers out of the same page, each by a new visitor; then once more from the cache. And the memory
// of a long stream through it.
//
// usage: node bench/service-worker.mjs [--browsers chromium,firefox] [--mib 64] [--runs 3] [--gib 1]
import { randomFillSync } from 'node:crypto';
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import { join as joinPath } from 'node:path';
import { closeBrowsers, openProfile, openTab } from '../tests/e2e/support/browsers.mjs';
import { startNode } from '../tests/e2e/support/node.mjs';
import { MiB, median, note, rate, settings, table } from './support/report.mjs';
import { close, freshBytes, withFolder } from './support/transfer.mjs';

const { browsers, mib, runs, gib } = settings({ browsers: ['chromium', 'firefox'], mib: 64, runs: 3, gib: 1 });
const size = mib * MiB;

async function serve(page, options) {
  await page.evaluate(async (given) => {
    const { default: init, CodioCDN, serveServiceWorker } = await import('/pkg/codio_wasm.js');
    await init();
    window.cdn = await CodioCDN.new(given);
    window.stop = await serveServiceWorker(window.cdn, '/pkg/codio-sw.js', { scope: '/' });
  }, options);
}

/** Reads and drops it: the milliseconds to the first byte and to the last. */
async function read(page, cid, way) {
  const { bytes, ...times } = await page.evaluate(
    async ([wanted, how]) => {
      const began = performance.now();
      const stream = how === 'stream' ? window.cdn.stream(wanted) : (await fetch(`/codio/${wanted}`)).body;
      let count = 0;
      let first = 0;
      for (const reader = stream.getReader(); ; ) {
        const { value, done } = await reader.read();
        if (done) return { bytes: count, first, ms: performance.now() - began };
        first ||= performance.now() - began;
        count += value.length;
      }
    },
    [cid, way],
  );
  if (bytes === 0) throw new Error('nothing came');
  return times;
}

async function measure(browser, way) {
  const node = await startNode({ 'film.bin': freshBytes(size) });
  const [{ cid }] = node.roots;
  const page = await openProfile(browser, node.http);
  await serve(page, { gateways: way === 'worker' ? undefined : [] });
  if (way === 'worker') await page.evaluate(() => window.stop());
  const cold = await read(page, cid, way);
  const warm = await read(page, cid, way);
  await close(page);
  await node.stop();
  return { cold, warm };
}

const rows = [];
const ways = { stream: '`stream()` in the page', fetch: '`fetch()` of `/codio/CID`', worker: 'the same without a page that serves' };
for (const browser of runs > 0 ? browsers : []) {
  const results = Object.fromEntries(Object.keys(ways).map((way) => [way, []]));
  for (let i = 0; i < runs; i++) for (const way of Object.keys(ways)) results[way].push(await measure(browser, way));
  for (const [way, what] of Object.entries(ways)) {
    const of = (pick) => median(results[way].map(pick));
    const speed = (pick) => rate(size, of(pick)).toFixed(1);
    rows.push([
      ...[browser, what, speed(({ cold }) => cold.ms), of(({ cold }) => cold.first).toFixed(0)],
      ...[speed(({ warm }) => warm.ms), of(({ warm }) => warm.first).toFixed(0)],
    ]);
  }
}
if (runs > 0) table(['browser', `${mib} MiB by`, 'MB/s', 'first byte, ms', 'again, MB/s', 'first byte, ms'], rows);

const resident = (pid) => Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;

/** Resident MiB of all renderers together, the page's and the worker's among them, for each quarter of the stream: the most. */
async function memoryOf(node, cid) {
  const page = await openTab('chromium', node.http);
  await serve(page, { gateways: [], storeBytes: 16 * MiB });
  const session = await page.context().browser().newBrowserCDPSession();
  const { processInfo } = await session.send('SystemInfo.getProcessInfo');
  const pids = processInfo.filter(({ type }) => type === 'renderer').map(({ id }) => id);
  const now = () => pids.reduce((sum, pid) => sum + resident(pid), 0);
  const before = now();
  const samples = [];
  const sampler = setInterval(() => samples.push(now()), 100);
  const { ms } = await read(page, cid, 'fetch');
  clearInterval(sampler);
  const heap = await page.evaluate(() => performance.memory.usedJSHeapSize / 1_048_576);
  await close(page);
  const quarter = (i) => Math.max(...samples.slice((i * samples.length) / 4, ((i + 1) * samples.length) / 4));
  return { before, quarters: [0, 1, 2, 3].map(quarter), heap, ms };
}

if (gib > 0) {
  await withFolder(async (folder) => {
    const path = joinPath(folder, 'film.bin');
    const file = openSync(path, 'w');
    const part = Buffer.alloc(16 * MiB);
    for (let at = 0; at < gib * 1024 * MiB; at += part.length) writeSync(file, randomFillSync(part));
    closeSync(file);
    note('importing');
    const node = await startNode({}, [], [path]);
    const { before, quarters, heap, ms } = await memoryOf(node, node.roots[0].cid);
    await node.stop();
    const whole = (value) => value.toFixed(0);
    const head = [`${gib} GiB through the worker`, 'before, MiB', ...[1, 2, 3, 4].map((i) => `peak of quarter ${i}`), "page's heap after", 'MB/s'];
    const speed = rate(gib * 1024 * MiB, ms).toFixed(1);
    table(head, [['chromium, all renderers', whole(before), ...quarters.map(whole), whole(heap), speed]]);
  });
}
await closeBrowsers();
