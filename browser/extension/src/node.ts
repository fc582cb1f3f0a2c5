/**
 * The page that holds the one node: an offscreen document in Chromium, a frame of the background's page in Firefox. Of the
 * extension APIs it has `chrome.runtime` only.
 */
import init, { CodioCDN, linkVersion, type CodioOptions } from 'codio-cdn';
import { monthOf, uploadCap } from './budget';
import { Errands } from './errands';
import { nameOf, type FetchedFile } from './fetch-file';
import { Meeting } from './meeting';
import { add, noTotals, type Errand, type Order, type Orders, type Outcome, type Request, type Share, type Snapshot, type StatusCommand, type Totals } from './messages';
import { isFromUs, siteOf } from './sender';
import { mayUseNode, type Settings } from './settings';
import { spooled } from './spool';
import { Transfers, type Wire } from './transfers';

/** Between snapshots, and between reports to the background. */
const snapshotInterval = 200;
const reportInterval = 5_000;
const roundTripInterval = 2_000;
const beatInterval = 15_000;
/** Without anything to do, and with peers that want nothing. */
const idleAfter = 60_000;
const idlePeersAfter = 300_000;
const historySpan = 60_000;
/** A stream without end has no CID. */
const maxHashed = { bytes: 1e12, reason: 'where we stop' };

/** One that uses the node, and what ends with it. */
interface Page {
  /** Its origin; '': it is ours. */
  readonly site: string;
  readonly ends: (() => void)[];
}

class Node {
  #orders: Orders;
  readonly #cdn: Promise<CodioCDN>;
  readonly #transfers: Transfers;
  readonly #watching = new Set<chrome.runtime.Port>();
  readonly #pages = new Map<chrome.runtime.Port, Page>();
  readonly #meeting = new Meeting((life, port) => this.#meet(life, port));
  readonly #shares: Share[] = [];
  #problem: string | undefined;
  readonly #errands = new Errands(() => this.#changed());
  #reported: Totals = noTotals;
  #history: Snapshot['history'] = [];
  #roundTrips = new Map<string, number>();
  #snapshotTimer: ReturnType<typeof setTimeout> | undefined;
  #reportTimer: ReturnType<typeof setTimeout> | undefined;
  #idleTimer: ReturnType<typeof setTimeout> | undefined;
  #roundTripTimer: ReturnType<typeof setInterval> | undefined;
  #running: CodioCDN | undefined;
  #lastMove = performance.now();
  #cap = 0;

