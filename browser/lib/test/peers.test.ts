import assert from 'node:assert/strict';
import { afterEach, mock, test } from 'node:test';
import { Peers } from '../src/peers';

/** A connection that never opens. */
class ClosedConnection {
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

function create(): Peers {
  const peers = new Peers([], { signal() {}, handOver() {}, closed() {} });
  all.push(peers);
  return peers;
}

function offer(peers: Peers, from: string, session: string): void {
  peers.handleSignal(from, { type: 'offer', session, sdp: '' });
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
