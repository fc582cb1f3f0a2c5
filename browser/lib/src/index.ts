/**
 * Files by IPFS CID inside a web page: from peers over WebRTC, and from gateways for what no peer brings, all verified.
 *
 *     import init, { CodioCDN } from './pkg/codio_wasm.js';
 *     await init();
 *     const cdn = await CodioCDN.new();
 *     const bytes = await cdn.download(cid);
 */
import { parseAddress } from './address';
import type { CacheStats } from './block-store';
import { configure, policies, type CodioOptions, type Configuration } from './configuration';
import { Elsewhere } from './elsewhere';
import { CodioError, messageOf } from './error';
import { Identity } from './identity';
import { changeLimits, type Limits } from './limits';
import type { Command, Report, Totals } from './messages';
import { Peers, type Peer, type PeersEvents } from './peers';
import { Rendezvous, type Found } from './rendezvous';

export type { CacheStats } from './block-store';
export type { CodioOptions, Configuration, Policy } from './configuration';
export { CodioError, type ErrorCode } from './error';
export type { Limits } from './limits';
export { serveServiceWorker, type ServiceWorkerOptions } from './service-worker-host';

/** Bytes [begin, end) of a file, begin <= end; to its end without `end`. */
export interface ByteRange {
  begin: number;
  end?: number;
}

export interface StreamOptions {
  /** Aborting it stops the transfer; what is awaited rejects with its reason. */
  signal?: AbortSignal | undefined;
  range?: ByteRange | undefined;
}

export interface DownloadOptions extends StreamOptions {
  onProgress?: ((progress: Progress) => void) | undefined;
}

/** The same fields as Progress of the core (src/transfer/progress.h). Sizes in bytes, rates in bytes a second. */
export interface Progress extends Details {
  /** The transfer's number in all events. */
  transfer: number;
  /** Handed over in order, of `total`. */
  received: number;
  /** Of the file or range; 0 until its first block came. */
  total: number;
}

/** What the core tells of a transfer, several times a second. */
interface Details {
  /** Blocks from everywhere; inner nodes of the file too. */
  verified: number;
  fromStore: number;
  fromPeers: number;
  fromGateways: number;
  /** Came for it and was not needed any more, or did not verify. */
  duplicates: number;
  /** From the network, lately; and since it began. */
  rate: number;
  averageRate: number;
  /** Milliseconds until it ends at that rate, where that can be told. */
  remaining: number | undefined;
  /** Verified bytes of each peer, and the rate at which it sends lately. Peers that left are listed too. */
  peers: { peer: string; bytes: number; rate: number }[];
}

/** Where a verified block came from. */
export type Source = { kind: 'store' } | { kind: 'peer'; peer: string } | { kind: 'gateway'; url: string };

export interface PeerInfo {
  id: string;
  state: 'connecting' | 'open';
  /** Verified bytes that it sent. */
  received: number;
}

/** Bytes since CodioCDN.new(), and what goes on now. */
export interface Stats {
  /** Open connections. */
  peers: number;
  downloadedFromPeers: number;
  downloadedFromGateways: number;
  uploaded: number;
  /** Came, and was not needed any more or did not verify. */
  duplicates: number;
  /** Active downloads and streams. */
  transfers: number;
}

/** What `on()` can hear of, in the order of a transfer's life. */
export interface CodioEvents {
  started: { transfer: number; address: string };
  finding: { transfer: number; cid: string };
  connecting: { transfer: number; peer: string };
  receiving: { transfer: number; size: number };
  /** `hashing`: milliseconds that its verification took; 0 for what was kept. */
  verified: { transfer: number; bytes: number; source: Source; hashing: number };
  progress: Progress;
  finished: { transfer: number };
  failed: { transfer: number; error: unknown };
  /** It answered our offer: the connection is being made. */
  'peer-signalled': { peer: string };
  'peer-connected': { peer: string };
  'peer-disconnected': { peer: string; reason: string };
  stats: Stats;
  /** What went wrong apart from any call; the rest goes on. */
  error: { error: CodioError };
}

type Listener<Name extends keyof CodioEvents> = (event: CodioEvents[Name]) => void;

