// Files by HTTP: a node beside nginx, which serves the same files from disk, in turns, over keep-alive connections of wrk.
//
// usage: node bench/gateway.mjs [--seconds 3] [--sizes 4096,262144,1048576,104857600] [--connections 64,1000]
import { execFileSync, spawn } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { note, percent, settings, table } from './support/report.mjs';

const { seconds, sizes, connections } = settings({
  seconds: 3,
  sizes: [4096, 262_144, 1_048_576, 104_857_600],
  connections: [64, 1000],
});
const program = process.env.CODIO ?? new URL('../build/release/codio', import.meta.url).pathname;
const folder = mkdtempSync(join(tmpdir(), 'codio-bench-gateway-'));
const files = join(folder, 'files');
execFileSync('mkdir', [files]);
for (const size of sizes) writeFileSync(join(files, `${size}.bin`), randomFillSync(Buffer.alloc(size)));

/** CPU seconds that the processes have used. */
const cpu = (pids) =>
  pids
    .map((pid) => readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' '))
    .reduce((sum, fields) => sum + (Number(fields[11]) + Number(fields[12])) / 100, 0);

async function startNginx() {
  const port = 20_000 + (process.pid % 20_000);
  const configuration = `
    worker_processes ${availableParallelism()}; daemon off; pid ${folder}/nginx.pid; error_log ${folder}/error.log;
    events { worker_connections 4096; }
    http { access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000; root ${files};
           types { } default_type application/octet-stream;
           server { listen 127.0.0.1:${port}; location / { add_header Cache-Control "public, max-age=29030400, immutable"; } } }`;
  writeFileSync(join(folder, 'nginx.conf'), `user root;${configuration}`);
  const nginx = spawn('nginx', ['-c', join(folder, 'nginx.conf'), '-p', folder], { stdio: 'inherit' });
  for (;;) {
    try {
      if ((await fetch(`http://127.0.0.1:${port}/${sizes[0]}.bin`)).ok) break;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
  const children = readFileSync(`/proc/${nginx.pid}/task/${nginx.pid}/children`, 'utf8').trim().split(' ');
  return { name: 'nginx', process: nginx, pids: [nginx.pid, ...children], url: (size) => `http://127.0.0.1:${port}/${size}.bin` };
}

async function startCodio() {
  const node = spawn(
    program,
    ['--repo', join(folder, 'repo'), '--json', '--no-dht', '--no-gateway', 'serve', '--http', '127.0.0.1:0', files],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  let http;
  for await (const line of createInterface({ input: node.stdout })) {
    const event = JSON.parse(line);
    if (event.event === 'listening') http = event.http;
    if (event.event !== 'root') continue;
    return { name: 'codio', process: node, pids: [node.pid], url: (size) => `${http}/ipfs/${event.cid}/${size}.bin` };
  }
  throw new Error('the node ended');
}

function measure(server, size, clients) {
  const before = cpu(server.pids);
  const wrk = ['-t', '2', '-c', `${clients}`, '-d', `${seconds}s`, '--timeout', '20s', '--latency', server.url(size)];
  const text = execFileSync('wrk', wrk, { encoding: 'utf8' });
  const [, requests] = /Requests\/sec:\s+([\d.]+)/.exec(text);
  const [, amount, unit] = /99%\s+([\d.]+)(us|ms|s|m)/.exec(text);
  if (/Non-2xx/.test(text)) throw new Error(`${server.name}: answers were not 200: ${text}`);
  // Of answers that did not end, too: those of large files to many take longer than the measurement.
  const [, time, read, unitRead] = /requests in ([\d.]+)s, ([\d.]+)([KMGT])B read/.exec(text);
  const bytes = Number(read) * 1024 ** ('KMGT'.indexOf(unitRead) + 1);
  return {
    requests: Number(requests),
    megabytes: bytes / Number(time) / 1e6,
    p99: Number(amount) * { us: 0.001, ms: 1, s: 1000, m: 60_000 }[unit],
    nanoseconds: ((cpu(server.pids) - before) * 1e9) / bytes,
  };
}

const servers = [await startNginx(), await startCodio()];
try {
  const rows = [];
  for (const size of sizes) {
    for (const clients of connections) {
      note(`${size} bytes, ${clients} connections`);
      const [nginx, codio] = servers.map((server) => measure(server, size, clients));
      const both = (pick, digits) => [pick(nginx), pick(codio)].map((value) => value.toFixed(digits));
      rows.push([
        `${size / 1024} KiB`,
        clients,
        ...both((one) => one.requests, 0),
        ...both((one) => one.megabytes, 0),
        ...both((one) => one.p99, 1),
        ...both((one) => one.nanoseconds, 2),
        percent(size < 2 ** 24 ? codio.requests / nginx.requests : codio.megabytes / nginx.megabytes),
      ]);
    }
  }
  const two = (what) => [`${what}: nginx`, 'codio'];
  table(['file', 'connections', ...two('requests/s'), ...two('MB/s'), ...two('p99, ms'), ...two('CPU ns/byte'), 'of nginx'], rows);
} finally {
  for (const { process: child } of servers) {
    const ended = once(child, 'close');
    child.kill('SIGINT');
    await ended;
  }
  rmSync(folder, { recursive: true });
}
