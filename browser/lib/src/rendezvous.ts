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

/** A provider that has to be met at another rendezvous. */
export interface ProviderElsewhere {
  peer: string;
  rendezvous: string;
}

/** Who serves a CID, as far as is known. */
export interface Found {
  peers: string[];
  elsewhere: ProviderElsewhere[];
  /** More will come. */
  more: boolean;
}

const subprotocol = 'codio-rendezvous.1';
const maxMessage = 64 * 1024;
const maxCids = 256;
const findTimeout = 3_000;
/** For all answers to a search. */
const searchTimeout = 10_000;
const maxElsewhere = 16;
const maxUrl = 512;
/** The longest that a server's times may be: beyond that they make no difference. */
const maxSeconds = 24 * 60 * 60;
const settleTimeout = 2_000;
const firstRetry = 500;
const lastRetry = 30_000;

const nothing: Found = { peers: [], elsewhere: [], more: false };

/**
 * The client side of docs/protocol.md §2: keeps one WebSocket to the first rendezvous that answers, goes to the next when
 * that one is lost or says that it goes, and announces again what was announced, in time to be remembered.
 */
export class Rendezvous {
  #urls: readonly string[];
  readonly #events: RendezvousEvents;
  readonly #announced = new Set<string>();
  readonly #finds = new Map<number, (found: Found) => void>();
  readonly #waiting = new Set<() => void>();
  #socket: WebSocket | undefined;
  #welcomed = false;
  #settled = false;
  #closed = false;
  #failures = 0;
  /** The URL that is used or tried. */
  #at = 0;
  #nextFind = 0;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #refresh: ReturnType<typeof setTimeout> | undefined;
  #move: ReturnType<typeof setTimeout> | undefined;
  #maxAnnounced = Infinity;

  constructor(urls: readonly string[], events: RendezvousEvents) {
    this.#urls = urls;
    this.#events = events;
    this.#connect();
  }

  get connected(): boolean {
    return this.#welcomed;
  }

  /** The rendezvous that it is connected to. */
  get url(): string | undefined {
    return this.#welcomed ? this.#urls[this.#at % this.#urls.length] : undefined;
  }

