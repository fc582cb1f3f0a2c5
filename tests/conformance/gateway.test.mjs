// The cases of https://github.com/ipfs/gateway-conformance that concern immutable content, asked of a node. Those that
// are known to fail are in expected-failing.json: it is a failure, too, when one of them passes.
//
// CODIO names the program (default: build/release/codio).
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { mkdtemp, mkdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, before, test } from 'node:test'

import { CarReader } from '@ipld/car'
import { CID } from 'multiformats/cid'

import { Dag, blocksOf, entriesOf } from './support/dag.mjs'
import { codio, fixtures, startGateway } from './support/gateway.mjs'

const expectedFailing = new Set(JSON.parse(readFileSync(new URL('expected-failing.json', import.meta.url))))
const known = new Set()
const noProgram = existsSync(codio) ? false : `there is no program at ${codio}: build it, or name it in CODIO`
const noFixtures = existsSync(fixtures) ? false : `there are no fixtures at ${fixtures}`

/** A case: `run` throws if it fails. */
function check (group, name, run, skip = noProgram) {
  const title = `${group}: ${name}`
  known.add(title)
  test(title, { skip }, async () => {
    if (!expectedFailing.has(title)) return run()
    let failed = false
    try { await run() } catch { failed = true }
    assert.ok(failed, 'it passes now: take it off expected-failing.json')
  })
}

const IMMUTABLE = 'public, max-age=29030400, immutable'
const CAR = { accept: 'application/vnd.ipld.car' }
const dag = new Dag()
let gateway
let folder
let hamt

// What is asked for.
const ascii = dag.raw('goodbye application/vnd.ipld.car\n')
const hello = dag.raw('hello application/vnd.ipld.car\n')
const multi = dag.file(['a'.repeat(256), 'b'.repeat(256), 'c'.repeat(256), 'd'.repeat(256), 'ee'])
const subdir = dag.directory({ 'ascii.txt': ascii, 'hello.txt': hello, 'multiblock.txt': multi.cid })
const root = dag.directory({ subdir })
const twice = dag.directory({ 'ascii-copy.txt': ascii, 'ascii.txt': ascii, 'hello.txt': hello, 'multiblock.txt': multi.cid })
const page = dag.raw('<html><head></head><body>my index</body></html>\n')
const withIndex = dag.directory({ 'index.html': page })
const utf8 = dag.raw('I am a txt file on path with utf8\n')
const nested = dag.directory({ ą: dag.directory({ ę: dag.directory({ 'file-źł.txt': utf8 }) }) })
const deep = dag.directory({ root2: dag.directory({ root3: dag.directory({ root4: withIndex }) }) })
const links = dag.directory({ bar: dag.symlink('foo'), foo: dag.raw('contents of foo') })
const percent = dag.directory({ 'Portugal%2C+España=Peninsula Ibérica.txt': dag.raw('hello from a percent encoded filename\n') })
const escaping = dag.directory({ '../foobar': dag.raw('outside') })
const insideOut = dag.directory({ foobar: dag.directory({ '../foobar/file': dag.raw('inside') }) })
const evil = dag.directory({ '"><script>alert(1)</script>': dag.raw('x'), "javascript:alert'1": dag.raw('y') })
const document = dag.cbor([0xa1, 0x65, ...Buffer.from('files'), 0xd8, 0x2a, 0x58, 0x25, 0x00, ...subdir.bytes])
const jsonDocument = dag.json({ hello: 'world' })
const confusing = dag.directory({ ipfs: dag.directory({ 'file.txt': dag.raw('I am a txt file\n'), ipns: dag.directory({ bar: dag.raw('text-file-content\n') }) }), hello: dag.raw('hello\n') })
const text404 = dag.raw('<html><head></head><body>my 404</body></html>\n')
const redirectsFile = `/redirect-one /one.html
/301-redirect-one /one.html 301
/302-redirect-two /two.html 302
/200-index /index.html 200
/posts/:year/:month/:day/:title /articles/:year/:month/:day/:title 301
/splat/* /redirected-splat/:splat 301
/not-found/* /404.html 404
/gone/* /404.html 410
/unavail/* /404.html 451
/* /index.html 200
`
const redirects = dag.directory({ _redirects: dag.raw(redirectsFile), '404.html': text404, 'index.html': page, 'one.html': dag.raw('my one\n') })
const forced = dag.directory({ _redirects: dag.raw('/redirect-one /one.html 301!\n') })
const tooLarge = dag.directory({ _redirects: dag.raw('#'.repeat(64 * 1024 + 1)) })
const badCodes = dag.directory({ _redirects: dag.raw('/nope /found.html 418\n'), 'found.html': dag.raw('my found\n') })
const crlf = dag.directory({ _redirects: dag.raw('/redirect-one /one.html\r\n') })
const partial = new Dag()
const incomplete = partial.file(['1'.repeat(1024), '2'.repeat(1024), '3'.repeat(1024)])
const absent = 'bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e'

