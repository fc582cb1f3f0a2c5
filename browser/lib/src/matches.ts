import { digest } from './core';

const base32 = 'abcdefghijklmnopqrstuvwxyz234567';
const base58 = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz';

/** Whether the bytes hash to the CID, given as its canonical text: base58 in version 0, else `b` and base32. */
export async function matches(cid: string, bytes: Uint8Array<ArrayBuffer>): Promise<boolean> {
  const [alphabet, text] = cid.startsWith('Qm') ? [base58, cid] : [base32, cid.slice(1)];
  let value = numberOf([...text].map((digit) => alphabet.indexOf(digit)), alphabet.length);
  if (alphabet === base32) value >>= BigInt((text.length * 5) % 8);
  for (const code of [0x12, 0x13, 0x11]) {
    // A CID ends with its multihash: function, length, digest.
    const hash = await digest(code, bytes);
    if (BigInt.asUintN(8 * hash.length + 16, value) === numberOf([code, hash.length, ...hash], 256)) return true;
  }
  return false;
}

function numberOf(digits: number[], base: number): bigint {
  return digits.reduce((value, digit) => value * BigInt(base) + BigInt(digit), 0n);
}
