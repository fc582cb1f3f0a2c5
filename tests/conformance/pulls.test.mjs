// What a gateway lacks and fetches while it is asked for: from peers, from providers in a DHT, from those that a router
// names, and from an upstream gateway.
//
// CODIO names the program (default: build/release/codio).
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import http from 'node:http'
import { after, before, test } from 'node:test'

import { Dag } from './support/dag.mjs'
import { codio, startGateway } from './support/gateway.mjs'

const skip = existsSync(codio) ? false : `there is no program at ${codio}: build it, or name it in CODIO`
const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex')
const letters = (count, size) => Array.from({ length: count }, (_, i) => `${i} `.padEnd(16, 'abcdefgh').repeat(size / 16))

const servers = []
after(() => servers.forEach((server) => {
  server.close()
  server.closeAllConnections()
}))

/** A server of our own that `answer(request, response)` answers. */
async function serve (answer) {
  const server = http.createServer(answer)
  server.listen(0, '127.0.0.1')
  servers.push(server)
  await once(server, 'listening')
  return { port: server.address().port, url: `http://127.0.0.1:${server.address().port}` }
}

/** A trustless gateway to a Dag. `instead(cid, response)` may answer in its place: then it returns true. */
function serveBlocks (dag, instead = () => false) {
  return serve((request, response) => {
    const [, cid] = /^\/ipfs\/(\w+)\?format=raw/.exec(request.url) ?? []
    if (instead(cid, response)) return
    const block = dag.blocks.get(cid)
    if (!block) return response.writeHead(404).end()
    response.writeHead(200, { 'content-type': 'application/vnd.ipld.raw' }).end(block.bytes)
  })
}

/** A Delegated Routing server that names this gateway for everything, or for `only`, or nobody. `asked` is of each CID. */
async function serveRouter (provider, only) {
  const asked = new Map()
  const router = await serve((request, response) => {
    const [, cid] = /^\/routing\/v1\/providers\/(\w+)/.exec(request.url) ?? []
    asked.set(cid, (asked.get(cid) ?? 0) + 1)
    const Addrs = provider ? [`/ip4/127.0.0.1/tcp/${provider.port}/http`] : []
    const Providers = provider && (!only || cid === only.toString()) ? [{ Schema: 'peer', ID: '12D3KooWProvider', Addrs, Protocols: ['transport-ipfs-gateway-http'] }] : []
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ Providers }))
  })
  return { ...router, asked }
}

/** The answer's first bytes as soon as they are here, and the rest when that is asked for. */
async function open (gateway, target) {
  const request = http.get({ port: gateway.port, path: target, agent: false })
  const [response] = await once(request, 'response')
  const first = await new Promise((resolve, reject) => {
    response.once('data', (piece) => {
      response.pause()
      resolve(piece)
    })
    response.once('error', reject)
  })
  return {
    status: response.statusCode,
    first,
    async rest () {
      const pieces = [first]
      for await (const piece of response) pieces.push(piece)
      return Buffer.concat(pieces)
    }
  }
}

// A file of 8 MiB, which has 32 blocks.
const dag = new Dag()
const parts = letters(32, 262_144)
const file = dag.file(parts)
const content = Buffer.from(parts.join(''))
const site = dag.directory({ 'index.html': dag.raw('<p>a page</p>'), notes: dag.raw('text without a name that tells') })
const root = dag.directory({ film: file.cid, site })
let provider
let bootstrap

before(async () => {
  if (skip) return
  bootstrap = await startGateway({ options: ['--dht-bootstrap', 'none'] })
  provider = await startGateway({ cars: [await dag.car(root)], options: ['--dht-bootstrap', `127.0.0.1:${bootstrap.dht}`] })
  await provider.announced(root.toString())
})

/** What the provider has given to whomever, in bytes. */
async function given () {
  const metrics = (await provider.request('/metrics')).body.toString()
  return (await provider.stats()).uploaded + Number(/^codio_http_sent_bytes_total (\S+)/m.exec(metrics)[1])
}

for (const [from, options] of Object.entries({
  'a peer at a rendezvous': () => ['--pull', '--rendezvous', `${provider.url.replace('http', 'ws')}/rendezvous`],
  'a provider in the DHT': () => ['--pull', '--dht-bootstrap', `127.0.0.1:${bootstrap.dht}`],
  'a provider that a router names': () => ['--pull', '--router', provider.url],
  'an upstream gateway': () => ['--upstream', `${provider.url}/ipfs/`]
})) {
  test(`content comes from ${from}, once for all who wait`, { skip, timeout: 120_000 }, async () => {
    const gateway = await startGateway({ options: options() })
    const givenBefore = await given()
    const answers = await Promise.all(Array.from({ length: 10 }, () => gateway.request(`/ipfs/${root}/film`)))
    for (const answer of answers) {
      assert.equal(answer.status, 200, answer.body.toString().slice(0, 300))
      assert.ok(answer.whole, gateway.log())
      assert.equal(sha256(answer.body), sha256(content))
    }
    // By two ways at once a block may come twice at the end, and not ten times.
    const bytes = await given() - givenBefore
    assert.ok(bytes < 2 * content.length, `${bytes} bytes of ${content.length}`)
    const again = await gateway.request(`/ipfs/${root}/film`, { headers: { 'cache-control': 'only-if-cached', range: 'bytes=1000000-1000009' } })
    assert.equal(again.status, 206)
    assert.equal(again.body.toString(), content.subarray(1_000_000, 1_000_010).toString())
    await gateway.stop()
  })
}

