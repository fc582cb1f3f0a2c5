// What a deny list names is neither announced nor given to peers.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { after, before, test } from 'node:test';
import { eventually, sha256 } from './support/cdn.mjs';
import { program, startNode } from './support/node.mjs';
import { connect } from './support/rendezvous-client.mjs';

const bad = randomBytes(3_000_000);
const partly = randomBytes(3_000_000);
/** The second block of it. */
const hash = sha256(partly.subarray(1_048_576, 2_097_152));

let folder;
let list;
let node;
let client;
before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'codio-denied-'));
  list = join(folder, 'list');
  writeFileSync(list, '');
  node = await startNode({ 'bad.bin': bad, 'partly.bin': partly }, [], ['--denylist', list]);
  client = await connect(node.rendezvous);
});
after(async () => {
  client?.close();
  await node?.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** The CID of a raw block with that SHA-256, in base 16. */
const rawCid = (hex) => `f01551220${hex}`;

/** Has the node read the list again. */
function deny(...rules) {
  writeFileSync(list, `version: 1\n---\n${rules.join('\n')}\n`);
  process.kill(node.pid, 'SIGHUP');
}

/** As another peer, by WebRTC alone: what it fetched, or what it said. */
async function get(cid) {
  const output = join(mkdtempSync(join(folder, 'got-')), 'file');
  const repo = mkdtempSync(join(folder, 'repo-'));
  const options = ['get', cid, '-o', output, '--repo', repo, '--no-gateway', '--no-dht', '--rendezvous', node.rendezvous];
  return new Promise((resolve) => {
    execFile(program, options, (error, _, message) => resolve(error ? { error: message } : { bytes: readFileSync(output) }));
  });
}

test('Nothing that a deny list names is offered or given, as long as it does', { timeout: 180_000 }, async () => {
  const roots = Object.fromEntries(node.roots.map(({ path, cid }) => [basename(path), cid]));
  const providers = async (cid) => {
    const answer = await fetch(`${node.http}/routing/v1/providers/${cid}`);
    return { found: await client.find(cid), routed: (await answer.json()).Providers.length };
  };
  const offered = { found: [node.peer], routed: 1 };
  for (const cid of Object.values(roots)) await eventually(async () => assert.deepEqual(await providers(cid), offered));

  deny(`/ipfs/${roots['bad.bin']}`, `/ipfs/${rawCid(hash)}`);
  await eventually(async () => assert.deepEqual(await providers(roots['bad.bin']), { found: [], routed: 0 }));
  assert.deepEqual(await providers(roots['partly.bin']), offered);
  assert.match((await get(roots['bad.bin'])).error, /no peer has/);
  assert.ok((await get(roots['partly.bin'])).error, 'one block of it is not given');

  deny();
  await eventually(async () => assert.deepEqual(await providers(roots['bad.bin']), offered));
  assert.deepEqual((await get(roots['bad.bin'])).bytes, bad);
  assert.deepEqual((await get(roots['partly.bin'])).bytes, partly);
});
