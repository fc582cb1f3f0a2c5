// A process and all that it started, stopped as a computer that sleeps stops them.
import { readdirSync, readFileSync } from 'node:fs';

/** @returns {{pid: number, parent: number, command: string}[]} */
function processes() {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      try {
        const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
        // The name in brackets may have any characters.
        const [, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
        return [{ pid: Number(name), parent: Number(parent), command: readFileSync(`/proc/${name}/cmdline`, 'utf8').replaceAll('\0', ' ') }];
      } catch {
        return []; // It has ended.
      }
    });
}

/** The process whose command has that in it, and that no other such started. */
export function findProcess(part) {
  const found = processes().filter(({ command }) => command.includes(part));
  return found.find(({ parent }) => !found.some(({ pid }) => pid === parent))?.pid;
}

function treeOf(root) {
  const all = processes();
  const tree = [root];
  for (const pid of tree) tree.push(...all.filter(({ parent }) => parent === pid).map((one) => one.pid));
  return tree;
}

/** Some of a browser's end meanwhile. */
function send(signal, pid) {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if (error.code !== 'ESRCH') throw error;
  }
}

/** @returns {() => void} what wakes them again */
export function putToSleep(pid) {
  const tree = treeOf(pid);
  for (const one of tree) send('SIGSTOP', one);
  return () => tree.forEach((one) => send('SIGCONT', one));
}