/** Set-ups at a time for one transfer: few until it is known to be worth more. */
const firstSetUps = 3;
const maxSetUps = 8;
const worthMoreSetUps = 4 * 1024 * 1024;
const maxProviders = 32;
/** Open connections that one transfer looks for. */
const enoughPeers = 10;
/** What download() may hold in memory. */
const maxDownload = 1024 * 1024 * 1024;

interface Sink {
  /** Bytes [begin, end) of the file are to come. */
  begin(begin: number, end: number): void;
  data(offset: number, bytes: Uint8Array<ArrayBuffer>): void;
  end(error?: unknown): void;
}

const noDetails: Details = {
  verified: 0,
  fromStore: 0,
  fromPeers: 0,
  fromGateways: 0,
  duplicates: 0,
  rate: 0,
  averageRate: 0,
  remaining: undefined,
  peers: [],
};

interface Transfer {
  readonly request: number;
  details: Details;
  readonly range: ByteRange | undefined;
  /** All below its root is asked for, and is here in the end. */
  whole: boolean;
  readonly sink: Sink;
  size: number | undefined;
  total: number;
  received: number;
  root: string;
  /** Providers not yet tried, by id and rendezvous, as of Peer. */
  providers: { id: string; at: string }[];
  /** Providers whose rendezvous is being joined. */
  joining: number;
  /** Who was found, so that nobody is tried twice for one search. */
  found: Set<string>;
  /** Whether providers may still be found. */
  more: boolean;
  readonly connecting: Set<Peer>;
  readonly connected: Set<Peer>;
  searching: boolean;
  /** What the core was told last. */
  pending: number;
  unlisten(): void;
}

/** A command that the core answers, but for its number. */
type Asking = Unnumbered<Extract<Command, { type: 'upload' | 'cache' }>>;
type Unnumbered<One> = One extends unknown ? Omit<One, 'request'> : never;

let compiled: Promise<WebAssembly.Module> | undefined;

/** Loads the core: `codio_wasm.wasm` beside this file, or what `source` names. Repeated calls share one. */
export default async function init(source?: string | URL | WebAssembly.Module): Promise<void> {
  compiled ??= compile(source ?? new URL('./codio_wasm.wasm', import.meta.url));
  try {
    await compiled;
  } catch (error) {
    compiled = undefined;
    throw error;
  }
}

async function compile(source: string | URL | WebAssembly.Module): Promise<WebAssembly.Module> {
  if (source instanceof WebAssembly.Module) return source;
  const response = await fetch(source);
  if (!response.ok) throw new CodioError('not-found', `${String(source)}: HTTP ${response.status}`);
  // A server that does not know the type of .wasm files cannot stream them into the compiler.
  return response.headers.get('content-type')?.startsWith('application/wasm')
    ? WebAssembly.compileStreaming(response)
    : WebAssembly.compile(await response.arrayBuffer());
}

/** One node of the network, alive as long as the page. */
export class CodioCDN {
  readonly #worker: Worker;
  readonly #configuration: Configuration;
  readonly #rendezvous: Rendezvous;
  readonly #elsewhere: Elsewhere;
  readonly #peers: Peers;
  readonly #transfers = new Map<number, Transfer>();
  /** What the core has not answered yet. */
  readonly #asked = new Map<number, { resolve: (answer: never) => void; reject: (error: unknown) => void }>();
  /** Sizes of finished downloads that others may have from us, oldest first. */
  readonly #seeded = new Map<string, number>();
  readonly #receivedFrom = new Map<string, number>();
  /** Who gave us anything, by the number of the connection. */
  readonly #names = new Map<number, string>();
  readonly #listeners = new Map<string, Set<(event: never) => void>>();
  #totals: Totals = [0, 0, 0, 0];
  #lastRequest = 0;
  #left = false;
  #broken: CodioError | undefined;

