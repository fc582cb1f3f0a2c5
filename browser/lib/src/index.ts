/**
 * Files by IPFS CID inside a web page: from peers over WebRTC, and from gateways for what no peer brings, all verified.
 *
 *     import init, { CodioCDN } from './pkg/codio_wasm.js';
 *     await init();
 *     const cdn = await CodioCDN.new();
 *     const bytes = await cdn.download(cid);
 */
import type { CacheStats } from './block-store';
import { configure, withAbsoluteUrls, type CodioOptions, type Configuration } from './configuration';
import { CodioError, messageOf } from './error';
import { noDetails, type CodioEvents, type Details, type PeerInfo, type Progress, type Stats } from './events';
import { free } from './free';
import { decideTogether, GoodCitizen, type Verdict } from './good-citizen';
import { Lead } from './lead';
import { changeLimits, defaultLimits, type Limits } from './limits';
import { directLink, extensionMark, linkVersion, portLink, type Ask, type ClientLink, type Tell } from './link';
import { Node } from './node';
import type { ServiceWorkerOptions } from './service-worker-host';

export type { CacheStats } from './block-store';
export type { CodioOptions, Configuration, Policy } from './configuration';
export { CodioError, type ErrorCode } from './error';
export type { CodioEvents, Details, PeerInfo, Progress, Source, Stats } from './events';
export type { CitizenOptions, Verdict } from './good-citizen';
export type { Limits } from './limits';
export { linkVersion, type Ask, type Tell } from './link';
export type { ServiceWorkerOptions } from './service-worker-host';

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

type Listener<Name extends keyof CodioEvents> = (event: CodioEvents[Name]) => void;

/** What download() may hold in memory. */
const maxDownload = 1024 * 1024 * 1024;

interface Sink {
  /** Bytes [begin, end) of the file are to come. */
  begin(begin: number, end: number): void;
  data(offset: number, bytes: Uint8Array<ArrayBuffer>): void;
  end(error?: unknown): void;
}

interface Transfer {
  readonly request: number;
  readonly address: string;
  readonly begin: number;
  /** -1: the file's end. */
  readonly end: number;
  readonly sink: Sink;
  details: Details;
  /** Of the file; nothing yet: its first block has not come. */
  size: number | undefined;
  total: number;
  received: number;
  /** Of them, what the reader has not taken yet; and how many of these a former node brought. */
  unconsumed: number;
  former: number;
  unlisten(): void;
}

/** What the node answers once; asked again if another node takes its place. */
interface Question {
  readonly ask: Extract<Ask, { type: 'upload' | 'cache' }>;
  resolve(answer: never): void;
  reject(error: unknown): void;
}

/** A WASM module, or where it is. */
export type ModuleSource = string | URL | WebAssembly.Module;

let compiled: Promise<WebAssembly.Module> | undefined;
let builder: Promise<WebAssembly.Module> | undefined;
let builderSource: ModuleSource | undefined;

/**
 * Loads the core: `codio_wasm.wasm` beside this file, or what `core` names. Repeated calls share one. `builderOfUploads`
 * is in place of `codio_builder.wasm`, which is loaded when there is something to upload.
 */
export default async function init(core?: ModuleSource, builderOfUploads?: ModuleSource): Promise<void> {
  builderSource ??= builderOfUploads;
  await loadCore(core);
}

async function loadCore(core?: ModuleSource): Promise<WebAssembly.Module> {
  compiled ??= compile(core ?? new URL('./codio_wasm.wasm', import.meta.url));
  try {
    return await compiled;
  } catch (error) {
    compiled = undefined;
    throw error;
  }
}

async function loadBuilder(): Promise<WebAssembly.Module> {
  builder ??= compile(builderSource ?? new URL('./codio_builder.wasm', import.meta.url));
  try {
    return await builder;
  } catch (error) {
    builder = undefined;
    throw error;
  }
}

async function compile(source: ModuleSource): Promise<WebAssembly.Module> {
  if (source instanceof WebAssembly.Module) return source;
  const response = await fetch(source).catch((cause: unknown) => {
    throw new CodioError('unavailable', `${String(source)}: ${messageOf(cause)}`, { cause });
  });
  if (!response.ok) throw new CodioError('not-found', `${String(source)}: HTTP ${response.status}`);
  // A server that does not know the type of .wasm files cannot stream them into the compiler.
  return response.headers.get('content-type')?.startsWith('application/wasm')
    ? WebAssembly.compileStreaming(response)
    : WebAssembly.compile(await response.arrayBuffer());
}

