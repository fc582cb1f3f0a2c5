/**
 * The page's side of the service worker: registers it, and answers its requests out of a CodioCDN. One page at least
 * does so for the worker to have peers; without one it goes on alone. A file of its own, loaded by serveServiceWorker().
 */
import { failureOf, messageOf } from './error';
import { CodioError, type CodioCDN } from './index';
import { writeConfiguration } from './service-worker-configuration';
import { chunkBytes, credits, type FromPage, type Notice, type StreamRequest, type ToPage } from './service-worker-messages';
import { headOf, Timings, type Times } from './timings';

export interface ServiceWorkerOptions {
  /** Path that the worker is for; default: that of its script, `/` for `/codio-sw.js`. */
  scope?: string;
  /**
   * URL prefixes that a CID follows, such as `https://ipfs.io/ipfs/`: GET requests of the site's pages for such URLs
   * are answered by the worker. Default: none.
   */
  intercept?: readonly (string | URL)[];
  /**
   * Root CIDs, as they are written in URLs, whose files may act as the site: pages that are not sandboxed, scripts,
   * style sheets. Default: none. See docs/service-worker.md before you name what somebody else made.
   */
  trusted?: readonly string[];
}

/** The worker's idle time is 30 s. */
const aliveInterval = 15_000;
const activationTimeout = 30_000;

/** As serveServiceWorker() says it. */
export async function serve(cdn: CodioCDN, script: string | URL, options: ServiceWorkerOptions): Promise<() => void> {
  const container = (navigator as { serviceWorker?: ServiceWorkerContainer }).serviceWorker;
  if (!container) {
    throw new CodioError('unsupported', 'no service workers here: they need HTTPS or localhost, and no private window in some browsers');
  }
  const { policy, gateways, gatewayTimeout, persist, storeBytes } = await cdn.configuration();
  const url = writeConfiguration(new URL(script, location.href), {
    core: new URL('./codio_wasm.wasm', import.meta.url).href,
    ...{ policy, gateways, gatewayTimeout, persist, storeBytes },
    intercept: (options.intercept ?? []).map((prefix) => new URL(prefix, location.href).href),
    trusted: [...(options.trusted ?? [])],
  });
  const server = new StreamServer(cdn, container);
  try {
    const { scope } = options;
    const registration = await container.register(url, { updateViaCache: 'none', ...(scope && { scope }) });
    await server.introduce(await activated(registration));
  } catch (cause) {
    server.stop();
    if (cause instanceof CodioError) throw cause;
    const hint = 'the script must be of this origin, at or above its scope, or come with Service-Worker-Allowed';
    throw new CodioError('io', `the service worker ${url.pathname} did not start: ${messageOf(cause)}; ${hint}`, { cause });
  }
  return () => server.stop();
}

/** The newest worker, once it is active. */
async function activated(registration: ServiceWorkerRegistration): Promise<ServiceWorker> {
  const worker = registration.installing ?? registration.waiting ?? registration.active;
  if (!worker) throw new Error('it was unregistered');
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('it did not become active')), activationTimeout);
    const look = () => {
      if (worker.state !== 'activated' && worker.state !== 'redundant') return;
      clearTimeout(timer);
      if (worker.state === 'activated') resolve(worker);
      else reject(new Error(`it could not be installed: is codio_wasm.wasm beside the library?`));
    };
    worker.onstatechange = look;
    look();
  });
}

class StreamServer {
  readonly #cdn: CodioCDN;
  readonly #container: ServiceWorkerContainer;
  readonly #timings: Timings;
  readonly #streams = new Set<Stream>();
  /** The last worker that asked or was told. */
  #worker: ServiceWorker | undefined;
  #alive: ReturnType<typeof setInterval> | undefined;

