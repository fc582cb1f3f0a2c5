import { createHash } from 'node:crypto';

/** The CID that a leaf with these bytes has. */
export function rawCid(bytes: Uint8Array): string {
  const cid = [1, 0x55, 0x12, 32, ...createHash('sha256').update(bytes).digest()];
  const bits = cid.map((byte) => byte.toString(2).padStart(8, '0')).join('').padEnd(290, '0');
  return `b${(bits.match(/.{5}/g) ?? []).map((five) => 'abcdefghijklmnopqrstuvwxyz234567'[parseInt(five, 2)]).join('')}`;
}
