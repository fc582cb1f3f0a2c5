// What a rendezvous costs and how soon it answers, beside the WebSocket tracker bittorrent-tracker: memory of a connection that is
// idle, requests a second of the server's CPU, and the time that an answer takes. Then what a bus adds to a signal's way.
//
// usage: node bench/rendezvous.mjs [--idle 10000] [--active 1000] [--seconds 5] [--rate 5000]
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { startNode } from '../tests/e2e/support/node.mjs';
import { startNats } from '../tests/e2e/support/services.mjs';
import { note, settings, table } from './support/report.mjs';

const { idle, active, seconds, rate } = settings({ idle: 10_000, active: 1000, seconds: 5, rate: 5000 });
const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const load = process.env.RENDEZVOUS_LOAD ?? here('../build/bench/rendezvous_load');
const tracker = here('node_modules/bittorrent-tracker/server.js');

/** KiB of memory that is the process's alone, and its CPU seconds so far. */
function usage(pid) {
  const [, kib] = /RssAnon:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/.*\) /, '').split(' ');
  return { kib: Number(kib), cpu: (Number(fields[11]) + Number(fields[12])) / 100 };
}

/** A line of JSON at a time. */
function startLoad(...words) {
  const process_ = spawn(load, words.map(String), { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: process_.stdout })[Symbol.asyncIterator]();
  return {
    next: async () => {
      const { value, done } = await lines.next();
      if (done) throw new Error(`${load} ${words.join(' ')} ended`);
      return JSON.parse(value);
    },
    go: () => process_.stdin.write('\n'),
    ended: new Promise((resolve) => process_.on('close', resolve)),
  };
}

async function startTracker() {
  const process_ = spawn(process.execPath, [here('support/tracker.mjs')], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [port] = await once(createInterface({ input: process_.stdout }), 'line');
  return { pid: process_.pid, port, stop: () => process_.kill('SIGKILL') };
}

async function startServer(name) {
  if (name === 'tracker') return startTracker();
  const node = await startNode();
  return { pid: node.pid, port: new URL(node.http).port, stop: () => node.stop() };
}

async function measure(name) {
  const server = await startServer(name);
  try {
    note(`${name}: ${idle + active} connections`);
    const before = usage(server.pid);
    const run = async (idleOnes, rateOf) => {
      const clients = startLoad('ask', name, server.port, idleOnes, active, seconds, rateOf);
      await clients.next();
      const open = usage(server.pid);
      clients.go();
      const result = await clients.next();
      const { cpu } = usage(server.pid);
      clients.go();
      await clients.ended;
      return { ...result, open, perCpu: result.requests / (cpu - open.cpu) };
    };
    const paced = await run(idle, rate);
    const full = await run(idle, 0);
    const bytes = ((paced.open.kib - before.kib) * 1024) / (idle + active);
    return { bytes, held: (2 ** 30 - before.kib * 1024) / bytes, paced, full };
  } finally {
    server.stop();
  }
}

/** Times of one signal between clients of the first and the last node. */
async function passed(count) {
  const nats = count > 1 ? await startNats() : undefined;
  const nodes = [];
  for (let i = 0; i < count; i++) nodes.push(await startNode({}, [], nats ? ['--bus', nats.url] : []));
  try {
    const pass = startLoad('pass', new URL(nodes[0].http).port, new URL(nodes.at(-1).http).port, 500);
    const result = await pass.next();
    await pass.ended;
    return result;
  } finally {
    await Promise.all(nodes.map((node) => node.stop()));
    await nats?.stop();
  }
}

const names = existsSync(tracker) ? ['codio', 'tracker'] : ['codio'];
if (names.length === 1) note('bittorrent-tracker is not installed: npm ci --prefix bench --ignore-scripts');
const number = (value, digits = 0) => value.toLocaleString('en', { maximumFractionDigits: digits, minimumFractionDigits: digits });
const rows = [];
for (const name of names) {
  const { bytes, held, paced, full } = await measure(name);
  rows.push([
    name === 'tracker' ? 'bittorrent-tracker' : 'codio',
    ...[number(bytes), number(held), number(full.perCpu), number(full.requests / full.seconds)],
    ...[paced.p50, paced.p99, paced.most].map((ms) => number(ms, 2)),
  ]);
}
console.log(`${number(idle)} idle and ${number(active)} asking connections.\n`);
table(
  [
    'server',
    'bytes a connection',
    'connections in 1 GiB',
    'requests a second of its CPU',
    'requests a second, all asking at once',
    `p50 at ${number(rate)} requests a second, ms`,
    'p99, ms',
    'most, ms',
  ],
  rows,
);
const signals = [];
for (const [nodes, what] of [[1, 'one node'], [2, 'two nodes on a bus'], [3, 'three nodes on a bus']]) {
  note(what);
  const { p50, p99 } = await passed(nodes);
  signals.push([what, number(p50, 2), number(p99, 2)]);
}
table(['a signal between clients of', 'p50, ms', 'p99, ms'], signals);
