// What a node is as a web server: TLS, limits, draining, deny lists, a site, and content that it fetches.
//
// CODIO names the program (default: build/release/codio).
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import http from 'node:http'
import https from 'node:https'
import net from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, test } from 'node:test'
import { createInterface } from 'node:readline'
import { brotliDecompressSync, gunzipSync } from 'node:zlib'

import { Dag, blocksOf } from './support/dag.mjs'
import { codio, startGateway } from './support/gateway.mjs'

const skip = existsSync(codio) ? false : `there is no program at ${codio}: build it, or name it in CODIO`
const folder = mkdtempSync(path.join(tmpdir(), 'codio-serving-'))
after(() => rmSync(folder, { recursive: true }))

/** What a server says on one connection to these bytes, until it closes it. */
function exchange (port, text, { end = true } = {}) {
  return new Promise((resolve, reject) => {
    const pieces = []
    const socket = net.connect(port, '127.0.0.1', () => { end ? socket.end(text) : socket.write(text) })
    socket.on('data', (piece) => pieces.push(piece))
    socket.on('close', () => resolve(Buffer.concat(pieces).toString()))
    socket.on('error', reject)
  })
}
const statuses = (text) => [...text.matchAll(/HTTP\/1\.[01] (\d+)/g)].map(([, status]) => Number(status))

async function until (condition) {
  while (!await condition()) await new Promise((resolve) => setTimeout(resolve, 50))
}

test('requests that come at once are answered in their order', { skip }, async () => {
  const gateway = await startGateway()
  const one = (target, more = '') => `GET ${target} HTTP/1.1\r\nHost: x\r\n${more}\r\n`
  const text = await exchange(gateway.port, one('/healthz') + one('/ipfs/nonsense') + one('/healthz') + one('/none', 'Connection: close\r\n'), { end: false })
  assert.deepEqual(statuses(text), [200, 400, 200, 404])
  await gateway.stop()
})

test('what is no request is refused, and ends the connection', { skip }, async () => {
  const gateway = await startGateway()
  const refused = async (text) => statuses(await exchange(gateway.port, text, { end: false }))
  assert.deepEqual(await refused('nonsense\r\n\r\n'), [400])
  assert.deepEqual(await refused(`GET / HTTP/1.1\r\nHost: x\r\nA: ${'a'.repeat(20000)}\r\n\r\n`), [431])
  assert.deepEqual(await refused('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 999999\r\n\r\n'), [413])
  // Each of these could mean another request to somebody else: RFC 9112, 6.3.
  const smuggled = 'GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n'
  for (const head of ['Content-Length: 5\r\nTransfer-Encoding: chunked\r\n', 'Content-Length: 5\r\nContent-Length: 6\r\n', 'Content-Length: +5\r\n', 'Content-Length : 5\r\n']) {
    assert.deepEqual(await refused(`GET /healthz HTTP/1.1\r\nHost: x\r\n${head}\r\n0\r\n\r\n${smuggled}`), [400], head)
  }
  assert.deepEqual(statuses(await exchange(gateway.port, 'GET / HTTP/1.1\r\nConnection: close\r\n\r\n')), [400])
  assert.deepEqual(statuses(await exchange(gateway.port, 'GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n')), [400])
  await gateway.stop()
})

test('nothing outside is reached by paths', { skip }, async () => {
  const gateway = await startGateway()
  for (const target of ['/../../etc/passwd', '/pkg/../../../etc/passwd', '/%2e%2e/%2e%2e/etc/passwd', '//etc/passwd']) {
    assert.equal((await gateway.request(target)).status, 404, target)
  }
  await gateway.stop()
})

test('nothing that a request says is HTML in an answer, or a header', { skip }, async () => {
  const dag = new Dag()
  const root = dag.directory({ a: dag.raw('a') })
  const gateway = await startGateway({ cars: [await dag.car(root)], options: ['--subdomains', 'example.com'] })
  const script = '<script>alert(1)</script>'
  const hostile = [
    [`/ipfs/${script}`], [`/ipfs/${root}/${script}`], [`/ipfs/${root}/${encodeURIComponent(script)}`], [`/${script}`], [`/ipns/${script}`],
    [`/ipfs/${root}?format=${script}`], [`/ipfs/${root}?format=car&dag-scope=${script}`], [`/ipfs/?uri=ipfs://${script}`],
    [`/routing/v1/providers/${script}`], [`/.well-known/codio?challenge=${script}`],
    ['/api/roots', { host: script }], [`/ipfs/${root}`, { host: `${script}.ipfs.example.com` }],
    [`/ipfs/${root}`, { host: 'example.com', 'x-forwarded-host': script }], ['/', { accept: `text/html,${script}` }]
  ]
  for (const [target, headers] of hostile) {
    const answer = await gateway.request(target, { headers: { accept: 'text/html', ...headers } })
    assert.ok(!answer.body.toString().includes(script), `${target} ${JSON.stringify(headers)}`)
  }
  for (const target of [`/ipfs/${root}/a?filename=x%0d%0aX-Evil:%201&download=true`, `/ipfs/${root}%0d%0aX-Evil:%201`, '/ipfs/?uri=ipfs://x%0d%0aX-Evil:%201']) {
    assert.equal((await gateway.request(target)).headers['x-evil'], undefined, target)
  }
  await gateway.stop()
})

