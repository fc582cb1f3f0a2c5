// A node that serves given CARs, and requests to it as they are written: no URL is normalised, no header is added.
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import http from 'node:http'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { after } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const repository = fileURLToPath(new URL('../../../', import.meta.url))
export const codio = process.env.CODIO ?? path.join(repository, 'build/release/codio')
export const fixtures = path.join(repository, '../shared/fixtures')

/** Of each node that still runs, what stops it: as long as one does, the file of a test that failed would not end. */
const running = new Set()
after(() => Promise.all([...running].map((stop) => stop())))

/**
 * `folders`: what is added besides, as `codio add` does; their roots are in `added`, in that order. Without an option for
 * the DHT it stays out of that.
 */
export async function startGateway ({ cars = [], folders = [], options = [] } = {}) {
  const folder = await mkdtemp(path.join(tmpdir(), 'codio-conformance-'))
  const repo = path.join(folder, 'repo')
  const run = async (...args) => (await promisify(execFile)(codio, ['--repo', repo, ...args])).stdout
  for (const [i, car] of cars.entries()) {
    const file = path.join(folder, `${i}.car`)
    await writeFile(file, car)
    await run('car', 'import', file)
  }
  const added = []
  for (const one of folders) added.push((await run('add', '-Q', one)).trim())
  const node = spawn(codio, [
    '--repo', repo, '--json', '--no-gateway', 'serve', '--http', '127.0.0.1:0',
    ...(options.includes('--dht-bootstrap') ? [] : ['--no-dht']), ...options
  ], { stdio: ['ignore', 'pipe', 'pipe'] })
  const ended = new Promise((resolve) => node.on('close', resolve))
  let stopping
  /** Rejects if it crashed meanwhile. */
  const stop = () => (stopping ??= end())
  async function end () {
    const crashed = node.signalCode !== null || node.exitCode > 0
    node.kill('SIGKILL')
    await ended
    await rm(folder, { recursive: true, force: true })
    if (crashed) throw new Error(`codio serve ended by itself: ${node.signalCode ?? node.exitCode} ${log}`)
  }
  running.add(stop)
  ended.then(() => running.delete(stop))
  let log = ''
  node.stderr.on('data', (data) => { log += data })
  const lines = createInterface({ input: node.stdout })
  const announced = new Set()
  let dht
  const url = await new Promise((resolve, reject) => {
    let http
    ended.then(() => reject(new Error(`codio serve ended: ${log}`)))
    lines.on('line', (line) => {
      const event = JSON.parse(line)
      if (event.event === 'listening') http = new URL(event.http)
      if (event.event === 'dht') dht = event.port
      if (event.event === 'announced') announced.add(event.cid)
      if (event.event === 'ready') resolve(http)
    })
  })
  return {
    added,
    dht,
    url: url.origin,
    log: () => log,
    /** Resolves once the DHT has been told of the root. */
    async announced (cid) {
      while (!announced.has(cid)) await once(lines, 'line')
    },
    /** `codio stats` of it. */
    stats: async () => JSON.parse(await run('stats', '--json')),
    port: Number(url.port),
    pid: node.pid,
    /** {status, headers, body, whole}; `whole` is false if the connection ended before the answer did. */
    request (target, { method = 'GET', headers = {} } = {}) {
      return new Promise((resolve, reject) => {
        const request = http.request({ host: url.hostname, port: url.port, path: target, method, agent: false, headers })
        request.on('error', reject)
        request.on('response', (response) => {
          const pieces = []
          const end = (whole) => resolve({ status: response.statusCode, headers: response.headers, body: Buffer.concat(pieces), whole })
          response.on('data', (piece) => pieces.push(piece))
          response.on('end', () => end(true))
          response.on('error', () => end(false))
        })
        request.end()
      })
    },
    stop
  }
}
