// What the fallback costs: the time to the first verified block where a gateway must help, and where the first gateway is no
// help either, beside the healthy gateway's own answer.
//
// usage: node bench/fallback.mjs [--runs 3] [--browser chromium]
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { closeBrowsers, openTab } from '../tests/e2e/support/browsers.mjs';
import { download, join } from '../tests/e2e/support/cdn.mjs';
import { buildFile, rawCid } from '../tests/e2e/support/dag.mjs';
import { startGateway } from '../tests/e2e/support/gateway.mjs';
import { startHostilePeer } from '../tests/e2e/support/hostile-peer.mjs';
import { startNode } from '../tests/e2e/support/node.mjs';
import { median, MiB, settings, table } from './support/report.mjs';
import { close, freshBytes } from './support/transfer.mjs';

const { runs, browser } = settings({ runs: 3, browser: 'chromium' });
const gatewayFetch =
  process.env.CODIO_GATEWAY_FETCH ?? fileURLToPath(new URL('../build/bench/gateway_fetch', import.meta.url));
/** Milliseconds that the healthy gateway takes, as one in the same country does. */
const answerTime = 30;

/** The file's gateway, which has a small block for probing it too. */
async function healthy(blocks, delay) {
  const probe = freshBytes(300);
  blocks.set(rawCid(probe), Buffer.from(probe));
  const gateway = await startGateway(blocks, (cid, response) => {
    if (delay === 0) return false;
    setTimeout(() => {
      response.writeHead(200, { 'content-type': 'application/vnd.ipld.raw' }).end(blocks.get(cid));
    }, delay);
    return true;
  });
  return { ...gateway, probe: rawCid(probe) };
}

async function ownAnswer(page, { url, probe }) {
  return page.evaluate(async (from) => {
    const began = performance.now();
    await (await fetch(from)).arrayBuffer();
    return performance.now() - began;
  }, `${url}${probe}?format=raw`);
}

async function measurePeers(node, manner) {
  const { cid, blocks } = buildFile(freshBytes(4 * MiB));
  const gateway = await healthy(blocks, 0);
  const hostile = manner && (await openTab('chromium', node.http));
  if (hostile) await startHostilePeer(hostile, cid, manner);
  const viewer = await openTab(browser, node.http);
  await join(viewer, { gateways: [gateway.url] });
  const own = await ownAnswer(viewer, gateway);
  const { firstBlock, ms } = await download(viewer, cid);
  await close(viewer, ...(hostile ? [hostile] : []));
  gateway.stop();
  return [own, firstBlock, ms];
}

/** How a primary is no help: answers itself, or nothing and the gateway is closed. */
const manners = {
  refuses: undefined,
  'keeps silent': () => true,
  'sends 1 byte a second': (_, response) => {
    response.writeHead(200, { 'content-type': 'application/vnd.ipld.raw' }).write('x');
    const timer = setInterval(() => response.write('x'), 1000);
    response.on('close', () => clearInterval(timer));
    return true;
  },
  lies: (_, response) => {
    response.writeHead(200, { 'content-type': 'application/vnd.ipld.raw' }).end('a lie');
    return true;
  },
};

async function measureNatively(urls, cid, blocks, own) {
  const fetchOf = async (list, from) => JSON.parse((await promisify(execFile)(gatewayFetch, ['raw', '8', list, ...from])).stdout);
  const { firstBlock: alone } = await fetchOf(own.probe, [own.url]);
  const cids = [cid, ...[...blocks.keys()].filter((one) => one !== cid && one !== own.probe)];
  const { firstBlock, ms } = await fetchOf(cids.join(','), urls);
  return [alone, firstBlock, ms];
}

async function measureInTab(node, urls, cid, own) {
  const viewer = await openTab(browser, node.http);
  await join(viewer, { gateways: urls, policy: 'gateway-only' });
  const alone = await ownAnswer(viewer, own);
  const { firstBlock, ms } = await download(viewer, cid);
  await close(viewer);
  return [alone, firstBlock, ms];
}

/** With a primary of this manner and a healthy fallback: by a native node and by a tab. */
async function measureGateways(node, manner, isHealthy) {
  const { cid, blocks } = buildFile(freshBytes(4 * MiB));
  const own = await healthy(blocks, answerTime);
  const primary = await startGateway(blocks, manner);
  if (!manner) primary.stop();
  const urls = isHealthy ? [own.url, primary.url] : [primary.url, own.url];
  const figures = [...(await measureNatively(urls, cid, blocks, own)), ...(await measureInTab(node, urls, cid, own))];
  primary.stop();
  own.stop();
  return figures;
}

async function repeat(measure) {
  const results = [];
  for (let i = 0; i < runs; i++) results.push(await measure());
  return results[0].map((_, column) => median(results.map((one) => one[column])).toFixed(0));
}

const node = await startNode();
try {
  const peers = { 'nobody has it': undefined, 'the only peer keeps silent': 'silent', 'the only peer lies': 'lies' };
  const rows = [];
  for (const [what, manner] of Object.entries(peers)) rows.push([what, ...(await repeat(() => measurePeers(node, manner)))]);
  table(['case', "the gateway's own first block, ms", 'first verified block, ms', '4 MiB, ms'], rows);

  const gateways = [['is healthy', ...(await repeat(() => measureGateways(node, undefined, true)))]];
  for (const [what, manner] of Object.entries(manners)) {
    gateways.push([what, ...(await repeat(() => measureGateways(node, manner, false)))]);
  }
  const columns = ["healthy gateway's own, ms", 'first block, ms', '4 MiB, ms'];
  table(
    ['the primary', ...columns.map((name) => `native: ${name}`), ...columns.map((name) => `${browser}: ${name}`)],
    gateways,
  );
} finally {
  await closeBrowsers();
  await node.stop();
}
