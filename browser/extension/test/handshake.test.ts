import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import type { ExtensionAnswer } from '../../lib/src/extension';
import { meetNode, type Connection } from '../src/handshake';
import { serveLibrary } from '../src/join';
import { Meeting } from '../src/meeting';
import { portPair, type LifePort } from './ports';

/** The node's page: `opened` are the lives that came to it, by their token. */
function openNode() {
  const met: chrome.runtime.Port[] = [];
  const meeting = new Meeting((life) => {
    met.push(life);
    life.postMessage('met');
  });
  const opened = new Map<string, LifePort>();
  const connect = ({ name }: { name: string }) => {
    const [here, there] = portPair();
    opened.set(name.split(' ')[1] ?? '', there);
    return here;
  };
  Object.assign(globalThis, { chrome: { runtime: { connect } } });
  const admit = (token: string) => {
    const life = opened.get(token);
    if (!life) throw new Error(`no life of ${token}`);
    life.onDisconnect.addListener(() => meeting.forget(life));
    if (life.isOpen) meeting.expect(token, life);
  };
  return { meeting, met, opened, admit };
}

const turn = () => new Promise((resolve) => setTimeout(resolve));
const isClosed = (port: MessagePort) => new Promise<true>((resolve) => port.addEventListener('close', () => resolve(true)));

test('A page meets the node whichever half of it comes first', async () => {
  const { meeting, met, admit } = openNode();
  const lifeFirst = await meetNode(1, async (token, port) => {
    admit(token);
    await turn();
    meeting.take(token, port);
  });
  const portFirst = await meetNode(1, async (token, port) => {
    meeting.take(token, port);
    await turn();
    admit(token);
  });
  assert.ok(lifeFirst && portFirst);
  assert.equal(met.length, 2);
  for (const one of [lifeFirst, portFirst]) one.end();
});

test('The halves of two pages that cross each other find their own', async () => {
  const { meeting, met, opened, admit } = openNode();
  const tokens: string[] = [];
  const ports: MessagePort[] = [];
  const give = async (token: string, port: MessagePort) => {
    tokens.push(token);
    ports.push(port);
  };
  const both = [meetNode(1, give), meetNode(1, give)];
  const [a = '', b = ''] = tokens;
  meeting.take(a, ports[0] as MessagePort);
  admit(b);
  assert.equal(met.length, 0);
  meeting.take(b, ports[1] as MessagePort);
  admit(a);
  assert.deepEqual(met, [opened.get(b), opened.get(a)]);
  for (const one of await Promise.all(both)) one?.end();
});

test('A page that is closed between its halves is met by nobody', async () => {
  const { meeting, met, opened, admit } = openNode();
  let token = '';
  let half: MessagePort | undefined;
  const meetingNode = meetNode(1, async (given, port) => {
    token = given;
    half = port;
    admit(given);
  });
  opened.get(token)?.other?.disconnect();
  await turn();
  meeting.take(token, half as MessagePort);
  assert.equal(met.length, 0);
  void meetingNode;
});

test('When the node’s page is closed meanwhile, the one that waits tries anew', async () => {
  const { opened } = openNode();
  const connection = await meetNode(1, async (token) => opened.get(token)?.disconnect());
  assert.equal(connection, undefined);
});

test('Halves that nobody comes for are let go', async () => {
  mock.timers.enable({ apis: ['setTimeout'] });
  try {
    const { meeting, opened } = openNode();
    let closed: Promise<true> | undefined;
    const waiting = meetNode(1, async (token, port) => {
      closed = isClosed(port);
      meeting.take(token, port); // To a node that the life did not come to.
    });
    mock.timers.tick(5_000);
    assert.equal(await waiting, undefined);
    assert.equal(await closed, true);
    mock.timers.tick(1);
    assert.deepEqual([...opened.values()].map(({ isOpen }) => isOpen), [false]);
  } finally {
    mock.timers.reset();
  }
});

/** A library that joins, and the script's connections to the node, of which each is made by `connect`. */
function openLibrary(connect: (made: Fake[]) => Promise<Fake | undefined>) {
  const { port1, port2 } = new MessageChannel();
  const heard: ExtensionAnswer['type'][] = [];
  const made: Fake[] = [];
  port1.onmessage = ({ data }: MessageEvent<ExtensionAnswer>) => void heard.push(data.type);
  const served = serveLibrary(port2, async () => {
    const one = await connect(made);
    if (one) made.push(one);
    return one;
  });
  return { heard, made, served, leave: () => port1.postMessage({ type: 'end' }) };
}

interface Fake extends Connection {
  lose(): void;
  ended: boolean;
}
function connectionOf(): Fake {
  let lose = () => {};
  const lost = new Promise<void>((resolve) => (lose = resolve));
  const fake: Fake = { port: new MessageChannel().port1, lost, lose: () => lose(), ended: false, end: () => void (fake.ended = true) };
  return fake;
}

test('A library that gave up while the node started keeps nothing open', async () => {
  let start = () => {};
  const started = new Promise<void>((resolve) => (start = resolve));
  const library = openLibrary(async () => {
    await started;
    return connectionOf();
  });
  library.leave();
  await turn();
  await turn();
  start();
  await library.served;
  assert.deepEqual(library.made.map(({ ended }) => ended), [true]);
  assert.deepEqual(library.heard, []);
});

test('A library that ends lets go of its node', async () => {
  const library = openLibrary(async () => connectionOf());
  while (library.heard.length === 0) await turn();
  library.leave();
  await library.served;
  assert.deepEqual(library.made.map(({ ended }) => ended), [true]);
  assert.deepEqual(library.heard, ['node']);
});

test('Consent that is taken back ends in a page’s own node', async () => {
  const library = openLibrary(async (made) => {
    if (made.length > 0) throw new Error('not allowed');
    const connection = connectionOf();
    connection.lose();
    return connection;
  });
  await library.served;
  while (library.heard.length < 2) await turn();
  assert.deepEqual(library.heard, ['node', 'gone']);
});
