// What the fallback costs: the time to the first verified block where a gateway must help, beside the gateway's own answer to a
// plain fetch.
//
// usage: node bench/fallback.mjs [--runs 3] [--browser chromium]
import { closeBrowsers, openTab } from '../tests/e2e/support/browsers.mjs';
import { download, join } from '../tests/e2e/support/cdn.mjs';
import { buildFile, rawCid } from '../tests/e2e/support/dag.mjs';
import { startGateway } from '../tests/e2e/support/gateway.mjs';
import { startHostilePeer } from '../tests/e2e/support/hostile-peer.mjs';
import { startNode } from '../tests/e2e/support/node.mjs';
import { median, MiB, settings, table } from './support/report.mjs';
import { close, freshBytes } from './support/transfer.mjs';

const { runs, browser } = settings({ runs: 3, browser: 'chromium' });

async function measure(node, manner) {
  const { cid, blocks } = buildFile(freshBytes(4 * MiB));
  const probe = freshBytes(300);
  blocks.set(rawCid(probe), Buffer.from(probe));
  const gateway = await startGateway(blocks);
  const hostile = manner && (await openTab('chromium', node.http));
  if (hostile) await startHostilePeer(hostile, cid, manner);
  const viewer = await openTab(browser, node.http);
  await join(viewer, { gateways: [gateway.url] });
  const own = await viewer.evaluate(async (url) => {
    const began = performance.now();
    await (await fetch(url)).arrayBuffer();
    return performance.now() - began;
  }, `${gateway.url}${rawCid(probe)}?format=raw`);
  const { firstBlock, ms } = await download(viewer, cid);
  await close(viewer, ...(hostile ? [hostile] : []));
  gateway.stop();
  return [own, firstBlock, ms];
}

const node = await startNode();
try {
  const rows = [];
  for (const [what, manner] of [
    ['nobody has it', undefined],
    ['the only peer keeps silent', 'silent'],
    ['the only peer lies', 'lies'],
  ]) {
    const results = [];
    for (let i = 0; i < runs; i++) results.push(await measure(node, manner));
    rows.push([what, ...[0, 1, 2].map((column) => median(results.map((one) => one[column])).toFixed(0))]);
  }
  table(['case', "the gateway's own first block, ms", 'first verified block, ms', '4 MiB, ms'], rows);
} finally {
  await closeBrowsers();
  await node.stop();
}
