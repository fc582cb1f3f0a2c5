/** The dedicated worker that holds the core: all bytes meet here. The page signals, and hands every data channel over. */
import { Output } from './core';
import { CoreHost, type TransferReport } from './core-host';
import { buildDag } from './dag';
import { CodioError, failureOf, type Failure } from './error';
import { ForwardedChannel, type Channel } from './forwarded-channel';
import { free } from './free';
import { GatewayClient } from './gateway';
import { isProven, type Introduction } from './identity';
import type { Limits } from './limits';
import type { Command, Report, Totals } from './messages';
import { openStore } from './open-store';

const lowWater = 65_536;
const maxFrame = 262_144;
const totalsInterval = 250;
const idleBeforeClose = 10_000;
/** Messages that may come before they can be given to the core: an honest peer sends no more at first. */
const maxHeld = 64;
/** From the opening of a channel to its first message, which docs/protocol.md §4 wants at once. */
const silenceBeforeClose = 10_000;

interface Scope {
  onmessage: ((event: MessageEvent<Command>) => void) | null;
  postMessage(reports: Report[], transfer: Transferable[]): void;
}

interface Peer {
  readonly number: number;
  readonly channel: Channel;
  /** Requests whose root it provides, found before it was open. */
  readonly requests: number[];
  /** Who we are to each other; nothing yet: the page has not said. */
  introduction: Introduction | undefined;
  open: boolean;
  /** It is who it was said to be, or nobody in particular. */
  proven: boolean;
  /** Until the channel is open and introduced, and while a proof is checked. */
  readonly held: ArrayBuffer[];
  verifying: boolean;
  /** Runs from its opening to its first message. */
  silence: ReturnType<typeof setTimeout> | undefined;
  lastUse: number;
}

