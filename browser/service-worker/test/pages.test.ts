import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Pages } from '../src/pages';
import type { Clients, ExtendableMessageEvent, WindowClient } from '../src/scope';

interface Window extends WindowClient {
  readonly heard: { message: unknown; ports: MessagePort[] }[];
}

function windowOf(id: string, visibilityState = 'hidden'): Window {
  const heard: Window['heard'] = [];
  const postMessage = (message: unknown, ports: Transferable[] = []) => heard.push({ message, ports: ports as MessagePort[] });
  return { id, visibilityState, heard, postMessage };
}

function setUp(patience: number, ...windows: Window[]) {
  const clients: Clients = {
    claim: async () => {},
    get: async (id) => windows.find((one) => one.id === id),
    matchAll: async () => windows,
  };
  const pages = new Pages(clients, patience);
  const say = (source: Partial<WindowClient>, data: unknown) =>
    pages.hear({ data, source, ports: [], waitUntil: () => {} } as unknown as ExtendableMessageEvent);
  return { pages, windows, say, serves: (window: Window) => say(window, { codio: 'serving-1' }) };
}

const none = new Set<string>();

test("The asker's own page is preferred, then one that is looked at", async () => {
  const [a, b, c] = [windowOf('a'), windowOf('b', 'visible'), windowOf('c')];
  const { pages, serves } = setUp(0, a, b, c);
  for (const window of [a, b, c]) serves(window);
  assert.equal(await pages.find('c', none), c);
  assert.equal(await pages.find('a worker', none), b);
  assert.equal(await pages.find('c', new Set(['b', 'c'])), a);
});

test('A page that is first met is asked, once, and waited for', async () => {
  const a = windowOf('a');
  const { pages, serves } = setUp(60_000, a);
  const found = pages.find('a', none);
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(a.heard.map(({ message }) => message), [{ codio: 'who-1' }]);
  serves(a);
  assert.equal(await found, a);
  await pages.find('a', none);
  assert.equal(a.heard.length, 1);
});

test('One that does not answer is not waited for again, until it serves', async () => {
  const a = windowOf('a');
  const { pages, serves } = setUp(1, a);
  assert.equal(await pages.find('a', none), undefined);
  assert.equal(await pages.find('a', none), undefined);
  assert.equal(a.heard.length, 1);
  serves(a);
  assert.equal(await pages.find('a', none), a);
});

test('One that leaves, or is closed, is not found any more', async () => {
  const [a, b] = [windowOf('a'), windowOf('b')];
  const { pages, windows, say, serves } = setUp(0, a, b);
  serves(a);
  serves(b);
  say(a, { codio: 'leaving-1' });
  assert.equal(await pages.find('a', none), b);
  windows.splice(1);
  assert.equal(await pages.find('a', none), undefined);
});

test("A site's own messages mean nothing here", async () => {
  const a = windowOf('a');
  const { pages, say } = setUp(0, a);
  for (const data of [null, 'serving-1', { codio: 'serving-2' }, { type: 'hello' }]) say(a, data);
  say({}, { codio: 'serving-1' });
  assert.equal(await pages.find('a', none), undefined);
});

/** A page's end of a stream that was just opened. */
async function opened(window: Window, pages: Pages) {
  const opening = pages.open(window, { address: 'bafy/x', begin: 1, end: -1 });
  const [{ message, ports: [port] = [] } = {}] = window.heard.splice(0);
  assert.deepEqual(message, { codio: 'stream-1', address: 'bafy/x', begin: 1, end: -1 });
  assert.ok(port);
  return { opening, port };
}

test('A stream is what its page says over the port, and each message is paid with a credit', async () => {
  const a = windowOf('a');
  const { pages } = setUp(0, a);
  const { opening, port } = await opened(a, pages);
  const heard: unknown[] = [];
  port.onmessage = ({ data }) => heard.push(data);
  port.postMessage({ head: { size: 9, timing: { find: 3 } } });
  port.postMessage(Uint8Array.of(1, 2, 3).buffer);
  port.postMessage(Uint8Array.of(4).buffer);
  port.postMessage('end');
  const stream = await opening;
  assert.deepEqual([stream.size, stream.timing], [9, { find: 3 }]);
  assert.deepEqual(await stream.read(), Uint8Array.of(1, 2, 3));
  assert.deepEqual(await stream.read(), Uint8Array.of(4));
  assert.equal(await stream.read(), undefined);
  port.close();
  assert.ok(heard.every((one) => one === 'credit'), String(heard));
});

test("A page's failure is the stream's, with its code, before the head and after", async () => {
  const a = windowOf('a');
  const { pages } = setUp(0, a);
  const first = await opened(a, pages);
  first.port.postMessage({ failure: { code: 'not-found', message: 'nobody has it' } });
  await assert.rejects(first.opening, { code: 'not-found', message: 'nobody has it' });
  const second = await opened(a, pages);
  second.port.postMessage({ head: { size: 9, timing: {} } });
  second.port.postMessage(Uint8Array.of(1).buffer);
  second.port.postMessage('gone');
  const stream = await second.opening;
  assert.deepEqual(await stream.read(), Uint8Array.of(1));
  await assert.rejects(stream.read(), { code: 'io', message: /being closed/ });
});

test('A page that is gone without a word is noticed', async () => {
  const a = windowOf('a');
  const { pages, windows, serves } = setUp(0, a);
  serves(a);
  const { opening } = await opened(a, pages);
  windows.splice(0);
  await assert.rejects(opening, { code: 'io', message: /is gone/ });
  assert.equal(await pages.find('a', none), undefined);
});
