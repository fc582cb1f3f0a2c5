// Raw blocks or one CAR stream? The same file from one gateway on a long line, both ways, by a native client.
//
// usage: node bench/car.mjs [--runs 3] [--rtt 100] [--mbit 100,1000] [--mib 4,64]
//
// The line is a proxy that holds every byte back for half of the round trip, a new connection for one more, and gives out
// no more than its rate, all connections together. Each connection has TCP's slow start, or none, as one that was used before.
import { execFile } from 'node:child_process';
import { createServer as createHttpServer } from 'node:http';
import { connect, createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { buildFile } from '../tests/e2e/support/dag.mjs';
import { median, MiB, settings, table } from './support/report.mjs';
import { freshBytes } from './support/transfer.mjs';

const { runs, rtt, mbit, mib } = settings({ runs: 3, rtt: 100, mbit: [100, 1000], mib: [4, 64] });
const segment = 14_480;
const gatewayFetch =
  process.env.CODIO_GATEWAY_FETCH ?? fileURLToPath(new URL('../build/bench/gateway_fetch', import.meta.url));

async function fetchNatively(words) {
  const { stdout } = await promisify(execFile)(gatewayFetch, words).catch(({ stderr }) => {
    throw new Error(stderr);
  });
  return JSON.parse(stdout);
}

const listen = async (server) => {
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return server.address().port;
};

function varint(value) {
  const bytes = [];
  for (; value > 127; value = Math.floor(value / 128)) bytes.push((value % 128) | 128);
  return Buffer.from([...bytes, value]);
}

/** The binary CID of its text, `b` and base32. */
function binaryOf(cid) {
  let bits = '';
  for (const digit of cid.slice(1)) bits += 'abcdefghijklmnopqrstuvwxyz234567'.indexOf(digit).toString(2).padStart(5, '0');
  return Buffer.from(bits.match(/.{8}/g).map((byte) => parseInt(byte, 2)));
}

/** A CARv1, root first. */
function* carOf(root, blocks) {
  const cid = binaryOf(root);
  const header = Buffer.concat([
    Buffer.from('a265726f6f747381d82a58', 'hex'),
    Buffer.from([cid.length + 1, 0]),
    cid,
    Buffer.from('6776657273696f6e01', 'hex'),
  ]);
  yield Buffer.concat([varint(header.length), header]);
  for (const one of [root, ...[...blocks.keys()].filter((other) => other !== root)]) {
    const bytes = blocks.get(one);
    const name = binaryOf(one);
    yield Buffer.concat([varint(name.length + bytes.length), name, bytes]);
  }
}

function startGateway(root, blocks) {
  return createHttpServer(async (request, response) => {
    const [, cid, format] = /^\/ipfs\/(\w+)\?format=(raw|car)/.exec(request.url) ?? [];
    response.writeHead(200, { 'content-type': `application/vnd.ipld.${format}` });
    if (format === 'raw') return response.end(blocks.get(cid));
    for (const part of carOf(root, blocks)) {
      if (!response.write(part)) await new Promise((resolve) => response.once('drain', resolve));
    }
    response.end();
  });
}

/** Calls `take` for each segment after `delay` milliseconds from `at`, in order. */
function deliver(delay, take) {
  const queue = [];
  let timer;
  const flush = () => {
    timer = undefined;
    while (queue.length > 0 && queue[0].due <= performance.now()) take(queue.shift().value);
    if (queue.length > 0) timer = setTimeout(flush, queue[0].due - performance.now());
  };
  return (value, at = performance.now()) => {
    queue.push({ value, due: at + delay });
    timer ??= setTimeout(flush, queue[0].due - performance.now());
  };
}

/** One direction of a connection; `occupy(size)` takes the line that all share, and says when the bytes have left. */
function pass(from, to, occupy, slowStart) {
  const waiting = [];
  let bytes = 0;
  let underWay = 0;
  // RFC 6928: ten segments of 1,448 bytes at first, and as many bytes more as were acknowledged.
  let window = slowStart ? segment : Infinity;
  const arrive = deliver(rtt / 2, (part) => (part && !to.destroyed ? to.write(part) : to.end()));
  const acknowledge = deliver(rtt, (size) => {
    underWay -= size;
    window += size;
    leave();
  });
  function leave() {
    while (waiting.length > 0 && underWay + (waiting[0]?.length ?? 0) <= window) {
      const part = waiting.shift();
      const at = occupy(part?.length ?? 0);
      arrive(part, at);
      if (!part) return;
      bytes -= part.length;
      underWay += part.length;
      acknowledge(part.length, at);
    }
    if (from.isPaused() && bytes < 4 * MiB) from.resume();
  }
  from.on('data', (data) => {
    for (let at = 0; at < data.length; at += segment) waiting.push(data.subarray(at, at + segment));
    bytes += data.length;
    if (bytes > 4 * MiB) from.pause();
    leave();
  });
  from.on('close', () => {
    waiting.push(undefined);
    leave();
  });
  from.on('error', () => to.destroy());
}

function startLine(port, bitrate, slowStart) {
  let free = 0;
  return createServer((client) => {
    const server = connect(port, '127.0.0.1');
    const handshake = performance.now() + rtt;
    pass(client, server, () => Math.max(performance.now(), handshake), false);
    pass(server, client, (size) => (free = Math.max(free, performance.now()) + (size * 8) / (bitrate * 1000)), slowStart);
  });
}

const rows = [];
for (const size of mib) {
  const { cid, blocks } = buildFile(freshBytes(size * MiB));
  const cids = [cid, ...[...blocks.keys()].filter((one) => one !== cid)].join(',');
  const gateway = startGateway(cid, blocks);
  const port = await listen(gateway);
  for (const [bitrate, slowStart] of mbit.flatMap((one) => [[one, true], [one, false]])) {
    const line = startLine(port, bitrate, slowStart);
    const url = `http://127.0.0.1:${await listen(line)}/ipfs/`;
    const ways = [
      ['raw, 8 at a time', 'raw', '8', cids, url],
      ['raw, 16 at a time', 'raw', '16', cids, url],
      ['CAR', 'car', cid, url],
    ];
    for (const [way, ...words] of ways) {
      const results = [];
      for (let i = 0; i < runs; i++) results.push(await fetchNatively(words));
      const figure = (name) => median(results.map((one) => one[name])).toFixed(0);
      rows.push([size, bitrate, slowStart ? 'yes' : 'no', way, figure('firstBlock'), figure('firstLeaf'), figure('ms')]);
    }
    line.close();
  }
  gateway.close();
  gateway.closeAllConnections();
}
table(['MiB', 'Mbit/s', 'slow start', 'how', 'root, ms', 'first leaf, ms', 'all, ms'], rows);
process.exit();
