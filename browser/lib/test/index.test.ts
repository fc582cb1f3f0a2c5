import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import init, { CodioCDN } from '../src/index';
import type { Command, Report } from '../src/messages';

/** The page's end of a core worker whose reports the test makes up. */
class ScriptedWorker {
  static last: ScriptedWorker;
  static start = (worker: ScriptedWorker): void => queueMicrotask(() => worker.tell({ type: 'ready' }));
  onmessage: ((event: { data: Report[] }) => void) | null = null;
  onerror: ((event: { message: string }) => void) | null = null;
  terminated = false;
  readonly heard: Command[] = [];

  constructor() {
    ScriptedWorker.last = this;
  }

  postMessage(command: Command): void {
    this.heard.push(command);
    if (command.type === 'start') ScriptedWorker.start(this);
  }

  tell(...data: Report[]): void {
    this.onmessage?.({ data });
  }

  terminate(): void {
    this.terminated = true;
  }
}

const RealArray = Uint8Array;
const RealSocket = globalThis.WebSocket;
const document = Object.assign(new EventTarget(), { documentElement: { dataset: {} } });
Object.assign(globalThis, { Worker: ScriptedWorker, location: new URL(import.meta.url), document });
Object.defineProperty(globalThis, 'navigator', { value: {} });
const module = new WebAssembly.Module(new Uint8Array([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]));
await init(module, module);
const { start } = ScriptedWorker;
afterEach(() => {
  Object.assign(globalThis, { Uint8Array: RealArray, WebSocket: RealSocket });
  ScriptedWorker.start = start;
});

async function join() {
  const cdn = await CodioCDN.new({ rendezvous: [], gateways: [], share: false });
  return { cdn, worker: ScriptedWorker.last };
}

test('A worker that fails to start rejects and is ended', async () => {
  ScriptedWorker.start = (worker) => worker.onerror?.({ message: 'no memory' });
  await assert.rejects(join(), { code: 'io', message: /did not start: no memory/ });
  assert.ok(ScriptedWorker.last.terminated);
  ScriptedWorker.start = () => {
    throw new Error('DataCloneError');
  };
  await assert.rejects(join(), { code: 'io', message: /DataCloneError/ });
  assert.ok(ScriptedWorker.last.terminated);
});

test('A rendezvous that no WebSocket can reach does not keep the page from starting', async () => {
  Object.assign(globalThis, {
    WebSocket: class {
      constructor() {
        throw new SyntaxError('not allowed');
      }
    },
  });
  const cdn = await CodioCDN.new({ rendezvous: ['ws://127.0.0.1/'], gateways: [], share: false });
  await cdn.disconnect();
});

test('A download hands over what came, at its place', async () => {
  const { cdn, worker } = await join();
  const bytes = cdn.download('bafy');
  worker.tell(
    { type: 'entity', request: 1, size: 3 },
    { type: 'data', request: 1, offset: 0, bytes: Uint8Array.of(1, 2) },
    { type: 'data', request: 1, offset: 2, bytes: Uint8Array.of(3) },
    { type: 'ended', request: 1 },
  );
  assert.deepEqual(await bytes, Uint8Array.of(1, 2, 3));
});

test('Bytes beyond the end fail their own download only', async () => {
  const { cdn, worker } = await join();
  const first = cdn.download('bafy');
  const second = cdn.download('bafz');
  worker.tell(
    { type: 'entity', request: 1, size: 1 },
    { type: 'data', request: 1, offset: 1, bytes: Uint8Array.of(1) },
    { type: 'entity', request: 2, size: 0 },
    { type: 'ended', request: 2 },
  );
  await assert.rejects(first, { code: 'io' });
  assert.equal((await second).length, 0);
  assert.ok(worker.heard.some((command) => command.type === 'cancel' && command.request === 1));
});

test('Only a whole download is offered to others', async () => {
  const announced: string[] = [];
  let joined = () => {};
  const join = new Promise<void>((resolve) => (joined = resolve));
  class OpenSocket {
    readonly readyState = 1;
    onmessage: ((event: { data: string }) => void) | null = null;
    constructor() {
      queueMicrotask(() => this.onmessage?.({ data: `{"type":"welcome","version":1,"challenge":"${'A'.repeat(43)}"}` }));
    }
    send(text: string): void {
      joined();
      announced.push(...((JSON.parse(text) as { cids?: string[] }).cids ?? []));
    }
    close(): void {}
  }
  Object.assign(globalThis, { WebSocket: OpenSocket });
  const cdn = await CodioCDN.new({ rendezvous: ['ws://127.0.0.1/'], gateways: [], share: false });
  await join;
  const fetched = [cdn.download('a/file'), cdn.download('b', { range: { begin: 0, end: 1 } }), cdn.download('c')];
  for (const [i, root] of ['a', 'b', 'c'].entries()) {
    const request = i + 1;
    ScriptedWorker.last.tell(
      { type: 'started', request, root },
      { type: 'entity', request, size: 0 },
      { type: 'ended', request },
    );
  }
  await Promise.all(fetched);
  assert.deepEqual(announced, ['c']);
  await cdn.disconnect();
});

test('The page hears of a rendezvous that is refused', async () => {
  class NewerSocket {
    onmessage: ((event: { data: string }) => void) | null = null;
    constructor() {
      setTimeout(() => this.onmessage?.({ data: '{"type":"welcome","version":2}' }));
    }
    close(): void {}
  }
  Object.assign(globalThis, { WebSocket: NewerSocket });
  const cdn = await CodioCDN.new({ rendezvous: ['ws://127.0.0.1/'], gateways: [], share: false });
  const { error } = await new Promise<{ error: unknown }>((resolve) => cdn.on('error', resolve));
  assert.match(String(error), /version 2/);
  await cdn.disconnect();
});

for (const [begin, end] of [[-1], [0.5], [NaN], [2 ** 53], [2, 1], [0, Infinity], [0, 1.5], [0, -1]]) {
  test(`[${begin}, ${end}) is no range`, async () => {
    const { cdn, worker } = await join();
    await assert.rejects(cdn.download('bafy', { range: { begin: begin ?? 0, ...(end !== undefined && { end }) } }), {
      code: 'malformed',
    });
    assert.ok(!worker.heard.some(({ type }) => type === 'download'));
  });
}

test('A core that stops fails all that waits for it, and what comes after', async () => {
  const { cdn, worker } = await join();
  const waiting = [cdn.download('bafy'), cdn.upload(Uint8Array.of(1)), cdn.stream('bafy').getReader().read()];
  worker.onerror?.({ message: 'unreachable' });
  for (const one of [...waiting, cdn.download('bafy'), cdn.upload(Uint8Array.of(1))]) {
    await assert.rejects(one, { code: 'io', message: /the core stopped: unreachable/ });
  }
  assert.ok(worker.terminated);
});

test('A size that memory does not hold rejects', async () => {
  const { cdn, worker } = await join();
  const big = cdn.download('bafy');
  worker.tell({ type: 'entity', request: 1, size: 2 ** 40 });
  await assert.rejects(big, { code: 'too-large' });
  const refused = cdn.download('bafy');
  class FullMemory {
    constructor() {
      throw new RangeError('Array buffer allocation failed');
    }
  }
  Object.assign(globalThis, { Uint8Array: FullMemory });
  worker.tell({ type: 'entity', request: 2, size: 1 });
  await assert.rejects(refused, { code: 'too-large' });
});