test('a tar of directories that are too deep ends', { skip }, async () => {
  const dag = new Dag()
  let root = dag.directory({ file: dag.raw('x') })
  for (let level = 0; level < 100; ++level) root = dag.directory({ below: root })
  const gateway = await startGateway({ cars: [await dag.car(root)] })
  const answer = await gateway.request(`/ipfs/${root}?format=tar`)
  assert.ok(answer.status === 400 || !answer.whole)
  const path = `/ipfs/${root}${'/below'.repeat(100)}/file`
  assert.equal((await gateway.request(path)).body.toString(), 'x')
  assert.equal((await gateway.request(`/ipfs/${root}${'/below'.repeat(2000)}`)).status, 414)
  await gateway.stop()
})

test('a deep DAG streams, and one that doubles with each level costs what is read of it', { skip }, async () => {
  const dag = new Dag()
  const levels = (count, link) => Array.from({ length: count }).reduce((below) => link(below), dag.directory({ file: dag.raw('x') }))
  const deep = levels(5000, (below) => dag.directory({ below }))
  const doubling = levels(50, (below) => dag.directory({ a: below, b: below }))
  const gateway = await startGateway({ cars: [await dag.car(dag.directory({ deep, doubling }))] })
  const car = async (cid) => (await blocksOf((await gateway.request(`/ipfs/${cid}?format=car`)).body)).length
  assert.equal(await car(deep), 5002)
  assert.equal(await car(doubling), 52)
  // With duplicates it has no end that anybody will see: whoever wants that gets it, as fast as it is read.
  const endless = await new Promise((resolve) => http.get({ port: gateway.port, path: `/ipfs/${doubling}?format=car&car-dups=y`, agent: false }, resolve))
  let size = 0
  for await (const piece of endless) if ((size += piece.length) > 5_000_000) break
  assert.equal((await gateway.request('/healthz')).status, 200)
  await gateway.stop()
})

test('a path has so many names and no more', { skip }, async () => {
  const dag = new Dag()
  let root = dag.directory({ file: dag.raw('x') })
  for (let level = 0; level < 200; ++level) root = dag.directory({ below: root })
  const gateway = await startGateway({ cars: [await dag.car(root)] })
  const status = async (names) => (await gateway.request(`/ipfs/${root}${'/below'.repeat(names)}?format=raw`)).status
  assert.equal(await status(128), 200)
  assert.equal(await status(129), 400)
  await gateway.stop()
})

test('a page of another name learns nothing of the node', { skip }, async () => {
  const gateway = await startGateway()
  for (const target of ['/api/roots', '/metrics']) {
    assert.equal((await gateway.request(target, { headers: { host: 'evil.example' } })).status, 403)
    assert.equal((await gateway.request(target, { headers: { host: `localhost:${gateway.port}` } })).status, 200)
  }
  const metrics = (await gateway.request('/metrics')).body.toString()
  assert.match(metrics, /codio_http_requests_total\{status="4xx"\} 2/)
  assert.equal((await gateway.request('/metrics', { headers: { 'x-forwarded-for': '1.2.3.4' } })).status, 403)
  await gateway.stop()
})

test('one address has so many connections and no more', { skip }, async () => {
  const gateway = await startGateway({ options: ['--client-connections', '3'] })
  const held = []
  for (let i = 0; i < 3; ++i) {
    const socket = net.connect(gateway.port, '127.0.0.1')
    socket.write('GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n')
    await once(socket, 'data')
    held.push(socket)
  }
  const refused = await gateway.request('/healthz')
  assert.equal(refused.status, 429)
  assert.ok(refused.headers['retry-after'])
  for (const socket of held) socket.destroy()
  await until(async () => (await gateway.request('/healthz')).status === 200)
  await gateway.stop()
})

