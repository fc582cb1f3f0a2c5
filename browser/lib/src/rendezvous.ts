import { isIceServers, isTextList } from './configuration';
import { CodioError } from './error';

/** What one peer sends another on the way to a connection; docs/protocol.md §2. */
export type Signal =
  | { type: 'offer' | 'answer'; session: string; sdp: string }
  | { type: 'candidate'; session: string; candidate: string; mid: string };

export interface RendezvousEvents {
  iceServers(servers: RTCIceServer[]): void;
  signal(from: string, signal: Signal): void;
  unreachable(peer: string, session: string): void;
  /** A rendezvous that is not used any more. */
  refused(error: CodioError): void;
  /** The members of `join` that answer the challenge; rejects if it is none. */
  join(challenge: unknown): Promise<object>;
}

const subprotocol = 'codio-rendezvous.1';
const maxMessage = 64 * 1024;
const maxCids = 256;
const findTimeout = 3_000;
const settleTimeout = 2_000;
const firstRetry = 500;
const lastRetry = 30_000;

interface Find {
  cid: string;
  resolve: (peers: string[]) => void;
}

/**
 * The client side of docs/protocol.md §2: keeps one WebSocket to the first rendezvous that answers, comes back after a
 * loss, and announces again what was announced.
 */
export class Rendezvous {
  #urls: readonly string[];
  readonly #events: RendezvousEvents;
  readonly #announced = new Set<string>();
  readonly #finds = new Map<number, Find>();
  readonly #waiting = new Set<() => void>();
  #socket: WebSocket | undefined;
  #welcomed = false;
  #settled = false;
  #closed = false;
  #failures = 0;
  #nextFind = 0;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #maxAnnounced = Infinity;

  constructor(urls: readonly string[], events: RendezvousEvents) {
    this.#urls = urls;
    this.#events = events;
    this.#connect();
  }

  get connected(): boolean {
    return this.#welcomed;
  }

  /** Peers that announced the CID; none if there is no rendezvous now or it does not answer in time. */
  async find(cid: string): Promise<string[]> {
    await this.settled();
    if (!this.#welcomed) return [];
    const id = ++this.#nextFind;
    return new Promise<string[]>((resolve) => {
      const timer = setTimeout(() => this.#answer(id, []), findTimeout);
      this.#finds.set(id, {
        cid,
        resolve: (peers) => {
          clearTimeout(timer);
          resolve(peers);
        },
      });
      this.#send({ type: 'find', id, cid });
    });
  }

  announce(cid: string): void {
    if (this.#announced.has(cid) || this.#announced.size >= this.#maxAnnounced) return;
    this.#announced.add(cid);
    if (this.#welcomed) this.#send({ type: 'announce', cids: [cid] });
  }

  withdraw(cid: string): void {
    if (this.#announced.delete(cid) && this.#welcomed) this.#send({ type: 'withdraw', cids: [cid] });
  }

  signal(to: string, signal: Signal): void {
    if (this.#welcomed) this.#send({ ...signal, to });
  }

  /** Resolves once the first attempt to connect has succeeded or failed, or takes too long to wait for. */
  settled(): Promise<void> {
    if (this.#settled || this.#closed) return Promise.resolve();
    return new Promise((resolve) => {
      this.#waiting.add(resolve);
      setTimeout(() => this.#settle(), settleTimeout);
    });
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#retry);
    this.#socket?.close();
    this.#lost();
  }

  #connect(): void {
    const url = this.#urls[this.#failures % this.#urls.length];
    if (url === undefined) {
      this.#settle();
      return;
    }
    let socket: WebSocket;
    try {
      socket = new WebSocket(url, subprotocol);
    } catch {
      this.#lost(); // Not a URL for a WebSocket, or not one that this page may use.
      return;
    }
    this.#socket = socket;
    socket.onmessage = ({ data }: MessageEvent<unknown>) => {
      if (this.#socket === socket) this.#receive(data, url);
    };
    socket.onclose = () => {
      if (this.#socket === socket) this.#lost();
    };
  }

  #lost(): void {
    this.#socket = undefined;
    this.#welcomed = false;
    for (const id of [...this.#finds.keys()]) this.#answer(id, []);
    this.#settle();
    if (this.#closed) return;
    const pause = Math.min(lastRetry, firstRetry * 2 ** this.#failures++);
    this.#retry = setTimeout(() => this.#connect(), pause * (0.5 + Math.random() / 2));
  }

  #receive(data: unknown, url: string): void {
    if (typeof data !== 'string' || data.length > maxMessage) return;
    let message: Record<string, unknown>;
    try {
      message = Object(JSON.parse(data)) as Record<string, unknown>;
    } catch {
      return;
    }
    const { type, version, challenge, from, session, sdp, candidate, mid, peer, id, peers, iceServers, maxAnnounced } = message;
    switch (type) {
      case 'welcome':
        if (version !== 1) {
          this.#refuse(url, version);
          break;
        }
        if (typeof maxAnnounced === 'number') this.#maxAnnounced = maxAnnounced;
        if (isIceServers(iceServers)) this.#events.iceServers(iceServers);
        void this.#join(this.#socket, challenge);
        break;
      case 'providers':
        if (typeof id === 'number' && isTextList(peers)) this.#answer(id, peers);
        break;
      case 'offer':
      case 'answer':
        if (typeof from === 'string' && typeof session === 'string' && typeof sdp === 'string') {
          this.#events.signal(from, { type, session, sdp });
        }
        break;
      case 'candidate':
        if (
          typeof from === 'string' &&
          typeof session === 'string' &&
          typeof candidate === 'string' &&
          typeof mid === 'string'
        ) {
          this.#events.signal(from, { type, session, candidate, mid });
        }
        break;
      case 'unreachable':
        if (typeof peer === 'string' && typeof session === 'string') this.#events.unreachable(peer, session);
        break;
      case 'error':
        if (typeof id === 'number') this.#answer(id, []);
        break;
    }
  }

  #refuse(url: string, version: unknown): void {
    this.#urls = this.#urls.filter((one) => one !== url);
    this.#socket?.close();
    this.#lost();
    this.#events.refused(
      new CodioError('unsupported', `${url} speaks version ${String(version)}; this library knows 1: it is not used`),
    );
  }

  async #join(socket: WebSocket | undefined, challenge: unknown): Promise<void> {
    const members = await this.#events.join(challenge).catch(() => undefined);
    if (this.#socket !== socket) return;
    if (!members) {
      socket?.close();
      this.#lost();
      return;
    }
    this.#send({ type: 'join', ...members });
    this.#welcome();
  }

  #welcome(): void {
    this.#welcomed = true;
    this.#failures = 0;
    const cids = [...this.#announced];
    for (let i = 0; i < cids.length; i += maxCids) this.#send({ type: 'announce', cids: cids.slice(i, i + maxCids) });
    this.#settle();
  }

  #answer(id: number, peers: string[]): void {
    const find = this.#finds.get(id);
    this.#finds.delete(id);
    find?.resolve(peers);
  }

  #settle(): void {
    this.#settled = true;
    for (const resolve of this.#waiting) resolve();
    this.#waiting.clear();
  }

  #send(message: object): void {
    if (this.#socket?.readyState === 1) this.#socket.send(JSON.stringify(message));
  }
}
