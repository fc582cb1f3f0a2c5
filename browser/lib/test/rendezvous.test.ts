import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { after, test } from 'node:test';
import { WebSocket as Socket, WebSocketServer } from 'ws';
import { Rendezvous, type RendezvousEvents } from '../src/rendezvous';

/** As in a browser, an error that nobody listens to is none. */
class QuietSocket extends Socket {
  constructor(url: string, protocol: string) {
    super(url, protocol);
    this.on('error', () => {});
  }
}
Object.assign(globalThis, { WebSocket: QuietSocket });

const quiet: RendezvousEvents = {
  iceServers() {},
  signal() {},
  unreachable() {},
  refused() {},
  join: async (challenge) => ({ answers: challenge }),
};
const welcome = '{"type":"welcome","version":1,"peer":"me","challenge":"c","iceServers":[],"maxAnnounced":1000}';
const closers: (() => void)[] = [];
after(() => closers.forEach((close) => close()));

interface Message {
  type: string;
  answers?: string;
  id?: number;
  cids?: string[];
}

async function serve({ port = 0, greeting = welcome } = {}) {
  const server = new WebSocketServer({ port, host: '127.0.0.1' });
  await once(server, 'listening');
  const heard: Message[] = [];
  const waiting: [(message: Message) => boolean, (message: Message) => void][] = [];
  server.on('connection', (socket) => {
    socket.send(greeting);
    socket.on('message', (data) => {
      const message = JSON.parse(String(data)) as Message;
      heard.push(message);
      for (const [wanted, resolve] of waiting) if (wanted(message)) resolve(message);
    });
  });
  closers.push(() => {
    server.clients.forEach((socket) => socket.terminate());
    server.close();
  });
  return {
    server,
    all: heard,
    url: `ws://127.0.0.1:${(server.address() as AddressInfo).port}/rendezvous`,
    hear: (wanted: (message: Message) => boolean): Promise<Message> => {
      const found = heard.find(wanted);
      return found ? Promise.resolve(found) : new Promise((resolve) => waiting.push([wanted, resolve]));
    },
  };
}

function join(urls: string[], events: Partial<RendezvousEvents> = {}): Rendezvous {
  const rendezvous = new Rendezvous(urls, { ...quiet, ...events });
  closers.push(() => rendezvous.close());
  return rendezvous;
}

test('A search waits for the welcome and gets its own answer', async () => {
  const { server, url, hear } = await serve();
  const rendezvous = join([url]);
  const found = rendezvous.find('bafy');
  const { id } = await hear(({ type }) => type === 'find');
  const [socket] = server.clients;
  socket?.send(JSON.stringify({ type: 'providers', id: Number(id) + 1, cid: 'bafy', peers: ['wrong'] }));
  socket?.send(JSON.stringify({ type: 'providers', id, cid: 'bafy', peers: ['a', 'b'] }));
  assert.deepEqual(await found, ['a', 'b']);
});

test('It joins first, with an answer to the challenge', async () => {
  const { url, all, hear } = await serve();
  join([url]).announce('bafy');
  await hear(({ type }) => type === 'announce');
  assert.deepEqual(all[0], { type: 'join', answers: 'c' });
});

test('A rendezvous whose challenge is none is left for the next one', async () => {
  const strange = await serve({ greeting: welcome.replace('"challenge":"c",', '') });
  const { url, hear } = await serve();
  const answer = async (challenge: unknown) => {
    if (challenge === undefined) throw new Error('no challenge');
    return {};
  };
  join([strange.url, url], { join: answer }).announce('bafy');
  assert.deepEqual((await hear(({ type }) => type === 'announce')).cids, ['bafy']);
  assert.deepEqual(strange.all, []);
});

test('Without a rendezvous there is nobody', async () => {
  assert.deepEqual(await join([]).find('bafy'), []);
  assert.deepEqual(await join(['ws://127.0.0.1:1/']).find('bafy'), []);
});

test('A loss ends open searches with nothing, and what was announced is announced again', async () => {
  const first = await serve();
  const rendezvous = join([first.url]);
  for (let i = 0; i < 300; i++) rendezvous.announce(`cid${i}`);
  rendezvous.withdraw('cid0');
  await first.hear(({ cids }) => cids?.length === 43);
  const found = rendezvous.find('bafy');
  await first.hear(({ type }) => type === 'find');
  const { port } = first.server.address() as AddressInfo;
  first.server.clients.forEach((socket) => socket.terminate());
  await new Promise((resolve) => first.server.close(resolve));
  assert.deepEqual(await found, []);
  const second = await serve({ port });
  const { cids } = await second.hear(({ type }) => type === 'announce');
  assert.equal(cids?.length, 256);
  assert.equal(cids?.[0], 'cid1');
});

test('The next rendezvous is tried when one is down', async () => {
  const { url, hear } = await serve();
  join(['ws://127.0.0.1:1/', url]).announce('bafy');
  assert.deepEqual((await hear(({ type }) => type === 'announce')).cids, ['bafy']);
});

test('The next rendezvous is tried when a URL is none for a WebSocket', async () => {
  const { url, hear } = await serve();
  join(['ftp://127.0.0.1/', url]).announce('bafy');
  assert.deepEqual((await hear(({ type }) => type === 'announce')).cids, ['bafy']);
});

test('A rendezvous of another version is refused for good', async () => {
  const other = await serve({ greeting: welcome.replace('"version":1', '"version":2') });
  let connections = 0;
  other.server.on('connection', () => connections++);
  const { server, url, hear } = await serve();
  const errors: unknown[] = [];
  join([other.url, url], { refused: (error) => errors.push(error) }).announce('first');
  await hear(({ cids }) => cids?.[0] === 'first');
  assert.deepEqual(errors.map((error) => (error as { code: string }).code), ['unsupported']);
  const again = once(server, 'connection');
  server.clients.forEach((socket) => socket.terminate());
  await again;
  assert.equal(connections, 1);
});

test('Malformed messages are ignored', async () => {
  const { server, url } = await serve();
  const signals: unknown[] = [];
  const rendezvous = join([url], { signal: (...signal) => signals.push(signal) });
  await rendezvous.settled();
  const [socket] = server.clients;
  const texts = ['', 'null', '3', '[]', '{', '{"type":"offer"}', '{"type":"offer","from":1,"session":"s","sdp":""}'];
  for (const text of [...texts, '{"type":"providers","id":1,"peers":[1]}', '{"type":"huge"}'.padEnd(70_000)]) {
    socket?.send(text);
  }
  socket?.send(Buffer.from('{"type":"offer","from":"p","session":"s","sdp":"x"}'));
  socket?.send('{"type":"candidate","from":"p","session":"s","candidate":"c","mid":"0"}');
  while (signals.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.deepEqual(signals, [['p', { type: 'candidate', session: 's', candidate: 'c', mid: '0' }]]);
});
