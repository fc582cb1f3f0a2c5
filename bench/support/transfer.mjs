// A file from one end to another, as users have it.
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join as joinPath } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { openProfile } from '../../tests/e2e/support/browsers.mjs';
import { download, join, pseudoRandom, upload } from '../../tests/e2e/support/cdn.mjs';
import { program, startNode } from '../../tests/e2e/support/node.mjs';

const run = promisify(execFile);
const fetchProgram = process.env.CODIO_FETCH ?? fileURLToPath(new URL('../../build/bench/fetch', import.meta.url));

/** Each transfer has other bytes, so that nothing comes from a cache. */
let seed = 1;
export const freshBytes = (size) => pseudoRandom(++seed, size);

export const rendezvousOf = (node) => `${node.http.replace('http:', 'ws:')}/rendezvous`;
export const close = (...pages) => Promise.all(pages.map((page) => page.context().close()));

/** Calls `use` with an empty folder. */
export async function withFolder(use) {
  const folder = mkdtempSync(joinPath(tmpdir(), 'codio-bench-'));
  try {
    return await use(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * A native download inside of its process: bench/fetch.cc.
 * @returns {Promise<{ms: number, firstBlock: number, size: number, peers: Record<string, number>}>}
 */
export const fetchNatively = (node, cid) =>
  withFolder(async (folder) => JSON.parse((await run(fetchProgram, [rendezvousOf(node), cid, folder])).stdout));

/** `codio get`, from its start to its end, in milliseconds. */
export const getNatively = (node, cid) =>
  withFolder(async (folder) => {
    const began = performance.now();
    await run(program, [
      ...['get', cid, '-o', joinPath(folder, 'file'), '--repo', joinPath(folder, 'repo')],
      ...['--no-gateway', '--no-dht', '--rendezvous', rendezvousOf(node)],
    ]);
    return performance.now() - began;
  });

/** A download by a new tab. */
export async function fetchInTab(browser, node, cid) {
  const viewer = await openProfile(browser, node.http);
  await join(viewer, { gateways: [] });
  const got = await download(viewer, cid);
  await close(viewer);
  if (got.error) throw new Error(got.error);
  return got;
}

/**
 * Milliseconds from the call to the last byte and to the first verified block, between ends that never met: browsers' names,
 * or `native`. `program`: of `codio get` as a whole, if both are native.
 */
export async function transfer(from, to, size) {
  const node = await startNode(from === 'native' ? { 'film.bin': freshBytes(size) } : {});
  const seeder = from === 'native' ? undefined : await openProfile(from, node.http);
  if (seeder) await join(seeder);
  const cid = seeder ? await upload(seeder, ++seed, size) : node.roots[0].cid;
  const got = to === 'native' ? await fetchNatively(node, cid) : await fetchInTab(to, node, cid);
  const whole = from === 'native' && to === 'native' ? await getNatively(node, cid) : undefined;
  if (seeder) await close(seeder);
  await node.stop();
  return { ms: got.ms, firstBlock: got.firstBlock, program: whole };
}
