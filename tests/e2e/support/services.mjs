// Programs of others that nodes use: a NATS server, a TURN server. One that is not installed gives a reason to skip.
import { execFileSync, spawn } from 'node:child_process';
import { createServer } from 'node:net';
import { networkInterfaces } from 'node:os';

/** For `test(name, {skip})`: why the programs cannot be used, or false. */
export function skipWithoutPrograms(...names) {
  const missing = names.filter((name) => {
    try {
      execFileSync('which', [name]);
      return false;
    } catch {
      return true;
    }
  });
  return missing.length > 0 && `${missing.join(', ')} not installed`;
}

export async function freePort() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** An address of this machine that is not loopback, as browsers offer no other. */
export function ownAddress() {
  return Object.values(networkInterfaces()).flat().find(({ family, internal }) => family === 'IPv4' && !internal)?.address;
}

/** Its `stop()` kills it, as a crash would. */
export async function startNats(port) {
  const chosen = port ?? (await freePort());
  const service = await start('nats-server', ['-a', '127.0.0.1', '-p', String(chosen)], /Server is ready/);
  return { ...service, port: chosen, url: `nats://127.0.0.1:${chosen}` };
}

export async function startTurn(secret) {
  const port = await freePort();
  const address = ownAddress();
  const service = await start(
    'turnserver',
    [
      ...['-n', '--listening-ip', address, '--relay-ip', address, '--listening-port', String(port), '--no-tls', '--no-dtls'],
      ...['--no-cli', '--use-auth-secret', '--static-auth-secret', secret, '--realm', 'codio', '--verbose'],
      ...['--log-file', 'stdout', '--pidfile', '/dev/null', '--min-port', '50000', '--max-port', '50999'],
    ],
    /IPv4\. UDP listener opened/,
  );
  return { ...service, url: `turn:${address}:${port}` };
}

async function start(program, options, ready) {
  const process_ = spawn(program, options, { stdio: ['ignore', 'pipe', 'pipe'] });
  const ended = new Promise((resolve) => process_.on('close', resolve));
  const service = { log: '' };
  await new Promise((resolve, reject) => {
    const listen = (data) => {
      service.log += data;
      if (ready.test(service.log)) resolve();
    };
    process_.stdout.on('data', listen);
    process_.stderr.on('data', listen);
    process_.on('close', () => reject(new Error(`${program} ended: ${service.log}`)));
    process_.on('error', reject);
  });
  return {
    get log() {
      return service.log;
    },
    async stop() {
      process_.kill('SIGKILL');
      await ended;
    },
  };
}
