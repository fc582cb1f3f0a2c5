// The memory that a long file takes while it streams through: of the node that has it, of `codio cat`, and of a tab that reads
// it with stream() and drops the bytes, beside a tab that does the same with the browser's own fetch(). Resident memory, as Linux
// tells it.
//
// usage: node bench/memory.mjs [--gib 2]
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join as joinPath } from 'node:path';
import { closeBrowsers, openTab } from '../tests/e2e/support/browsers.mjs';
import { join } from '../tests/e2e/support/cdn.mjs';
import { program, startNode } from '../tests/e2e/support/node.mjs';
import { makeFile } from './support/file.mjs';
import { MiB, note, rate, settings, table } from './support/report.mjs';
import { close, rendezvousOf, withFolder } from './support/transfer.mjs';

const { gib } = settings({ gib: 2 });
const size = gib * 1024 * MiB;
/** So that what is kept for others does not count: the store of a tab is in memory. */
const storeBytes = 16 * MiB;
const sampling = 100;

/** In MiB: `VmRSS`, now, or `VmHWM`, the most there was. */
function memory(pid, name) {
  const [, kib] = new RegExp(`${name}:\\s+(\\d+) kB`).exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Number(kib) / 1024;
}

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
  const viewer = await openTab('chromium', node.http);
  await join(viewer, { gateways: [], storeBytes });
  const session = await viewer.context().browser().newBrowserCDPSession();
  const { processInfo } = await session.send('SystemInfo.getProcessInfo');
  const renderers = processInfo.filter(({ type }) => type === 'renderer').map(({ id: pid }) => ({
    pid,
    before: memory(pid, 'VmRSS'),
    peak: 0,
  }));
  const sampler = setInterval(() => {
    for (const one of renderers) one.peak = Math.max(one.peak, memory(one.pid, 'VmRSS'));
  }, sampling);
  const began = performance.now();
  const got = await viewer.evaluate(async ([wanted, from]) => {
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
  await close(viewer);
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
await closeBrowsers();
