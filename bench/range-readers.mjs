// The memory of a node that many read ranges from at a time: each asks for a range of its own, takes its beginning and waits,
// as players do that have enough. Then all read on. Resident memory, as Linux tells it.
//
// usage: node bench/range-readers.mjs [--readers 1000] [--mib 1024] [--range 16]
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { memory } from '../tests/e2e/support/memory.mjs';
import { makeFile } from './support/file.mjs';
import { MiB, note, settings, table } from './support/report.mjs';

const { readers, mib, range } = settings({ readers: 1000, mib: 1024, range: 16 });
const program = process.env.CODIO ?? new URL('../build/release/codio', import.meta.url).pathname;
const folder = mkdtempSync(join(tmpdir(), 'codio-bench-readers-'));

async function startNode() {
  const serve = ['serve', '--http', '127.0.0.1:0', '--client-connections', '0'];
  const common = ['--repo', join(folder, 'repo'), '--json', '--no-dht', '--no-gateway'];
  // In a process of its own: what an import took is not to count.
  const add = spawn(program, [...common, 'add', makeFile(join(folder, 'film.bin'), mib * MiB)], { stdio: ['ignore', 'ignore', 'inherit'] });
  await once(add, 'close');
  const node = spawn(program, [...common, ...serve], { stdio: ['ignore', 'pipe', 'inherit'] });
  for await (const line of createInterface({ input: node.stdout })) {
    const { event, http } = JSON.parse(line);
    if (event === 'listening') return { node, http: new URL(http) };
  }
  throw new Error('the node ended');
}

/** Has read the answer's head and what came with it; reads nothing more until it is told to. */
async function startReader(http, cid) {
  const from = Math.floor(Math.random() * (mib - range) * MiB);
  const socket = connect(Number(http.port), http.hostname);
  await once(socket, 'connect');
  const bytes = `bytes=${from}-${from + range * MiB - 1}`;
  socket.write(`GET /ipfs/${cid} HTTP/1.1\r\nHost: x\r\nRange: ${bytes}\r\nConnection: close\r\n\r\n`);
  const [head] = await once(socket, 'data');
  socket.pause();
  if (!/^HTTP\/1\.1 206/.test(head)) throw new Error(`not a range: ${head.subarray(0, 40)}`);
  return {
    async readOn() {
      let read = head.length;
      socket.on('data', (data) => (read += data.length));
      socket.resume();
      await once(socket, 'close');
      if (read < range * MiB) throw new Error(`${read} bytes came`);
    },
  };
}

try {
  note('importing');
  const { node, http } = await startNode();
  const [{ cid }] = await (await fetch(new URL('/api/roots', http))).json();
  const before = memory(node.pid, 'VmRSS');
  note('reading');
  const all = await Promise.all(Array.from({ length: readers }, () => startReader(http, cid)));
  const waiting = memory(node.pid, 'VmRSS');
  await Promise.all(all.map((reader) => reader.readOn()));
  const peak = memory(node.pid, 'VmHWM');
  const each = ((peak - before) * 1024) / readers;
  table(
    [`${readers} readers of ${range} MiB each, of ${mib}`, 'before, MiB', 'all wait, MiB', 'peak, MiB', 'for each, KiB'],
    [['`codio serve`', ...[before, waiting, peak, each].map((value) => value.toFixed(0))]],
  );
  node.kill('SIGINT');
  await once(node, 'close');
} finally {
  rmSync(folder, { recursive: true });
}
