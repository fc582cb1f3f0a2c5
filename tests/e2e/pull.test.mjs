// A gateway that lacks what it is asked for has it from peers, from providers that a DHT knows, and from those that a router knows.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, test } from 'node:test';
import { sha256 } from './support/cdn.mjs';
import { startNode } from './support/node.mjs';

const file = randomBytes(5_000_000);
const clients = 20;
let bootstrap;
let provider;

before(async () => {
  bootstrap = await startNode({}, [], ['--dht-bootstrap', 'none']);
  provider = await startNode({ 'film.bin': file }, [], ['--dht-bootstrap', `127.0.0.1:${bootstrap.dht}`]);
  await provider.announced(provider.roots[0].cid);
});

after(async () => {
  for (const node of [bootstrap, provider]) await node?.stop();
});

const ways = {
  'peers that its rendezvous names, by WebRTC': () => ['--rendezvous', provider.rendezvous],
  'providers that the DHT names': () => ['--dht-bootstrap', `127.0.0.1:${bootstrap.dht}`],
  'providers that a router names': () => ['--router', provider.http],
};
for (const [way, options] of Object.entries(ways)) {
  test(`It pulls from ${way}, once for all who wait`, { timeout: 120_000 }, async (t) => {
    const gateway = await startNode({}, [], ['--pull', ...options()]);
    t.after(() => gateway.stop());
    const url = `${gateway.http}/ipfs/${provider.roots[0].cid}`;
    const absent = await fetch(url, { headers: { 'cache-control': 'only-if-cached' } });
    assert.equal(absent.status, 412);
    const answers = await Promise.all(
      Array.from({ length: clients }, async () => {
        const answer = await fetch(url);
        return { status: answer.status, hash: sha256(Buffer.from(await answer.arrayBuffer())) };
      }),
    );
    for (const answer of answers) assert.deepEqual(answer, { status: 200, hash: sha256(file) });
    const { downloaded, fromGateways, duplicates } = await gateway.stats();
    // A block that is late is asked again elsewhere: two at most here, and not one for each client.
    assert.ok(downloaded >= file.length && downloaded < 2 * file.length, `${downloaded}`);
    assert.ok(duplicates < file.length, `${duplicates}`);
    assert.equal(fromGateways, 0);
    const again = await fetch(url, { headers: { 'cache-control': 'only-if-cached', range: 'bytes=4999990-' } });
    assert.equal(again.status, 206);
    assert.deepEqual(Buffer.from(await again.arrayBuffer()), file.subarray(-10));
  });
}
