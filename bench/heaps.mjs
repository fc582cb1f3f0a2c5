// Which heap of a tab takes what while a long file streams through it: the scripts' of the page and of the core's worker, and the
// buffers of either. Chromium only; Firefox tells nobody.
//
// usage: node bench/heaps.mjs [--gib 1]
import { join as joinPath } from 'node:path';
import { join } from '../tests/e2e/support/cdn.mjs';
import { startNode } from '../tests/e2e/support/node.mjs';
import { makeFile } from './support/file.mjs';
import { MiB, note, rate, settings, table } from './support/report.mjs';
import { startBrowser } from './support/tabs.mjs';
import { withFolder } from './support/transfer.mjs';

const { gib } = settings({ gib: 1 });
const size = gib * 1024 * MiB;
const quarters = 4;
const sampling = 100;

await withFolder(async (folder) => {
  note('importing');
  const node = await startNode({}, [], [makeFile(joinPath(folder, 'film.bin'), size)]);
  const browser = await startBrowser('chromium');
  const tab = await browser.open(`${node.http}/healthz`);
  await join(tab, { gateways: [] });
  const before = await tab.heaps();
  await tab.evaluate((cid) => {
    window.got = 0;
    window.ended = (async () => {
      for (const reader = window.cdn.stream(cid).getReader(); ; ) {
        const { value, done } = await reader.read();
        if (done) return;
        window.got += value.length;
      }
    })();
    window.ended.catch((error) => (window.failed = String(error)));
  }, node.roots[0].cid);
  const began = performance.now();
  const peaks = Array.from({ length: quarters }, () => ({}));
  for (let got = 0; got < size; ) {
    await new Promise((resolve) => setTimeout(resolve, sampling));
    const failed = await tab.evaluate(() => window.failed);
    if (failed) throw new Error(failed);
    got = await tab.evaluate(() => window.got);
    const peak = peaks[Math.min(quarters - 1, Math.floor((got / size) * quarters))];
    for (const [place, usage] of Object.entries(await tab.heaps())) {
      for (const [what, bytes] of Object.entries(usage)) peak[`${place} ${what}`] = Math.max(peak[`${place} ${what}`] ?? 0, bytes);
    }
  }
  const speed = rate(size, performance.now() - began);
  await browser.stop();
  await node.stop();
  const mib = (bytes) => (bytes / MiB).toFixed(1);
  const row = (name, place, what) => [name, mib(before[place][what]), ...peaks.map((peak) => mib(peak[`${place} ${what}`] ?? 0))];
  table(
    [`${gib} GiB, ${speed.toFixed(1)} MB/s; MiB`, 'before', ...peaks.map((_, i) => `peak of quarter ${i + 1}`)],
    [
      row("the page's scripts", 'page', 'usedSize'),
      row("the page's buffers", 'page', 'backingStorageSize'),
      row("the worker's scripts", 'worker', 'usedSize'),
      row("the worker's buffers", 'worker', 'backingStorageSize'),
    ],
  );
});