for (const [what, path, expected] of [
  ['a page', 'site/', '<p>a page</p>'],
  ['a file of no known type', 'site/notes', 'text without a name that tells'],
  ['a tar', 'site?format=tar', 'a page']
]) {
  test(`${what} comes from who provides no more than the root`, { skip, timeout: 60_000 }, async () => {
    const router = await serveRouter(provider, root)
    const gateway = await startGateway({ options: ['--pull', '--router', router.url] })
    const answer = await gateway.request(`/ipfs/${root}/${path}`)
    assert.equal(answer.status, 200, answer.body.toString())
    assert.ok(answer.whole && answer.body.toString().includes(expected))
    assert.deepEqual([...router.asked.keys()], [root.toString()], 'nobody else is looked for')
    await gateway.stop()
  })
}

for (const [from, options] of Object.entries({
  'a provider that a router names': async (source) => ['--pull', '--router', (await serveRouter(source)).url],
  'an upstream gateway': async (source) => ['--upstream', `${source.url}/ipfs/`]
})) {
  test(`what has come from ${from} goes out before the rest is there`, { skip, timeout: 60_000 }, async () => {
    const held = []
    let isHeld = true
    const source = await serveBlocks(dag, (cid, response) => {
      if (!isHeld || cid !== file.leaves.at(-1).toString()) return false
      held.push(() => response.writeHead(200, { 'content-type': 'application/vnd.ipld.raw' }).end(dag.blocks.get(cid).bytes))
      return true
    })
    const gateway = await startGateway({ options: await options(source) })
    const answer = await open(gateway, `/ipfs/${root}/film`)
    assert.equal(answer.status, 200)
    assert.ok(answer.first.equals(content.subarray(0, answer.first.length)))
    isHeld = false
    for (const release of held) release()
    assert.equal(sha256(await answer.rest()), sha256(content))
    await gateway.stop()
  })

  test(`bytes from ${from} that are not the CID's go to nobody`, { skip, timeout: 60_000 }, async () => {
    const last = file.leaves.at(-1).toString()
    const source = await serveBlocks(dag, (cid, response) => {
      if (cid !== last) return false
      response.writeHead(200, { 'content-type': 'application/vnd.ipld.raw' }).end(Buffer.alloc(262_144, 'lie'))
      return true
    })
    const gateway = await startGateway({ options: await options(source) })
    const answer = await gateway.request(`/ipfs/${root}/film`)
    assert.equal(answer.status, 200)
    assert.equal(answer.whole, false)
    assert.ok(answer.body.equals(content.subarray(0, answer.body.length)))
    assert.ok(answer.body.length <= content.length - 262_144)
    await gateway.stop()
  })
}

test('one request makes one search, for a file of any number of downloads', { skip, timeout: 60_000 }, async () => {
  const unnamed = new Dag()
  const page = unnamed.file(letters(3, 262_144))  // Its type is in its bytes, and its bytes are a download of their own.
  const router = await serveRouter(await serveBlocks(unnamed))
  const gateway = await startGateway({ options: ['--pull', '--router', router.url] })
  const answer = await gateway.request(`/ipfs/${page.cid}`)
  assert.equal(answer.status, 200)
  assert.ok(answer.whole)
  assert.equal(router.asked.get(page.cid.toString()), 1)
  await gateway.stop()
})

test('one request makes one search for what nobody has', { skip, timeout: 60_000 }, async () => {
  const nothing = new Dag()
  const absent = new Dag().raw('nobody has this').toString()
  for (const [name, source] of [['nobody', null], ['one that lacks it', await serveBlocks(nothing)]]) {
    const router = await serveRouter(source)
    const gateway = await startGateway({ options: ['--pull', '--router', router.url] })
    const answer = await gateway.request(`/ipfs/${absent}`)
    assert.equal(answer.status, 404, answer.body.toString())
    assert.equal(router.asked.get(absent), 1, `a router that names ${name}`)
    await gateway.stop()
  }
})

