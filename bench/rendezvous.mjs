// What a rendezvous costs and how soon it answers, beside the WebSocket tracker bittorrent-tracker: memory of a connection that is
// idle, requests a second of the server's CPU, and the time that an answer takes. Then what a bus adds to a signal's way, and how long
// it takes until all is well again after kill -9 of a part.
//
// usage: node bench/rendezvous.mjs [--idle 10000] [--active 1000] [--seconds 5] [--rate 5000] [--deaths 5]
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { setTimeout as pause } from 'node:timers/promises';
import { memory } from '../tests/e2e/support/memory.mjs';
import { startNode } from '../tests/e2e/support/node.mjs';
import { connect } from '../tests/e2e/support/rendezvous-client.mjs';
import { startNats } from '../tests/e2e/support/services.mjs';
import { median, note, settings, table } from './support/report.mjs';

const { idle, active, seconds, rate, deaths } = settings({ idle: 10_000, active: 1000, seconds: 5, rate: 5000, deaths: 5 });
const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const load = process.env.RENDEZVOUS_LOAD ?? here('../build/bench/rendezvous_load');
const tracker = here('node_modules/bittorrent-tracker/server.js');

/** KiB of memory that is the process's alone, and its CPU seconds so far. */
function usage(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/.*\) /, '').split(' ');
  return { kib: memory(pid, 'RssAnon') * 1024, cpu: (Number(fields[11]) + Number(fields[12])) / 100 };
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

/** Milliseconds until who serves the content is found, asking again and again. */
async function untilFound(asker, root) {
  const begin = performance.now();
  for (;;) {
    const id = ++asker.lastFind;
    asker.say({ type: 'find', id, cid: root });
    for (;;) {
      const answer = await asker.hear((message) => message.type === 'providers' && message.id === id);
      if (answer.peers.length > 0) return performance.now() - begin;
      if (!answer.more) break;
    }
    await pause(10);
  }
}

/** A seeder at one node, an asker at another: how long the asker finds nobody after the seeder's node, or NATS, was killed. */
async function survive() {
  let nats = await startNats();
  const nodes = await Promise.all([0, 1, 2].map(() => startNode({}, [], ['--bus', nats.url])));
  const urls = `${nodes[1].rendezvous},${nodes[2].rendezvous}`;
  const seeder = await startNode({ 'film.bin': Buffer.from(String(Math.random())) }, [], ['--rendezvous', urls]);
  const asker = await connect(nodes[0].rendezvous);
  try {
    const [{ cid }] = seeder.roots;
    await untilFound(asker, cid);
    await nats.stop();
    nats = await startNats(nats.port);
    const bus = await untilFound(asker, cid);
    await nodes[1].stop('SIGKILL');
    return { bus, node: await untilFound(asker, cid) };
  } finally {
    asker.close();
    await Promise.all([seeder, nodes[0], nodes[2]].map((node) => node.stop()));
    await nats.stop();
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
note('kill -9');
const survived = [];
for (let i = 0; i < deaths; i++) survived.push(await survive());
const until = (part) => {
  const times = survived.map((one) => one[part]);
  return `${number(median(times))} (at most ${number(Math.max(...times))})`;
};
console.log(`Median of ${deaths}:\n`);
table(
  ['kill -9 of', 'who notices', 'all is found again after, ms'],
  [
    ['NATS, which is started again', 'nobody but who asks for peers at another node', until('bus')],
    ['a node', 'its clients, which go to the next of their rendezvous', until('node')],
  ],
);
