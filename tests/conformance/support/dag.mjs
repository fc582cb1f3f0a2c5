// UnixFS by hand: what no program would make, too.
import { createHash } from 'node:crypto'

import { CarReader, CarWriter } from '@ipld/car'
import * as dagPb from '@ipld/dag-pb'
import { CID } from 'multiformats/cid'
import * as Digest from 'multiformats/hashes/digest'

const RAW = 0x55
const DAG_PB = 0x70

function varint (number) {
  const bytes = []
  for (let rest = BigInt(number); ; rest >>= 7n) {
    if (rest < 128n) return [...bytes, Number(rest)]
    bytes.push(Number(rest & 127n) | 128)
  }
}

/** A UnixFS message: type, data, file size, block sizes. */
function unixfs (type, { data, size, parts = [] } = {}) {
  const bytes = [0x08, type]
  if (data !== undefined) bytes.push(0x12, ...varint(data.length), ...data)
  if (size !== undefined) bytes.push(0x18, ...varint(size))
  for (const part of parts) bytes.push(0x20, ...varint(part))
  return Uint8Array.from(bytes)
}

/** Blocks by CID, and what makes them. */
export class Dag {
  blocks = new Map()

  put (codec, bytes) {
    const digest = Digest.create(0x12, createHash('sha256').update(bytes).digest())
    const cid = CID.createV1(codec, digest)
    this.blocks.set(cid.toString(), { cid, bytes })
    return cid
  }

  raw (content) { return this.put(RAW, Buffer.from(content)) }
  cbor (bytes) { return this.put(0x71, Uint8Array.from(bytes)) }
  json (value) { return this.put(0x0129, Buffer.from(JSON.stringify(value))) }

  node (links, data) {
    return this.put(DAG_PB, dagPb.encode(dagPb.prepare({ Links: links.map(([Name, Hash, Tsize = 1]) => ({ Name, Hash, Tsize })), Data: data })))
  }

  /** Of raw leaves, each a string. */
  file (parts) {
    const leaves = parts.map((part) => this.raw(part))
    const sizes = parts.map((part) => Buffer.byteLength(part))
    return { ...this.join(leaves.map((leaf, i) => ({ cid: leaf, size: sizes[i] }))), leaves }
  }

  /** Of files, in their order. */
  join (files) {
    const sizes = files.map(({ size }) => size)
    const size = sizes.reduce((a, b) => a + b, 0)
    return { cid: this.node(files.map(({ cid }, i) => ['', cid, sizes[i]]), unixfs(2, { size, parts: sizes })), size }
  }

  directory (entries) { return this.node(Object.entries(entries), unixfs(1)) }
  symlink (target) { return this.node([], unixfs(4, { data: Buffer.from(target) })) }

  /** An archive of all blocks but those named. */
  async car (root, without = []) {
    const { writer, out } = CarWriter.create([root])
    const pieces = []
    const reading = (async () => { for await (const piece of out) pieces.push(piece) })()
    for (const [name, block] of this.blocks) {
      if (!without.some((cid) => cid.toString() === name)) await writer.put(block)
    }
    await writer.close()
    await reading
    return Buffer.concat(pieces)
  }
}

/** The CIDs in an archive, in order; each block is compared with its CID. */
export async function blocksOf (car) {
  const reader = await CarReader.fromBytes(car)
  const cids = []
  for await (const { cid, bytes } of reader.blocks()) {
    const digest = createHash('sha256').update(bytes).digest()
    if (!digest.equals(Buffer.from(cid.multihash.digest))) throw new Error(`${cid} has other bytes`)
    cids.push(cid.toString())
  }
  return cids
}

/** {name: content} of a tar: files, and '' for directories. */
export function entriesOf (tar) {
  const entries = {}
  const text = (from, to) => tar.subarray(from, to).toString().replace(/\0.*$/s, '')
  let name
  for (let at = 0; at + 512 <= tar.length && tar[at] !== 0;) {
    const size = parseInt(text(at + 124, at + 135), 8)
    const content = tar.subarray(at + 512, at + 512 + size)
    const type = text(at + 156, at + 157)
    if (type === 'x') {
      name = /\d+ path=(.*)\n/.exec(content)?.[1]
    } else {
      entries[name ?? text(at, at + 100)] = type === '2' ? `-> ${text(at + 157, at + 257)}` : content.toString()
      name = undefined
    }
    at += 512 + Math.ceil(size / 512) * 512
  }
  return entries
}