  /** The verified blocks that are here, from this session and, with `persist`, earlier ones and other tabs. */
  readonly cache = {
    stats: (): Promise<CacheStats> => this.#ask({ type: 'cache', clear: false }),
    /** Removes all but this page's uploads and what other open tabs are using; nothing of it is offered any more. */
    clear: async (): Promise<void> => {
      for (const root of this.#seeded.keys()) this.#rendezvous.withdraw(root);
      this.#seeded.clear();
      await this.#ask({ type: 'cache', clear: true });
    },
  };

  /** Starts the core in a worker and joins the network, which goes on in the background. */
  static async new(options: CodioOptions = {}): Promise<CodioCDN> {
    await init();
    const module = await compiled;
    const [configuration, identity] = await Promise.all([configure(options, location.href), Identity.create()]);
    const worker = startWorker(new URL('./codio_worker.js', import.meta.url));
    return new Promise((resolve, reject) => {
      const fail = (message: string, options?: ErrorOptions) => {
        worker.terminate();
        reject(new CodioError('io', `the core worker did not start: ${message}`, options));
      };
      worker.onerror = ({ message }) => fail(message);
      worker.onmessage = () => {
        try {
          resolve(new CodioCDN(worker, configuration, identity));
        } catch (cause) {
          fail(messageOf(cause), { cause });
        }
      };
      const { limits, gateways, gatewayTimeout, persist, storeBytes, maxPeers } = configuration;
      const start: Command = {
        type: 'start',
        module: module as WebAssembly.Module,
        policy: policies.indexOf(configuration.policy),
        gateways,
        gatewayTimeout,
        persist,
        storeBytes,
        maxPeers,
        limits,
      };
      try {
        worker.postMessage(start);
      } catch (cause) {
        fail(messageOf(cause), { cause });
      }
    });
  }

  private constructor(worker: Worker, configuration: Configuration, identity: Identity | undefined) {
    this.#worker = worker;
    this.#configuration = configuration;
    worker.onmessage = ({ data }: MessageEvent<Report[]>) => data.forEach((report) => this.#handle(report));
    worker.onerror = ({ message }) => this.#break(new CodioError('io', `the core stopped: ${message}`));
    const events: PeersEvents = {
      signal: (to, signal, at) => {
        if (at === '') this.#rendezvous.signal(to, signal);
        else this.#elsewhere.signal(at, to, signal);
      },
      handOver: (peer, channel) => this.#tell({ type: 'channel', peer: peer.number, channel }, [channel]),
      introduce: ({ number: peer, id, answered }, introduction) => {
        this.#tell({ type: 'introduce', peer, ...introduction });
        if (!answered) this.#emit('peer-signalled', { peer: id });
      },
      closed: (peer, reason) => this.#handleClosed(peer, reason),
    };
    this.#peers = new Peers(configuration.iceServers, identity, events, configuration.iceTransportPolicy);
    const join = async (challenge: unknown) => identity?.join(challenge) ?? {};
    const alone = configuration.policy === 'gateway-only';
    this.#rendezvous = new Rendezvous(alone ? [] : configuration.rendezvous, {
      iceServers: (servers) => {
        // The descriptor's may be older, and their credentials have expired.
        if (servers.length > 0) this.#peers.iceServers = [...configuration.givenIceServers, ...servers];
      },
      signal: (from, signal) => this.#peers.handleSignal(from, signal),
      unreachable: (peer, session) => this.#peers.handleUnreachable(peer, session),
      refused: (error) => this.#emit('error', { error }),
      join,
    });
    this.#elsewhere = new Elsewhere({
      signal: (from, signal, at) => this.#peers.handleSignal(from, signal, at),
      unreachable: (peer, session, at) => this.#peers.handleUnreachable(peer, session, at),
      join,
    });
  }

  /** The whole file, or `range` of it. `address`: `CID`, `CID/path` or `codio://CID/path`. */
  async download(address: string, options: DownloadOptions = {}): Promise<Uint8Array<ArrayBuffer>> {
    let bytes = new Uint8Array();
    let start = 0;
    return new Promise((resolve, reject) => {
      const transfer = this.#start(address, options, {
        begin: (begin, end) => {
          if (end - begin > maxDownload) {
            const message = `${address} has ${end - begin} bytes, download() holds ${maxDownload}: use stream()`;
            this.#stop(transfer, new CodioError('too-large', message));
            return;
          }
          start = begin;
          try {
            bytes = new Uint8Array(end - begin);
          } catch (cause) {
            throw new CodioError('too-large', `no memory for the ${end - begin} bytes of ${address}`, { cause });
          }
          call(options.onProgress, progressOf(transfer));
        },
        data: (offset, chunk) => {
          bytes.set(chunk, offset - start);
          this.#consume(transfer, chunk.length);
          call(options.onProgress, progressOf(transfer));
        },
        end: (error) => (error === undefined ? resolve(bytes) : reject(error)),
      });
    });
  }

  /**
   * The file's bytes as they come, in order. A reader that stops reading stops the transfer after 8 MiB; cancelling the
   * stream ends it.
   */
  stream(address: string, options: DownloadOptions = {}): ReadableStream<Uint8Array<ArrayBuffer>> {
    const chunks: Uint8Array<ArrayBuffer>[] = [];
    let wake: (() => void) | undefined;
    let ended = false;
    let transfer: Transfer;
    return new ReadableStream<Uint8Array<ArrayBuffer>>(
      {
        start: (controller) => {
          transfer = this.#start(address, options, {
            begin: () => call(options.onProgress, progressOf(transfer)),
            data: (_, chunk) => {
              chunks.push(chunk);
              wake?.();
              call(options.onProgress, progressOf(transfer));
            },
            end: (error) => {
              ended = true;
              wake?.();
              if (error !== undefined) controller.error(error);
            },
          });
        },
        pull: async (controller) => {
          if (chunks.length === 0 && !ended) await new Promise<void>((resolve) => (wake = resolve));
          const chunk = chunks.shift();
          if (!chunk) {
            if (ended) controller.close();
            return;
          }
          this.#consume(transfer, chunk.length);
          controller.enqueue(chunk);
        },
        cancel: (reason) => this.#stop(transfer, reason),
      },
      { highWaterMark: 0 },
    );
  }

  /** Keeps the bytes in this page's store, offers them to the network, and tells their CID. */
  async upload(file: ArrayBufferView | ArrayBuffer | Blob): Promise<string> {
    const blob = file instanceof Blob ? file : new Blob([file as BufferSource]);
    const root = await this.#ask<string>({ type: 'upload', file: blob });
    await this.#rendezvous.settled();
    this.#rendezvous.announce(root);
    return root;
  }

  getPeers(): PeerInfo[] {
    return this.#peers.all.map(({ id, open }) => ({
      id,
      state: open ? 'open' : 'connecting',
      received: this.#receivedFrom.get(id) ?? 0,
    }));
  }

  /** The same as getPeers(). */
  get_peers(): PeerInfo[] {
    return this.getPeers();
  }

  /** How far every active transfer is. */
  transfers(): Progress[] {
    return [...this.#transfers.values()].map(progressOf);
  }

  /** As it is after the defaults and what the node's descriptor says. */
  get configuration(): Readonly<Configuration> {
    return this.#configuration;
  }

  get limits(): Limits {
    return this.#configuration.limits;
  }

  /** Changes those limits that are given, from now on. */
  setLimits(changes: Partial<Limits>): void {
    const limits = changeLimits(this.#configuration.limits, changes);
    this.#configuration.limits = limits;
    this.#tell({ type: 'limits', limits });
  }

  stats(): Stats {
    const [downloadedFromPeers, downloadedFromGateways, uploaded, duplicates] = this.#totals;
    return {
      peers: this.#peers.all.filter(({ open }) => open).length,
      downloadedFromPeers,
      downloadedFromGateways,
      uploaded,
      duplicates,
      transfers: this.#transfers.size,
    };
  }

  /** Calls `listener` at every such event until the function returned is called. */
  on<Name extends keyof CodioEvents>(name: Name, listener: Listener<Name>): () => void {
    const listeners = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, listeners);
    listeners.add(listener as (event: never) => void);
    return () => listeners.delete(listener as (event: never) => void);
  }

  /** Leaves the network: no peers and nothing announced any more; download() then uses the gateways. */
  async disconnect(): Promise<void> {
    this.#left = true;
    this.#rendezvous.close();
    this.#elsewhere.close();
    this.#peers.closeAll('we left');
  }

  #start(address: string, options: StreamOptions, sink: Sink): Transfer {
    const { signal, range } = options;
    const transfer: Transfer = {
      request: ++this.#lastRequest,
      details: noDetails,
      range,
      whole: false,
      sink,
      size: undefined,
      total: 0,
      received: 0,
      root: '',
      providers: [],
      joining: 0,
      found: new Set(),
      more: false,
      connecting: new Set(),
      connected: new Set(),
      searching: true,
      pending: -1,
      unlisten: () => signal?.removeEventListener('abort', abort),
    };
    const { request } = transfer;
    const abort = () => this.#stop(transfer, signal?.reason);
    this.#transfers.set(request, transfer);
    this.#emit('started', { transfer: request, address });
    try {
      signal?.throwIfAborted();
      if (this.#broken) throw this.#broken;
      const { begin = 0, end } = range ?? {};
      if (!isOffset(begin) || (end !== undefined && !(isOffset(end) && begin <= end))) {
        throw new CodioError('malformed', `range [${begin}, ${end ?? 'end'}) is none: whole numbers, begin <= end`);
      }
      signal?.addEventListener('abort', abort);
      const { cid, path } = parseAddress(address);
      transfer.whole = path === '' && !range;
      this.#tell({ type: 'download', request, cid, path, begin, end: end ?? -1 });
    } catch (error) {
      // Not at once: the caller does not have its transfer yet.
      queueMicrotask(() => this.#end(transfer, error));
    }
    return transfer;
  }

  #stop(transfer: Transfer, reason: unknown): void {
    this.#tell({ type: 'cancel', request: transfer.request });
    this.#end(transfer, reason ?? new CodioError('cancelled', 'cancelled'));
  }

  #end(transfer: Transfer, error?: unknown): void {
    const { request, total, received } = transfer;
    if (!this.#transfers.delete(request)) return;
    transfer.unlisten();
    if (error === undefined && received !== total) {
      error = new CodioError('mismatch', `${transfer.root}: ${received} of ${total} bytes came`);
    }
    if (error === undefined) {
      if (this.#configuration.seed && transfer.whole) this.#seed(transfer.root, total);
      this.#emit('finished', { transfer: request });
    } else {
      this.#emit('failed', { transfer: request, error });
    }
    transfer.sink.end(error);
  }

  /** Offers a download to others for as long as the store will have kept its blocks. */
  #seed(root: string, size: number): void {
    const seeded = this.#seeded;
    seeded.delete(root);
    seeded.set(root, size);
    this.#rendezvous.announce(root);
    let total = [...seeded.values()].reduce((sum, one) => sum + one, 0);
    for (const [oldest, bytes] of seeded) {
      if (total <= this.#configuration.storeBytes) break;
      total -= bytes;
      seeded.delete(oldest);
      this.#rendezvous.withdraw(oldest);
    }
  }

  #consume({ request }: Transfer, bytes: number): void {
    this.#tell({ type: 'consume', request, bytes });
  }

  #handle(report: Report): void {
    if (report.type === 'totals') {
      this.#totals = report.totals;
      this.#emit('stats', this.stats());
    } else if ('peer' in report && report.type !== 'received') {
      this.#handlePeer(report);
    } else if (report.type === 'answer') {
      this.#asked.get(report.request)?.resolve(report.answer as never);
      this.#asked.delete(report.request);
    } else if (report.type !== 'ready') {
      const transfer = this.#transfers.get(report.request);
      if (!transfer) {
        if (report.type === 'ended') this.#refuse(report);
        return;
      }
      try {
        this.#handleTransfer(transfer, report);
      } catch (error) {
        // The other reports of the same message go on.
        const known = error instanceof CodioError;
        this.#stop(transfer, known ? error : new CodioError('io', messageOf(error), { cause: error }));
      }
    }
  }

  /** Rejects if the core refuses, or stops. */
  async #ask<Answer>(command: Asking): Promise<Answer> {
    if (this.#broken) throw this.#broken;
    const request = ++this.#lastRequest;
    return new Promise((resolve, reject) => {
      this.#asked.set(request, { resolve, reject });
      this.#tell({ ...command, request });
    });
  }

  #refuse({ request, error }: Extract<Report, { type: 'ended' }>): void {
    if (error) this.#asked.get(request)?.reject(new CodioError(error.code, error.message));
    this.#asked.delete(request);
  }

  #handleTransfer(transfer: Transfer, report: Extract<Report, { request: number }>): void {
    const { request } = transfer;
    switch (report.type) {
      case 'started':
        transfer.root = report.root;
        break;
      case 'find':
        void this.#findProviders(transfer, report.root);
        break;
      case 'entity': {
        const { begin = 0, end = report.size } = transfer.range ?? {};
        const last = Math.min(end, report.size);
        transfer.size = report.size;
        transfer.total = Math.max(0, last - begin);
        this.#emit('receiving', { transfer: request, size: report.size });
        transfer.sink.begin(begin, begin + transfer.total);
        this.#connectMore(transfer);
        break;
      }
      case 'received': {
        const { bytes, gateway, hashing } = report;
        const source = this.#source(report.peer, gateway, bytes);
        this.#emit('verified', { transfer: request, bytes, source, hashing });
        break;
      }
      case 'data':
        transfer.received += report.bytes.length;
        transfer.sink.data(report.offset, report.bytes);
        this.#emit('progress', progressOf(transfer));
        break;
      case 'progress':
        transfer.details = this.#details(report.values);
        this.#emit('progress', progressOf(transfer));
        break;
      case 'ended':
        this.#end(transfer, report.error && new CodioError(report.error.code, report.error.message));
        break;
    }
  }

  #details([, , verified = 0, fromStore = 0, fromPeers = 0, fromGateways = 0, ...more]: Float64Array): Details {
    const [duplicates = 0, rate = 0, averageRate = 0, left = -1, ...shares] = more;
    const peers: Details['peers'] = [];
    for (let at = 0; at < shares.length; at += 3) {
      const [number = 0, bytes = 0, peerRate = 0] = shares.slice(at, at + 3);
      peers.push({ peer: this.#names.get(number) ?? '', bytes, rate: peerRate });
    }
    const remaining = left < 0 ? undefined : left;
    return { verified, fromStore, fromPeers, fromGateways, duplicates, rate, averageRate, remaining, peers };
  }

  #source(number: number, gateway: string, bytes: number): Source {
    if (gateway !== '') return { kind: 'gateway', url: gateway };
    if (number === 0) return { kind: 'store' };
    const peer = this.#names.get(number) ?? 'gone';
    this.#receivedFrom.set(peer, (this.#receivedFrom.get(peer) ?? 0) + bytes);
    return { kind: 'peer', peer };
  }

  async #findProviders(transfer: Transfer, root: string): Promise<void> {
    transfer.searching = true;
    this.#emit('finding', { transfer: transfer.request, cid: root });
    transfer.providers = [];
    transfer.found.clear();
    const nothing = { peers: [], elsewhere: [], more: false };
    if (this.#left) this.#handleFound(transfer, nothing);
    else await this.#rendezvous.find(root, (found) => this.#handleFound(transfer, found));
  }

  #handleFound(transfer: Transfer, { peers, elsewhere, more }: Found): void {
    const home = this.#rendezvous.url;
    const providers = [
      ...peers.map((id) => ({ id, at: '' })),
      ...elsewhere.map(({ peer, rendezvous }) => ({ id: peer, at: rendezvous === home ? '' : rendezvous })),
    ];
    for (const provider of providers) {
      const key = `${provider.id} ${provider.at}`;
      if (transfer.found.size >= maxProviders || transfer.found.has(key)) continue;
      transfer.found.add(key);
      transfer.providers.push(provider);
    }
    transfer.more = more;
    transfer.searching = false;
    transfer.pending = -1;
    this.#connectMore(transfer);
  }

  /** Begins what set-ups the transfer is worth, and tells the core how many may still come. */
  #connectMore(transfer: Transfer): void {
    const { request, connecting, connected, providers } = transfer;
    if (transfer.searching || !this.#transfers.has(request)) return;
    const setUps = (transfer.size ?? 0) < worthMoreSetUps ? firstSetUps : maxSetUps;
    const busy = () => connecting.size + transfer.joining;
    while (busy() < setUps && connected.size + busy() < enoughPeers) {
      const provider = providers.shift();
      if (provider === undefined) break;
      if (provider.at === '') this.#connect(transfer, provider.id, '');
      else void this.#connectElsewhere(transfer, provider.id, provider.at);
    }
    const more = providers.length + (transfer.more ? 1 : 0);
    const pending = busy() + (connected.size < enoughPeers ? more : 0);
    if (pending === transfer.pending) return;
    transfer.pending = pending;
    this.#tell({ type: 'providers', request, pending });
  }

  #connect({ request, connecting, connected }: Transfer, id: string, at: string): void {
    const peer = this.#peers.connect(id, at);
    if (!peer || connecting.has(peer) || connected.has(peer)) return;
    this.#emit('connecting', { transfer: request, peer: id });
    (peer.open ? connected : connecting).add(peer);
    this.#tell({ type: 'provides', peer: peer.number, request });
  }

  async #connectElsewhere(transfer: Transfer, id: string, at: string): Promise<void> {
    transfer.joining++;
    const joined = await this.#elsewhere.join(at);
    transfer.joining--;
    if (joined && this.#transfers.has(transfer.request)) this.#connect(transfer, id, at);
    this.#connectMore(transfer);
  }

  #handlePeer(report: Extract<Report, { type: 'open' | 'closed' }>): void {
    const peer = this.#peers.get(report.peer);
    if (!peer) return;
    if (report.type === 'open') {
      this.#peers.handleOpen(peer.number);
      this.#names.set(peer.number, peer.id);
      this.#emit('peer-connected', { peer: peer.id });
      for (const transfer of this.#transfers.values()) {
        if (!transfer.connecting.delete(peer)) continue;
        transfer.connected.add(peer);
        this.#connectMore(transfer);
      }
    } else {
      const { code = '', message = 'closed' } = report.error ?? {};
      if (code === 'mismatch' || code === 'malformed') this.#peers.ban(peer);
      if (code === 'forged') {
        this.#peers.distrust(peer);
        this.#emit('error', { error: new CodioError(code, `${peer.id}: ${message}`) });
      }
      this.#peers.close(peer, message);
    }
  }

  #handleClosed(peer: Peer, reason: string): void {
    this.#tell({ type: 'gone', peer: peer.number });
    if (peer.open) this.#emit('peer-disconnected', { peer: peer.id, reason });
    for (const transfer of this.#transfers.values()) {
      if (transfer.connected.delete(peer) || transfer.connecting.delete(peer)) this.#connectMore(transfer);
    }
  }

  #tell(command: Command, transfer: Transferable[] = []): void {
    this.#worker.postMessage(command, transfer);
  }

  #emit<Name extends keyof CodioEvents>(name: Name, event: CodioEvents[Name]): void {
    for (const listener of this.#listeners.get(name) ?? []) call(listener as Listener<Name>, event);
  }

  #break(error: CodioError): void {
    this.#broken = error;
    this.#worker.terminate();
    void this.disconnect();
    for (const transfer of [...this.#transfers.values()]) this.#end(transfer, error);
    for (const { reject } of this.#asked.values()) reject(error);
    this.#asked.clear();
  }
}

/** What the page's own functions throw must not stop the transfer. */
function call<Argument>(listener: ((argument: Argument) => void) | undefined, argument: Argument): void {
  try {
    listener?.(argument);
  } catch (error) {
    reportError(error);
  }
}

function isOffset(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

function progressOf({ request, received, total, details }: Transfer): Progress {
  return { transfer: request, received, total, ...details };
}

function startWorker(url: URL): Worker {
  if (url.origin === location.origin) return new Worker(url, { type: 'module' });
  // A worker's own URL must be of the page's origin; what it imports need not be.
  const script = URL.createObjectURL(new Blob([`import ${JSON.stringify(url)}`], { type: 'text/javascript' }));
  return new Worker(script, { type: 'module' });
}
