// The codio program and the JavaScript implementation of IPFS must give the same CIDs to the same content, and read each
// other's archives.
//
// CODIO names the program (default: build/release/codio), CODIO_SEED repeats a run.

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { createCipheriv, createHash, randomInt } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

import { CarReader, CarWriter } from '@ipld/car'
import * as dagPb from '@ipld/dag-pb'
import { MemoryBlockstore } from 'blockstore-core/memory'
import { importer } from 'ipfs-unixfs-importer'
import { CID } from 'multiformats/cid'

const repository = fileURLToPath(new URL('../../', import.meta.url))
const codio = process.env.CODIO ?? path.join(repository, 'build/release/codio')
const seed = Number(process.env.CODIO_SEED ?? randomInt(2 ** 32))
const skip = existsSync(codio) ? false : `there is no program at ${codio}: build it, or name it in CODIO`

const profiles = {
  'unixfs-v0-2015': { chunk: 262144, width: 174 },
  'unixfs-v1-2025': { chunk: 1048576, width: 1024 }
}

/** Reproducible numbers and bytes: AES-CTR keyed by the seed and a name. */
class Random {
  constructor (name) {
    const key = createHash('sha256').update(`${seed} ${name}`).digest()
    this.cipher = createCipheriv('aes-256-ctr', key, Buffer.alloc(16))
  }

  bytes (size) {
    return this.cipher.update(Buffer.alloc(size))
  }

  below (limit) {
    return this.bytes(4).readUInt32LE() % limit
  }

  name (length) {
    const alphabet = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_ +~äß漢'
    return Array.from({ length }, () => [...alphabet][this.below([...alphabet].length)]).join('')
  }
}

let folder
const run = async (...args) => {
  const { stdout } = await promisify(execFile)(codio, args, {
    encoding: 'buffer',
    maxBuffer: 2 ** 28,
    env: { ...process.env, CODIO_REPO: path.join(folder, 'repo') }
  })
  return stdout
}
const addOnlyHash = async (profile, at) =>
  (await run('add', '--only-hash', '-Q', '--profile', profile, at)).toString().trim()

/** A tree is {name: bytes or tree}. */
async function writeTree (at, tree) {
  if (tree instanceof Uint8Array) return await writeFile(at, tree)
  await mkdir(at)
  for (const [name, child] of Object.entries(tree)) await writeTree(path.join(at, name), child)
}

function * sources (at, tree) {
  if (tree instanceof Uint8Array) return yield { path: at, content: tree }
  yield { path: at }
  for (const [name, child] of Object.entries(tree)) yield * sources(`${at}/${name}`, child)
}

/** Imports a tree with the JavaScript implementation; returns its root. */
async function importTree (profile, tree, blockstore = new MemoryBlockstore()) {
  let root
  for await (const entry of importer(sources('root', tree), blockstore, { profile })) {
    if (entry.path === 'root') root = entry
  }
  return root.cid
}

async function blockOf (blockstore, cid) {
  const parts = []
  for await (const part of blockstore.get(cid)) parts.push(part)
  return Buffer.concat(parts)
}

/** Every block of a DAG once. (The blockstore itself forgets codecs.) */
async function * blocksBelow (root, blockstore) {
  const seen = new Set()
  const pending = [root]
  while (pending.length > 0) {
    const cid = pending.pop()
    if (seen.has(cid.toString())) continue
    seen.add(cid.toString())
    const bytes = await blockOf(blockstore, cid)
    yield { cid, bytes }
    if (cid.code === dagPb.code) pending.push(...dagPb.decode(bytes).Links.map((link) => link.Hash))
  }
}

async function compare (profile, tree, what) {
  const at = path.join(folder, 'tree')
  await rm(at, { recursive: true, force: true })
  await writeTree(at, tree)
  assert.equal(await addOnlyHash(profile, at), (await importTree(profile, tree)).toString(), what)
}

function randomTree (random, depth) {
  const tree = {}
  for (let count = random.below(6); count > 0; --count) {
    const name = random.name(1 + random.below(20)).replace(/^[-~]/, 'x')
    tree[name] = depth > 0 && random.below(2) === 0
      ? randomTree(random, depth - 1)
      : random.bytes(random.below(3) === 0 ? random.below(3_000_000) : random.below(3000))
  }
  return tree
}

before(async () => { folder = await mkdtemp(path.join(tmpdir(), 'codio-interop-')) })
after(async () => { await rm(folder, { recursive: true, force: true }) })

