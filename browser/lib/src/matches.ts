import { digest } from './core';

const base32 = 'abcdefghijklmnopqrstuvwxyz234567';
const base58 = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz';

/** Whether the bytes hash to the CID, given as its canonical text: base58 in version 0, else `b` and base32. */
export async function matches(cid: string, bytes: Uint8Array<ArrayBuffer>): Promise<boolean> {
  const [alphabet, digits] = cid.startsWith('Qm') ? [base58, cid] : [base32, cid.slice(1)];
  let value = 0n;
  for (const digit of digits) value = value * BigInt(alphabet.length) + BigInt(alphabet.indexOf(digit));
  if (alphabet === base32) value >>= BigInt((digits.length * 5) % 8);
  // A CID ends with its multihash: function, length, digest.
  for (const code of [0x12, 0x13, 0x11]) {
    const hash = await digest(code, bytes);
    const multihash = [code, hash.length, ...hash].map((byte) => byte.toString(16).padStart(2, '0')).join('');
    if (value.toString(16).endsWith(multihash)) return true;
  }
  return false;
}
