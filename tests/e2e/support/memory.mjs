// The memory of a process, as Linux tells it.
import { existsSync, readFileSync } from 'node:fs';

/** In MiB: `VmRSS`, say, what is resident now, or `VmHWM`, the most there was. Not a number for a process that has ended. */
export function memory(pid, name) {
  const status = `/proc/${pid}/status`;
  const [, kib] = (existsSync(status) && new RegExp(`${name}:\\s+(\\d+) kB`).exec(readFileSync(status, 'utf8'))) || [];
  return Number(kib) / 1024;
}

/** What a process itself holds now, without the pages of Chromium's program file, which all its processes share. In MiB. */
export const held = (pid) => memory(pid, 'RssAnon') + memory(pid, 'RssShmem');