test('a node that goes ends the answers that are under way', { skip }, async () => {
  const dag = new Dag()
  const file = dag.file(Array.from({ length: 40 }, (_, i) => String.fromCharCode(65 + i).repeat(1_000_000)))
  const gateway = await startGateway({ cars: [await dag.car(file.cid)] })
  const idle = net.connect(gateway.port, '127.0.0.1')
  idle.write('GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n')
  await once(idle, 'data')
  const response = await new Promise((resolve) => http.get({ port: gateway.port, path: `/ipfs/${file.cid}` }, resolve))
  response.pause()
  process.kill(gateway.pid, 'SIGTERM')
  await once(idle, 'close')
  let size = 0
  for await (const piece of response) size += piece.length
  assert.equal(size, 40_000_000)
  await gateway.stop()
})

test('a certificate is used, and its successor when that is there', { skip }, async () => {
  const certificate = path.join(folder, 'cert.pem')
  const key = path.join(folder, 'key.pem')
  const make = (name) => execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', key, '-out', certificate, '-days', '1', '-subj', `/CN=${name}`], { stdio: 'ignore' })
  make('first.example')
  const gateway = await startGateway({ options: ['--tls-cert', certificate, '--tls-key', key] })
  const fetchOnce = () => new Promise((resolve, reject) => {
    https.get({ port: gateway.port, path: '/healthz', rejectUnauthorized: false, agent: false }, (response) => {
      resolve({ status: response.statusCode, name: response.socket.getPeerCertificate().subject.CN })
      response.resume()
    }).on('error', reject)
  })
  assert.deepEqual(await fetchOnce(), { status: 200, name: 'first.example' })
  make('second.example')
  process.kill(gateway.pid, 'SIGHUP')
  await until(async () => (await fetchOnce()).name === 'second.example')
  await gateway.stop()
})

test('a certificate that cannot be used is told at once', { skip }, () => {
  writeFileSync(path.join(folder, 'bad.pem'), 'nonsense')
  assert.throws(() => execFileSync(codio, ['--repo', path.join(folder, 'bad'), 'serve', '--http', '127.0.0.1:0', '--tls-cert', path.join(folder, 'bad.pem'), '--tls-key', path.join(folder, 'bad.pem')], { stdio: 'pipe' }),
    (error) => /cannot use .*bad\.pem as a certificate/.test(error.stderr))
})

test('what a deny list names is gone, as soon as the list says so', { skip }, async () => {
  const dag = new Dag()
  const bad = dag.raw('bad')
  const legal = dag.raw('legal')
  const hashed = dag.raw('hashed')
  const good = dag.raw('good')
  const root = dag.directory({ bad, good, hashed, legal })
  const list = path.join(folder, 'denied')
  writeFileSync(list, `version: 1\n---\n/ipfs/${bad}\n`)
  const gateway = await startGateway({ cars: [await dag.car(root)], options: ['--denylist', list] })
  const status = async (target) => (await gateway.request(target)).status
  assert.equal(await status(`/ipfs/${bad}`), 410)
  assert.equal(await status(`/ipfs/${bad}?format=raw`), 410)
  assert.equal(await status(`/ipfs/${root}/bad`), 410)
  assert.equal(await status(`/ipfs/${root}/good`), 200)
  assert.ok([410, 200].includes(await status(`/ipfs/${root}?format=tar`)))
  const sha = createHash('sha256').update(`${hashed}/`).digest('hex')
  writeFileSync(list, `version: 1\n---\n/ipfs/${legal} gateway_status=451\n//${sha}\n`)
  process.kill(gateway.pid, 'SIGHUP')
  await until(async () => await status(`/ipfs/${legal}`) === 451)
  assert.equal(await status(`/ipfs/${root}/hashed`), 410)
  assert.equal(await status(`/ipfs/${bad}`), 200)
  await gateway.stop()
})

test('requests are logged, a line of JSON each', { skip }, async () => {
  const log = path.join(folder, 'access.log')
  const gateway = await startGateway({ options: ['--access-log', log] })
  await gateway.request('/healthz')
  await until(() => existsSync(log) && readFileSync(log, 'utf8').endsWith('\n')) // A line follows its answer.
  await gateway.request('/ipfs/"%0a', { headers: { host: 'a"b' } })
  await until(() => existsSync(log) && readFileSync(log, 'utf8').split('\n').length > 2)
  const lines = readFileSync(log, 'utf8').trim().split('\n').map((line) => JSON.parse(line))
  assert.deepEqual(lines.map(({ method, target, status }) => [method, target, status]), [['GET', '/healthz', 200], ['GET', '/ipfs/"%0a', 400]])
  assert.equal(lines[0].client, '127.0.0.1')
  // Somebody moves it away, as logrotate does.
  renameSync(log, `${log}.1`)
  process.kill(gateway.pid, 'SIGHUP')
  await until(() => existsSync(log))
  await gateway.request('/healthz?again')
  await until(() => readFileSync(log, 'utf8').endsWith('\n'))
  assert.equal(JSON.parse(readFileSync(log, 'utf8')).target, '/healthz?again')
  assert.equal(readFileSync(`${log}.1`, 'utf8').trim().split('\n').length, 2)
  await gateway.stop()
})

