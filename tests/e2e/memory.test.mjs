// What streams through a tab must not pile up there, however long it is.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { closeBrowsers, openTab, skipWithout } from './support/browsers.mjs';
import { join, pseudoRandom } from './support/cdn.mjs';
import { held } from './support/memory.mjs';
import { startNode } from './support/node.mjs';

const MiB = 1_048_576;

let node;
after(async () => {
  await closeBrowsers();
  await node?.stop();
});

async function renderers(page) {
  const session = await page.context().browser().newBrowserCDPSession();
  const { processInfo } = await session.send('SystemInfo.getProcessInfo');
  return processInfo.filter(({ type }) => type === 'renderer').map(({ id }) => id);
}

test('384 MiB stream through a tab that grows by less than 128', { skip: skipWithout('chromium') }, async () => {
  node = await startNode({ 'film.bin': pseudoRandom(1, 384 * MiB) });
  const page = await openTab('chromium', `${node.http}/healthz`);
  await join(page, { gateways: [] });
  const growths = new Map();
  const begun = (await renderers(page)).map((pid) => [pid, held(pid)]);
  const timer = setInterval(() => {
    for (const [pid, before] of begun) growths.set(pid, Math.max(growths.get(pid) ?? 0, held(pid) - before || 0)); // It may have ended.
  }, 100);
  const reading = page.evaluate(async (cid) => {
    let bytes = 0;
    for (const reader = window.cdn.stream(cid).getReader(); ; ) {
      const { value, done } = await reader.read();
      if (done) return bytes;
      bytes += value.length;
    }
  }, node.roots[0].cid);
  const came = await reading.finally(() => clearInterval(timer));
  assert.equal(came, 384 * MiB);
  const most = Math.max(...growths.values());
  assert.ok(most > 8 && most < 128, `${most.toFixed(0)} MiB`);
});
