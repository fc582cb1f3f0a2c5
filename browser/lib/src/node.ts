import { parseAddress } from './address';
import { policies, type Configuration } from './configuration';
import { Elsewhere } from './elsewhere';
import { CodioError, failureOf, messageOf, type Failure } from './error';
import type { Details, NodeEvents, PeerInfo, Source, Stats } from './events';
import { decideTogether, type Verdict } from './good-citizen';
import { Identity } from './identity';
import { changeLimits } from './limits';
import { isGuestAsk, type Ask, type NodeLink, type Tell } from './link';
import type { Command, Report, Totals } from './messages';
import { Peers, type Peer, type PeersEvents } from './peers';
import { ProviderSearch, type SearchHost } from './provider-search';
import { Rendezvous } from './rendezvous';
import { roundTripOf } from './round-trip';
import { forgetSeeds, loadSeeds, saveSeeds } from './seeds';

const maxGuestRequests = 64;

/** One that uses the node: a CodioCDN, in this page or another. */
interface Client {
  readonly link: NodeLink;
  /** By its own numbers. */
  readonly transfers: Map<number, Transfer>;
  /** What it gave: the roots, and the core's requests that pinned their blocks. */
  readonly uploads: Map<string, { request: number; size: number }>;
  /** Nothing from guests, who have no say. */
  verdict: Verdict | undefined;
  /** It wants no peers any more. */
  left: boolean;
}

interface Transfer {
  readonly client: Client;
  /** The client's number. */
  readonly number: number;
  /** The core's. */
  readonly request: number;
  /** All below its root is asked for, and is here in the end. */
  readonly whole: boolean;
  size: number | undefined;
  /** Bytes that the client has and did not say that it took. */
  unconsumed: number;
  root: string;
  readonly search: ProviderSearch;
}

/** A command that the core answers, but for its number. */
type Asking = Unnumbered<Extract<Command, { type: 'upload' | 'cache' | 'has' }>>;
type Unnumbered<One> = One extends unknown ? Omit<One, 'request'> : never;

/**
 * One node of the network: a core worker, its peers and its rendezvous, in the page that made it and alive as long. Any
 * number of clients use it, each over a link, and hear only of their own transfers.
 */
export class Node {
  readonly configuration: Configuration;
  /** All that used it have left the network, and so has it. */
  onLeft: (() => void) | undefined;
  readonly #worker: Worker;
  readonly #loadBuilder: () => Promise<WebAssembly.Module>;
  readonly #rendezvous: Rendezvous;
  readonly #elsewhere: Elsewhere;
  readonly #peers: Peers;
  readonly #clients = new Set<Client>();
  readonly #transfers = new Map<number, Transfer>();
  /** What the core has not answered yet. */
  readonly #asked = new Map<number, { resolve: (answer: never) => void; reject: (error: unknown) => void }>();
  /** Sizes of what others may have from us, though no page here holds it: oldest first. */
  readonly #seeded = new Map<string, number>();
  readonly #receivedFrom = new Map<string, number>();
  /** Who gave us anything, by the number of the connection. */
  readonly #names = new Map<number, string>();
  #totals: Totals = [0, 0, 0, 0];
  #uploading = decideTogether([]);
  #lastRequest = 0;
  #isStateTold = true;
  #left = false;
  #broken: CodioError | undefined;

