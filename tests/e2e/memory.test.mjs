// What streams through a tab must not pile up there, however long it is.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, test } from 'node:test';
import { closeBrowsers, openTab, skipWithout } from './support/browsers.mjs';
import { join, pseudoRandom } from './support/cdn.mjs';
import { startNode } from './support/node.mjs';

const MiB = 1_048_576;

after(closeBrowsers);

/** MiB of a process's own, without the pages of the browser's program file. */
function held(pid) {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const [anonymous, shared] = ['RssAnon', 'RssShmem'].map((name) => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1]));
  return (anonymous + shared) / 1024;
}

async function renderers(page) {
  const session = await page.context().browser().newBrowserCDPSession();
  const { processInfo } = await session.send('SystemInfo.getProcessInfo');
  return processInfo.filter(({ type }) => type === 'renderer').map(({ id }) => id);
}

test('384 MiB stream through a tab that grows by less than 128', { skip: skipWithout('chromium') }, async () => {
  const node = await startNode({ 'film.bin': pseudoRandom(1, 384 * MiB) });
  const page = await openTab('chromium', `${node.http}/healthz`);
  await join(page, { gateways: [] });
  const growths = new Map();
  const begun = (await renderers(page)).map((pid) => [pid, held(pid)]);
  const timer = setInterval(() => {
    for (const [pid, before] of begun) growths.set(pid, Math.max(growths.get(pid) ?? 0, held(pid) - before));
  }, 100);
  const came = await page.evaluate(async (cid) => {
    let bytes = 0;
    for (const reader = window.cdn.stream(cid).getReader(); ; ) {
      const { value, done } = await reader.read();
      if (done) return bytes;
      bytes += value.length;
    }
  }, node.roots[0].cid);
  clearInterval(timer);
  assert.equal(came, 384 * MiB);
  const most = Math.max(...growths.values());
  assert.ok(most > 8 && most < 128, `${most.toFixed(0)} MiB`);
  await page.context().close();
  await node.stop();
});