for (const [profile, { chunk, width }] of Object.entries(profiles)) {
  describe(profile, { skip }, () => {
    test('files around the edges of chunks and inner nodes', async (t) => {
      t.diagnostic(`CODIO_SEED=${seed}`)
      const random = new Random(`files ${profile}`)
      const sizes = [0, 1, 1000, chunk - 1, chunk, chunk + 1, 2 * chunk, 3 * chunk - 1, 7 * chunk + random.below(chunk)]
      const full = chunk * width
      if (full < 2 ** 27) sizes.push(full - 1, full, full + 1, full + chunk + 1, 2 * full + 5)
      for (const size of sizes) await compare(profile, random.bytes(size), `${size} bytes`)
    })

    test('files of zeros', async () => {
      for (const size of [chunk, 10 * 2 ** 20]) await compare(profile, new Uint8Array(size), `${size} zeros`)
    })

    test('random trees', async (t) => {
      t.diagnostic(`CODIO_SEED=${seed}`)
      const random = new Random(`trees ${profile}`)
      for (let i = 0; i < 10; ++i) await compare(profile, { ...randomTree(random, 3), empty: {} }, `tree ${i}`)
    })

    test('directories about as large as sharding begins, and much larger', async (t) => {
      t.diagnostic(`CODIO_SEED=${seed}`)
      const random = new Random(`shards ${profile}`)
      const x = Buffer.from('x')
      for (const [count, length] of [[1200, 110], [1500, 110], [1800, 110], [5000, 12]]) {
        const tree = {}
        while (Object.keys(tree).length < count) tree[`f${random.name(length + random.below(3))}`] = x
        await compare(profile, tree, `${count} names of ${length} characters`)
      }
    })

    test('a directory that shards inside a directory', async () => {
      const random = new Random(`nested ${profile}`)
      const inner = {}
      while (Object.keys(inner).length < 2000) inner[`f${random.name(60)}`] = random.bytes(20)
      await compare(profile, { inner, besides: random.bytes(10) })
    })
  })
}

describe('archives', { skip }, () => {
  test('of ours are read by @ipld/car, with every block of the DAG and its hash', async (t) => {
    t.diagnostic(`CODIO_SEED=${seed}`)
    const random = new Random('export')
    for (const profile of Object.keys(profiles)) {
      const tree = { 'a.bin': random.bytes(3_000_000), same: random.bytes(100), dir: { 'b.bin': random.bytes(10) } }
      const at = path.join(folder, `export-${profile}`)
      await writeTree(at, tree)
      const root = (await run('add', '-Q', '--profile', profile, at)).toString().trim()
      const blockstore = new MemoryBlockstore()
      assert.equal((await importTree(profile, tree, blockstore)).toString(), root)

      const archive = await CarReader.fromBytes(await run('car', 'export', root))
      assert.deepEqual((await archive.getRoots()).map(String), [root])
      const exported = []
      for await (const { cid, bytes } of archive.blocks()) {
        const digest = createHash('sha256').update(bytes).digest()
        assert.ok(digest.equals(Buffer.from(cid.multihash.digest)), `the block of ${cid}`)
        if (cid.code === dagPb.code) dagPb.decode(bytes)
        exported.push(cid.toString())
      }
      const reachable = []
      for await (const { cid } of blocksBelow(CID.parse(root), blockstore)) reachable.push(cid.toString())
      assert.deepEqual(exported.sort(), reachable.sort())
    }
  })

  test('of @ipld/car are read by us', async (t) => {
    t.diagnostic(`CODIO_SEED=${seed}`)
    const random = new Random('import')
    for (const profile of Object.keys(profiles)) {
      const content = random.bytes(2_500_000)
      const blockstore = new MemoryBlockstore()
      const root = await importTree(profile, { sub: { 'a.bin': content } }, blockstore)
      const { writer, out } = CarWriter.create([root])
      const parts = []
      const collected = (async () => { for await (const part of out) parts.push(part) })()
      for await (const block of blocksBelow(root, blockstore)) await writer.put(block)
      await writer.close()
      await collected
      const file = path.join(folder, `${profile}.car`)
      await writeFile(file, Buffer.concat(parts))

      await run('car', 'import', file)
      assert.ok((await run('cat', `${root}/sub/a.bin`)).equals(content))
    }
  })
})
