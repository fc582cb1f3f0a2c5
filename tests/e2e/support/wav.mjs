// A sound file that any browser plays, made here.
import { randomBytes } from 'node:crypto';

/** Quiet noise of that many seconds: 44,100 stereo samples of 16 bits a second. */
export function makeWav(seconds) {
  const rate = 44_100;
  const samples = randomBytes(seconds * rate * 4);
  for (let at = 1; at < samples.length; at += 2) samples[at] &= 1;
  const header = Buffer.alloc(44);
  header.write('RIFF', 0);
  header.writeUInt32LE(36 + samples.length, 4);
  header.write('WAVEfmt ', 8);
  header.writeUInt32LE(16, 16);
  header.writeUInt16LE(1, 20);
  header.writeUInt16LE(2, 22);
  header.writeUInt32LE(rate, 24);
  header.writeUInt32LE(rate * 4, 28);
  header.writeUInt16LE(4, 32);
  header.writeUInt16LE(16, 34);
  header.write('data', 36);
  header.writeUInt32LE(samples.length, 40);
  return Buffer.concat([header, samples]);
}
