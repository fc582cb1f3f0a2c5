// A node for where build/release/codio is not built: static files, descriptor, gateway and rendezvous, but no peer.
import { randomBytes } from 'node:crypto';
import { createReadStream, existsSync, statSync } from 'node:fs';
import { createServer } from 'node:http';
import { basename, extname, join, normalize } from 'node:path';
import { readFileSync } from 'node:fs';
import { WebSocketServer } from 'ws';
import { buildFile } from './dag.mjs';

const types = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml', '.wasm': 'application/wasm' };

export async function startStandIn(paths, gateways, webRoot) {
  const blocks = new Map();
  const roots = paths.map((path) => {
    const bytes = readFileSync(path);
    const { cid, blocks: some } = buildFile(bytes);
    for (const [id, block] of some) blocks.set(id, block);
    return { cid, name: basename(path), size: bytes.length };
  });
  const server = createServer((request, response) => {
    const path = normalize(new URL(request.url, 'http://x').pathname);
    response.setHeader('access-control-allow-origin', '*');
    if (path === '/.well-known/codio') {
      response.end(JSON.stringify({ version: 1, rendezvous: ['/rendezvous'], gateways: ['/ipfs/', ...gateways] }));
    } else if (path === '/api/roots') {
      response.end(JSON.stringify(roots));
    } else if (path.startsWith('/ipfs/')) {
      const block = blocks.get(path.slice(6));
      response.writeHead(block ? 200 : 404).end(block);
    } else {
      const file = join(webRoot, path.startsWith('/pkg/') ? path : join('demo', path === '/' ? 'index.html' : path));
      if (!existsSync(file) || !statSync(file).isFile()) return response.writeHead(404).end();
      response.writeHead(200, { 'content-type': types[extname(file)] ?? 'application/octet-stream' });
      createReadStream(file).pipe(response);
    }
  });
  rendezvous(server);
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    http: `http://127.0.0.1:${server.address().port}`,
    roots,
    stop() {
      server.close();
      server.closeAllConnections();
    },
  };
}

function rendezvous(server) {
  const sockets = new Map();
  const announced = new Map();
  const wss = new WebSocketServer({ server, path: '/rendezvous', handleProtocols: () => 'codio-rendezvous.1' });
  wss.on('connection', (socket) => {
    const peer = randomBytes(12).toString('hex');
    const send = (to, message) => to.send(JSON.stringify(message));
    sockets.set(peer, socket);
    send(socket, { type: 'welcome', version: 1, peer, iceServers: [], maxAnnounced: 16384 });
    socket.on('close', () => {
      sockets.delete(peer);
      for (const peers of announced.values()) peers.delete(peer);
    });
    socket.on('message', (data) => {
      const message = JSON.parse(String(data));
      const { type, cid, cids = [], id, to, ...rest } = message;
      if (type === 'announce') {
        for (const one of cids) announced.set(one, (announced.get(one) ?? new Set()).add(peer));
      } else if (type === 'withdraw') {
        for (const one of cids) announced.get(one)?.delete(peer);
      } else if (type === 'find') {
        send(socket, { type: 'providers', id, cid, peers: [...(announced.get(cid) ?? [])].filter((one) => one !== peer) });
      } else if (sockets.has(to)) {
        send(sockets.get(to), { type, from: peer, ...rest });
      } else {
        send(socket, { type: 'unreachable', peer: to, session: rest.session });
      }
    });
  });
}
