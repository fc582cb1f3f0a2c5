import { randomFillSync } from 'node:crypto';
import { closeSync, openSync, writeSync } from 'node:fs';

const largestPart = 16 * 1_048_576;

/** Of random bytes, however long, a part at a time. Returns the path. */
export function makeFile(path, size) {
  const file = openSync(path, 'w');
  const part = Buffer.alloc(Math.min(largestPart, size));
  for (let at = 0; at < size; at += part.length) writeSync(file, randomFillSync(part), 0, Math.min(part.length, size - at));
  closeSync(file);
  return path;
}