/** A page's part in the network, alive as long as the page. Pages of an origin that give the same options share one node. */
export class CodioCDN {
  readonly #transfers = new Map<number, Transfer>();
  readonly #questions = new Map<number, Question>();
  /** What this page gave, by its root, for a node that takes another's place. */
  readonly #uploads = new Map<string, Blob>();
  readonly #listeners = new Map<string, Set<(event: never) => void>>();
  #link: ClientLink | undefined;
  /** In this page. */
  #node: Node | undefined;
  #lead: Lead | undefined;
  #options: CodioOptions = {};
  #lastRequest = 0;
  #left = false;
  #limits = defaultLimits;
  #citizen: GoodCitizen | undefined;
  #uploading = decideTogether([]);
  #peers: PeerInfo[] = [];
  #stats: Omit<Stats, 'transfers'> = { peers: 0, downloadedFromPeers: 0, downloadedFromGateways: 0, uploaded: 0, duplicates: 0 };

  /** The verified blocks that are here, from this session and, with `persist`, earlier ones and other tabs. */
  readonly cache = {
    stats: (): Promise<CacheStats> => this.#ask({ type: 'cache', request: 0, clear: false }),
    /** Removes all but open pages' uploads and what other nodes are using; nothing of it is offered any more. */
    clear: async (): Promise<void> => {
      await this.#ask({ type: 'cache', request: 0, clear: true });
    },
    /** Asks the browser not to remove them when disk space runs low; some ask the visitor. Whether it agreed. */
    keep: async (): Promise<boolean> => (await navigator.storage?.persist?.()) ?? false,
  };