test('a request that a provider refuses or drops is made again', { skip, timeout: 60_000 }, async () => {
  const troubles = new Map([
    [file.leaves[3], (response) => response.destroy()],
    [file.leaves[7], (response) => response.writeHead(503).end()],
    [file.leaves[11], (response) => response.writeHead(429).end()]
  ].map(([cid, trouble]) => [cid.toString(), trouble]))
  const source = await serveBlocks(dag, (cid, response) => {
    const trouble = troubles.get(cid)
    troubles.delete(cid)
    trouble?.(response)
    return trouble !== undefined
  })
  const gateway = await startGateway({ options: ['--pull', '--router', (await serveRouter(source)).url] })
  const answer = await gateway.request(`/ipfs/${root}/film`)
  assert.equal(answer.status, 200)
  assert.ok(answer.whole, gateway.log())
  assert.equal(sha256(answer.body), sha256(content))
  assert.equal(troubles.size, 0)
  await gateway.stop()
})

test('a large file whose inner nodes are of other slices comes whole', { skip, timeout: 120_000 }, async () => {
  // Two blocks in turns: a run of one would be read without asking. An inner node spans 40 MiB, a slice 32.
  const large = new Dag()
  const pair = letters(2, 1_048_576)
  const inner = (first) => large.file(Array.from({ length: 40 }, (_, i) => i === 0 ? first : pair[i % 2]))
  const film = large.join(['x', 'y', 'z'].map((letter) => inner(letter.repeat(1_048_576))))
  const source = await serveBlocks(large)
  const gateway = await startGateway({ options: ['--upstream', `${source.url}/ipfs/`] })
  const answer = await gateway.request(`/ipfs/${film.cid}`)
  assert.equal(answer.status, 200)
  assert.ok(answer.whole, gateway.log())
  assert.equal(answer.body.length, film.size)
  await gateway.stop()
})

test('an upstream gateway is asked once for each block, whoever waits', { skip, timeout: 60_000 }, async () => {
  const asked = new Map()
  const held = []
  const source = await serveBlocks(dag, (cid, response) => {
    asked.set(cid, (asked.get(cid) ?? 0) + 1)
    if (cid !== root.toString()) return false
    held.push(() => response.writeHead(200, { 'content-type': 'application/vnd.ipld.raw' }).end(dag.blocks.get(cid).bytes))
    return true
  })
  const gateway = await startGateway({ options: ['--upstream', `${source.url}/ipfs/`] })
  const target = `/ipfs/${root}/film`
  assert.equal((await gateway.request(target, { headers: { 'cache-control': 'only-if-cached' } })).status, 412)
  assert.equal(asked.size, 0)
  const all = Promise.all(Array.from({ length: 20 }, () => gateway.request(target)))
  while (held.length === 0) await new Promise((resolve) => setTimeout(resolve, 20))
  for (const release of held) release()
  for (const answer of await all) {
    assert.equal(answer.status, 200)
    assert.ok(answer.whole)
    assert.ok(answer.body.equals(content))
  }
  for (const [cid, times] of asked) assert.equal(times, 1, cid)
  await gateway.stop()
})

test('a client that reads slowly has little more pulled than it reads', { skip, timeout: 120_000 }, async () => {
  const large = new Dag()
  const film = large.file(letters(128, 1_048_576))
  const asked = new Set()
  let running = 0
  let atRest = () => {}
  const source = await serveBlocks(large, (cid, response) => {
    asked.add(cid)
    running++
    response.on('close', () => { --running; atRest() })
    return false
  })
  const gateway = await startGateway({ options: ['--upstream', `${source.url}/ipfs/`] })
  const answer = await open(gateway, `/ipfs/${film.cid}`)
  assert.equal(answer.status, 200)
  // Until nothing more is asked while the client does not read: two slices of 32 MiB at the most.
  await new Promise((resolve) => {
    atRest = () => { if (running === 0 && asked.size > 32) resolve() }
    atRest()
  })
  const other = new Dag().raw('something else')
  await gateway.request(`/ipfs/${other}`)
  assert.ok(asked.size < 80, `${asked.size} blocks of 128`)
  const expected = Buffer.concat(film.leaves.map((cid) => Buffer.from(large.blocks.get(cid.toString()).bytes)))
  assert.ok((await answer.rest()).equals(expected))
  asked.delete(other.toString())
  assert.equal(asked.size, 128 + 1)
  await gateway.stop()
})

test('an upstream gateway that lies, fails or has nothing ends in a clear answer', { skip, timeout: 60_000 }, async () => {
  const lie = new Dag().raw('true')
  const failure = new Dag().raw('not now')
  const source = await serveBlocks(new Dag(), (cid, response) => {
    if (cid === lie.toString()) response.writeHead(200, { 'content-type': 'application/vnd.ipld.raw' }).end('false')
    else if (cid === failure.toString()) response.writeHead(500).end()
    else return false
    return true
  })
  const gateway = await startGateway({ options: ['--upstream', `${source.url}/ipfs/`] })
  // It is asked no more once it lied.
  for (const [cid, status] of [[new Dag().raw('nobody has this'), 404], [failure, 502], [lie, 502], [failure, 502]]) {
    const answer = await gateway.request(`/ipfs/${cid}`)
    assert.equal(answer.status, status, answer.body.toString())
    assert.match(answer.body.toString(), new RegExp(source.url), 'it says who was no help')
  }
  await gateway.stop()
})
