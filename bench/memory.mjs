// The memory that a long file takes while it streams through: of the node that has it, of `codio cat`, and of a tab that reads
// it with stream() and drops the bytes, beside a tab that does the same with the browser's own fetch(). Resident memory, as Linux
// tells it; of tabs without the pages of the browser's program file.
//
// usage: node bench/memory.mjs [--gib 2]
import { spawn } from 'node:child_process';
import { join as joinPath } from 'node:path';
import { join } from '../tests/e2e/support/cdn.mjs';
import { held, memory } from '../tests/e2e/support/memory.mjs';
import { program, startNode } from '../tests/e2e/support/node.mjs';
import { makeFile } from './support/file.mjs';
import { MiB, note, rate, settings, table } from './support/report.mjs';
import { startBrowser } from './support/tabs.mjs';
import { rendezvousOf, withFolder } from './support/transfer.mjs';

const { gib } = settings({ gib: 2 });
const size = gib * 1024 * MiB;
const sampling = 100;

async function throughCat(node, cid, folder) {
  const began = performance.now();
  const cat = spawn(
    program,
    ['cat', cid, '--repo', joinPath(folder, 'cat'), '--no-gateway', '--rendezvous', rendezvousOf(node)],
    { stdio: ['ignore', 'ignore', 'inherit'] },
  );
  let peak = 0;
  const sampler = setInterval(() => (peak = memory(cat.pid, 'VmHWM') || peak), sampling);
  const status = await new Promise((resolve) => cat.on('exit', resolve));
  clearInterval(sampler);
  if (status !== 0) throw new Error(`codio cat ended with ${status}`);
  return { peak, speed: rate(size, performance.now() - began) };
}

/** Of the process that has the page, its worker and their connections. `url`: fetched instead. */
async function throughTab(node, cid, url) {
  const browser = await startBrowser('chromium');
  const tab = await browser.open(`${node.http}/healthz`);
  await join(tab, { gateways: [] });
  const renderers = (await browser.renderers()).map((pid) => ({ pid, before: held(pid), peak: 0 }));
  const sampler = setInterval(() => {
    for (const one of renderers) one.peak = Math.max(one.peak, held(one.pid));
  }, sampling);
  const began = performance.now();
  const got = await tab.evaluate(async ([wanted, from]) => {
    const stream = from ? (await fetch(from)).body : window.cdn.stream(wanted);
    let bytes = 0;
    for (const reader = stream.getReader(); ; ) {
      const { value, done } = await reader.read();
      if (done) return bytes;
      bytes += value.length;
    }
  }, [cid, url]);
  const speed = rate(size, performance.now() - began);
  clearInterval(sampler);
  await browser.stop();
  if (got !== size) throw new Error(`${got} bytes came`);
  const { before, peak } = renderers.reduce((a, b) => (b.peak - b.before > a.peak - a.before ? b : a));
  return { before, peak, speed };
}

await withFolder(async (folder) => {
  const file = makeFile(joinPath(folder, 'film.bin'), size);
  note('importing');
  const node = await startNode({}, [], [file]);
  const { cid } = node.roots[0];
  const mib = (value) => value.toFixed(0);
  const rows = [];
  const add = (what, { before = 0, peak, speed }) =>
    rows.push([what, before ? mib(before) : '', mib(peak), before ? mib(peak - before) : '', speed ? speed.toFixed(1) : '']);
  add('`codio cat CID > /dev/null`', await throughCat(node, cid, folder));
  add('tab, `stream()`', await throughTab(node, cid));
  add('tab, `fetch()` of the same from the node', await throughTab(node, cid, `/ipfs/${cid}`));
  add('`codio serve`, which imported and served it', { peak: memory(node.pid, 'VmHWM') });
  await node.stop();
  table([`${gib} GiB through`, 'before, MiB', 'peak, MiB', 'growth, MiB', 'MB/s'], rows);
});