before(async () => {
  if (noProgram) return
  folder = await mkdtemp(path.join(tmpdir(), 'codio-conformance-files-'))
  const names = path.join(folder, 'hamt')
  await mkdir(names)
  for (let i = 0; i < 5000; ++i) await writeFile(path.join(names, `${i}-abcdefgh.txt`), i === 685 ? 'z'.repeat(3000) : 'x')
  const roots = dag.directory(Object.fromEntries([...dag.blocks.values()].map(({ cid }) => [cid.toString(), cid])))
  const cars = [await dag.car(roots), await partial.car(incomplete.cid, [incomplete.leaves[1]])]
  if (!noFixtures) {
    for (const name of ['QmYwAPJz', 'dir-with-duplicate-files', 'subdir-with-two-single-block-files']) {
      cars.push(readFileSync(path.join(fixtures, `${name}.car`)))
    }
  }
  gateway = await startGateway({ cars, folders: [names], options: ['--subdomains', 'example.com'] })
  hamt = gateway.added[0]
})
after(async () => {
  await gateway?.stop()
  if (folder) await rm(folder, { recursive: true })
})

/** The blocks of a CAR that is whole. */
async function car (target, headers = {}) {
  const answer = await gateway.request(target, { headers })
  assert.equal(answer.status, 200, answer.body.toString())
  assert.ok(answer.whole)
  assert.match(answer.headers['content-type'], /^application\/vnd\.ipld\.car; version=1; order=dfs; dups=[yn]$/)
  return blocksOf(answer.body)
}
const list = (...cids) => cids.flat().map(String)
const get = (target, headers) => gateway.request(target, { headers })
const at = (cid, target, headers = {}) => gateway.request(target, { headers: { host: `${cid}.ipfs.example.com`, ...headers } })

// ---- trustless-block

check('trustless-block', 'format=raw gives the block', async () => {
  const answer = await get(`/ipfs/${root}?format=raw`)
  assert.equal(answer.status, 200)
  assert.deepEqual(answer.body, Buffer.from(dag.blocks.get(root.toString()).bytes))
})
check('trustless-block', 'Accept gives the block with all of its headers', async () => {
  const answer = await get(`/ipfs/${ascii}`, { accept: 'application/vnd.ipld.raw' })
  assert.equal(answer.status, 200)
  assert.equal(answer.headers['content-type'], 'application/vnd.ipld.raw')
  assert.equal(answer.headers['content-length'], '33')
  assert.equal(answer.headers['content-disposition'], `attachment; filename="${ascii}.bin"`)
  assert.equal(answer.headers['x-content-type-options'], 'nosniff')
  assert.equal(answer.headers.etag, `"${ascii}.raw"`)
  assert.equal(answer.headers['cache-control'], IMMUTABLE)
  assert.equal(answer.headers['x-ipfs-path'], `/ipfs/${ascii}`)
  assert.equal(answer.headers['x-ipfs-roots'], `${ascii}`)
  assert.equal(answer.headers['content-location'], `/ipfs/${ascii}?format=raw`)
  assert.match(answer.headers.vary, /Accept/)
})
check('trustless-block', 'filename names the download', async () => {
  const answer = await get(`/ipfs/${ascii}?filename=foobar.bin`, { accept: 'application/vnd.ipld.raw' })
  assert.equal(answer.headers['content-disposition'], 'attachment; filename="foobar.bin"')
})
check('trustless-block', 'a range of a block', async () => {
  const answer = await get(`/ipfs/${ascii}?format=raw`, { range: 'bytes=6-16' })
  assert.equal(answer.status, 206)
  assert.equal(answer.headers['content-range'], 'bytes 6-16/33')
  assert.equal(`${answer.body}`, 'e applicati')
})
check('trustless-block', 'the probe', async () => {
  for (const method of ['GET', 'HEAD']) {
    const answer = await gateway.request('/ipfs/bafkqaaa?format=raw', { method })
    assert.equal(answer.status, 200)
    assert.equal(answer.headers['content-length'], '0')
    assert.equal(answer.body.length, 0)
  }
})
check('trustless-block', 'a block at a path', async () => {
  const answer = await get(`/ipfs/${root}/subdir?format=raw`)
  assert.deepEqual(answer.body, Buffer.from(dag.blocks.get(subdir.toString()).bytes))
  assert.equal(answer.headers['x-ipfs-roots'], `${root},${subdir}`)
})
check('trustless-block', 'HEAD says as much as GET', async () => {
  const head = await gateway.request(`/ipfs/${ascii}?format=raw`, { method: 'HEAD' })
  assert.equal(head.status, 200)
  assert.equal(head.headers['content-length'], '33')
  assert.equal(head.body.length, 0)
})
check('trustless-block', 'a known block is 304', async () => {
  const answer = await get(`/ipfs/${ascii}?format=raw`, { 'if-none-match': `"x", W/"${ascii}.raw"` })
  assert.equal(answer.status, 304)
  assert.equal(answer.body.length, 0)
})
check('trustless-block', 'an absent block is 404, and 412 with only-if-cached', async () => {
  assert.equal((await get(`/ipfs/${absent}?format=raw`)).status, 404)
  for (const method of ['GET', 'HEAD']) {
    assert.equal((await gateway.request(`/ipfs/${absent}`, { method, headers: { 'cache-control': 'only-if-cached' } })).status, 412)
  }
  assert.equal((await get(`/ipfs/${ascii}`, { 'cache-control': 'only-if-cached' })).status, 200)
})

