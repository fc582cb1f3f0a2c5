// One `codio serve` process, as a user starts it.
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
export const program = process.env.CODIO ?? here('../../../build/release/codio');
export const webRoot = here('../../../build/browser');
if (!existsSync(program)) throw new Error(`${program} is not there: run script/build first`);

/**
 * @param {Record<string, Buffer>} files by name: what the node has
 * @param {string[]} gateways asked after the node's own
 * @param {string[]} options of `codio serve`, besides; without one for the DHT it stays out of that
 */
export async function startNode(files = {}, gateways = [], options = []) {
  const folder = mkdtempSync(join(tmpdir(), 'codio-e2e-'));
  const paths = Object.entries(files).map(([name, bytes]) => {
    const path = join(folder, name);
    writeFileSync(path, bytes);
    return path;
  });
  const node = await start(folder, paths, gateways, options);
  const tell = async (command) => {
    const { stdout } = await promisify(execFile)(program, [command, '--json', '--repo', join(folder, 'repo')]);
    return JSON.parse(stdout);
  };
  return {
    ...node,
    rendezvous: `${node.http.replace('http', 'ws')}/rendezvous`,
    /** What it says that it did: `codio stats`. */
    stats: () => tell('stats'),
    /** With whom it is connected: `codio peers`. */
    peers: () => tell('peers'),
    /** Ended by the signal, of which it cannot know when it is SIGKILL. */
    async stop(signal) {
      await node.stop(signal);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function start(folder, paths, gateways, options) {
  const process_ = spawn(
    program,
    [
      ...['serve', ...paths, '--json', '--http', '127.0.0.1:0', '--repo', join(folder, 'repo'), '--web-root', webRoot],
      ...(gateways.length ? gateways.flatMap((url) => ['--gateway', url]) : ['--no-gateway']),
      ...(options.includes('--dht-bootstrap') ? [] : ['--no-dht']),
      ...options,
    ],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  let log = '';
  process_.stderr.on('data', (data) => {
    log += data;
    if (process.env.VERBOSE) process.stderr.write(data);
  });
  const ended = new Promise((resolve) => process_.on('close', resolve));
  const node = { pid: process_.pid, http: '', peer: '', dht: 0, roots: [] };
  const announced = new Set();
  const lines = createInterface({ input: process_.stdout });
  const ready = await new Promise((resolve) => {
    process_.on('close', () => resolve(false));
    lines.on('line', (line) => {
      const event = JSON.parse(line);
      if (event.event === 'listening') Object.assign(node, { http: event.http, peer: event.peer });
      if (event.event === 'dht') node.dht = event.port;
      if (event.event === 'root') node.roots.push(event);
      if (event.event === 'announced') announced.add(event.cid);
      if (event.event === 'ready') resolve(true);
    });
  });
  if (ready) {
    return {
      ...node,
      /** Resolves once the DHT has been told of the root. */
      announced: async (cid) => {
        while (!announced.has(cid)) await once(lines, 'line');
      },
      stop: async (signal = 'SIGKILL') => {
        process_.kill(signal);
        await ended;
      },
    };
  }
  throw new Error(`${program} ended before it was ready: ${log}`);
}