/** The engine's host with its peers, as one page wants it. */
class PeersHost extends CoreHost {
  readonly #scope: Scope;
  readonly #maxPeers: number;
  readonly #seed: boolean;
  readonly #peers = new Map<number, Peer>();
  /** Channels that are closing; unreferenced, Firefox would collect them before they have sent everything. */
  readonly #closing = new Set<Channel>();
  /** What an upload's request pinned. */
  readonly #uploads = new Map<number, string[]>();
  readonly #sentTo = new Set<Peer>();
  #reports: Report[] = [];
  #transfer: Transferable[] = [];
  #totals: Totals = [0, 0, 0, 0];
  #totalsTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(scope: Scope, start: Extract<Command, { type: 'start' }>) {
    const store = openStore(start.persist, start.storeBytes); // First: the browser opens it beside what follows.
    super(start.module, start.policy, store, new GatewayClient(start.gateways, start.gatewayTimeout));
    this.#scope = scope;
    this.#setLimits(start.limits);
    this.#maxPeers = start.maxPeers;
    this.#seed = start.seed;
    this.#report({ type: 'ready' });
    this.#flush();
  }

  handle(command: Exclude<Command, { type: 'start' }>): void {
    switch (command.type) {
      case 'download':
        this.download(command);
        break;
      case 'upload':
        void this.#upload(command);
        break;
      case 'release':
        this.#release(command.request);
        break;
      case 'has':
        void this.#answerHas(command.request, command.cids);
        break;
      case 'cache':
        void this.#answerCache(command.request, command.clear);
        break;
      case 'limits':
        this.#setLimits(command.limits);
        break;
      case 'consume':
        this.consume(command.request, command.bytes);
        break;
      case 'cancel':
        this.cancel(command.request);
        break;
      case 'providers':
        this.tellProviders(command.request, command.pending);
        break;
      case 'channel':
        this.#adopt(command.peer, command.channel);
        break;
      case 'introduce':
        this.#introduce(command.peer, command);
        break;
      case 'provides':
        this.#provides(command.peer, command.request);
        break;
      case 'gone':
        this.#lost(command.peer);
        break;
    }
    this.drain();
  }

  #setLimits({ maxUpload, maxDownload, uploadSlots }: Limits): void {
    const [upload, download] = [maxUpload, maxDownload].map((rate) => (Number.isFinite(rate) ? rate : -1)) as [number, number];
    this.core.abi.exchange_set_limits(this.exchange, performance.now(), upload, download, uploadSlots);
  }

  async #answerHas(request: number, cids: string[]): Promise<void> {
    const here = await Promise.all(cids.map((cid) => this.store.get(cid)));
    this.#report({ type: 'answer', request, answer: cids.filter((_, which) => here[which]) });
    this.#flush();
  }

  #release(request: number): void {
    for (const cid of this.#uploads.get(request) ?? []) void this.store.unpin(cid);
    this.#uploads.delete(request);
  }

  /** Builds the file's DAG into the store. */
  async #upload({ request, file, builder }: Extract<Command, { type: 'upload' }>): Promise<void> {
    const kept: string[] = [];
    this.#uploads.set(request, kept);
    try {
      if (file.size > this.store.room) {
        throw new CodioError('too-large', `storeBytes has room for ${this.store.room} bytes, the upload has ${file.size}`);
      }
      const keep = async (cid: string, block: Uint8Array<ArrayBuffer>) => {
        if (await this.store.put(cid, block, true)) kept.push(cid);
      };
      const answer = await buildDag(builder, file.stream() as ReadableStream<Uint8Array<ArrayBuffer>>, keep);
      this.#report({ type: 'answer', request, answer });
    } catch (error) {
      if (error instanceof WebAssembly.RuntimeError) throw error;
      this.#release(request);
      this.#report({ type: 'ended', request, error: failureOf(error) });
    }
    this.#flush();
  }

  async #answerCache(request: number, clear: boolean): Promise<void> {
    if (clear) await this.store.clear();
    this.#report({ type: 'answer', request, answer: await this.store.stats() });
    this.#flush();
  }

  /** Handlers are attached before anything else can run: a message that nobody listens to is lost. */
  #adopt(number: number, given: RTCDataChannel | MessagePort): void {
    const channel: Channel = given instanceof MessagePort ? new ForwardedChannel(given) : given;
    const peer: Peer = {
      number,
      channel,
      requests: [],
      introduction: undefined,
      open: false,
      proven: false,
      held: [],
      verifying: false,
      silence: undefined,
      lastUse: performance.now(),
    };
    this.#peers.set(number, peer);
    channel.binaryType = 'arraybuffer';
    channel.bufferedAmountLowThreshold = lowWater;
    channel.onopen = () => {
      this.#open(peer);
      this.drain();
    };
    channel.onmessage = ({ data }: MessageEvent<unknown>) => {
      if (this.#peers.get(number) !== peer) return;
      if (data instanceof ArrayBuffer && data.byteLength <= maxFrame && peer.held.length < maxHeld) {
        peer.held.push(data);
        this.#open(peer);
        this.#receive(peer);
      } else {
        this.#lost(number, { code: peer.proven ? 'malformed' : 'forged', message: 'a message that is no frame' });
      }
      this.drain();
    };
    channel.onbufferedamountlow = () => {
      this.#tellBuffered(peer);
      this.drain();
    };
    channel.onclose = () => {
      this.#closing.delete(channel);
      this.#lost(number);
      this.drain();
    };
  }

  #introduce(number: number, { proof, expected }: Introduction): void {
    const peer = this.#peers.get(number);
    if (!peer) return;
    peer.introduction = { proof, expected };
    peer.proven = !expected;
    this.#open(peer);
  }

  /** Gives what came to the core, as far as it may have it. */
  #receive(peer: Peer): void {
    while (peer.open && !peer.verifying && this.#peers.get(peer.number) === peer) {
      const message = peer.held.shift();
      if (!message) return;
      clearTimeout(peer.silence);
      peer.lastUse = performance.now();
      const { byteLength } = message;
      const at = this.core.write(new Uint8Array(message));
      free(message);
      this.core.abi.exchange_message(this.exchange, peer.lastUse, peer.number, at, byteLength);
      if (!peer.proven) this.drain();
    }
  }

  async #verify(number: number, proof: Uint8Array<ArrayBuffer>): Promise<void> {
    const peer = this.#peers.get(number);
    const expected = peer?.introduction?.expected;
    if (!peer || !expected) return;
    peer.verifying = true;
    const proven = await isProven(proof, expected).catch(() => false);
    peer.verifying = false;
    peer.proven = proven;
    this.core.abi.exchange_verified(this.exchange, performance.now(), number, proven ? 1 : 0);
    this.#receive(peer);
    this.drain();
  }

  /** When its channel is and the page introduced it. In a busy worker, Chromium's messages overtake the opening. */
  #open(peer: Peer): void {
    const { introduction, channel } = peer;
    if (peer.open || !introduction || channel.readyState !== 'open' || this.#peers.get(peer.number) !== peer) return;
    peer.open = true;
    peer.silence = setTimeout(() => {
      this.#lost(peer.number, { code: 'timeout', message: 'it said nothing' });
      this.drain();
    }, silenceBeforeClose);
    const [first = 0, ...more] = peer.requests.flatMap((request) => this.transferOf(request) ?? []);
    const now = performance.now();
    const { proof, expected } = introduction;
    const at = proof ? this.core.write(proof) : 0;
    this.core.abi.exchange_peer_connected(this.exchange, now, peer.number, first, at, expected ? 1 : 0);
    for (const transfer of more) this.core.abi.exchange_peer_provides(this.exchange, now, peer.number, transfer);
    this.#report({ type: 'open', peer: peer.number });
    this.#closeIdle(now);
    this.#receive(peer);
  }

  #provides(number: number, request: number): void {
    const peer = this.#peers.get(number);
    if (!peer?.open) peer?.requests.push(request);
    else {
      this.withTransfer(request, (transfer) =>
        this.core.abi.exchange_peer_provides(this.exchange, performance.now(), number, transfer),
      );
    }
  }

  #closeIdle(now: number): void {
    const open = [...this.#peers.values()].filter((peer) => peer.open).sort((a, b) => a.lastUse - b.lastUse);
    for (const peer of open.slice(0, Math.max(0, open.length - this.#maxPeers))) {
      if (now - peer.lastUse > idleBeforeClose) this.#lost(peer.number);
    }
  }

  #lost(number: number, error?: Failure): void {
    const peer = this.#peers.get(number);
    if (!peer) return;
    this.#letGo(peer, error);
    if (peer.open) this.core.abi.exchange_peer_disconnected(this.exchange, performance.now(), number);
  }

  #letGo(peer: Peer, error?: Failure): void {
    this.#peers.delete(peer.number);
    this.#sentTo.delete(peer);
    clearTimeout(peer.silence);
    if (peer.channel.readyState !== 'closed') {
      this.#closing.add(peer.channel);
      peer.channel.close();
    }
    this.#report({ type: 'closed', peer: peer.number, ...(error && { error }) });
  }

  #tellBuffered(peer: Peer): void {
    if (!peer.open || this.#peers.get(peer.number) !== peer) return;
    const { abi } = this.core;
    abi.exchange_buffered_amount(this.exchange, performance.now(), peer.number, peer.channel.bufferedAmount);
  }

  protected override drain(): void {
    let sent: Peer[];
    do {
      super.drain();
      sent = [...this.#sentTo];
      this.#sentTo.clear();
      for (const peer of sent) this.#tellBuffered(peer);
    } while (sent.length > 0);
    this.#totalsTimer ??= setTimeout(() => {
      this.#totalsTimer = undefined;
      this.#reportTotals();
      this.#flush();
    }, totalsInterval);
    this.#flush();
  }

  protected override gives(cid: string): boolean {
    return this.#seed || this.store.isPinned(cid);
  }

  protected override carryOut(kind: Output): void {
    const core = this.core;
    const { id } = core;
    switch (kind) {
      case Output.Send:
        this.#send(id, core.bytes);
        break;
      case Output.ClosePeer: {
        const peer = this.#peers.get(id);
        if (peer) this.#letGo(peer, failureOf(core.error));
        break;
      }
      case Output.VerifyPeer:
        void this.#verify(id, core.bytes.slice());
        break;
      default:
        super.carryOut(kind);
    }
  }

  protected override report(report: TransferReport): void {
    if (report.type === 'data') this.#transfer.push(report.bytes.buffer);
    if (report.type === 'ended') this.#reportTotals();
    this.#report(report);
  }

  #send(number: number, bytes: Uint8Array<ArrayBuffer>): void {
    const peer = this.#peers.get(number);
    if (!peer) return;
    try {
      peer.channel.send(bytes);
      this.#sentTo.add(peer);
      peer.lastUse = performance.now();
    } catch {
      // Not open any more, or its queue is full: close() brings onclose, which tells the core outside of this drain.
      peer.channel.close();
    }
  }

  #reportTotals(): void {
    const totals = this.#totals.map((_, which) => this.core.abi.exchange_total(this.exchange, which)) as Totals;
    if (totals.every((value, which) => value === this.#totals[which])) return;
    this.#totals = totals;
    this.#report({ type: 'totals', totals });
  }

  #report(report: Report): void {
    this.#reports.push(report);
  }

  #flush(): void {
    if (this.#reports.length === 0) return;
    this.#scope.postMessage(this.#reports, this.#transfer);
    this.#reports = [];
    this.#transfer = [];
  }
}

const scope = globalThis as unknown as Scope;
// The page hears of errors, but not of rejections: a trap must reach it from both. It then ends this worker.
addEventListener('unhandledrejection', ({ reason }) => {
  setTimeout(() => {
    throw reason;
  });
});
let host: PeersHost | undefined;
scope.onmessage = ({ data }) => {
  if (data.type === 'start') host = new PeersHost(scope, data);
  else host?.handle(data);
};