// ---- trustless-car

check('trustless-car', 'the headers', async () => {
  const answer = await get(`/ipfs/${root}`, CAR)
  assert.equal(answer.headers['content-type'], 'application/vnd.ipld.car; version=1; order=dfs; dups=n')
  assert.equal(answer.headers['content-disposition'], `attachment; filename="${root}.car"`)
  assert.equal(answer.headers['x-content-type-options'], 'nosniff')
  assert.equal(answer.headers['accept-ranges'], 'none')
  assert.equal(answer.headers['cache-control'], IMMUTABLE)
  assert.ok(answer.headers.etag.startsWith(`W/"${root}.car.`))
  assert.equal(answer.headers['content-location'], `/ipfs/${root}?format=car`)
  assert.equal((await get(`/ipfs/${root}`, { ...CAR, 'if-none-match': answer.headers.etag })).status, 304)
  const other = await get(`/ipfs/${root}?dag-scope=block`, CAR)
  assert.notEqual(other.headers.etag, answer.headers.etag)
})
check('trustless-car', 'a path, and all below it', async () => {
  assert.deepEqual(await car(`/ipfs/${root}/subdir/ascii.txt?format=car`), list(root, subdir, ascii))
  assert.deepEqual(await car(`/ipfs/${root}/subdir?format=car`), list(root, subdir, ascii, hello, multi.cid, multi.leaves))
})
check('trustless-car', 'a file on a path through a HAMT', async () => {
  const whole = new Set(await car(`/ipfs/${hamt}?format=car&dag-scope=entity`))
  const blocks = await car(`/ipfs/${hamt}/685-abcdefgh.txt?format=car`)
  assert.equal(blocks[0], hamt)
  assert.ok(blocks.length >= 3 && blocks.length <= 5)
  assert.ok(blocks.slice(0, -1).every((cid) => whole.has(cid)))
  assert.equal(blocks.at(-1), `${new Dag().raw('z'.repeat(3000))}`)
})
check('trustless-car', 'a path leads through the links of a DAG-CBOR document', async () => {
  assert.deepEqual(await car(`/ipfs/${document}/files/ascii.txt?format=car`), list(document, subdir, ascii))
})
check('trustless-car', 'dag-scope=all follows the links of a DAG-CBOR document', async () => {
  assert.deepEqual(await car(`/ipfs/${document}?format=car`), list(document, subdir, ascii, hello, multi.cid, multi.leaves))
})
check('trustless-car', 'a path that does not exist is 404', async () => {
  assert.equal((await get(`/ipfs/${root}/subdir/i-do-not-exist?format=car`)).status, 404)
})
check('trustless-car', 'dag-scope=block', async () => {
  assert.deepEqual(await car(`/ipfs/${root}/subdir?format=car&dag-scope=block`), list(root, subdir))
  assert.deepEqual(await car(`/ipfs/${root}/subdir/multiblock.txt?format=car&dag-scope=block`), list(root, subdir, multi.cid))
})
check('trustless-car', 'dag-scope=entity', async () => {
  assert.deepEqual(await car(`/ipfs/${root}?format=car&dag-scope=entity`), list(root))
  assert.deepEqual(await car(`/ipfs/${root}/subdir/multiblock.txt?format=car&dag-scope=entity`), list(root, subdir, multi.cid, multi.leaves))
  assert.deepEqual(await car(`/ipfs/${document}?format=car&dag-scope=entity`), list(document))
})
check('trustless-car', 'dag-scope=entity of a HAMT has its shards and none of its files', async () => {
  const shards = await car(`/ipfs/${hamt}?format=car&dag-scope=entity`)
  assert.equal(shards.length, new Set(shards).size)
  assert.ok(shards.length > 100)
  assert.ok(shards.every((cid) => CID.parse(cid).code === 0x70))
  assert.deepEqual(await car(`/ipfs/${hamt}?format=car&dag-scope=entity&entity-bytes=0:*`), shards)
})
for (const [range, blocks] of Object.entries({
  '0:*': list(multi.cid, multi.leaves),
  '512:*': list(multi.cid, multi.leaves.slice(2)),
  '512:1023': list(multi.cid, multi.leaves.slice(2, 4)),
  '512:-256': list(multi.cid, multi.leaves.slice(2, 4)),
  '-5:*': list(multi.cid, multi.leaves.slice(3)),
  '-9999:*': list(multi.cid, multi.leaves),
  '-9999:-3': list(multi.cid, multi.leaves.slice(0, 4)),
  '0:0': list(multi.cid, multi.leaves[0])
})) {
  check('trustless-car', `entity-bytes=${range}`, async () => {
    assert.deepEqual(await car(`/ipfs/${multi.cid}?format=car&dag-scope=entity&entity-bytes=${range}`), blocks)
  })
}
check('trustless-car', 'a missing block outside of the range does not matter', async () => {
  assert.deepEqual(await car(`/ipfs/${incomplete.cid}?format=car&dag-scope=entity&entity-bytes=0:1000`), list(incomplete.cid, incomplete.leaves[0]))
  assert.deepEqual(await car(`/ipfs/${incomplete.cid}?format=car&dag-scope=entity&entity-bytes=2200:*`), list(incomplete.cid, incomplete.leaves[2]))
})
check('trustless-car', 'a block that is missing in the middle breaks the answer off', async () => {
  // What fits into a packet could still become a 404; this does not.
  const answer = await get(`/ipfs/${incomplete.cid}?format=car`)
  assert.ok(!answer.whole || answer.status === 404)
})
check('trustless-car', 'duplicates are sent when asked for', async () => {
  const all = { accept: 'application/vnd.ipld.car; version=1; order=dfs; dups=y' }
  const answer = await get(`/ipfs/${twice}`, all)
  assert.match(answer.headers['content-type'], /order=dfs; dups=y$/)
  assert.deepEqual(await blocksOf(answer.body), list(twice, ascii, ascii, hello, multi.cid, multi.leaves))
  assert.deepEqual(await car(`/ipfs/${twice}?format=car`, all), list(twice, ascii, ascii, hello, multi.cid, multi.leaves))
  assert.deepEqual(await car(`/ipfs/${twice}?format=car&car-dups=n`, all), list(twice, ascii, hello, multi.cid, multi.leaves))
})
check('trustless-car', 'order=unk gets an order', async () => {
  assert.deepEqual(await car(`/ipfs/${twice}`, { accept: 'application/vnd.ipld.car; version=1; order=unk' }), list(twice, ascii, hello, multi.cid, multi.leaves))
})
check('trustless-car', 'identity blocks are never sent', async () => {
  assert.deepEqual(await car('/ipfs/bafkqaf3imvwgy3zaneqgc3janfxgy2lomvscay3jmqfa', { accept: 'application/vnd.ipld.car; dups=y' }), [])
})
check('trustless-car', 'parameters that mean nothing are 400', async () => {
  for (const parameter of ['dag-scope=some', 'entity-bytes=x', 'entity-bytes=9:3', 'car-version=2', 'car-dups=x', 'car-order=x']) {
    assert.equal((await get(`/ipfs/${root}?format=car&${parameter}`)).status, 400, parameter)
  }
})
check('trustless-car', 'the fixtures, block by block in their order', async () => {
  for (const name of ['subdir-with-two-single-block-files', 'QmYwAPJz']) {
    const bytes = readFileSync(path.join(fixtures, `${name}.car`))
    const reader = await CarReader.fromBytes(bytes)
    const [top] = await reader.getRoots()
    assert.deepEqual(new Set(await car(`/ipfs/${top}?format=car`)), new Set(await blocksOf(bytes)), name)
  }
  const duplicates = readFileSync(path.join(fixtures, 'dir-with-duplicate-files.car'))
  const [top] = await (await CarReader.fromBytes(duplicates)).getRoots()
  const chunks = ['bafkreie5noke3mb7hqxukzcy73nl23k6lxszxi5w3dtmuwz62wnvkpsscm', 'bafkreih4ephajybraj6wnxsbwjwa77fukurtpl7oj7t7pfq545duhot7cq', 'bafkreigu7buvm3cfunb35766dn7tmqyh2um62zcio63en2btvxuybgcpue', 'bafkreicll3huefkc3qnrzeony7zcfo7cr3nbx64hnxrqzsixpceg332fhe', 'bafkreifst3pqztuvj57lycamoi7z34b4emf7gawxs74nwrc2c7jncmpaqm']
  const all = await car(`/ipfs/${top}?format=car&car-dups=y`)
  assert.equal(all[0], `${top}`)
  assert.equal(all[1], all[2])
  assert.deepEqual(all.slice(-5), chunks)
  assert.equal((await car(`/ipfs/${top}?format=car`)).length, all.length - 1)
}, noProgram || noFixtures)

