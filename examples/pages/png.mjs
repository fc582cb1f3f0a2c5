// Pictures that nobody had to draw.
import { crc32, deflateSync } from 'node:zlib';

/** A PNG of waves, which `seed` chooses. */
export function makePicture(seed, width = 360, height = 240) {
  const [a, b, c] = [1 + (seed % 5), 1 + (seed % 7), (seed * 0.7) % (2 * Math.PI)];
  const rows = Buffer.alloc(height * (1 + 3 * width));
  for (let y = 0; y < height; y++) {
    const row = y * (1 + 3 * width) + 1;
    for (let x = 0; x < width; x++) {
      const [u, v] = [x / width - 0.5, y / height - 0.5];
      const wave = Math.sin(6 * a * u + c) + Math.cos(6 * b * v - c) + Math.sin(12 * Math.hypot(u, v) * (1 + (seed % 3)));
      for (let channel = 0; channel < 3; channel++) {
        rows[row + 3 * x + channel] = 128 + 110 * Math.sin(wave + c + seed * 0.37 + channel * (0.8 + (seed % 4) * 0.35));
      }
    }
  }
  const head = Buffer.alloc(13);
  head.writeUInt32BE(width, 0);
  head.writeUInt32BE(height, 4);
  head.set([8, 2], 8);
  const signature = Buffer.from('\x89PNG\r\n\x1a\n', 'latin1');
  return Buffer.concat([signature, chunk('IHDR', head), chunk('IDAT', deflateSync(rows)), chunk('IEND', Buffer.alloc(0))]);
}

function chunk(name, bytes) {
  const body = Buffer.concat([Buffer.from(name, 'latin1'), bytes]);
  const [length, checksum] = [Buffer.alloc(4), Buffer.alloc(4)];
  length.writeUInt32BE(bytes.length);
  checksum.writeUInt32BE(crc32(body));
  return Buffer.concat([length, body, checksum]);
}
