import { messageOf } from './error';
import { forwardChannel } from './forwarded-channel';
import { fingerprintOf, type Identity, type Introduction } from './identity';
import type { Signal } from './rendezvous';

const setUpTimeout = 15_000;
const maxConnections = 128;
/** The others are for those that we want something from. */
const maxAnswered = (maxConnections * 3) / 4;
/** Two that offer to each other at the same time have both. */
const maxConnectionsOfOne = 2;
const offersAtOnce = 32;
const offersPerSecond = 4;
const maxEarlyCandidates = 64;
/** Until what the core still had to say has left. */
const lastWords = 500;
/** For a rendezvous that brought somebody else: docs/protocol.md §4. */
const distrustedFor = 600_000;

export interface PeersEvents {
  /** `at`: the peer's rendezvous. */
  signal(to: string, signal: Signal, at: string): void;
  /** Takes the channel over; throws if it cannot be transferred. */
  handOver(peer: Peer, channel: RTCDataChannel | MessagePort): void;
  /** Once for each connection that may open, before or after it does. */
  introduce(peer: Peer, introduction: Introduction): void;
  closed(peer: Peer, reason: string): void;
}

/** One connection, from its offer on. */
export interface Peer {
  /** Ours: never used twice. */
  readonly number: number;
  /** The other side's key, or the rendezvous's name for it. */
  readonly id: string;
  /** That rendezvous: its URL, or '' for our own. */
  readonly at: string;
  readonly session: string;
  /** The other side offered. */
  readonly answered: boolean;
  readonly connection: RTCPeerConnection;
  /** Kept referenced, or Firefox may collect it. */
  readonly channel: RTCDataChannel;
  /** Candidates that came before the description they belong to. */
  early: RTCIceCandidateInit[] | undefined;
  open: boolean;
  timer: ReturnType<typeof setTimeout>;
}

/** Sets connections up as docs/protocol.md §3 says, and tears them down. At most one for each peer id that we offered. */
export class Peers {
  iceServers: RTCIceServer[];
  readonly #events: PeersEvents;
  readonly #transports: RTCIceTransportPolicy;
  readonly #peers = new Map<number, Peer>();
  readonly #identity: Identity | undefined;
  /** Until when by `performance.now()`, by id. */
  readonly #banned = new Map<string, number>();
  #lastNumber = 0;
  /** Offers that may be accepted now, as of `#countedAt`. */
  #offersLeft = offersAtOnce;
  #countedAt = performance.now();

  constructor(
    iceServers: RTCIceServer[],
    identity: Identity | undefined,
    events: PeersEvents,
    transports: RTCIceTransportPolicy = 'all',
  ) {
    this.iceServers = iceServers;
    this.#identity = identity;
    this.#transports = transports;
    this.#events = events;
  }

