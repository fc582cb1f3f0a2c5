/** What the worker does without a page: the same core, over the cache of the origin and the gateways. */
import { parseAddress } from '../../lib/src/address';
import type { BlockStore } from '../../lib/src/block-store';
import { policies } from '../../lib/src/configuration';
import { CoreHost, type TransferReport } from '../../lib/src/core-host';
import { CodioError, messageOf } from '../../lib/src/error';
import { GatewayClient } from '../../lib/src/gateway';
import { openWorkerStore } from '../../lib/src/open-store';
import type { WorkerConfiguration } from '../../lib/src/service-worker-configuration';
import type { Head } from '../../lib/src/service-worker-messages';
import { Inlet, type Stream, type Wanted } from './stream';

const cacheName = 'codio-1';
const tick = 10_000;

export class Own {
  readonly #configuration: WorkerConfiguration;
  readonly #gateways: GatewayClient;
  #module: Promise<WebAssembly.Module> | undefined;
  /** While anything is being streamed: the index of its store is as of its making. */
  #host: OwnHost | undefined;
  readonly #onTick: () => void;
  #ticking: ReturnType<typeof setInterval> | undefined;

  /** `onTick` is called every ten seconds in which anything is being streamed. */
  constructor(configuration: WorkerConfiguration, onTick: () => void) {
    this.#onTick = onTick;
    const { policy, gateways, gatewayTimeout } = configuration;
    this.#configuration = configuration;
    this.#gateways = new GatewayClient(policy === 'p2p-only' ? [] : gateways, gatewayTimeout);
  }

  /** Whether more than the cache can be asked. */
  get hasGateways(): boolean {
    return this.#gateways.count > 0;
  }

  /** Fetches the core that this worker goes with, and keeps it for when there is no network. */
  async install(): Promise<void> {
    const { core } = this.#configuration;
    const response = await fetch(core, { cache: 'no-cache' });
    if (!response.ok) throw new CodioError('not-found', `${core}: HTTP ${response.status}`);
    const cache = await caches.open(cacheName);
    for (const kept of await cache.keys()) if (kept.url !== core) await cache.delete(kept);
    await cache.put(core, response);
  }

  /** Resolves once the file's size is known. Rejects as download() of a page without peers does. */
  async open(wanted: Wanted): Promise<Stream> {
    const { cid, path } = parseAddress(wanted.address);
    this.#module ??= this.#load();
    const module = await this.#module.catch((cause: unknown) => {
      this.#module = undefined;
      throw new CodioError('io', `the core did not load: ${messageOf(cause)}`, { cause });
    });
    this.#host ??= this.#makeHost(module);
    return this.#host.open({ cid, path, begin: wanted.begin, end: wanted.end });
  }

  /** Ends all streams with the error, and does without their host. */
  break(error: CodioError): void {
    this.#host?.break(error);
  }

  #makeHost(module: WebAssembly.Module): OwnHost {
    const { persist, storeBytes } = this.#configuration;
    this.#ticking = setInterval(this.#onTick, tick);
    return new OwnHost(module, openWorkerStore(persist, storeBytes), this.#gateways, () => {
      clearInterval(this.#ticking);
      this.#host = undefined;
    });
  }

  async #load(): Promise<WebAssembly.Module> {
    const { core } = this.#configuration;
    const cache = await caches.open(cacheName);
    let response = await cache.match(core);
    if (!response) {
      await this.install();
      response = await cache.match(core);
    }
    return WebAssembly.compile((await response?.arrayBuffer()) ?? new ArrayBuffer());
  }
}

interface OwnStream {
  readonly inlet: Inlet;
  readonly head: Head;
  readonly began: number;
  opened(): void;
}

class OwnHost extends CoreHost {
  readonly #streams = new Map<number, OwnStream>();
  readonly #onIdle: () => void;
  #lastRequest = 0;

  constructor(module: WebAssembly.Module, store: BlockStore, gateways: GatewayClient, onIdle: () => void) {
    // Without gateways it must not ask them, and finds that nobody else is there.
    super(module, policies.indexOf(gateways.count > 0 ? 'gateway-only' : 'p2p-only'), store, gateways);
    this.#onIdle = onIdle;
  }

  async open(what: { cid: string; path: string; begin: number; end: number }): Promise<Stream> {
    const request = ++this.#lastRequest;
    const inlet = new Inlet();
    const head: Head = { size: -1, timing: {} };
    const cancel = () => {
      if (!this.#streams.has(request)) return;
      void this.#run(() => this.cancel(request));
      this.#end(request, new CodioError('cancelled', 'cancelled'));
    };
    const opened = new Promise<void>((resolve) => {
      this.#streams.set(request, { inlet, head, began: performance.now(), opened: resolve });
    });
    void this.#run(() => this.download({ request, ...what }));
    await opened;
    if (head.size < 0) await inlet.read(); // Throws why.
    const read = async () => {
      const bytes = await inlet.read();
      if (bytes) void this.#run(() => this.consume(request, bytes.length));
      return bytes;
    };
    return Object.assign(head, { read, cancel });
  }

  break(error: CodioError): void {
    for (const request of [...this.#streams.keys()]) this.#end(request, error);
  }

  protected override report(report: TransferReport): void {
    const { request } = report;
    const stream = this.#streams.get(request);
    if (!stream) return;
    const { inlet, head, began, opened } = stream;
    switch (report.type) {
      case 'find':
        queueMicrotask(() => void this.#run(() => this.tellProviders(request, 0)));
        break;
      case 'received':
        head.timing.firstByte ??= performance.now() - began;
        head.timing.verify ??= report.hashing;
        break;
      case 'entity':
        head.size = report.size;
        opened();
        break;
      case 'data':
        inlet.push(report.bytes);
        break;
      case 'ended':
        this.#end(request, report.error && new CodioError(report.error.code, report.error.message));
        break;
    }
  }

  /** A trap is a rejection that nobody handles, as it is where the core is answered: the worker then calls break(). */
  async #run(call: () => void): Promise<void> {
    call();
    this.drain();
  }

  #end(request: number, error?: CodioError): void {
    const stream = this.#streams.get(request);
    this.#streams.delete(request);
    stream?.inlet.end(error);
    stream?.opened();
    if (this.#streams.size === 0) this.#onIdle();
  }
}