// ---- path-unixfs

check('path-unixfs', 'a listing', async () => {
  const answer = await get(`/ipfs/${nested}/%C4%85/%C4%99/`)
  const html = answer.body.toString()
  assert.match(answer.headers.etag, /^"DirIndex-.*_CID-/)
  assert.match(answer.headers['content-type'], /^text\/html/)
  assert.equal(answer.headers['cache-control'], 'public, max-age=604800, stale-while-revalidate=2678400')
  assert.ok(html.includes('Index of'))
  assert.ok(html.includes(`/ipfs/<a href="/ipfs/${nested}">${nested}</a>/<a href="/ipfs/${nested}/%C4%85">ą</a>/<a href="/ipfs/${nested}/%C4%85/%C4%99">ę</a>`))
  assert.ok(html.includes(`<a href="/ipfs/${nested}/%C4%85/%C4%99/..">..</a>`))
  assert.ok(html.includes(`<a href="/ipfs/${nested}/%C4%85/%C4%99/file-%C5%BA%C5%82.txt">file-źł.txt</a>`))
  assert.ok(html.includes(`href="/ipfs/${utf8}?filename=file-%C5%BA%C5%82.txt"`))
  assert.ok(!(await get(`/ipfs/${nested}/`)).body.includes('>..</a>'))
})
check('path-unixfs', 'a listing of a HAMT is sorted and whole', async () => {
  const names = [...`${(await get(`/ipfs/${hamt}/`)).body}`.matchAll(/>(\d+-abcdefgh\.txt)</g)].map(([, name]) => name)
  assert.equal(names.length, 5000)
  assert.equal(new Set(names).size, 5000)
  assert.deepEqual(names.slice(0, 4096), names.slice(0, 4096).toSorted())
})
check('path-unixfs', 'nothing in a listing is a stranger’s HTML', async () => {
  const html = (await get(`/ipfs/${evil}/`)).body.toString()
  assert.ok(!html.includes('<script'))
  assert.ok(html.includes('&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt;'))
  assert.ok(!html.includes('href="javascript'))
})
check('path-unixfs', 'a directory without its slash is 301', async () => {
  const answer = await get(`/ipfs/${nested}/%C4%85/%C4%99?x=1`)
  assert.equal(answer.status, 301)
  assert.equal(answer.headers.location, `/ipfs/${nested}/%C4%85/%C4%99/?x=1`)
})
check('path-unixfs', 'index.html goes before the listing', async () => {
  const [r2, r3] = await Promise.all(['/root2', '/root2/root3'].map(async (name) => (await get(`/ipfs/${deep}${name}/`)).headers['x-ipfs-roots'].split(',').at(-1)))
  const answer = await get(`/ipfs/${deep}/root2/root3/root4/`)
  assert.equal(answer.status, 200)
  assert.equal(answer.headers['cache-control'], IMMUTABLE)
  assert.equal(answer.headers['x-ipfs-path'], `/ipfs/${deep}/root2/root3/root4/`)
  assert.equal(answer.headers['x-ipfs-roots'], `${deep},${r2},${r3},${withIndex}`)
  assert.equal(answer.headers.etag, `"${withIndex}"`)
  assert.match(answer.headers['content-type'], /^text\/html/)
  assert.ok(answer.body.includes('my index'))
})
check('path-unixfs', 'a file and what caches need of it', async () => {
  const answer = await get(`/ipfs/${root}/subdir/ascii.txt`)
  assert.equal(answer.status, 200)
  assert.equal(answer.headers.etag, `"${ascii}"`)
  assert.equal(answer.headers['x-ipfs-path'], `/ipfs/${root}/subdir/ascii.txt`)
  assert.equal(answer.headers['x-ipfs-roots'], `${root},${subdir},${ascii}`)
  assert.equal(answer.headers['cache-control'], IMMUTABLE)
  assert.match(answer.headers['content-type'], /^text\/plain/)
  assert.equal(`${answer.body}`, 'goodbye application/vnd.ipld.car\n')
})
for (const [name, tag] of Object.entries({
  'the tag': (cid) => `"${cid}"`,
  'the third tag': (cid) => `"fakeEtag1", "fakeEtag2", "${cid}"`,
  'the weak tag': (cid) => `W/"${cid}"`,
  'the star': () => '*'
})) {
  check('path-unixfs', `If-None-Match with ${name} is 304`, async () => {
    assert.equal((await get(`/ipfs/${root}/subdir/ascii.txt`, { 'if-none-match': tag(ascii) })).status, 304)
    assert.equal((await get(`/ipfs/${deep}/root2/root3/root4/`, { 'if-none-match': tag(withIndex) })).status, 304)
    const listing = await get(`/ipfs/${root}/`)
    assert.equal((await get(`/ipfs/${root}/`, { 'if-none-match': tag(listing.headers.etag.slice(1, -1)) })).status, 304)
    assert.equal((await get(`/ipfs/${root}/`, { 'if-none-match': tag(root) })).status, 304)
  })
}
check('path-unixfs', 'a range', async () => {
  const target = `/ipfs/${multi.cid}`
  const whole = (await get(target)).body
  for (const [range, begin, end] of [['0-0', 0, 1], ['255-256', 255, 257], ['1000-', 1000, 1026], ['-3', 1023, 1026]]) {
    const answer = await get(target, { range: `bytes=${range}` })
    assert.equal(answer.status, 206)
    assert.equal(answer.headers['content-range'], `bytes ${begin}-${end - 1}/1026`)
    assert.deepEqual(answer.body, whole.subarray(begin, end))
  }
  assert.equal((await get(target, { range: 'bytes=2000-' })).status, 416)
  assert.equal((await get(target, { range: 'bytes=2000-' })).headers['content-range'], 'bytes */1026')
  assert.equal((await get(target, { range: 'bytes=0-1', 'if-range': `"${multi.cid}"` })).status, 206)
  assert.equal((await get(target, { range: 'bytes=0-1', 'if-range': '"other"' })).status, 200)
  const several = await get(target, { range: 'bytes=0-1, 4-5' })
  assert.ok(several.status === 206 || several.body.length === 1026)
})
check('path-unixfs', 'HEAD knows no ranges and has no body', async () => {
  const answer = await gateway.request(`/ipfs/${multi.cid}`, { method: 'HEAD', headers: { range: 'bytes=0-1' } })
  assert.equal(answer.status, 200)
  assert.equal(answer.headers['content-length'], '1026')
  assert.equal(answer.body.length, 0)
})
check('path-unixfs', 'a symlink shows its target', async () => {
  const answer = await get(`/ipfs/${links}/bar`)
  assert.equal(answer.status, 200)
  assert.equal(`${answer.body}`, 'foo')
  const html = (await get(`/ipfs/${links}/`)).body.toString()
  assert.ok(html.includes('>foo<') && html.includes('>bar<'))
})
check('path-unixfs', 'names with escapes in them', async () => {
  const answer = await get(`/ipfs/${percent}/Portugal%252C+Espa%C3%B1a=Peninsula%20Ib%C3%A9rica.txt`)
  assert.equal(`${answer.body}`, 'hello from a percent encoded filename\n')
  assert.equal((await get(`/ipfs/${percent}/`)).body.includes(`/ipfs/${percent}/Portugal%252C+Espa%C3%B1a=Peninsula%20Ib%C3%A9rica.txt`), true)
})
check('path-unixfs', 'what does not exist is 404, for people too', async () => {
  assert.equal((await get(`/ipfs/${nested}/i-do-not-exist`)).status, 404)
  const html = await get(`/ipfs/${nested}/i-do-not-exist`, { accept: 'text/html,*/*' })
  assert.equal(html.status, 404)
  assert.match(html.headers['content-type'], /^text\/html/)
  assert.equal((await get(`/ipfs/${ascii}/below-a-file`)).status, 404)
})
check('path-unixfs', 'filename and download', async () => {
  const answer = await get(`/ipfs/${hello}?filename=a%22b.html&download=true`)
  assert.match(answer.headers['content-type'], /^text\/html/)
  assert.match(answer.headers['content-disposition'], /^attachment; filename="a_b.html"/)
  assert.equal((await get(`/ipfs/${hello}?filename=x.txt`)).headers['content-disposition'], 'inline; filename="x.txt"')
})
check('path-unixfs', 'content is recognised without a name', async () => {
  assert.match((await get(`/ipfs/${page}`)).headers['content-type'], /^text\/html/)
  assert.match((await get(`/ipfs/${ascii}`)).headers['content-type'], /^text\/plain/)
})
check('path-unixfs', 'CORS, with OPTIONS and in errors', async () => {
  for (const [method, target] of [['GET', `/ipfs/${root}/`], ['OPTIONS', `/ipfs/${root}/`], ['GET', `/ipfs/${absent}`], ['GET', `/ipfs/${root}`]]) {
    const { headers } = await gateway.request(target, { method })
    assert.equal(headers['access-control-allow-origin'], '*', `${method} ${target}`)
    assert.equal(headers['access-control-allow-methods'], 'GET, HEAD, OPTIONS')
    for (const name of ['Content-Type', 'Range', 'User-Agent', 'X-Requested-With']) assert.ok(headers['access-control-allow-headers'].includes(name))
    for (const name of ['Content-Range', 'Content-Length', 'X-Ipfs-Path', 'X-Ipfs-Roots', 'X-Chunked-Output', 'X-Stream-Output']) assert.ok(headers['access-control-expose-headers'].includes(name))
  }
})
check('path-unixfs', 'a directory as DAG-JSON', async () => {
  assert.equal((await get(`/ipfs/${root}/?format=dag-json`)).status, 200)
})
check('path-unixfs', 'a service worker for a whole gateway is refused', async () => {
  assert.equal((await get(`/ipfs/${root}`, { 'service-worker': 'script' })).status, 400)
})
check('path-unixfs', 'IPNS is 501', async () => {
  assert.equal((await get('/ipns/en.wikipedia-on-ipfs.org/')).status, 501)
})
check('path-unixfs', 'what is malformed is 400', async () => {
  for (const target of ['/ipfs/QmInvalidCID', '/ipfs/', `/ipfs/${root}/%zz`, `/ipfs/${root}/%00`, `/ipfs/${root}?format=zip`]) {
    assert.equal((await get(target)).status, 400, target)
  }
  assert.ok((await get('/ipfs/QmInvalidCID')).body.includes('invalid path "/ipfs/QmInvalidCID"'))
  assert.equal((await get(`/ipfs/${root}/${'a'.repeat(9000)}`)).status, 414)
})

// ---- path-raw

check('path-raw', 'DAG-JSON and DAG-CBOR are given as they are', async () => {
  const answer = await get(`/ipfs/${jsonDocument}?format=dag-json`)
  assert.equal(answer.status, 200)
  assert.equal(answer.headers['content-type'], 'application/vnd.ipld.dag-json')
  assert.equal(`${answer.body}`, '{"hello":"world"}')
  assert.equal(answer.headers.etag, `"${jsonDocument}.dag-json"`)
  const cbor = await get(`/ipfs/${document}`, { accept: 'application/vnd.ipld.dag-cbor' })
  assert.equal(cbor.headers['content-type'], 'application/vnd.ipld.dag-cbor')
  assert.match(cbor.headers['content-disposition'], /^attachment; filename=".*\.cbor"$/)
})
check('path-raw', 'another codec than the block’s is 406', async () => {
  assert.equal((await get(`/ipfs/${ascii}?format=dag-json`)).status, 406)
  assert.equal((await get(`/ipfs/${jsonDocument}?format=dag-cbor`)).status, 406)
})

// ---- path-tar

check('path-tar', 'a file', async () => {
  for (const answer of [await get(`/ipfs/${utf8}?format=tar`), await get(`/ipfs/${utf8}`, { accept: 'application/x-tar' })]) {
    assert.equal(answer.status, 200)
    assert.equal(answer.headers['content-type'], 'application/x-tar')
    assert.equal(answer.headers['content-disposition'], `attachment; filename="${utf8}.tar"`)
    assert.ok(answer.headers.etag.startsWith(`W/"${utf8}.x-tar`))
    assert.deepEqual(entriesOf(answer.body), { [utf8]: 'I am a txt file on path with utf8\n' })
  }
})
check('path-tar', 'a directory', async () => {
  const entries = entriesOf((await get(`/ipfs/${nested}?format=tar`)).body)
  assert.equal(entries[`${nested}/ą/ę/file-źł.txt`], 'I am a txt file on path with utf8\n')
  assert.deepEqual(entriesOf((await get(`/ipfs/${links}?format=tar`)).body), { [`${links}/`]: '', [`${links}/bar`]: '-> foo', [`${links}/foo`]: 'contents of foo' })
})
check('path-tar', 'filename', async () => {
  const answer = await get(`/ipfs/${nested}?filename=test%D1%82%D0%B5%D1%81%D1%82.tar&format=tar`)
  assert.equal(answer.headers['content-disposition'], 'attachment; filename="test____.tar"; filename*=UTF-8\'\'test%D1%82%D0%B5%D1%81%D1%82.tar')
})
check('path-tar', 'names that lead outside are refused', async () => {
  const answer = await get(`/ipfs/${escaping}?format=tar`)
  assert.equal(answer.status, 400)
  assert.ok(answer.body.includes('relative UnixFS paths outside the root are not allowed'))
})
check('path-tar', 'names that lead inside are normal', async () => {
  const entries = entriesOf((await get(`/ipfs/${insideOut}?format=tar`)).body)
  assert.equal(entries[`${insideOut}/foobar/file`], 'inside')
})

// ---- subdomain

check('subdomain', 'a path of the gateway’s name leads to the content’s origin', async () => {
  const { status, headers } = await gateway.request(`/ipfs/${hello}/`, { headers: { host: 'example.com' } })
  assert.equal(status, 301)
  assert.equal(headers.location, `http://${hello}.ipfs.example.com/`)
  const escaped = await gateway.request(`/ipfs/${percent}/Portugal%252C+España=Peninsula%20Ibérica.txt`.replace(/[^\x20-\x7e]/g, encodeURIComponent), { headers: { host: 'example.com' } })
  assert.equal(escaped.headers.location, `http://${percent}.ipfs.example.com/Portugal%252C+Espa%C3%B1a=Peninsula%20Ib%C3%A9rica.txt`)
})
check('subdomain', 'a CIDv0 becomes version 1', async () => {
  const { headers } = await gateway.request('/ipfs/QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG/readme', { headers: { host: 'example.com' } })
  assert.equal(headers.location, 'http://bafybeie5nqv6kd3qnfjupgvz34woh3oksc3iau6abmyajn7qvtf6d2ho34.ipfs.example.com/readme')
})
check('subdomain', 'the origin has the content', async () => {
  assert.equal(`${(await at(hello, '/')).body}`, 'hello application/vnd.ipld.car\n')
  assert.equal((await at(hello, `/ipfs/${hello}`)).status, 404)
  assert.ok((await at(confusing, '/ipfs/file.txt')).body.includes('I am a txt file'))
  assert.ok((await at(confusing, '/ipfs/ipns/bar')).body.includes('text-file-content'))
  assert.equal((await gateway.request('/', { headers: { host: `${hello}.ipfs.localhost:${gateway.port}` } })).status, 200)
})
check('subdomain', 'listings there', async () => {
  const html = (await at(confusing, '/ipfs/ipns/')).body.toString()
  assert.ok(html.includes('Index of'))
  assert.ok(html.includes('<a href="/ipfs/ipns/..">..</a>'))
  assert.ok(html.includes('<a href="/ipfs/ipns/bar">bar</a>'))
  assert.ok(html.includes(`/ipfs/<a href="//example.com/ipfs/${confusing}">${confusing}</a>/<a href="//example.com/ipfs/${confusing}/ipfs">ipfs</a>/<a href="//example.com/ipfs/${confusing}/ipfs/ipns">ipns</a>`))
  const top = (await at(confusing, '/')).body.toString()
  assert.ok(top.includes('<a href="/hello">hello</a>') && top.includes('<a href="/ipfs">ipfs</a>'))
  const redirect = await at(nested, '/%C4%85/%C4%99')
  assert.equal(redirect.status, 301)
  assert.equal(redirect.headers.location, '/%C4%85/%C4%99/')
})
check('subdomain', 'X-Forwarded-Proto and -Host', async () => {
  const headers = { host: 'fake.domain.com', 'x-forwarded-host': 'example.com', 'x-forwarded-proto': 'https' }
  assert.equal((await gateway.request(`/ipfs/${hello}`, { headers: { host: 'fake.domain.com' } })).status, 200)
  assert.equal((await gateway.request(`/ipfs/${hello}`, { headers })).headers.location, `https://${hello}.ipfs.example.com/`)
})
check('subdomain', 'ipfs:// URLs', async () => {
  const answer = await gateway.request(`/ipfs/?uri=ipfs%3A%2F%2F${root}%2Fwiki%2FDiego_Maradona.html`, { headers: { host: 'example.com' } })
  assert.equal(answer.status, 301)
  assert.equal(answer.headers.location, `/ipfs/${root}/wiki/Diego_Maradona.html`)
})
check('subdomain', 'a CID too long for DNS is 400, either way', async () => {
  const long = CID.createV1(0x55, { code: 0x13, size: 64, digest: createHash('sha512').update('x').digest(), bytes: Buffer.concat([Buffer.from([0x13, 0x40]), createHash('sha512').update('x').digest()]) }).toString()
  const path_ = await gateway.request(`/ipfs/${long}`, { headers: { host: 'example.com' } })
  assert.equal(path_.status, 400)
  assert.ok(path_.body.includes('CID incompatible with DNS label length limit of 63'))
  const origin = await at(long, '/')
  assert.equal(origin.status, 400)
  assert.ok(origin.body.includes('CID incompatible with DNS label length limit of 63'))
})
check('subdomain', 'IPNS is 501 there too', async () => {
  assert.equal((await gateway.request('/', { headers: { host: 'k51qzi5uqu5dlvj2baxnqndepeb86cbk3ng7n3i46uzyxzyqj2xjonzllnv0v8.ipns.example.com' } })).status, 501)
})

// ---- redirects

for (const [target, status, location] of [
  ['/redirect-one', 301, '/one.html'],
  ['/301-redirect-one', 301, '/one.html'],
  ['/302-redirect-two', 302, '/two.html'],
  ['/posts/2022/01/01/hello-world', 301, '/articles/2022/01/01/hello-world'],
  ['/splat/one.html', 301, '/redirected-splat/one.html']
]) {
  check('redirects', target, async () => {
    const answer = await at(redirects, target)
    assert.equal(answer.status, status)
    assert.equal(answer.headers.location, location)
  })
}
check('redirects', 'a rewrite shows the other file', async () => {
  for (const target of ['/200-index', '/catch-all']) {
    const answer = await at(redirects, target)
    assert.equal(answer.status, 200)
    assert.ok(answer.body.includes('my index'))
  }
  assert.ok((await at(redirects, '/one.html')).body.includes('my one'))
})
check('redirects', 'pages for 404, 410 and 451', async () => {
  for (const [target, status] of [['/not-found/x', 404], ['/gone/x', 410], ['/unavail/x', 451]]) {
    const answer = await at(redirects, target)
    assert.equal(answer.status, status)
    assert.equal(answer.headers['cache-control'], IMMUTABLE)
    assert.equal(answer.headers.etag, `"${text404}"`)
    assert.ok(answer.body.includes('my 404'))
  }
})
check('redirects', 'a file that cannot be read is 500, where it is needed', async () => {
  const answer = await at(forced, '/not-found')
  assert.equal(answer.status, 500)
  assert.ok(answer.body.includes('could not parse _redirects:'))
  assert.ok(answer.body.includes('forced redirects (or "shadowing") are not supported'))
  const large = await at(tooLarge, '/not-found')
  assert.equal(large.status, 500)
  assert.ok(large.body.includes('redirects file size cannot exceed'))
  assert.equal(`${(await at(badCodes, '/found.html')).body}`, 'my found\n')
})
check('redirects', 'lines may end as Windows ends them', async () => {
  assert.equal((await at(crlf, '/redirect-one')).headers.location, '/one.html')
})
check('redirects', 'not without an origin of its own', async () => {
  assert.equal((await get(`/ipfs/${redirects}/redirect-one`)).status, 404)
})

test('the list of known failures names cases', () => {
  for (const title of expectedFailing) assert.ok(known.has(title), title)
})
