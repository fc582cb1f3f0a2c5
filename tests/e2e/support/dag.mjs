// A second, tiny implementation of what `codio add` does to a file of up to 1,024 MiB, so that the browsers' results are
// compared with something that is not the code under test. Profile unixfs-v1-2025.
import { createHash } from 'node:crypto';

const chunkSize = 1_048_576;

/** @returns {{cid: string, blocks: Map<string, Buffer>}} */
export function buildFile(bytes) {
  const blocks = new Map();
  const leaves = [];
  for (let at = 0; at === 0 || at < bytes.length; at += chunkSize) {
    leaves.push({ data: bytes.subarray(at, at + chunkSize), hash: undefined });
  }
  for (const leaf of leaves) leaf.hash = keep(blocks, 0x55, leaf.data);
  if (leaves.length === 1) return { cid: textOf(leaves[0].hash), blocks };
  const sizes = leaves.map(({ data }) => varint(4, data.length));
  const unixfs = Buffer.concat([varint(1, 2), varint(3, bytes.length), ...sizes]);
  const links = leaves.map(({ data, hash }) => field(2, Buffer.concat([field(1, hash), field(2, Buffer.alloc(0)), varint(3, data.length)])));
  return { cid: textOf(keep(blocks, 0x70, Buffer.concat([...links, field(1, unixfs)]))), blocks };
}

export function rawCid(bytes) {
  return textOf(cidOf(0x55, bytes));
}

function keep(blocks, codec, bytes) {
  const cid = cidOf(codec, bytes);
  blocks.set(textOf(cid), bytes);
  return cid;
}

function cidOf(codec, bytes) {
  return Buffer.concat([Buffer.from([1, codec, 0x12, 32]), createHash('sha256').update(bytes).digest()]);
}

function textOf(cid) {
  const alphabet = 'abcdefghijklmnopqrstuvwxyz234567';
  let text = 'b';
  let bits = 0;
  let value = 0;
  for (const byte of cid) {
    value = (value << 8) | byte;
    for (bits += 8; bits >= 5; bits -= 5) text += alphabet[(value >> (bits - 5)) & 31];
    value &= 255;
  }
  return bits > 0 ? text + alphabet[(value << (5 - bits)) & 31] : text;
}

function field(number, bytes) {
  return Buffer.concat([Buffer.from([number * 8 + 2]), encodeVarint(bytes.length), bytes]);
}

function varint(number, value) {
  return Buffer.concat([Buffer.from([number * 8]), encodeVarint(value)]);
}

function encodeVarint(value) {
  const bytes = [];
  for (; value > 127; value = Math.floor(value / 128)) bytes.push((value % 128) | 128);
  return Buffer.from([...bytes, value]);
}
