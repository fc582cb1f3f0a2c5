// The nginx of docs/gateway.md in front of a node, as it stands there but for what this machine lacks: HTTP/3, and a
// certificate that anybody trusts.
//
// CODIO names the program (default: build/release/codio).
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import http2 from 'node:http2'
import net from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import tls from 'node:tls'

import { Dag } from './support/dag.mjs'
import { codio, startGateway } from './support/gateway.mjs'

const nginx = ['/usr/sbin/nginx', '/usr/local/sbin/nginx'].find(existsSync)
const skip = !existsSync(codio)
  ? `there is no program at ${codio}: build it, or name it in CODIO`
  : !nginx && 'there is no nginx on this machine'

/** A port that was free a moment ago. */
async function freePort () {
  const server = net.createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address()
  server.close()
  await once(server, 'close')
  return port
}

function configuration (port, node, folder) {
  const [, documented] = /(upstream codio [^]*?\n {4}})\n\n/.exec(readFileSync(new URL('../../docs/gateway.md', import.meta.url), 'utf8'))
  const here = documented
    .replace('127.0.0.1:8080', `127.0.0.1:${node}`)
    .replace('listen 443 ssl http2;', `listen 127.0.0.1:${port} ssl http2; ssl_certificate ${folder}/cert.pem; ssl_certificate_key ${folder}/key.pem;`)
    .replace(/ *listen 443 quic;\n *add_header Alt-Svc[^\n]*\n/, '')
  return `daemon off; pid ${folder}/nginx.pid; error_log ${folder}/error.log; ${process.getuid() === 0 ? 'user root;' : ''}
    events { worker_connections 256; }
    http { access_log off; client_body_temp_path ${folder}/body; proxy_temp_path ${folder}/proxy; fastcgi_temp_path ${folder}/fastcgi;
           uwsgi_temp_path ${folder}/uwsgi; scgi_temp_path ${folder}/scgi; ${here} }`
}

async function until (condition) {
  while (!await condition()) await new Promise((resolve) => setTimeout(resolve, 50))
}

test('nginx in front, as documented, gives HTTP/2, origins, ranges and the rendezvous', { skip, timeout: 60_000 }, async (context) => {
  const folder = mkdtempSync(path.join(tmpdir(), 'codio-front-'))
  context.after(() => rmSync(folder, { recursive: true }))
  const dag = new Dag()
  const text = dag.raw('0123456789'.repeat(100))
  const root = dag.directory({ 'text.txt': text })
  const gateway = await startGateway({ cars: [await dag.car(root)], options: ['--subdomains', 'example.com'] })
  context.after(() => gateway.stop())
  execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', `${folder}/key.pem`, '-out', `${folder}/cert.pem`, '-days', '1', '-subj', '/CN=example.com'], { stdio: 'ignore' })
  const port = await freePort()
  writeFileSync(`${folder}/nginx.conf`, configuration(port, gateway.port, folder))
  const front = spawn(nginx, ['-c', `${folder}/nginx.conf`, '-p', folder], { stdio: ['ignore', 'inherit', 'inherit'] })
  context.after(async () => {
    if (front.exitCode === null) {
      front.kill('SIGTERM')
      await once(front, 'close')
    }
  })
  const isUp = () => new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1', () => { socket.destroy(); resolve(true) })
    socket.on('error', () => resolve(false))
  })
  await until(() => front.exitCode !== null || isUp())
  assert.equal(front.exitCode, null, existsSync(`${folder}/error.log`) ? readFileSync(`${folder}/error.log`, 'utf8') : '')

  const session = http2.connect(`https://127.0.0.1:${port}`, { rejectUnauthorized: false })
  context.after(() => session.close())
  const get = async (host, target, headers = {}) => {
    const stream = session.request({ ':path': target, ':authority': host, ...headers })
    const [head] = await once(stream, 'response')
    const pieces = []
    for await (const piece of stream) pieces.push(piece)
    return { status: head[':status'], head, body: Buffer.concat(pieces).toString() }
  }
  const redirect = await get('example.com', `/ipfs/${root}/text.txt`)
  assert.equal(redirect.status, 301)
  assert.equal(redirect.head.location, `https://${root}.ipfs.example.com/text.txt`)
  const host = `${root}.ipfs.example.com`
  assert.equal((await get(host, '/text.txt')).body, '0123456789'.repeat(100))
  const range = await get(host, '/text.txt', { range: 'bytes=5-14' })
  assert.equal(range.status, 206)
  assert.equal(range.body, '5678901234')
  assert.equal((await get('example.com', `/ipfs/${text}?format=raw`)).head['x-ipfs-roots'], text.toString())
  assert.equal((await get('example.com', '/metrics')).status, 403)

  const socket = tls.connect({ port, host: '127.0.0.1', servername: 'example.com', rejectUnauthorized: false, ALPNProtocols: ['http/1.1'] })
  await once(socket, 'secureConnect')
  socket.write('GET /rendezvous HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: codio-rendezvous.1\r\n\r\n')
  const [answer] = await once(socket, 'data')
  assert.match(answer.toString(), /^HTTP\/1\.1 101 /)
  socket.destroy()
})
