import assert from 'node:assert/strict';
import { afterEach, mock, test } from 'node:test';
import { Identity, type Introduction } from '../src/identity';
import { Peers, type PeersEvents } from '../src/peers';

const fingerprint = (byte: string) => `a=fingerprint:sha-256 ${new Array(32).fill(byte).join(':')}\r\n`;
const sdp = fingerprint('BB');

/** A connection that never opens. */
class ClosedConnection {
  readonly localDescription = { sdp: fingerprint('AA') };
  createDataChannel(): object {
    return {};
  }
  async setRemoteDescription(): Promise<void> {}
  async setLocalDescription(): Promise<void> {}
  close(): void {}
}
Object.assign(globalThis, { RTCPeerConnection: ClosedConnection });

let now = 0;
mock.method(performance, 'now', () => now);
const all: Peers[] = [];
afterEach(() => all.splice(0).forEach((peers) => peers.closeAll('the test is over')));

function create(events: Partial<PeersEvents> = {}, identity?: Identity): Peers {
  const peers = new Peers([], identity, { signal() {}, handOver() {}, introduce() {}, closed() {}, ...events });
  all.push(peers);
  return peers;
}

function offer(peers: Peers, from: string, session: string): void {
  peers.handleSignal(from, { type: 'offer', session, sdp });
}

test('One peer gets two connections, however many sessions it begins', () => {
  const peers = create();
  for (let i = 0; i < 10; i++) offer(peers, 'greedy', `${i}`);
  assert.equal(peers.all.length, 2);
  offer(peers, 'other', '0');
  assert.equal(peers.all.length, 3);
});

test('Strangers cannot take the connections that we want for ourselves', () => {
  const peers = create();
  for (let i = 0; i < 200; i++) {
    now += 1000;
    offer(peers, `stranger ${i}`, '0');
  }
  assert.equal(peers.all.length, 96);
  for (let i = 0; i < 100; i++) peers.connect(`provider ${i}`);
  assert.equal(peers.all.length, 128);
});

test('Offers are accepted at a bounded rate', () => {
  const peers = create();
  for (let i = 0; i < 50; i++) offer(peers, `first ${i}`, '0');
  assert.equal(peers.all.length, 32);
  now += 1000;
  for (let i = 0; i < 50; i++) offer(peers, `second ${i}`, '0');
  assert.equal(peers.all.length, 36);
});

test('A peer is introduced by what both descriptions say', async () => {
  const [us, them] = await Promise.all([Identity.create(), Identity.create()]);
  assert.ok(us && them);
  const introduced = new Promise<Introduction>((resolve) => {
    offer(create({ introduce: (_, introduction) => resolve(introduction) }, us), them.id, 's');
  });
  const { proof, expected } = await introduced;
  assert.equal(Buffer.from(proof?.slice(0, 32) ?? []).toString('base64url'), us.id);
  assert.equal(Buffer.from(expected?.key ?? []).toString('base64url'), them.id);
  const message = Buffer.from(expected?.message ?? []);
  assert.equal(message.subarray(0, 23).toString(), 'codio-exchange.1 hello\n');
  assert.equal(message.subarray(23).toString('hex'), 'bb'.repeat(32) + 'aa'.repeat(32));
});

test('Nothing is expected of an anonymous peer, nor by one', async () => {
  for (const [identity, id] of [[await Identity.create(), 'a-name'], [undefined, (await Identity.create())?.id ?? '']] as const) {
    const introduced = new Promise<Introduction>((resolve) => {
      offer(create({ introduce: (_, introduction) => resolve(introduction) }, identity), id, 's');
    });
    assert.equal((await introduced).expected, undefined);
    assert.equal((await introduced).proof === undefined, identity === undefined);
  }
});

test('A description without one fingerprint closes its connection', async () => {
  for (const bad of ['', sdp + fingerprint('CC'), sdp.replace('256', '1')]) {
    const reason = new Promise<string>((resolve) => {
      const peers = create({ closed: (_, why) => resolve(why), introduce: () => assert.fail() });
      peers.handleSignal('p', { type: 'offer', session: 's', sdp: bad });
    });
    assert.match(await reason, /fingerprint/);
  }
});

test('In whose place somebody came is not connected for ten minutes, and a liar never', () => {
  const peers = create();
  const [victim, liar] = [peers.connect('victim'), peers.connect('liar')];
  assert.ok(victim && liar);
  peers.distrust(victim);
  peers.ban(liar);
  peers.distrust(liar);
  for (const peer of [victim, liar]) peers.close(peer, '');
  now += 599_999;
  assert.equal(peers.connect('victim'), undefined);
  offer(peers, 'victim', 's');
  assert.equal(peers.all.length, 0);
  now += 1;
  assert.ok(peers.connect('victim'));
  assert.equal(peers.connect('liar'), undefined);
});