  /**
   * Starts the core in a worker and joins the network, which goes on in the background. `loadBuilder`: loads what makes the
   * DAGs of uploads, or has it.
   */
  static async start(
    module: WebAssembly.Module,
    loadBuilder: () => Promise<WebAssembly.Module>,
    configuration: Configuration,
  ): Promise<Node> {
    const identity = await Identity.create();
    const worker = startWorker(new URL('./codio_worker.js', import.meta.url));
    return new Promise((resolve, reject) => {
      const fail = (message: string, options?: ErrorOptions) => {
        worker.terminate();
        reject(new CodioError('io', `the core worker did not start: ${message}`, options));
      };
      worker.onerror = ({ message }) => fail(message);
      worker.onmessage = () => {
        try {
          resolve(new Node(worker, loadBuilder, configuration, identity));
        } catch (cause) {
          fail(messageOf(cause), { cause });
        }
      };
      const { gateways, gatewayTimeout, persist, storeBytes, maxPeers, seed } = configuration;
      const limits = { ...configuration.limits, maxUpload: 0 }; // Until a client has said that it may.
      const policy = policies.indexOf(configuration.policy);
      const held = { persist, storeBytes, maxPeers, seed };
      const start: Command = { type: 'start', module, policy, gateways, gatewayTimeout, ...held, limits };
      try {
        worker.postMessage(start);
      } catch (cause) {
        fail(messageOf(cause), { cause });
      }
    });
  }