test('a site is shown, follows its folder, and keeps its old versions', { skip }, async () => {
  const site = path.join(folder, 'public')
  mkdirSync(path.join(site, 'sub'), { recursive: true })
  writeFileSync(path.join(site, 'index.html'), '<html><head></head>first</html>')
  writeFileSync(path.join(site, 'plain.html'), '<!DOCTYPE html><p>No head</p>')
  writeFileSync(path.join(site, 'sub', 'a.txt'), 'text')
  const node = spawn(codio, ['--repo', path.join(folder, 'site'), '--json', '--no-dht', '--no-gateway', 'serve', '--site', '--inject', site, '--http', '127.0.0.1:0'], { stdio: ['ignore', 'pipe', 'inherit'] })
  const roots = []
  let port = 0
  createInterface({ input: node.stdout }).on('line', (line) => {
    const event = JSON.parse(line)
    if (event.event === 'listening') port = new URL(event.http).port
    if (event.event === 'root') roots.push(event.cid)
  })
  await until(() => roots.length === 1)
  const get = async (target, headers) => {
    const answer = await fetch(`http://127.0.0.1:${port}${target}`, { headers })
    return { status: answer.status, headers: answer.headers, text: await answer.text() }
  }
  const first = await get('/')
  const script = '<script type="module" src="/pkg/codio.js"></script>'
  assert.equal(first.text, `<html><head>${script}</head>first</html>`)
  assert.equal((await get('/plain.html')).text, `<!DOCTYPE html>${script}<p>No head</p>`)
  assert.equal((await get('/pkg/codio.js')).status, 200)
  assert.equal(first.headers.get('x-codio-cid'), null)
  assert.equal((await get('/', { 'if-none-match': first.headers.get('etag') })).status, 304)
  const text = await get('/sub/a.txt')
  assert.equal(text.text, 'text')
  assert.equal(text.headers.get('x-codio-cid'), new Dag().raw('text').toString())
  assert.equal(text.headers.get('cache-control'), 'no-cache')
  assert.equal((await get('/nothing')).status, 404)
  writeFileSync(path.join(site, 'index.html'), '<html><head></head>second</html>')
  await until(() => roots.length === 2)
  assert.match((await get('/')).text, /second/)
  assert.match((await get(`/ipfs/${roots[0]}/index.html`)).text, /first/)
  execFileSync(codio, ['gc', '--repo', path.join(folder, 'site')], { stdio: 'pipe' })
  await until(async () => (await get(`/ipfs/${roots[0]}/index.html`)).status === 404)  // Of the cache within a second.
  assert.match((await get(`/ipfs/${roots[1]}/index.html`)).text, /second/)
  const ended = once(node, 'close')
  node.kill('SIGINT')
  await ended
})

test("the browser's files go out as the build compressed them, in the coding that the client wants most", { skip }, async () => {
  const gateway = await startGateway()
  const get = (target, coding, headers = {}, method = 'GET') => gateway.request(target, { headers: { ...(coding && { 'accept-encoding': coding }), ...headers }, method })
  for (const file of ['/pkg/codio_wasm.js', '/pkg/codio_worker.js', '/pkg/codio_wasm.wasm', '/pkg/codio-sw.js']) {
    const plain = await get(file)
    assert.equal(plain.headers['content-encoding'], undefined)
    const tags = new Set([plain.headers.etag])
    for (const [coding, accepted, decode] of [
      ['br', ['gzip, deflate, br, zstd', 'br', '*', 'gzip;q=0.8, br;q=0.9', 'BR, gzip;q=0'], brotliDecompressSync],
      ['gzip', ['gzip, deflate', 'br;q=0, gzip', 'br;q=0, *', 'br;q=0.1, gzip;q=0.15'], gunzipSync],
      [undefined, ['identity', 'deflate', 'br;q=0, gzip;q=0.0', '*;q=0'], (body) => body]
    ]) {
      for (const text of accepted) {
        const answer = await get(file, text)
        assert.equal(answer.headers['content-encoding'], coding, text)
        assert.equal(answer.headers['content-length'], `${answer.body.length}`)
        assert.ok(decode(answer.body).equals(plain.body), text)
        for (const name of ['vary', 'content-type', 'cache-control']) assert.equal(answer.headers[name], plain.headers[name], name)
        assert.equal(answer.headers.vary, 'Accept-Encoding')
        assert.equal((await get(file, text, { 'if-none-match': answer.headers.etag })).status, 304)
        tags.add(answer.headers.etag)
      }
      // How long the file is: see above.
      const head = await get(file, accepted[0], {}, 'HEAD')
      for (const name of ['content-encoding', 'content-length', 'etag']) assert.equal(head.headers[name], plain.headers[name])
      // Parts are not given of these files: who asks for one gets it whole.
      const range = await get(file, accepted[0], { range: 'bytes=10-19' })
      assert.equal(range.status, 200)
      assert.ok(decode(range.body).equals(plain.body))
    }
    assert.equal(tags.size, 3, 'each coding has a tag of its own')
    const [first, second] = [...tags]
    assert.equal((await get(file, 'br', { 'if-none-match': first })).status, 200)
    assert.equal((await get(file, undefined, { 'if-none-match': second })).status, 200)
  }
  // What the build did not compress is compressed here, by gzip only.
  const page = await get('/', 'gzip, br')
  assert.equal(page.headers['content-encoding'], 'gzip')
  assert.ok(gunzipSync(page.body).equals((await get('/')).body))
  await gateway.stop()
})

