// Pictures, each of its own CID.
import { crc32, deflateSync } from 'node:zlib';

/** A PNG of one colour, 0xRRGGBB, `noise` bytes longer than it needs to be. */
export function makePng(width, height, colour, noise = Buffer.alloc(0)) {
  const row = Buffer.concat([Buffer.from([0]), ...Array(width).fill(Buffer.from([colour >> 16, (colour >> 8) & 255, colour & 255]))]);
  const head = Buffer.alloc(13);
  head.writeUInt32BE(width, 0);
  head.writeUInt32BE(height, 4);
  head.set([8, 2], 8);
  return Buffer.concat([
    Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'),
    chunk('IHDR', head),
    chunk('noIS', noise),
    chunk('IDAT', deflateSync(Buffer.concat(Array(height).fill(row)))),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}

function chunk(name, bytes) {
  const body = Buffer.concat([Buffer.from(name, 'latin1'), bytes]);
  const [length, checksum] = [Buffer.alloc(4), Buffer.alloc(4)];
  length.writeUInt32BE(bytes.length);
  checksum.writeUInt32BE(crc32(body));
  return Buffer.concat([length, body, checksum]);
}