  constructor(orders: Orders) {
    this.#orders = orders;
    this.#cdn = this.#start(orders.settings);
    this.#transfers = new Transfers(() => this.#changed());
    this.#cdn.then(
      (cdn) => {
        this.#running = cdn;
        this.#listen(cdn);
        void this.#shareAgain(cdn);
        for (const errand of orders.errands) void this.run(errand);
        this.#changed();
      },
      (error: unknown) => {
        this.#problem = textOf(error);
        this.#changed();
      },
    );
    this.#changed();
  }

  /** A page of ours that looks on: the popup. */
  watch(port: chrome.runtime.Port): void {
    this.#watching.add(port);
    this.#roundTripTimer ??= setInterval(() => void this.#measure(), roundTripInterval);
    port.onDisconnect.addListener(() => {
      this.#watching.delete(port);
      if (this.#watching.size > 0) return;
      clearInterval(this.#roundTripTimer);
      this.#roundTripTimer = undefined;
      this.#changed();
    });
    port.onMessage.addListener((command: StatusCommand) => {
      if (command.type === 'stop') this.#errands.stop(command.id);
      else this.#transfers[command.type](command.id);
    });
    port.postMessage(this.#snapshot());
    void this.#measure();
  }

  /** A page that wants to transfer: all that it does ends with this port. Its bytes go over another, of the same token. */
  admit(life: chrome.runtime.Port, token: string, site: string): void {
    this.#pages.set(life, { site, ends: [] });
    life.onDisconnect.addListener(() => this.#forget(life));
    if (FIREFOX && site !== '') {
      // A page of others has no other way to here, and in Firefox this one carries bytes.
      const wire: Wire = { onmessage: undefined, post: (message) => life.postMessage(message) };
      life.onMessage.addListener((message: unknown) => wire.onmessage?.(message));
      void this.#join(wire, life);
    } else {
      this.#meeting.expect(token, life);
    }
  }

  take(token: string, port: MessagePort): void {
    this.#meeting.take(token, port);
  }

  follow(settings: Settings): void {
    this.#orders = { ...this.#orders, settings };
    for (const [life, { site }] of this.#pages) if (site !== '' && !this.allows(site)) this.#dismiss(life);
    this.#limit();
    this.#changed();
  }

  allows(site: string): boolean {
    return mayUseNode(this.#orders.settings, site);
  }

  /** Tells the background what became of it. */
  async run(errand: Errand): Promise<void> {
    const outcome = errand.type === 'share' ? await this.#share(errand) : await this.#hash(errand);
    if (!outcome) return;
    this.#lastMove = performance.now();
    tell({ type: 'done', errand, outcome });
  }

  #share(errand: Errand): Promise<Outcome | undefined> {
    const { storeBytes } = this.#orders.settings;
    const room = Math.max(0, storeBytes - this.#shares.reduce((sum, { size }) => sum + size, 0));
    const limit = { bytes: room, reason: 'what is left of the cache for files that you share: the options make it larger' };
    return this.#errands.run(errand, limit, async (bytes) => {
      const { url } = errand;
      const share = { ...(await this.#offer(await this.#cdn, bytes)), name: nameOf(url), url };
      this.#shares.push(share);
      return { share };
    });
  }

  #hash(errand: Errand): Promise<Outcome | undefined> {
    return this.#errands.run(errand, maxHashed, async (bytes) => ({ cid: await CodioCDN.cidOf(bytes) }));
  }

  /** By way of the disk, as an upload is of a whole file. */
  #offer(cdn: CodioCDN, bytes: FetchedFile['bytes']): Promise<{ cid: string; size: number }> {
    return spooled(bytes, async (file) => ({ cid: await cdn.upload(file), size: file.size }));
  }

  #meet(life: chrome.runtime.Port, port: MessagePort): void {
    const wire: Wire = { onmessage: undefined, post: (message, transfer) => port.postMessage(message, transfer) };
    port.onmessage = ({ data }: MessageEvent<unknown>) => wire.onmessage?.(data);
    this.#pages.get(life)?.ends.push(() => port.close());
    void this.#join(wire, life);
  }

  /** What comes before the node has started waits in the channel. */
  async #join(wire: Wire, life: chrome.runtime.Port): Promise<void> {
    const page = this.#pages.get(life);
    if (!page) return;
    const { port1, port2 } = new MessageChannel();
    page.ends.push(this.#transfers.join(wire, port1, page.site));
    life.postMessage('met');
    const cdn = await this.#cdn.catch(() => undefined);
    if (!this.#pages.has(life)) return;
    if (cdn) page.ends.push(cdn.serve(port2));
    else this.#dismiss(life);
  }

  #dismiss(life: chrome.runtime.Port): void {
    life.disconnect();
    this.#forget(life);
  }

  #forget(life: chrome.runtime.Port): void {
    const page = this.#pages.get(life);
    this.#pages.delete(life);
    this.#meeting.forget(life);
    for (const end of page?.ends ?? []) end();
    this.#changed();
  }

  async #start(settings: Settings): Promise<CodioCDN> {
    await init();
    try {
      return await CodioCDN.new(optionsOf(settings));
    } catch (error) {
      if (settings.node === '') throw error;
      // The gateways still work.
      this.#problem = textOf(error);
      return CodioCDN.new(optionsOf({ ...settings, node: '' }));
    }
  }

  #listen(cdn: CodioCDN): void {
    this.#limit();
    cdn.on('stats', () => {
      this.#limit();
      this.#changed();
    });
    cdn.on('peer-connected', () => void this.#measure());
    cdn.on('peer-disconnected', () => this.#changed());
    cdn.on('error', ({ error }) => {
      this.#problem = error.message;
      this.#changed();
    });
  }

  async #shareAgain(cdn: CodioCDN): Promise<void> {
    for (const share of this.#orders.shares) {
      try {
        await this.#offer(cdn, cdn.stream(share.cid));
        this.#shares.push(share);
      } catch {
        // Its blocks have left the cache, and nobody has it.
      }
    }
    this.#changed();
  }

  get #moved(): Totals {
    const stats = this.#running?.stats();
    return {
      fromPeers: stats?.downloadedFromPeers ?? 0,
      fromGateways: stats?.downloadedFromGateways ?? 0,
      fromCache: this.#transfers.fromCache,
      uploaded: stats?.uploaded ?? 0,
    };
  }

  get #uploadedThisMonth(): number {
    const { month } = this.#orders;
    return (month.name === monthOf(new Date()) ? month.uploaded : 0) + this.#moved.uploaded;
  }

  #limit(): void {
    const { maxUpload, maxDownload, uploadSlots, monthlyUpload } = this.#orders.settings;
    const left = monthlyUpload === null ? null : monthlyUpload - this.#uploadedThisMonth;
    const cap = uploadCap(maxUpload, left);
    this.#cap = cap;
    this.#running?.setLimits({ maxUpload: cap, maxDownload: maxDownload ?? Infinity, uploadSlots });
  }

  /** Something may have: looks at what follows from it, and says so to who watches. */
  #changed(): void {
    const moved = this.#moved;
    const { fromPeers, fromGateways, uploaded } = moved;
    const [, down = 0, up = 0] = this.#history.at(-1) ?? [];
    if (down !== fromPeers + fromGateways || up !== uploaded || this.#history.length === 0) {
      const now = Date.now();
      this.#lastMove = performance.now();
      this.#history.push([now, fromPeers + fromGateways, uploaded]);
      this.#history = this.#history.filter(([time]) => time > now - historySpan);
    }
    if (this.#watching.size > 0) {
      this.#snapshotTimer ??= setTimeout(() => {
        this.#snapshotTimer = undefined;
        const snapshot = this.#snapshot();
        for (const port of this.#watching) port.postMessage(snapshot);
      }, snapshotInterval);
    }
    if (this.#unreported !== undefined) this.#reportTimer ??= setTimeout(() => this.#report(), reportInterval);
    this.#idleTimer ??= setTimeout(() => this.#rest(), idleAfter);
  }

  get #unreported(): Totals | undefined {
    const { fromPeers, fromGateways, fromCache, uploaded } = this.#moved;
    const before = this.#reported;
    const since = {
      fromPeers: fromPeers - before.fromPeers,
      fromGateways: fromGateways - before.fromGateways,
      fromCache: fromCache - before.fromCache,
      uploaded: uploaded - before.uploaded,
    };
    return Object.values(since).some((value) => value > 0) ? since : undefined;
  }

  #report(): void {
    clearTimeout(this.#reportTimer);
    this.#reportTimer = undefined;
    const totals = this.#unreported;
    if (!totals) return;
    this.#reported = this.#moved;
    tell({ type: 'report', totals });
  }

  #rest(): void {
    this.#idleTimer = undefined;
    const busy = this.#pages.size + this.#watching.size + this.#shares.length + this.#errands.views.length > 0;
    const { peers = 0 } = this.#running?.stats() ?? {};
    const still = performance.now() - this.#lastMove;
    if (busy || still < (peers > 0 ? idlePeersAfter : idleAfter)) {
      // What keeps it busy tells when it ends; peers that stay do not.
      if (!busy) this.#idleTimer = setTimeout(() => this.#rest(), idleAfter);
      return;
    }
    this.#report();
    tell({ type: 'idle' });
  }

  async #measure(): Promise<void> {
    if (!this.#running || this.#watching.size === 0) return;
    this.#roundTrips = await this.#running.roundTrips();
    this.#changed();
  }

  #snapshot(): Snapshot {
    const { session, lifetime, month, settings } = this.#orders;
    const moved = this.#moved;
    const cdn = this.#running;
    const { rates } = this.#transfers;
    const peers = cdn?.getPeers() ?? [];
    const spent = settings.monthlyUpload !== null && this.#cap === 0 && settings.maxUpload !== 0;
    const idle = cdn && !cdn.uploading.allowed && peers.length > 0 ? `Nothing is given to others now: ${cdn.uploading.reason}.` : undefined;
    return {
      problem: spent ? 'This month’s upload budget is used up: nothing is given to others until the next.' : (this.#problem ?? idle),
      peers: peers.map(({ id, state, received }) => ({
        id,
        open: state === 'open',
        received,
        rate: rates.get(id) ?? 0,
        roundTrip: this.#roundTrips.get(id),
      })),
      session: add(session, moved),
      lifetime: add(lifetime, moved),
      month: { name: month.name, uploaded: this.#uploadedThisMonth },
      history: this.#history,
      transfers: this.#transfers.views,
      errands: this.#errands.views,
    };
  }
}

