// What the browser extension costs, in both browsers: how soon its popup tells of a transfer, the processor's time of the whole
// browser at rest and during one, the memory of the extension's process, and what the same file costs on a second site.
//
// usage: node bench/extension.mjs [--mib 24] [--browsers chromium,firefox] [--seconds 10]
import { randomBytes } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';
import { pathOf } from '../tests/e2e/support/browsers.mjs';
import { download, eventually, join } from '../tests/e2e/support/cdn.mjs';
import { click, openExtension, setSettings, shown } from '../tests/e2e/support/extension.mjs';
import { startNode } from '../tests/e2e/support/node.mjs';
import { MiB, median, note, settings, table } from './support/report.mjs';

const { mib, browsers, seconds } = settings({ mib: 24, browsers: ['chromium', 'firefox'], seconds: 10 });
const file = randomBytes(mib * MiB);
/** Of /proc/PID/stat. */
const ticksPerSecond = 100;

const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** The processes of that one and all that it started: pid, name and command line, and the processor's time in seconds. */
function family(root) {
  const all = readdirSync('/proc').filter((name) => /^\d+$/.test(name)).flatMap((pid) => {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
      const name = stat.slice(stat.indexOf('('), stat.lastIndexOf(')') + 1);
      return [{ pid: Number(pid), parent: Number(fields[1]), time: (Number(fields[11]) + Number(fields[12])) / ticksPerSecond, command: `${name} ${command}` }];
    } catch {
      return []; // It has ended.
    }
  });
  const mine = new Set([root]);
  for (let size = 0; size !== mine.size; ) {
    size = mine.size;
    for (const { pid, parent } of all) if (mine.has(parent)) mine.add(pid);
  }
  return all.filter(({ pid }) => mine.has(pid));
}

function mainOf(extension) {
  if (extension.pid) return extension.pid;
  const isMain = (pid) => {
    try {
      const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
      return command.includes(extension.profile) && !command.includes('--type=');
    } catch {
      return false;
    }
  };
  return Number(readdirSync('/proc').find((name) => /^\d+$/.test(name) && isMain(name)));
}

/** Percent of one core, while `run` goes on. */
async function processorDuring(main, run) {
  const sum = () => family(main).reduce((total, { time }) => total + time, 0);
  const [before, began] = [sum(), performance.now()];
  await run();
  return `${((100_000 * (sum() - before)) / (performance.now() - began)).toFixed(1)} %`;
}

/** In MB, what is shared counted by its share. */
function memoryOf(main) {
  const [process_] = family(main).filter(({ command }) => /--extension-process|^\(WebExtensions\)/.test(command));
  if (!process_) return 'none runs';
  const [, kib] = /^Pss:\s+(\d+) kB/m.exec(readFileSync(`/proc/${process_.pid}/smaps_rollup`, 'utf8')) ?? [];
  return `${Math.round(Number(kib) / 1024)} MiB`;
}

async function measure(browser) {
  const node = await startNode({ 'film.bin': file });
  const other = await startNode();
  const extension = await openExtension(browser, { grant: true, settings: { node: node.http, privacy: 'p2p-only' } });
  try {
    const main = mainOf(extension);
    const [{ cid }] = node.roots;
    await wait(1000 * seconds); // The browser has finished starting.
    note(`${browser}: at rest`);
    const atRest = await processorDuring(main, () => wait(1000 * seconds));
    const viewer = await extension.page(`view.html?u=codio://${cid}`);
    await shown(viewer, '#note');
    const popup = await extension.page('popup.html');
    note(`${browser}: connected`);
    const connected = await processorDuring(main, () => wait(1000 * seconds));
    const memoryBefore = memoryOf(main);
    await popup.evaluate(() => {
      window.updates = [];
      new MutationObserver(() => {
        window.updates.push(performance.now());
        if (document.querySelector('#transfers li')) window.appeared ??= Date.now();
      }).observe(document.querySelector('main'), { childList: true, subtree: true, characterData: true });
    });
    note(`${browser}: a download`);
    await viewer.evaluate(() => {
      window.showSaveFilePicker = undefined;
      document.querySelector('#save').addEventListener('click', () => (window.clicked = Date.now()), { capture: true });
    });
    let memoryDuring = '';
    let took = 0;
    const busy = await processorDuring(main, async () => {
      const began = performance.now();
      await click(viewer, '#save');
      await viewer.waitForFunction(() => Number(document.querySelector('#progress').getAttribute('aria-valuenow')) > 50);
      memoryDuring = memoryOf(main);
      await viewer.waitForFunction(() => document.querySelector('#state').textContent === 'Saved', undefined, { timeout: 120_000 });
      took = performance.now() - began;
    });
    const delay = (await popup.evaluate(() => window.appeared)) - (await viewer.evaluate(() => window.clicked));
    const updates = await popup.evaluate(() => window.updates);
    // Changes of one moment are one update.
    const gaps = updates.slice(1).map((time, i) => time - updates[i]).filter((gap) => gap > 20);
    const memoryAfter = memoryOf(main);
    note(`${browser}: two sites`);
    await setSettings(extension, { sites: { [node.http]: { node: true }, [other.http]: { node: true } } });
    const open = (origin) =>
      eventually(async () => {
        const page = await extension.open(origin);
        if (!(await page.evaluate(() => document.documentElement.dataset.codioExtension))) {
          await page.close();
          throw new Error(`the extension is not in ${origin}`);
        }
        await join(page, { gateways: [] });
        return page;
      }, 30_000);
    const first = await download(await open(node.http), cid);
    const before = (await node.stats()).uploaded;
    const second = await download(await open(other.http), cid);
    if (first.error ?? second.error) throw new Error(first.error ?? second.error);
    const again = (await node.stats()).uploaded - before;
    return {
      'from the click to the transfer in the popup': `${delay} ms`,
      'between the popup’s updates, median and longest': `${Math.round(median(gaps))}, ${Math.round(Math.max(...gaps))} ms`,
      'CPU at rest': atRest,
      'CPU with popup and viewer open, a peer connected, nothing moving': connected,
      'CPU during a download to disk': `${busy} at ${((mib * 1000) / took).toFixed(1)} MiB/s`,
      'memory (PSS) of the extension’s process before, during, after it': `${memoryBefore}, ${memoryDuring}, ${memoryAfter}`,
      [`the same ${mib} MiB on a second site: bytes from the network`]: String(again),
    };
  } finally {
    await extension.stop();
    await Promise.all([node.stop(), other.stop()]);
  }
}

const results = [];
for (const browser of browsers.filter((name) => pathOf(name))) results.push([browser, await measure(browser)]);
if (results.length === 0) throw new Error('neither Chromium nor Firefox is installed');
table(['', ...results.map(([name]) => name)], Object.keys(results[0][1]).map((name) => [name, ...results.map(([, figures]) => figures[name])]));
process.exit(); // Sockets to browsers that were killed linger.
