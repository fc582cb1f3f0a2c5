import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { after, test } from 'node:test';
import { WebSocket as Socket, WebSocketServer } from 'ws';
import { Elsewhere } from '../src/elsewhere';
import { Rendezvous, type Found, type RendezvousEvents } from '../src/rendezvous';

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

/** All that was found, by peer id. */
async function find(rendezvous: Rendezvous, cid: string): Promise<string[]> {
  const found: string[] = [];
  await rendezvous.find(cid, ({ peers }) => found.push(...peers));
  return found;
}

test('A search waits for the welcome and gets its own answer', async () => {
  const { server, url, hear } = await serve();
  const rendezvous = join([url]);
  const found = find(rendezvous, 'bafy');
  const { id } = await hear(({ type }) => type === 'find');
  const [socket] = server.clients;
  socket?.send(JSON.stringify({ type: 'providers', id: Number(id) + 1, cid: 'bafy', peers: ['wrong'] }));
  socket?.send(JSON.stringify({ type: 'providers', id, cid: 'bafy', peers: ['a', 'b'] }));
  assert.deepEqual(await found, ['a', 'b']);
});

test('A rendezvous that does not answer a search is left, and the next one asked', async (context) => {
  const silent = await serve();
  const other = await serve();
  const rendezvous = join([silent.url, other.url]);
  await silent.hear(({ type }) => type === 'join');
  context.mock.timers.enable({ apis: ['setTimeout'] });
  const unanswered = find(rendezvous, 'bafy');
  await silent.hear(({ type }) => type === 'find');
  context.mock.timers.tick(3000);
  assert.deepEqual(await unanswered, []);
  assert.equal(rendezvous.connected, false);
  context.mock.timers.tick(500);
  await other.hear(({ type }) => type === 'join');
  const found = find(rendezvous, 'bafy');
  const { id } = await other.hear(({ type }) => type === 'find');
  for (const socket of other.server.clients) socket.send(JSON.stringify({ type: 'providers', id, cid: 'bafy', peers: ['a'] }));
  assert.deepEqual(await found, ['a']);
  context.mock.timers.reset();
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
  assert.deepEqual(await find(join([]), 'bafy'), []);
  assert.deepEqual(await find(join(['ws://127.0.0.1:1/']), 'bafy'), []);
});

test('A search goes on while there is more, and what is malformed elsewhere is left out', async () => {
  const { server, url, hear } = await serve();
  const answers: Found[] = [];
  const done = join([url]).find('bafy', (found) => answers.push(found));
  const { id } = await hear(({ type }) => type === 'find');
  const [socket] = server.clients;
  const send = (answer: object) => socket?.send(JSON.stringify({ type: 'providers', id, cid: 'bafy', ...answer }));
  const good = { peer: 'c', rendezvous: 'wss://example.net/rendezvous' };
  const bad = [7, null, {}, { ...good, peer: 'a b' }, { ...good, rendezvous: 'https://example.net/' }];
  const long = { ...good, rendezvous: `wss://example.net/${'x'.repeat(512)}` };
  send({ peers: ['a'], more: true });
  send({ peers: [], more: true, elsewhere: [...bad, long, ...new Array(20).fill(good)] });
  send({ peers: ['b'] });
  send({ peers: ['late'] });
  await done;
  assert.deepEqual(answers.map(({ peers, more }) => [peers, more]), [[['a'], true], [[], true], [['b'], false]]);
  assert.deepEqual(answers[1]?.elsewhere, new Array(16).fill(good));
});

test('What was announced is announced again before it is forgotten', async () => {
  const { server, url } = await serve({ greeting: welcome.replace('}', ',"announceSeconds":0.05}') });
  const heard: unknown[] = [];
  server.on('connection', (socket) => socket.on('message', (data) => heard.push(JSON.parse(String(data)))));
  join([url]).announce('bafy');
  while (heard.length < 4) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.deepEqual(heard.slice(1, 4), new Array(3).fill({ type: 'announce', cids: ['bafy'] }), 'after it has joined');
});

