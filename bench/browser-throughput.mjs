// What the library makes of a connection: its speed beside a bare RTCDataChannel between the same two ends in the same
// run, the time to the first verified block, and what the fallback costs.
//
// Usage: node bench/browser-throughput.mjs [runs = 3] [browser = chromium]; after `npm run build`. Prints Markdown.
import { closeBrowsers, openTab } from '../tests/e2e/support/browsers.mjs';
import { download, join, pseudoRandom, upload } from '../tests/e2e/support/cdn.mjs';
import { buildFile, rawCid } from '../tests/e2e/support/dag.mjs';
import { startGateway } from '../tests/e2e/support/gateway.mjs';
import { startHostilePeer } from '../tests/e2e/support/hostile-peer.mjs';
import { startNode } from '../tests/e2e/support/node.mjs';

const runs = Number(process.argv[2] ?? 3);
const browser = process.argv[3] ?? 'chromium';
const MiB = 1_048_576;
const sizes = [4 * MiB, 64 * MiB];
const windows = [64, 128, 256, 512, 1024, 4096].map((kib) => kib * 1024);
/** Each run sends other bytes, so that nothing comes from a cache. */
let seed = 1;

const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];
const rate = (size, ms) => (size / MiB / ms) * 1000;
const close = (...pages) => Promise.all(pages.map((page) => page.context().close()));

async function repeat(measure) {
  const results = [];
  for (let i = 0; i < runs; i++) results.push(await measure());
  return results;
}

/** Milliseconds for `size` bytes over a fresh bare channel in 16 KiB messages, at most `window` of them unacknowledged. */
async function bareChannel(url, size, window) {
  const [sender, receiver] = [await openTab(browser, url), await openTab(browser, url)];
  for (const page of [sender, receiver]) {
    await page.evaluate(() => {
      window.connection = new RTCPeerConnection();
      window.channel = connection.createDataChannel('raw', { negotiated: true, id: 0, ordered: true });
      window.channel.binaryType = 'arraybuffer';
      window.opened = new Promise((resolve) => (window.channel.onopen = resolve));
      window.describe = async () => {
        await window.connection.setLocalDescription();
        await new Promise((resolve) => {
          const check = () => window.connection.iceGatheringState === 'complete' && resolve();
          window.connection.onicegatheringstatechange = check;
          check();
        });
        return window.connection.localDescription.toJSON();
      };
    });
  }
  const offer = await sender.evaluate(() => window.describe());
  const answer = await receiver.evaluate(
    async ([description, total]) => {
      await window.connection.setRemoteDescription(description);
      let got = 0;
      window.channel.onmessage = ({ data }) => {
        got += data.byteLength;
        window.channel.send(new Uint8Array([got >= total ? 1 : 0]));
      };
      return window.describe();
    },
    [offer, size],
  );
  const ms = await sender.evaluate(
    async ([description, total, limit]) => {
      await window.connection.setRemoteDescription(description);
      await window.opened;
      const message = new Uint8Array(16_384);
      let sent = 0;
      let acknowledged = 0;
      const began = performance.now();
      await new Promise((resolve) => {
        const pump = () => {
          for (; sent < total && sent - acknowledged < limit; sent += message.length) window.channel.send(message);
        };
        window.channel.onmessage = ({ data }) => {
          acknowledged += message.length;
          if (new Uint8Array(data)[0] === 1) resolve();
          else pump();
        };
        pump();
      });
      return performance.now() - began;
    },
    [answer, size, window],
  );
  await close(sender, receiver);
  return ms;
}

/** One download by a fresh tab from a fresh tab, or from the native node that has it. */
async function library(size, fromNative) {
  const bytes = fromNative && pseudoRandom(++seed, size);
  const node = await startNode(fromNative ? { 'film.bin': bytes } : {});
  const viewer = await openTab(browser, node.http);
  await join(viewer, { gateways: [] });
  const seeder = fromNative ? undefined : await openTab(browser, node.http);
  if (seeder) await join(seeder);
  const cid = seeder ? await upload(seeder, ++seed, size) : node.roots[0].cid;
  const got = await download(viewer, cid);
  if (got.error) throw new Error(got.error);
  await close(viewer, ...(seeder ? [seeder] : []));
  await node.stop();
  return got;
}

function table(head, rows) {
  const line = (cells) => `| ${cells.join(' | ')} |`;
  console.log([line(head), line(head.map(() => '---')), ...rows.map(line), ''].join('\n'));
}

async function throughput() {
  const node = await startNode();
  for (const size of sizes) {
    const bare = [];
    for (const window of windows) {
      const ms = await repeat(() => bareChannel(node.http, size, window));
      bare.push({ window, rate: rate(size, median(ms)), worst: rate(size, Math.max(...ms)) });
    }
    const best = bare.reduce((a, b) => (b.rate > a.rate ? b : a));
    const rows = bare.map((one) => [
      `bare channel, window ${one.window / 1024} KiB`,
      `${one.rate.toFixed(1)} (worst ${one.worst.toFixed(1)})`,
      '',
      '',
      `${((100 * one.rate) / best.rate).toFixed(0)} %`,
    ]);
    for (const fromNative of [false, true]) {
      const got = await repeat(() => library(size, fromNative));
      const whole = median(got.map(({ ms }) => rate(size, ms)));
      const flowing = median(got.map(({ ms, firstBlock }) => rate(size, ms - firstBlock)));
      rows.push([
        `**codio, ${fromNative ? 'native node' : 'tab'} to tab**`,
        `${whole.toFixed(1)} (worst ${Math.min(...got.map(({ ms }) => rate(size, ms))).toFixed(1)})`,
        flowing.toFixed(1),
        median(got.map(({ firstBlock }) => firstBlock)).toFixed(0),
        `${((100 * whole) / best.rate).toFixed(0)} % / ${((100 * flowing) / best.rate).toFixed(0)} %`,
      ]);
    }
    console.log(`### ${size / MiB} MiB, ${browser}, median of ${runs}, each on a fresh connection\n`);
    table(['what', 'MB/s', 'MB/s once flowing', 'first block, ms', 'of the best bare channel'], rows);
  }
  await node.stop();
}

/** Time to the first verified block where a gateway must help, beside the gateway's own answer to a plain fetch. */
async function fallback() {
  const node = await startNode();
  const rows = [];
  for (const [what, manner] of [
    ['nobody has it', undefined],
    ['the only peer keeps silent', 'silent'],
    ['the only peer lies', 'lies'],
  ]) {
    const results = await repeat(async () => {
      const { cid, blocks } = buildFile(pseudoRandom(++seed, 4 * MiB));
      const probe = pseudoRandom(++seed, 300);
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
      const got = await download(viewer, cid);
      await close(viewer, ...(hostile ? [hostile] : []));
      gateway.stop();
      return { own, first: got.firstBlock, whole: got.ms };
    });
    const pick = (name) => median(results.map((result) => result[name])).toFixed(0);
    rows.push([what, pick('own'), pick('first'), pick('whole')]);
  }
  await node.stop();
  console.log(`### Fallback to a gateway, 4 MiB, ${browser}, median of ${runs}, ms\n`);
  table(['case', "the gateway's own first block", 'first verified block', 'whole file'], rows);
}

try {
  await throughput();
  await fallback();
} finally {
  await closeBrowsers();
}