  get all(): Peer[] {
    return [...this.#peers.values()];
  }

  get(number: number): Peer | undefined {
    return this.#peers.get(number);
  }

  /** The connection to that peer, open or being set up; begins one if there is none. Nothing if that is not possible. */
  connect(id: string, at = ''): Peer | undefined {
    const known = this.all.filter((peer) => peer.id === id && peer.at === at);
    const peer = known.find(({ open }) => open) ?? known[0];
    if (peer || this.#isBanned(id)) return peer;
    const session = crypto.randomUUID();
    const fresh = this.#create(id, at, session, false);
    if (fresh) void this.#describe(fresh, 'offer');
    return fresh;
  }

  handleSignal(from: string, signal: Signal, at = ''): void {
    const { session } = signal;
    let peer = this.all.find((one) => one.id === from && one.at === at && one.session === session);
    if (signal.type === 'offer') {
      if (peer || this.#isBanned(from) || !this.#mayAnswer(from)) return;
      peer = this.#create(from, at, session, true);
    }
    if (!peer) return;
    if (signal.type === 'candidate') {
      if (signal.candidate === '') return;
      const candidate = { candidate: signal.candidate, sdpMid: signal.mid };
      if (!peer.early) void peer.connection.addIceCandidate(candidate).catch(() => {});
      else if (peer.early.length < maxEarlyCandidates) peer.early.push(candidate);
    } else {
      void this.#accept(peer, signal.type, signal.sdp);
    }
  }

  handleUnreachable(id: string, session: string, at = ''): void {
    for (const peer of this.all) {
      if (peer.id === id && peer.at === at && peer.session === session && !peer.open) this.close(peer, 'it left');
    }
  }

  handleOpen(number: number): void {
    const peer = this.#peers.get(number);
    if (!peer) return;
    peer.open = true;
    clearTimeout(peer.timer);
  }

  /** Never to be connected again: it broke the protocol. */
  ban(peer: Peer): void {
    this.#banned.set(peer.id, Infinity);
  }

  /** Not to be connected for a while: somebody came in its place. */
  distrust(peer: Peer): void {
    if (!this.#isBanned(peer.id)) this.#banned.set(peer.id, performance.now() + distrustedFor);
  }

  #isBanned(id: string): boolean {
    return (this.#banned.get(id) ?? 0) > performance.now();
  }

  /** Idempotent. */
  close(peer: Peer, reason: string): void {
    if (!this.#peers.delete(peer.number)) return;
    clearTimeout(peer.timer);
    if (peer.open) setTimeout(() => peer.connection.close(), lastWords);
    else peer.connection.close();
    this.#events.closed(peer, reason);
  }

  closeAll(reason: string): void {
    for (const peer of this.all) this.close(peer, reason);
  }

  /** Whether to accept one more offer, which is then counted: strangers get a share of the connections, and in time. */
  #mayAnswer(id: string): boolean {
    const { all } = this;
    if (all.filter((peer) => peer.id === id).length >= maxConnectionsOfOne) return false;
    if (all.filter(({ answered }) => answered).length >= maxAnswered) return false;
    const now = performance.now();
    this.#offersLeft = Math.min(offersAtOnce, this.#offersLeft + ((now - this.#countedAt) / 1000) * offersPerSecond);
    this.#countedAt = now;
    if (this.#offersLeft < 1) return false;
    this.#offersLeft--;
    return true;
  }

  #create(id: string, at: string, session: string, answered: boolean): Peer | undefined {
    if (this.#peers.size >= maxConnections) return undefined;
    let connection: RTCPeerConnection;
    try {
      connection = new RTCPeerConnection({ iceServers: this.iceServers, iceTransportPolicy: this.#transports });
    } catch {
      return undefined; // The browser's own limit on connections.
    }
    const channel = connection.createDataChannel('codio', { negotiated: true, id: 0, ordered: true });
    const peer: Peer = {
      number: ++this.#lastNumber,
      id,
      at,
      session,
      answered,
      connection,
      channel,
      early: [],
      open: false,
      timer: setTimeout(() => this.close(peer, 'no connection in time'), setUpTimeout),
    };
    this.#peers.set(peer.number, peer);
    connection.onicecandidate = ({ candidate }) => {
      const text = candidate?.candidate ?? '';
      this.#events.signal(id, { type: 'candidate', session, candidate: text, mid: candidate?.sdpMid ?? '' }, at);
    };
    connection.onconnectionstatechange = () => {
      const { connectionState } = connection;
      if (connectionState === 'failed' || connectionState === 'closed') this.close(peer, connectionState);
    };
    // A channel can be transferred only in the task that created it.
    try {
      this.#events.handOver(peer, channel);
    } catch {
      channel.binaryType = 'arraybuffer';
      channel.bufferedAmountLowThreshold = 65_536;
      this.#events.handOver(peer, forwardChannel(channel));
    }
    return peer;
  }

  async #accept(peer: Peer, type: 'offer' | 'answer', sdp: string): Promise<void> {
    try {
      const remote = fingerprintOf(sdp);
      await peer.connection.setRemoteDescription({ type, sdp });
      for (const candidate of peer.early ?? []) void peer.connection.addIceCandidate(candidate).catch(() => {});
      peer.early = undefined;
      if (type === 'offer') await this.#describe(peer, 'answer');
      await this.#introduce(peer, remote);
    } catch (error) {
      this.close(peer, messageOf(error));
    }
  }

  /** While the connection is being made, so that no time is lost. */
  async #introduce(peer: Peer, remote: Uint8Array<ArrayBuffer>): Promise<void> {
    const nobody: Introduction = { proof: undefined, expected: undefined };
    const local = fingerprintOf(peer.connection.localDescription?.sdp ?? '');
    const introduction = (await this.#identity?.introduce(peer.id, local, remote)) ?? nobody;
    if (this.#peers.has(peer.number)) this.#events.introduce(peer, introduction);
  }

  async #describe(peer: Peer, type: 'offer' | 'answer'): Promise<void> {
    try {
      await peer.connection.setLocalDescription();
      const sdp = peer.connection.localDescription?.sdp ?? '';
      this.#events.signal(peer.id, { type, session: peer.session, sdp }, peer.at);
    } catch (error) {
      this.close(peer, messageOf(error));
    }
  }
}
