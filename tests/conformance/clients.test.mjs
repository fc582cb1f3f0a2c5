// Clients that others made, in tests/clients, find content at a node's router and fetch it from its gateway.
//
// CODIO names the program (default: build/release/codio).
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

import { Dag } from './support/dag.mjs'
import { codio, startGateway } from './support/gateway.mjs'

const clients = fileURLToPath(new URL('../clients/', import.meta.url))
/** The one that the clients need, newer than ours. */
const node = `${clients}node_modules/.bin/node`
const skip = !existsSync(codio)
  ? `there is no program at ${codio}: build it, or name it in CODIO`
  : !existsSync(node) && `there are no clients in ${clients}: run script/setup test`

const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex')

test('@helia/verified-fetch finds files, directories and ranges by our router and takes them from our gateway', { skip }, async () => {
  const dag = new Dag()
  const parts = Array.from({ length: 5 }, (_, i) => String.fromCharCode(65 + i).repeat(300_000 + i))
  const film = dag.file(parts)
  const readme = dag.raw('# Read me\n')
  const root = dag.directory({ docs: dag.directory({ 'readme.txt': readme }), 'film.bin': film.cid })
  const site = dag.directory({ 'index.html': dag.raw('<!doctype html><title>Home</title>') })
  const bytes = Buffer.from(parts.join(''))
  const gateway = await startGateway({ cars: [await dag.car(root), await dag.car(site)] })
  const requests = [
    { url: `ipfs://${film.cid}` },
    { url: `ipfs://${root}/film.bin` },
    { url: `ipfs://${root}/film.bin`, headers: { range: 'bytes=299990-600009' } },
    { url: `ipfs://${root}/film.bin`, headers: { range: 'bytes=-7' } },
    { url: `ipfs://${root}/docs/readme.txt` },
    { url: `ipfs://${site}/` }
  ]
  const { stdout } = await promisify(execFile)(node, [`${clients}verified-fetch.mjs`, `http://127.0.0.1:${gateway.port}`, JSON.stringify(requests)])
  await gateway.stop()
  const [file, byPath, range, end, text, page] = stdout.trim().split('\n').map((line) => JSON.parse(line))
  for (const whole of [file, byPath]) {
    assert.equal(whole.status, 200)
    assert.equal(whole.hash, sha256(bytes))
  }
  assert.equal(range.status, 206)
  assert.equal(range.range, `bytes 299990-600009/${bytes.length}`)
  assert.equal(range.hash, sha256(bytes.subarray(299_990, 600_010)))
  assert.equal(end.status, 206)
  assert.equal(end.text, bytes.subarray(-7).toString())
  assert.equal(text.text, '# Read me\n')
  assert.match(text.type, /^text\/plain/)
  assert.match(page.text, /Home/)
  assert.match(page.type, /^text\/html/)
})