  /**
   * Asks who serves the CID. `handle` hears what is known at once, and again as long as there was `more`; nothing if there
   * is no rendezvous now or it does not answer in time; that one is left.
   */
  async find(cid: string, handle: (found: Found) => void): Promise<void> {
    await this.settled();
    if (!this.#welcomed) {
      handle(nothing);
      return;
    }
    const id = ++this.#nextFind;
    await new Promise<void>((resolve) => {
      let timer = setTimeout(() => this.#leave(), findTimeout);
      const end = performance.now() + searchTimeout;
      this.#finds.set(id, (found) => {
        clearTimeout(timer);
        if (found.more) timer = setTimeout(() => this.#answer(id, nothing), end - performance.now());
        else resolve();
        handle(found);
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
    this.#leave();
  }

  #connect(): void {
    const url = this.#urls[this.#at % this.#urls.length];
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

  /** It is silent: it has no time for us, or the connection died while the machine slept, of which no event tells. */
  #leave(): void {
    this.#socket?.close();
    this.#lost();
  }

  #lost(): void {
    this.#forget();
    this.#settle();
    if (this.#closed) return;
    // All are tried before the pauses grow.
    const rounds = Math.floor(this.#failures++ / Math.max(1, this.#urls.length));
    const pause = Math.min(lastRetry, firstRetry * 2 ** rounds);
    this.#at++;
    this.#retry = setTimeout(() => this.#connect(), pause * (0.5 + Math.random() / 2));
  }

  #forget(): void {
    this.#socket = undefined;
    this.#welcomed = false;
    clearTimeout(this.#refresh);
    clearTimeout(this.#move);
    for (const id of [...this.#finds.keys()]) this.#answer(id, nothing);
  }

  /** The server goes, and spreads its clients over time: this one's turn. */
  #moveOn(): void {
    const socket = this.#socket;
    this.#forget();
    socket?.close();
    this.#at++;
    this.#connect();
  }

  #receive(data: unknown, url: string): void {
    if (typeof data !== 'string' || data.length > maxMessage) return;
    let message: Record<string, unknown>;
    try {
      message = Object(JSON.parse(data)) as Record<string, unknown>;
    } catch {
      return;
    }
    const { type, version, from, session, sdp, candidate, mid, peer, id, peers, iceServers } = message;
    switch (type) {
      case 'welcome':
        if (version !== 1) {
          this.#refuse(url, version);
          break;
        }
        if (typeof message['maxAnnounced'] === 'number') this.#maxAnnounced = message['maxAnnounced'];
        if (isIceServers(iceServers)) this.#events.iceServers(iceServers);
        void this.#join(this.#socket, message);
        break;
      case 'ice-servers':
        if (isIceServers(iceServers)) this.#events.iceServers(iceServers);
        break;
      case 'moving': {
        const after = message['afterMs'];
        if (typeof after !== 'number' || !(after >= 0)) break;
        clearTimeout(this.#move);
        this.#move = setTimeout(() => this.#moveOn(), Math.min(after, maxSeconds * 1000));
        break;
      }
      case 'providers':
        if (typeof id === 'number' && isTextList(peers)) {
          this.#answer(id, { peers, elsewhere: readElsewhere(message['elsewhere']), more: message['more'] === true });
        }
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
        if (typeof id === 'number') this.#answer(id, nothing);
        break;
    }
  }

  #refuse(url: string, version: unknown): void {
    this.#urls = this.#urls.filter((one) => one !== url);
    this.#leave();
    this.#events.refused(
      new CodioError('unsupported', `${url} speaks version ${String(version)}; this library knows 1: it is not used`),
    );
  }

  async #join(socket: WebSocket | undefined, { challenge, announceSeconds }: Record<string, unknown>): Promise<void> {
    const members = await this.#events.join(challenge).catch(() => undefined);
    if (this.#socket !== socket) return;
    if (!members) {
      this.#leave();
      return;
    }
    this.#send({ type: 'join', ...members });
    this.#welcome(announceSeconds);
  }

  #welcome(lifetime: unknown): void {
    this.#welcomed = true;
    this.#failures = 0;
    this.#announceAll();
    if (typeof lifetime === 'number' && lifetime > 0) this.#refreshIn(Math.min(lifetime, maxSeconds) * 1000);
    this.#settle();
  }

  /** Half of the lifetime leaves time for another try; the rest is so that not all come at once. */
  #refreshIn(lifetime: number): void {
    this.#refresh = setTimeout(
      () => {
        this.#announceAll();
        this.#refreshIn(lifetime);
      },
      lifetime * (0.4 + Math.random() / 10),
    );
  }

  #announceAll(): void {
    const cids = [...this.#announced];
    for (let i = 0; i < cids.length; i += maxCids) this.#send({ type: 'announce', cids: cids.slice(i, i + maxCids) });
  }

  #answer(id: number, found: Found): void {
    const find = this.#finds.get(id);
    if (!found.more) this.#finds.delete(id);
    find?.(found);
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

/** What is not well-formed is left out: it came from a network that anybody may join. */
function readElsewhere(value: unknown): ProviderElsewhere[] {
  if (!Array.isArray(value)) return [];
  const all = value.filter((one: { peer?: unknown; rendezvous?: unknown } | null): one is ProviderElsewhere => {
    const { peer, rendezvous } = one ?? {};
    if (typeof peer !== 'string' || typeof rendezvous !== 'string') return false;
    return /^[\w-]{1,64}$/.test(peer) && rendezvous.length <= maxUrl && /^wss?:\/\//.test(rendezvous) && URL.canParse(rendezvous);
  });
  return all.slice(0, maxElsewhere);
}
