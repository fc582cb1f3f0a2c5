// What a visitor's page pays: how long its thread is kept from other work while a file comes, in the tab that leads and in one
// that uses the leader's node; and the gap when the leader closes or is killed.
//
// usage: node bench/page.mjs [--mib 100] [--browsers chromium,firefox]
import { closeBrowsers, openProfile } from '../tests/e2e/support/browsers.mjs';
import { join } from '../tests/e2e/support/cdn.mjs';
import { startNode } from '../tests/e2e/support/node.mjs';
import { MiB, note, rate, settings, table } from './support/report.mjs';
import { close, freshBytes } from './support/transfer.mjs';

const { mib, browsers } = settings({ mib: 100, browsers: ['chromium', 'firefox'] });
const size = mib * MiB;
/** What the node has: each measurement takes another file. */
const uses = ['leader', 'follower', 'takeover', 'killed'];

/** Reads the file to its end; what else would run in the page is a timer that tells how late it is. */
const read = (page, cid) =>
  page.evaluate(async (wanted) => {
    const tasks = [];
    const observer = new PerformanceObserver((list) => tasks.push(...list.getEntries().map(({ duration }) => duration)));
    const seesTasks = PerformanceObserver.supportedEntryTypes.includes('longtask');
    if (seesTasks) observer.observe({ entryTypes: ['longtask'] });
    let late = 0;
    let due = performance.now() + 10;
    const timer = setInterval(() => {
      const now = performance.now();
      late = Math.max(late, now - due);
      due = now + 10;
    }, 10);
    const began = performance.now();
    let bytes = 0;
    let last = began;
    let gap = 0;
    for (const reader = window.cdn.stream(wanted).getReader(); ; ) {
      const { value, done } = await reader.read();
      if (done) break;
      bytes += value.length;
      gap = Math.max(gap, performance.now() - last);
      last = performance.now();
    }
    clearInterval(timer);
    observer.disconnect();
    return { bytes, ms: performance.now() - began, late, gap, tasks: seesTasks ? tasks : undefined };
  }, cid);

const rows = [];
function add(browser, what, { bytes, ms, late, gap, tasks }) {
  if (bytes !== size) throw new Error(`${bytes} bytes came`);
  const long = tasks ? String(tasks.filter((duration) => duration > 50).length) : '';
  rows.push([browser, what, rate(size, ms).toFixed(1), long, late.toFixed(0), gap.toFixed(0)]);
}

for (const browser of browsers) {
  note(browser);
  const node = await startNode(Object.fromEntries(uses.map((use) => [`${use}.bin`, freshBytes(size)])));
  const cids = Object.fromEntries(uses.map((use, which) => [use, node.roots[which].cid]));
  const leader = await openProfile(browser, node.http);
  const sibling = async () => {
    const page = await leader.context().newPage();
    await page.goto(node.http);
    return page;
  };
  await join(leader, { gateways: [] });
  add(browser, 'a tab that leads', await read(leader, cids.leader));
  const follower = await sibling();
  await join(follower, { gateways: [] });
  add(browser, 'a tab that follows', await read(follower, cids.follower));
  const reading = read(follower, cids.takeover);
  await new Promise((resolve) => setTimeout(resolve, 1000));
  await leader.close();
  add(browser, 'a tab that follows; its leader closes', await reading);
  // Tabs of a site share a process in Firefox.
  if (browser === 'chromium') {
    const last = await sibling();
    await join(last, { gateways: [] });
    const goingOn = read(last, cids.killed);
    await new Promise((resolve) => setTimeout(resolve, 1000));
    follower.goto('chrome://crash').catch(() => {});
    add(browser, "a tab that follows; its leader's process is killed", await goingOn);
  }
  await close(follower);
  await node.stop();
}
table([`${mib} MiB from a native node`, '', 'MB/s', 'tasks over 50 ms', 'a timer late, ms', 'longest gap, ms'], rows);
await closeBrowsers();