test('A rendezvous that goes is left for the next one when it says so', async () => {
  const first = await serve();
  const second = await serve();
  const rendezvous = join([first.url, second.url]);
  await rendezvous.settled();
  rendezvous.announce('bafy');
  await first.hear(({ type }) => type === 'announce');
  const [socket] = first.server.clients;
  socket?.send('{"type":"moving","afterMs":"soon"}');
  socket?.send('{"type":"moving","afterMs":1}');
  await second.hear(({ type }) => type === 'announce');
  assert.equal(rendezvous.url, second.url);
});

test('ICE servers are replaced when their time is over', async () => {
  const { server, url } = await serve();
  const servers: unknown[] = [];
  await join([url], { iceServers: (all) => servers.push(all) }).settled();
  const [socket] = server.clients;
  socket?.send('{"type":"ice-servers","iceServers":[7]}');
  socket?.send('{"type":"ice-servers","iceServers":[{"urls":"turn:x","username":"u","credential":"c"}]}');
  while (servers.length < 2) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.deepEqual(servers, [[], [{ urls: 'turn:x', username: 'u', credential: 'c' }]]);
});

test('A rendezvous elsewhere is joined once, for as long as it is used, and not more than four', async () => {
  const heard: unknown[] = [];
  const elsewhere = new Elsewhere({ signal: (...all) => heard.push(all), unreachable: (...all) => heard.push(all), join: quiet.join });
  closers.push(() => elsewhere.close());
  const servers = await Promise.all([1, 2, 3, 4, 5].map(() => serve()));
  const urls = servers.map(({ url }) => url);
  const first = urls[0] ?? '';
  assert.deepEqual(await Promise.all([elsewhere.join(first), elsewhere.join(first)]), [true, true]);
  assert.equal(servers[0]?.server.clients.size, 1);
  elsewhere.signal(first, 'bob', { type: 'offer', session: 's', sdp: 'x' });
  assert.equal((await servers[0]!.hear(({ type }) => type === 'offer')).type, 'offer');
  const [socket] = servers[0]!.server.clients;
  socket?.send('{"type":"answer","from":"bob","session":"s","sdp":"y"}');
  socket?.send('{"type":"unreachable","peer":"bob","session":"s"}');
  while (heard.length < 2) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.deepEqual(heard, [
    ['bob', { type: 'answer', session: 's', sdp: 'y' }, first],
    ['bob', 's', first],
  ]);
  assert.equal(await elsewhere.join('ws://127.0.0.1:1/'), false);
  const joined = await Promise.all(urls.map((url) => elsewhere.join(url)));
  assert.deepEqual(joined, [true, true, true, true, false]);
  elsewhere.close();
  assert.deepEqual(elsewhere.open, []);
  assert.equal(await elsewhere.join(first), false);
});

test('A rendezvous elsewhere that is not used any more is left', async (context) => {
  const { server, url } = await serve();
  const elsewhere = new Elsewhere({ signal() {}, unreachable() {}, join: quiet.join });
  closers.push(() => elsewhere.close());
  assert.equal(await elsewhere.join(url), true);
  context.mock.timers.enable({ apis: ['setTimeout'] });
  elsewhere.signal(url, 'bob', { type: 'candidate', session: 's', candidate: '', mid: '' });
  context.mock.timers.tick(29_999);
  assert.deepEqual(elsewhere.open, [url]);
  const [socket] = server.clients;
  const left = once(socket!, 'close');
  context.mock.timers.tick(1);
  assert.deepEqual(elsewhere.open, []);
  context.mock.timers.reset();
  await left;
});

test('A loss ends open searches with nothing, and what was announced is announced again', async () => {
  const first = await serve();
  const rendezvous = join([first.url]);
  for (let i = 0; i < 300; i++) rendezvous.announce(`cid${i}`);
  rendezvous.withdraw('cid0');
  await first.hear(({ cids }) => cids?.length === 43);
  const found = find(rendezvous, 'bafy');
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