  /**
   * Joins the network, which goes on in the background: through the node of another tab of this origin that gave the same
   * options, else with one of its own, which others then use.
   */
  static async new(options: CodioOptions = {}): Promise<CodioCDN> {
    const core = await loadCore();
    const cdn = new CodioCDN();
    const absolute = (cdn.#options = withAbsoluteUrls(options, location.href));
    cdn.#citizen = new GoodCitizen(options);
    cdn.#citizen.on((verdict) => cdn.#post({ type: 'uploading', verdict }));
    const start = async (former?: Configuration) => {
      const configuration = former ?? (await configure(absolute, location.href));
      const node = await Node.start(core, loadBuilder, configuration);
      node.onLeft = () => cdn.#lead?.resign();
      return (cdn.#node = node);
    };
    const alone = async () => {
      const [client, node] = directLink();
      (await start()).serve(node);
      cdn.#attach(client);
    };
    if (options.extension !== false && globalThis.document?.documentElement.dataset[extensionMark]) {
      const { joinExtension } = await import('./extension');
      const link = (port: MessagePort) => cdn.#attach(portLink(port));
      if (await joinExtension(link, () => void alone().catch((error: unknown) => cdn.#fail(error)))) return cdn;
    }
    if (options.share === false || !Lead.isPossible()) {
      await alone();
      return cdn;
    }
    const name = await nameOf([linkVersion, absolute]);
    await new Promise<void>((resolve, reject) => {
      cdn.#lead = new Lead(name, {
        start,
        attach: (link) => {
          cdn.#attach(link);
          resolve();
        },
        failed: (error) => {
          if (!cdn.#link) cdn.#lead?.resign();
          cdn.#fail(error);
          reject(error);
        },
      });
    });
    return cdn;
  }

  /** Uses the node that serves the other end of `port`: see serve(). */
  static connect(port: MessagePort): CodioCDN {
    const cdn = new CodioCDN();
    cdn.#attach(portLink(port));
    return cdn;
  }

  /** As connect(), with another node from now on: what the one before left open goes on there. */
  reconnect(port: MessagePort): void {
    this.#attach(portLink(port));
  }

  /** What upload() would tell of these bytes, which are neither kept nor offered, and of a stream never all in memory. */
  static async cidOf(file: ArrayBufferView | ArrayBuffer | Blob | ReadableStream<Uint8Array<ArrayBuffer>>): Promise<string> {
    const [{ buildDag }, module] = await Promise.all([import('./dag'), loadBuilder()]);
    const { body } = new Response(file as BodyInit);
    return buildDag(module, body as ReadableStream<Uint8Array<ArrayBuffer>>, async () => {});
  }

  private constructor() {}

  /**
   * Lets the one with the other end of `port` use this page's node, until the function returned is called. A `guest` can
   * only transfer: it changes nothing for others, and what it asks is checked.
   */
  serve(port: MessagePort, guest = true): () => void {
    if (!this.#node) throw new CodioError('unavailable', 'the node is in another page');
    return this.#node.serve(portLink(port), guest);
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
          free(chunk.buffer);
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

  /** Keeps the bytes as long as this page is open, offers them to the network, and tells their CID. */
  async upload(file: ArrayBufferView | ArrayBuffer | Blob): Promise<string> {
    const blob = file instanceof Blob ? file : new Blob([file as BufferSource]);
    const root = await this.#ask<string>({ type: 'upload', request: 0, file: blob });
    this.#uploads.set(root, blob);
    return root;
  }

  getPeers(): PeerInfo[] {
    return this.#peers;
  }

  /** How far peers are, in milliseconds by their id, as far as the node is in this page and its connections measured it. */
  async roundTrips(): Promise<Map<string, number>> {
    return (await this.#node?.roundTrips()) ?? new Map();
  }

  /** The same as getPeers(). */
  get_peers(): PeerInfo[] {
    return this.getPeers();
  }

  /** How far every active transfer is. */
  transfers(): Progress[] {
    return [...this.#transfers.values()].map(progressOf);
  }

  /** What its options come to, with the defaults and what the node's descriptor says. */
  async configuration(): Promise<Configuration> {
    return this.#node?.configuration ?? configure(this.#options, location.href);
  }

  get limits(): Limits {
    return this.#limits;
  }

  /** Changes those limits that are given, from now on and for all that share the node. */
  setLimits(changes: Partial<Limits>): void {
    this.#limits = changeLimits(this.#limits, changes);
    this.#post({ type: 'limits', limits: this.#limits });
  }

  /** Whether it uploads now, if there is anything to upload; if not, why. */
  get uploading(): Verdict {
    return this.#uploading;
  }

  /** Asks `mayUpload` again. */
  async askMayUpload(): Promise<void> {
    await this.#citizen?.ask();
  }

  stats(): Stats {
    return { ...this.#stats, transfers: this.#transfers.size };
  }

  /** Calls `listener` at every such event until the function returned is called. */
  on<Name extends keyof CodioEvents>(name: Name, listener: Listener<Name>): () => void {
    const listeners = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, listeners);
    listeners.add(listener as (event: never) => void);
    return () => listeners.delete(listener as (event: never) => void);
  }

  /**
   * Leaves the network: download() then uses the gateways. The node has no peers and announces nothing any more when all
   * that share it have left.
   */
  async disconnect(): Promise<void> {
    this.#left = true;
    this.#post({ type: 'leave' });
  }

  #start(address: string, options: StreamOptions, sink: Sink): Transfer {
    const { signal, range } = options;
    const { begin = 0, end } = range ?? {};
    const transfer: Transfer = {
      request: ++this.#lastRequest,
      address,
      begin,
      end: end ?? -1,
      sink,
      details: noDetails,
      size: undefined,
      total: 0,
      received: 0,
      unconsumed: 0,
      former: 0,
      unlisten: () => signal?.removeEventListener('abort', abort),
    };
    const { request } = transfer;
    const abort = () => this.#stop(transfer, signal?.reason);
    this.#transfers.set(request, transfer);
    this.#emit('started', { transfer: request, address });
    try {
      signal?.throwIfAborted();
      if (!isOffset(begin) || (end !== undefined && !(isOffset(end) && begin <= end))) {
        throw new CodioError('malformed', `range [${begin}, ${end ?? 'end'}) is none: whole numbers, begin <= end`);
      }
      signal?.addEventListener('abort', abort);
      this.#open(transfer);
    } catch (error) {
      this.#end(transfer, error);
    }
    return transfer;
  }

  /** From where it is: another node may have brought some. */
  #open({ request, address, begin, end, received }: Transfer): void {
    const whole = begin === 0 && end < 0 && !address.replace(/^codio:\/\//, '').includes('/');
    this.#post({ type: 'open', request, address, begin: begin + received, end, whole });
  }

  #stop(transfer: Transfer, reason: unknown): void {
    this.#post({ type: 'cancel', request: transfer.request });
    this.#end(transfer, reason ?? new CodioError('cancelled', 'cancelled'));
  }

  #end(transfer: Transfer, error?: unknown): void {
    const { request, address, total, received } = transfer;
    if (!this.#transfers.delete(request)) return;
    transfer.unlisten();
    if (error === undefined && received !== total) {
      error = new CodioError('mismatch', `${address}: ${received} of ${total} bytes came`);
    }
    if (error === undefined) this.#emit('finished', { transfer: request });
    else this.#emit('failed', { transfer: request, error });
    transfer.sink.end(error);
  }

  #consume(transfer: Transfer, bytes: number): void {
    const former = Math.min(transfer.former, bytes);
    transfer.former -= former;
    transfer.unconsumed -= bytes;
    if (bytes > former) this.#post({ type: 'consume', request: transfer.request, bytes: bytes - former });
  }

  /** From now on there is this node, maybe instead of another: what that one left open is asked again. */
  #attach(link: ClientLink): void {
    this.#link?.close();
    this.#link = link;
    link.onmessage = (told) => this.#handle(told);
    this.#post({ type: 'hello' });
    if (this.#citizen) this.#post({ type: 'uploading', verdict: this.#citizen.verdict });
    if (this.#left) this.#post({ type: 'leave' });
    for (const file of this.#uploads.values()) this.#post({ type: 'upload', request: ++this.#lastRequest, file });
    for (const { ask } of this.#questions.values()) this.#post(ask);
    for (const transfer of this.#transfers.values()) {
      transfer.former = transfer.unconsumed;
      this.#open(transfer);
    }
  }

  #handle(told: Tell): void {
    switch (told.type) {
      case 'state':
        this.#stats = told.stats;
        this.#peers = told.peers;
        if (told.totals) this.#emit('stats', this.stats());
        break;
      case 'limits': {
        const { reason } = this.#uploading;
        this.#limits = told.limits;
        this.#uploading = told.uploading;
        if (told.uploading.reason !== reason) this.#emit('uploading', told.uploading);
        break;
      }
      case 'event':
        this.#emit(told.name, told.event);
        break;
      case 'problem':
        this.#emit('error', { error: new CodioError(told.error.code, told.error.message) });
        break;
      case 'answer':
        this.#questions.get(told.request)?.resolve(told.answer as never);
        this.#questions.delete(told.request);
        break;
      default: {
        const transfer = this.#transfers.get(told.request);
        if (!transfer) {
          if (told.type === 'ended') this.#refuse(told);
          return;
        }
        try {
          this.#handleTransfer(transfer, told);
        } catch (error) {
          // The node's other reports go on.
          const known = error instanceof CodioError;
          this.#stop(transfer, known ? error : new CodioError('io', messageOf(error), { cause: error }));
        }
      }
    }
  }

  #handleTransfer(transfer: Transfer, told: Extract<Tell, { type: 'size' | 'data' | 'details' | 'ended' }>): void {
    const { begin, end } = transfer;
    switch (told.type) {
      case 'size': {
        if (transfer.size !== undefined) break;
        transfer.size = told.size;
        transfer.total = Math.max(0, Math.min(end < 0 ? told.size : end, told.size) - begin);
        transfer.sink.begin(begin, begin + transfer.total);
        break;
      }
      case 'data':
        transfer.received += told.bytes.length;
        transfer.unconsumed += told.bytes.length;
        transfer.sink.data(told.offset, told.bytes);
        this.#emit('progress', progressOf(transfer));
        break;
      case 'details':
        transfer.details = told.details;
        this.#emit('progress', progressOf(transfer));
        break;
      case 'ended':
        this.#end(transfer, told.error && new CodioError(told.error.code, told.error.message));
        break;
    }
  }

  /** Rejects if the node refuses, or stops. */
  async #ask<Answer>(question: Question['ask']): Promise<Answer> {
    const ask = { ...question, request: ++this.#lastRequest };
    return new Promise((resolve, reject) => {
      this.#questions.set(ask.request, { ask, resolve, reject });
      this.#post(ask);
    });
  }

  #refuse({ request, error }: Extract<Tell, { type: 'ended' }>): void {
    if (error) this.#questions.get(request)?.reject(new CodioError(error.code, error.message));
    this.#questions.delete(request);
  }

  #fail(error: unknown): void {
    for (const transfer of [...this.#transfers.values()]) this.#end(transfer, error);
    for (const { reject } of this.#questions.values()) reject(error);
    this.#questions.clear();
  }

  #post(ask: Ask): void {
    this.#link?.post(ask);
  }

  #emit<Name extends keyof CodioEvents>(name: Name, event: CodioEvents[Name]): void {
    for (const listener of this.#listeners.get(name) ?? []) call(listener as Listener<Name>, event);
  }
}

/**
 * Registers the service worker at `script` (a copy of `codio-sw.js`, or one that imports it) and answers it from now on.
 * Resolves once the worker runs and knows this page, so that what is requested next reaches it. The function returned
 * ends the serving, and leaves the worker registered. Rejects with `unsupported` where there are no service workers,
 * else with `io` and the browser's reason.
 */
export async function serveServiceWorker(
  cdn: CodioCDN,
  script: string | URL = '/codio-sw.js',
  options: ServiceWorkerOptions = {},
): Promise<() => void> {
  const { serve } = await import('./service-worker-host');
  return serve(cdn, script, options);
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

/** The same for the same `values`, and telling nothing of them: they may have credentials. */
async function nameOf(values: unknown): Promise<string> {
  const hash = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(JSON.stringify(values)));
  return btoa(String.fromCharCode(...new Uint8Array(hash)));
}