function optionsOf(settings: Settings): CodioOptions {
  const { node, rendezvous, gateways, iceServers, privacy, share, storeBytes } = settings;
  const common: CodioOptions = {
    iceTransportPolicy: privacy === 'relay' ? 'relay' : 'all',
    policy: privacy === 'gateway-only' || privacy === 'p2p-only' ? privacy : 'p2p-first',
    seed: share,
    share: false, // There is no other page of ours that has one.
    storeBytes,
    ...(iceServers.length > 0 && { iceServers }),
  };
  return node === '' ? { ...common, rendezvous, gateways } : { ...common, node };
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function tell(request: Request): void {
  void chrome.runtime.sendMessage(request).catch(() => {}); // The browser is closing.
}

function ask<Answer>(request: Request): Promise<Answer> {
  return chrome.runtime.sendMessage(request);
}

// There is one at a time: the page of the one before may still be closing.
const node = new Promise<Node>((resolve, reject) => {
  void navigator.locks.request('codio-node', async () => {
    try {
      resolve(new Node(await ask<Orders>({ type: 'start' })));
    } catch (error) {
      reject(error);
    }
    await new Promise(() => {});
  });
});

chrome.runtime.onConnect.addListener((port) => {
  const [kind, token = '', version] = port.name.split(' ');
  // Who has gone before the node is there is told of to no listener that is added then.
  let isOpen = true;
  port.onDisconnect.addListener(() => (isOpen = false));
  if (kind === 'status' && isFromUs(port.sender)) void node.then((one) => isOpen && one.watch(port));
  if (kind !== 'page' || token.length > 64) return;
  void node.then((one) => {
    const site = siteOfLife(port);
    const allowed = isFromUs(port.sender) || one.allows(site);
    if (!allowed || version !== String(linkVersion)) port.disconnect();
    else if (isOpen) one.admit(port, token, site);
  });
});

/** The origin; '' for a page of ours. */
function siteOfLife({ sender }: chrome.runtime.Port): string {
  return isFromUs(sender) ? '' : ((sender && siteOf(sender)) ?? 'nobody');
}

chrome.runtime.onMessage.addListener((order: Order, sender) => {
  if (!isFromUs(sender)) return false;
  switch (order.type) {
    case 'settings':
      void node.then((one) => one.follow(order.settings));
      return false;
    case 'errand':
      void node.then((one) => one.run(order.errand));
      return false;
    default:
      return false;
  }
});

const take = ({ data, ports, origin }: MessageEvent<{ token: string }>) => {
  const [port] = ports;
  if (port && origin === location.origin) void node.then((one) => one.take(data.token, port));
};
if (FIREFOX) {
  addEventListener('message', take);
  setInterval(() => tell({ type: 'beat' }), beatInterval);
} else {
  navigator.serviceWorker.addEventListener('message', take);
  navigator.serviceWorker.startMessages();
}
