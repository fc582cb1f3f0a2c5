// Which hosts reach each other directly and which through TURN, and how long `codio get` of 100 KB takes: hosts in network namespaces,
// each behind a NAT of its own (bench/nat.cc), a node and a TURN server in public. Needs root and iproute2; makes only namespaces.
//
// usage: node bench/networks.mjs [--runs 10]
import { execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { program } from '../tests/e2e/support/node.mjs';
import { median, note, settings, table } from './support/report.mjs';

const { runs } = settings({ runs: 10 });
const nat = process.env.NAT ?? fileURLToPath(new URL('../build/bench/nat', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'codio-networks-'));
const prefix = `codio${process.pid}`;
const server = '203.0.113.1';
const running = [];
const made = [];

const ip = (...words) => execFileSync('ip', words, { stdio: ['ignore', 'pipe', 'pipe'] });
const within = (space, ...words) => execFileSync('ip', ['netns', 'exec', space, ...words], { stdio: ['ignore', 'pipe', 'pipe'] });

function addSpace(name) {
  const space = `${prefix}-${name}`;
  ip('netns', 'add', space);
  made.push(space);
  within(space, 'ip', 'link', 'set', 'lo', 'up');
  return space;
}

/** A wire between two namespaces, with an address at each end. */
function connect(a, addressA, b, addressB) {
  const [nameA, nameB] = [`c${made.length}a${running.length}`, `c${made.length}b${running.length}`];
  ip('link', 'add', 'name', nameA, 'netns', a, 'type', 'veth', 'peer', 'name', nameB, 'netns', b);
  for (const [space, name, address] of [[a, nameA, addressA], [b, nameB, addressB]]) {
    within(space, 'ip', 'address', 'add', address, 'dev', name);
    within(space, 'ip', 'link', 'set', name, 'up');
  }
  return [nameA, nameB];
}

/** What has no route goes to nobody, as on the internet: a TURN server that is told that it cannot send drops the whole allocation. */
function routeToNowhere(core) {
  const nowhere = addSpace('nowhere');
  const [name] = connect(core, '192.0.0.1/30', nowhere, '192.0.0.2/30');
  within(core, 'ip', 'link', 'set', name, 'arp', 'off');
  within(core, 'ip', 'route', 'add', 'default', 'dev', name);
}

function forward(space) {
  within(space, 'sh', '-c', 'echo 1 >/proc/sys/net/ipv4/ip_forward; for f in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 0 >$f; done');
}

/** Resolves with what `pick` makes of a line of its output. */
async function start(space, words, pick) {
  const process_ = spawn('ip', ['netns', 'exec', space, ...words], { stdio: ['ignore', 'pipe', 'pipe'] });
  running.push(process_);
  let log = '';
  process_.stderr.on('data', (data) => (log += data));
  for await (const line of createInterface({ input: process_.stdout })) {
    log += `${line}\n`;
    const picked = pick(line);
    if (picked === undefined) continue;
    process_.stdout.resume();
    return { picked, stop: () => process_.kill('SIGKILL') };
  }
  throw new Error(`${words[0]} ended: ${log}`);
}

async function addHost(core, number, kind) {
  const host = addSpace(`host${number}`);
  if (kind === 'none') {
    const [name] = connect(core, `198.51.100.${4 * number + 1}/30`, host, `198.51.100.${4 * number + 2}/30`);
    within(host, 'ip', 'route', 'add', 'default', 'via', `198.51.100.${4 * number + 1}`);
    return { host, name };
  }
  const router = addSpace(`router${number}`);
  const outside = `198.51.100.${200 + number}`;
  connect(core, `192.0.2.${4 * number + 1}/30`, router, `192.0.2.${4 * number + 2}/30`);
  const [inner] = connect(router, `10.0.${number}.1/24`, host, `10.0.${number}.2/24`);
  within(host, 'ip', 'route', 'add', 'default', 'via', `10.0.${number}.1`);
  within(router, 'ip', 'route', 'add', 'default', 'via', `192.0.2.${4 * number + 1}`);
  within(core, 'ip', 'route', 'add', `${outside}/32`, 'via', `192.0.2.${4 * number + 2}`);
  within(router, 'ip', 'tuntap', 'add', 'dev', 'nat0', 'mode', 'tun');
  within(router, 'ip', 'link', 'set', 'nat0', 'up');
  within(router, 'ip', 'route', 'add', `${outside}/32`, 'dev', 'nat0');
  within(router, 'ip', 'route', 'add', 'default', 'dev', 'nat0', 'table', '100');
  within(router, 'ip', 'rule', 'add', 'iif', inner, 'lookup', '100');
  forward(router);
  await start(router, [nat, 'nat0', outside, kind], (line) => line === 'ready' || undefined);
  return { host };
}

/** A node whose clients get that ICE server. */
async function startRendezvous(core, name, port, iceServer, secret) {
  const words = [program, 'serve', '--json', '--http', `${server}:${port}`, '--repo', join(folder, name), '--no-gateway', '--no-dht'];
  await start(
    core,
    [...words, '--ice-server', iceServer, ...(secret ? ['--turn-secret-file', secret] : [])],
    (line) => line.includes('"ready"') || undefined,
  );
  return `ws://${server}:${port}/rendezvous`;
}

/** Milliseconds, or nothing if they do not connect. */
async function get(host, root, rendezvous) {
  const name = randomBytes(4).toString('hex');
  const words = ['get', root, '-o', join(folder, name), '--repo', join(folder, `${name}.repo`), '--no-gateway', '--no-dht'];
  const began = performance.now();
  const process_ = spawn('ip', ['netns', 'exec', host, program, ...words, '--rendezvous', rendezvous], { stdio: 'ignore' });
  const status = await new Promise((resolve) => process_.on('exit', resolve));
  return status === 0 ? performance.now() - began : undefined;
}

/** What of several tries came through, and how long it took: all take the same path. */
async function times(from, to, rendezvous) {
  const name = randomBytes(4).toString('hex');
  const file = join(folder, name);
  writeFileSync(file, randomBytes(100_000));
  let root;
  const seeder = await start(
    from,
    [program, 'serve', file, '--json', '--http', '127.0.0.1:0', '--repo', join(folder, `${name}.repo`), '--no-gateway',
      ...['--no-dht', '--rendezvous', rendezvous]],
    (line) => {
      root ??= JSON.parse(line).cid;
      return line.includes('"ready"') ? root : undefined;
    },
  );
  const all = [];
  // Where the first does not come through, no other will, and each takes long to give up.
  for (let i = 0; i < runs && (i === 0 || all.length > 0); i++) {
    const ms = await get(to, root, rendezvous);
    if (ms !== undefined) all.push(ms);
  }
  seeder.stop();
  if (all.length === 0) return 'no';
  return `${median(all).toFixed(0)} (at most ${Math.max(...all).toFixed(0)}), ${all.length} of ${runs}`;
}

async function measure() {
  const core = addSpace('core');
  within(core, 'ip', 'address', 'add', `${server}/32`, 'dev', 'lo');
  routeToNowhere(core);
  const kinds = { open: 'none', 'cone NAT': 'cone', 'another cone NAT': 'cone', 'symmetric NAT': 'symmetric' };
  const hosts = {};
  for (const [number, [name, kind]] of Object.entries(kinds).entries()) hosts[name] = (await addHost(core, number + 1, kind)).host;
  forward(core);

  const secret = join(folder, 'secret');
  writeFileSync(secret, 'north\n');
  chmodSync(secret, 0o600);
  await start(
    core,
    ['turnserver', '-n', '--listening-ip', server, '--relay-ip', server, '--no-tls', '--no-dtls', '--no-cli', '--use-auth-secret',
      ...['--static-auth-secret', 'north', '--realm', 'codio', '--verbose', '--log-file', 'stdout', '--pidfile', '/dev/null']],
    (line) => /UDP listener opened/.test(line) || undefined,
  );
  const direct = await startRendezvous(core, 'direct', 8080, `stun:${server}`);
  const relayed = await startRendezvous(core, 'relayed', 8081, `turn:${server}`, secret);

  const rows = [];
  const names = Object.keys(hosts);
  for (const [from, to] of names.flatMap((one, i) => names.slice(i + 1).map((other) => [one, other]))) {
    note(`${from} and ${to}`);
    rows.push([`${from} – ${to}`, await times(hosts[from], hosts[to], direct), await times(hosts[from], hosts[to], relayed)]);
  }
  table(['hosts', 'with STUN only, ms', 'with TURN too, ms'], rows);
}

try {
  ip('netns', 'list');
  addSpace('probe');
  let allowed = true;
  try {
    within(made[0], 'ip', 'tuntap', 'add', 'dev', 'probe', 'mode', 'tun');
  } catch (error) {
    allowed = false;
    note(`skipped: this machine allows no network namespaces with TUN devices: ${error.stderr ?? error.message}`);
  }
  if (allowed) await measure();
} finally {
  for (const process_ of running) process_.kill('SIGKILL');
  for (const space of made) {
    try {
      ip('netns', 'delete', space);
    } catch (error) {
      note(String(error.stderr ?? error));
    }
  }
  rmSync(folder, { recursive: true, force: true });
}