test('text is compressed for who accepts that, and nothing else is', { skip }, async () => {
  const dag = new Dag()
  const text = 'One line of a text, which is like the next.\n'.repeat(1000)
  const root = dag.directory({
    'page.html': dag.raw(`<!doctype html>${text}`), 'picture.png': dag.raw(text), 'short.txt': dag.raw('short'), 'text.txt': dag.file([text, text]).cid
  })
  const gateway = await startGateway({ cars: [await dag.car(root)] })
  const gzip = { 'accept-encoding': 'br, gzip' }
  const get = (target, headers, method) => gateway.request(target, { headers, method })
  const url = `/ipfs/${root}/text.txt`

  const plain = await get(url)
  const packed = await get(url, gzip)
  assert.equal(plain.body.toString(), text + text)
  assert.equal(plain.headers['content-encoding'], undefined)
  assert.match(plain.headers.vary, /Accept-Encoding/)
  assert.equal(packed.headers['content-encoding'], 'gzip')
  assert.equal(packed.headers['content-length'], `${packed.body.length}`)
  assert.ok(packed.body.length < plain.body.length / 10)
  assert.equal(gunzipSync(packed.body).toString(), text + text)
  assert.equal(packed.headers.vary, plain.headers.vary)
  assert.equal(packed.headers.etag, `W/${plain.headers.etag.slice(0, -1)}.gz"`)
  assert.equal(packed.headers['accept-ranges'], 'none')
  assert.equal((await get(url, { ...gzip, 'if-none-match': packed.headers.etag })).status, 304)
  assert.equal((await get(url, { 'if-none-match': plain.headers.etag })).status, 304)
  // How long the file is, which browsers tell of an answer to HEAD only.
  const head = await get(url, gzip, 'HEAD')
  for (const name of ['content-encoding', 'content-length', 'etag']) assert.equal(head.headers[name], plain.headers[name])
  const again = await get(url, gzip)
  assert.ok(again.body.equals(packed.body))

  const range = await get(url, { ...gzip, range: 'bytes=10-19' })
  assert.equal(range.status, 206)
  assert.equal(range.headers['content-encoding'], undefined)
  assert.equal(range.body.toString(), text.slice(10, 20))
  // As Chromium asks that has the compressed file in its cache.
  assert.equal((await get(url, { range: 'bytes=10-19', 'if-none-match': packed.headers.etag })).status, 206)
  const resumed = await get(url, { ...gzip, range: 'bytes=10-', 'if-range': packed.headers.etag })
  assert.equal(resumed.status, 200)

  const listing = await get(`/ipfs/${root}/`, gzip)
  assert.equal(listing.headers['content-encoding'], 'gzip')
  assert.match(listing.headers.etag, /^W\//)
  assert.match(gunzipSync(listing.body).toString(), /text\.txt/)
  assert.equal((await get(`/ipfs/${root}/`, { ...gzip, 'if-none-match': listing.headers.etag })).status, 304)

  for (const target of [`/ipfs/${root}/picture.png`, `/ipfs/${root}/short.txt`, `${url}?format=raw`, `/ipfs/${root}?format=car`, `/ipfs/${root}?format=tar`]) {
    assert.equal((await get(target, gzip)).headers['content-encoding'], undefined, target)
  }
  await gateway.stop()
})