  constructor(cdn: CodioCDN, container: ServiceWorkerContainer) {
    this.#cdn = cdn;
    this.#container = container;
    this.#timings = new Timings(cdn);
    container.addEventListener('message', this.#listen);
    container.addEventListener('controllerchange', this.#reintroduce);
    container.startMessages();
    addEventListener('pagehide', this.#leave);
    addEventListener('pageshow', this.#reintroduce);
  }

  /** Resolves once the worker knows of us. */
  introduce(worker: ServiceWorker): Promise<void> {
    this.#worker = worker;
    return new Promise((resolve) => {
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = () => resolve();
      tell(worker, 'serving-1', [port2]);
    });
  }

  stop(): void {
    this.#leave();
    this.#timings.stop();
    this.#container.removeEventListener('message', this.#listen);
    this.#container.removeEventListener('controllerchange', this.#reintroduce);
    removeEventListener('pagehide', this.#leave);
    removeEventListener('pageshow', this.#reintroduce);
  }

  readonly #reintroduce = () => {
    const worker = this.#container.controller ?? this.#worker;
    if (worker) void this.introduce(worker);
  };

  /** The worker completes what we have begun. */
  readonly #leave = () => {
    for (const stream of this.#streams) stream.leave();
    if (this.#worker) tell(this.#worker, 'leaving-1');
  };

  readonly #listen = (event: MessageEvent<Partial<Notice | StreamRequest> | null>) => {
    const { data, source, ports: [port] } = event;
    if (!(source instanceof ServiceWorker)) return;
    if (data?.codio === 'who-1') {
      this.#worker = source;
      tell(source, 'serving-1');
    } else if (data?.codio === 'stream-1' && port) {
      event.stopImmediatePropagation(); // Another CodioCDN of this page may serve too.
      this.#worker = source;
      void this.#serve(data as StreamRequest, port);
    }
  };

  async #serve(request: StreamRequest, port: MessagePort): Promise<void> {
    const stream = new Stream(port);
    this.#streams.add(stream);
    this.#alive ??= setInterval(() => this.#worker && tell(this.#worker, 'alive-1'), aliveInterval);
    await stream.serve(this.#cdn, request, this.#timings);
    this.#streams.delete(stream);
    if (this.#streams.size > 0) return;
    clearInterval(this.#alive);
    this.#alive = undefined;
  }
}

/** One request's answer, in messages that each wait for a credit of the worker. */
class Stream {
  readonly #port: MessagePort;
  readonly #abort = new AbortController();
  #credits = credits;
  #wake: (() => void) | undefined;

  constructor(port: MessagePort) {
    this.#port = port;
    port.onmessage = ({ data }: MessageEvent<ToPage>) => {
      if (data === 'ping') this.#say('here');
      if (data === 'credit') this.#credits++;
      if (data === 'cancel') this.#abort.abort();
      this.#wake?.();
    };
  }

  async serve(cdn: CodioCDN, { address, begin, end }: StreamRequest, timings: Timings): Promise<void> {
    const { signal } = this.#abort;
    let times: Times | undefined;
    const onProgress = ({ transfer }: { transfer: number }) => (times ??= timings.of(transfer));
    try {
      const range = { begin, ...(end >= 0 && { end }) };
      const reader = cdn.stream(address, { range, signal, onProgress }).getReader();
      let part = await reader.read();
      if (times) this.#say({ head: headOf(times) });
      for (; part.value; part = await reader.read()) await this.#send(part.value);
      this.#say('end');
    } catch (error) {
      if (!signal.aborted) this.#say({ failure: failureOf(error) });
    }
    this.#port.close();
  }

  leave(): void {
    this.#say('gone');
    this.#abort.abort();
    this.#wake?.();
  }

  async #send(bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    for (let at = 0; at < bytes.length; at += chunkBytes) {
      while (this.#credits === 0 && !this.#abort.signal.aborted) {
        await new Promise<void>((resolve) => (this.#wake = resolve));
      }
      this.#abort.signal.throwIfAborted();
      this.#credits--;
      const { buffer } = bytes.slice(at, at + chunkBytes);
      this.#port.postMessage(buffer, [buffer]);
    }
  }

  #say(message: FromPage): void {
    this.#port.postMessage(message);
  }
}

function tell(worker: ServiceWorker, codio: Notice['codio'], transfer: Transferable[] = []): void {
  const notice: Notice = { codio };
  worker.postMessage(notice, transfer);
}