  private constructor(
    worker: Worker,
    loadBuilder: () => Promise<WebAssembly.Module>,
    configuration: Configuration,
    identity: Identity | undefined,
  ) {
    this.#worker = worker;
    this.#loadBuilder = loadBuilder;
    this.configuration = configuration;
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
        if (!answered) this.#emitAll('peer-signalled', { peer: id });
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
      refused: ({ code, message }) => this.#tellAll({ type: 'problem', error: { code, message } }),
      join,
    });
    this.#elsewhere = new Elsewhere({
      signal: (from, signal, at) => this.#peers.handleSignal(from, signal, at),
      unreachable: (peer, session, at) => this.#peers.handleUnreachable(peer, session, at),
      join,
    });
    if (configuration.seed && configuration.persist) void this.#seedAgain();
  }

  /**
   * Does what is asked over `link` until the function returned is called; that ends its transfers. A `guest` is a page of
   * others: what it asks is checked, and it can only transfer.
   */
  serve(link: NodeLink, guest = false): () => void {
    const client: Client = { link, transfers: new Map(), uploads: new Map(), verdict: undefined, left: false };
    const end = () => this.#forgetClient(client);
    this.#clients.add(client);
    link.onmessage = (ask) => {
      if (guest && !(isGuestAsk(ask) && client.transfers.size < maxGuestRequests)) end();
      else this.#handleAsk(client, ask);
    };
    return end;
  }

  /** Milliseconds by peer, of open connections that have measured one. */
  async roundTrips(): Promise<Map<string, number>> {
    const open = this.#peers.all.filter((peer) => peer.open);
    const measured = await Promise.all(open.map(async ({ id, connection }) => [id, await roundTripOf(connection)] as const));
    return new Map(measured.filter((one): one is [string, number] => one[1] !== undefined));
  }

  #handleAsk(client: Client, ask: Ask): void {
    switch (ask.type) {
      case 'hello':
        client.link.post({ type: 'limits', limits: this.configuration.limits, uploading: this.#uploading });
        this.#tellState(client, false);
        break;
      case 'open':
        this.#open(client, ask);
        break;
      case 'consume': {
        const transfer = client.transfers.get(ask.request);
        if (!transfer) break;
        const bytes = Math.max(0, Math.min(ask.bytes, transfer.unconsumed));
        transfer.unconsumed -= bytes;
        this.#tell({ type: 'consume', request: transfer.request, bytes });
        break;
      }
      case 'cancel': {
        const transfer = client.transfers.get(ask.request);
        if (transfer) this.#cancel(transfer);
        break;
      }
      case 'upload':
        void this.#answer(client, ask.request, this.#upload(client, ask.file));
        break;
      case 'cache':
        void this.#answer(client, ask.request, ask.clear ? this.#clearCache() : this.#ask({ type: 'cache', clear: false }));
        break;
      case 'limits':
        this.#setLimits(ask.limits);
        break;
      case 'uploading':
        client.verdict = ask.verdict;
        this.#decideUploading();
        break;
      case 'leave':
        client.left = true;
        this.#leaveWithAll();
        break;
    }
  }

  #open(client: Client, { request: number, address, begin, end, whole }: Extract<Ask, { type: 'open' }>): void {
    const request = ++this.#lastRequest;
    const transfer: Transfer = {
      client,
      number,
      request,
      whole,
      size: undefined,
      unconsumed: 0,
      root: '',
      search: new ProviderSearch(this.#searchHost(client, number, request)),
    };
    try {
      if (this.#broken) throw this.#broken;
      const { cid, path } = parseAddress(address);
      client.transfers.set(number, transfer);
      this.#transfers.set(request, transfer);
      this.#tell({ type: 'download', request, cid, path, begin, end });
    } catch (error) {
      this.#tellClient(client, { type: 'ended', request: number, error: failureOf(error) });
    }
  }

  async #answer(client: Client, request: number, answering: Promise<Extract<Tell, { type: 'answer' }>['answer']>): Promise<void> {
    try {
      this.#tellClient(client, { type: 'answer', request, answer: await answering });
    } catch (error) {
      this.#tellClient(client, { type: 'ended', request, error: failureOf(error) });
    }
  }

  async #upload(client: Client, file: Blob): Promise<string> {
    const builder = await this.#loadBuilder();
    const asking = this.#ask<string>({ type: 'upload', file, builder });
    const request = this.#lastRequest;
    const root = await asking;
    if (client.uploads.has(root) || !this.#clients.has(client)) this.#tell({ type: 'release', request });
    else client.uploads.set(root, { request, size: file.size });
    await this.#rendezvous.settled();
    this.#announce(root);
    return root;
  }

  async #clearCache(): Promise<Extract<Tell, { type: 'answer' }>['answer']> {
    const seeded = [...this.#seeded.keys()];
    this.#seeded.clear();
    for (const root of seeded) this.#withdraw(root);
    forgetSeeds();
    return this.#ask({ type: 'cache', clear: true });
  }

  #setLimits(changes: Partial<Configuration['limits']>): void {
    this.configuration.limits = changeLimits(this.configuration.limits, changes);
    this.#applyLimits();
  }

  /** Nothing is offered while it may not be given. */
  #decideUploading(): void {
    const before = this.#uploading;
    this.#uploading = decideTogether([...this.#clients].flatMap(({ verdict }) => verdict ?? []));
    if (this.#uploading.reason === before.reason) return;
    this.#applyLimits();
    if (this.#uploading.allowed === before.allowed) return;
    for (const root of this.#offered()) {
      if (this.#uploading.allowed) this.#rendezvous.announce(root);
      else this.#rendezvous.withdraw(root);
    }
  }

  #applyLimits(): void {
    const { limits } = this.configuration;
    this.#tell({ type: 'limits', limits: this.#uploading.allowed ? limits : { ...limits, maxUpload: 0 } });
    this.#tellAll({ type: 'limits', limits, uploading: this.#uploading });
  }

  #offered(): Set<string> {
    return new Set([...this.#seeded.keys(), ...[...this.#clients].flatMap(({ uploads }) => [...uploads.keys()])]);
  }

  #announce(root: string): void {
    if (this.#uploading.allowed) this.#rendezvous.announce(root);
  }

  #leaveWithAll(): void {
    if (this.#left || ![...this.#clients].every(({ left }) => left)) return;
    this.#left = true;
    this.#rendezvous.close();
    this.#elsewhere.close();
    this.#peers.closeAll('we left');
    this.onLeft?.();
  }

  #forgetClient(client: Client): void {
    if (!this.#clients.delete(client)) return;
    client.link.close();
    for (const transfer of [...client.transfers.values()]) this.#cancel(transfer);
    for (const [root, { request, size }] of client.uploads) {
      this.#tell({ type: 'release', request });
      if (this.configuration.seed) this.#seed(root, size);
      else this.#withdraw(root);
    }
    if (this.#clients.size === 0) return;
    this.#decideUploading();
    this.#leaveWithAll();
  }

  #cancel(transfer: Transfer): void {
    this.#tell({ type: 'cancel', request: transfer.request });
    this.#forgetTransfer(transfer);
  }

  #forgetTransfer({ client, number, request, search }: Transfer): void {
    search.end();
    client.transfers.delete(number);
    this.#transfers.delete(request);
  }

  /** What earlier sessions left, as far as it is still here. */
  async #seedAgain(): Promise<void> {
    const seeds = loadSeeds();
    if (seeds.size === 0) return;
    const here = await this.#ask<string[]>({ type: 'has', cids: [...seeds.keys()] }).catch(() => []);
    for (const root of here) if (!this.#seeded.has(root)) this.#seed(root, seeds.get(root) ?? 0);
  }

  /** Offers what is in the store to others, for as long as the store will have kept its blocks. */
  #seed(root: string, size: number): void {
    const { persist, storeBytes } = this.configuration;
    const seeded = this.#seeded;
    seeded.delete(root);
    seeded.set(root, size);
    this.#announce(root);
    let total = [...seeded.values()].reduce((sum, one) => sum + one, 0);
    for (const [oldest, bytes] of seeded) {
      if (total <= storeBytes) break;
      total -= bytes;
      seeded.delete(oldest);
      this.#withdraw(oldest);
    }
    if (persist) saveSeeds(seeded);
  }

  #withdraw(root: string): void {
    if (!this.#offered().has(root)) this.#rendezvous.withdraw(root);
  }

  #handle(report: Report): void {
    if (report.type === 'totals') {
      this.#totals = report.totals;
      for (const client of this.#clients) this.#tellState(client, true);
    } else if ('peer' in report && report.type !== 'received') {
      this.#handlePeer(report);
    } else if (report.type === 'answer') {
      this.#asked.get(report.request)?.resolve(report.answer as never);
      this.#asked.delete(report.request);
    } else if (report.type !== 'ready') {
      const transfer = this.#transfers.get(report.request);
      if (transfer) this.#handleTransfer(transfer, report);
      else if (report.type === 'ended') this.#refuse(report);
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
    const { client, number: request } = transfer;
    switch (report.type) {
      case 'started':
        transfer.root = report.root;
        break;
      case 'find':
        this.#emit(client, 'finding', { transfer: request, cid: report.root });
        void transfer.search.find(report.root);
        break;
      case 'entity':
        transfer.size = report.size;
        this.#emit(client, 'receiving', { transfer: request, size: report.size });
        this.#tellClient(client, { type: 'size', request, size: report.size });
        transfer.search.handleSize(report.size);
        break;
      case 'received': {
        const { bytes, gateway, hashing } = report;
        const source = this.#source(report.peer, gateway, bytes);
        this.#emit(client, 'verified', { transfer: request, bytes, source, hashing });
        break;
      }
      case 'data':
        transfer.unconsumed += report.bytes.length;
        this.#tellClient(client, { type: 'data', request, offset: report.offset, bytes: report.bytes }, [report.bytes.buffer]);
        break;
      case 'progress':
        this.#tellClient(client, { type: 'details', request, details: this.#details(report.values) });
        break;
      case 'ended':
        this.#end(transfer, report.error);
        break;
    }
  }

  #end(transfer: Transfer, error?: Failure): void {
    this.#forgetTransfer(transfer);
    this.#touch();
    if (!error && transfer.whole && this.configuration.seed) this.#seed(transfer.root, transfer.size ?? 0);
    this.#tellClient(transfer.client, { type: 'ended', request: transfer.number, ...(error && { error }) });
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

  #searchHost(client: Client, number: number, request: number): SearchHost {
    return {
      minSwarm: this.configuration.minSwarm,
      home: () => this.#rendezvous.url,
      find: async (root, handle) => {
        if (this.#left || client.left) handle({ peers: [], elsewhere: [], more: false });
        else await this.#rendezvous.find(root, handle);
      },
      join: (rendezvous) => this.#elsewhere.join(rendezvous),
      connect: (id, at) => this.#peers.connect(id, at),
      provides: ({ id, number: peer }) => {
        this.#touch();
        this.#emit(client, 'connecting', { transfer: number, peer: id });
        this.#tell({ type: 'provides', peer, request });
      },
      pending: (pending) => this.#tell({ type: 'providers', request, pending }),
    };
  }

  #handlePeer(report: Extract<Report, { type: 'open' | 'closed' }>): void {
    const peer = this.#peers.get(report.peer);
    if (!peer) return;
    if (report.type === 'open') {
      this.#peers.handleOpen(peer.number);
      this.#names.set(peer.number, peer.id);
      this.#touch();
      this.#emitAll('peer-connected', { peer: peer.id });
      for (const { search } of this.#transfers.values()) search.handleOpen(peer);
    } else {
      const { code = '', message = 'closed' } = report.error ?? {};
      if (code === 'mismatch' || code === 'malformed') this.#peers.ban(peer);
      if (code === 'forged') {
        this.#peers.distrust(peer);
        this.#tellAll({ type: 'problem', error: { code, message: `${peer.id}: ${message}` } });
      }
      this.#peers.close(peer, message);
    }
  }

  #handleClosed(peer: Peer, reason: string): void {
    this.#tell({ type: 'gone', peer: peer.number });
    this.#touch();
    if (peer.open) this.#emitAll('peer-disconnected', { peer: peer.id, reason });
    for (const { search } of this.#transfers.values()) search.handleClosed(peer);
  }

  #tell(command: Command, transfer: Transferable[] = []): void {
    this.#worker.postMessage(command, transfer);
  }

  /** The state has changed: all are told, once for all changes made meanwhile, and before they are told anything else. */
  #touch(): void {
    if (!this.#isStateTold) return;
    this.#isStateTold = false;
    queueMicrotask(() => this.#tellStateIfChanged());
  }

  #tellStateIfChanged(): void {
    if (this.#isStateTold) return;
    this.#isStateTold = true;
    for (const client of this.#clients) this.#tellState(client, false);
  }

  #tellState({ link }: Client, totals: boolean): void {
    const [downloadedFromPeers, downloadedFromGateways, uploaded, duplicates] = this.#totals;
    const peers: PeerInfo[] = this.#peers.all.map(({ id, open }) => ({
      id,
      state: open ? 'open' : 'connecting',
      received: this.#receivedFrom.get(id) ?? 0,
    }));
    const open = peers.filter(({ state }) => state === 'open').length;
    const stats: Stats = { peers: open, downloadedFromPeers, downloadedFromGateways, uploaded, duplicates, transfers: 0 };
    link.post({ type: 'state', stats, peers, totals });
  }

  #tellClient(client: Client, told: Tell, transfer: Transferable[] = []): void {
    this.#tellStateIfChanged();
    if (this.#clients.has(client)) client.link.post(told, transfer);
  }

  #tellAll(told: Tell): void {
    for (const client of this.#clients) this.#tellClient(client, told);
  }

  #emit<Name extends keyof NodeEvents>(client: Client, name: Name, event: NodeEvents[Name]): void {
    this.#tellClient(client, { type: 'event', name, event } as Tell);
  }

  #emitAll<Name extends keyof NodeEvents>(name: Name, event: NodeEvents[Name]): void {
    for (const client of this.#clients) this.#emit(client, name, event);
  }

  #break(error: CodioError): void {
    this.#broken = error;
    this.#worker.terminate();
    for (const client of this.#clients) client.left = true;
    this.#leaveWithAll();
    for (const transfer of [...this.#transfers.values()]) this.#end(transfer, failureOf(error));
    for (const { reject } of this.#asked.values()) reject(error);
    this.#asked.clear();
  }
}

function startWorker(url: URL): Worker {
  if (url.origin === location.origin) return new Worker(url, { type: 'module' });
  // A worker's own URL must be of the page's origin; what it imports need not be.
  const script = URL.createObjectURL(new Blob([`import ${JSON.stringify(url)}`], { type: 'text/javascript' }));
  return new Worker(script, { type: 'module' });
}
