// Whether a tab that nobody sees is as fast as one in front: what it takes from a native node, and what it gives to `codio get`.
//
// usage: node bench/background.mjs [--runs 3] [--mib 32] [--browsers chromium,firefox]
import { awaitProviders, download, join, uploadRandom } from '../tests/e2e/support/cdn.mjs';
import { startNode } from '../tests/e2e/support/node.mjs';
import { median, MiB, note, percent, rate, settings, table } from './support/report.mjs';
import { startBrowser } from './support/tabs.mjs';
import { freshBytes, getNatively } from './support/transfer.mjs';

const { runs, mib, browsers } = settings({ runs: 3, mib: 32, browsers: ['chromium', 'firefox'] });
const size = mib * MiB;
const places = ['in front', 'hidden'];

const rows = [];
for (const browser of browsers) {
  const node = await startNode(Object.fromEntries(Array.from({ length: runs * places.length }, (_, i) => [`${i}.bin`, freshBytes(size)])));
  const files = node.roots.map(({ cid }) => cid);
  const { open, stop } = await startBrowser(browser);
  const tab = await open(`${node.http}/healthz`);
  const other = await open('about:blank');
  await tab.show();
  await join(tab, { gateways: [] });
  const takes = { 'in front': [], hidden: [] };
  const gives = { 'in front': [], hidden: [] };
  for (let run = 0; run < runs; run++) {
    for (const place of places) {
      note(`${browser}, ${place}, run ${run + 1}`);
      await (place === 'hidden' ? other : tab).show();
      while ((await tab.evaluate(() => document.hidden)) !== (place === 'hidden')) await new Promise((resolve) => setTimeout(resolve, 50));
      const got = await download(tab, files.pop());
      if (got.error) throw new Error(got.error);
      takes[place].push(rate(size, got.ms));
      const { cid } = await uploadRandom(tab, size);
      await awaitProviders(tab, cid, 1);
      gives[place].push(rate(size, await getNatively(node, cid)));
    }
  }
  for (const [what, of] of [['takes', takes], ['gives to `codio get`', gives]]) {
    const [front, hidden] = places.map((place) => median(of[place]));
    rows.push([browser, what, front.toFixed(1), hidden.toFixed(1), percent(hidden / front)]);
  }
  await stop();
  await node.stop();
}
table([`${mib} MiB`, '', 'in front, MB/s', 'hidden', 'of that in front'], rows);
