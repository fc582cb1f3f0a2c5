import { Rendezvous, type Signal } from './rendezvous';

export interface ElsewhereEvents {
  signal(from: string, signal: Signal, at: string): void;
  unreachable(peer: string, session: string, at: string): void;
  /** As of RendezvousEvents. */
  join(challenge: unknown): Promise<object>;
}

/** Other people's machines: few, and not for longer than it takes to connect. */
const maxOpen = 4;
const unusedTimeout = 30_000;
/** One that could not be reached is not tried again for so long. */
const failedTimeout = 60_000;
const maxFailed = 256;

interface Joined {
  rendezvous: Rendezvous;
  timer: ReturnType<typeof setTimeout>;
}

/** The rendezvous that providers live at, besides our own (docs/protocol.md §2.4): joined when needed, left when not. */
export class Elsewhere {
  readonly #events: ElsewhereEvents;
  readonly #joined = new Map<string, Joined>();
  readonly #failed = new Map<string, number>();
  #closed = false;

  constructor(events: ElsewhereEvents) {
    this.#events = events;
  }

  /** URLs. */
  get open(): string[] {
    return [...this.#joined.keys()];
  }

  /** Whether peers can be signalled there now; connects if need be. */
  async join(url: string): Promise<boolean> {
    let joined = this.#joined.get(url);
    if (!joined) {
      const failedAt = this.#failed.get(url);
      const recently = failedAt !== undefined && performance.now() - failedAt < failedTimeout;
      if (this.#closed || recently || this.#joined.size >= maxOpen) return false;
      const rendezvous = new Rendezvous([url], {
        iceServers() {}, // A stranger's TURN servers would see who talks to whom.
        signal: (from, signal) => {
          this.#use(url);
          this.#events.signal(from, signal, url);
        },
        unreachable: (peer, session) => this.#events.unreachable(peer, session, url),
        refused() {},
        join: (challenge) => this.#events.join(challenge),
      });
      joined = { rendezvous, timer: setTimeout(() => this.#leave(url), unusedTimeout) };
      this.#joined.set(url, joined);
    }
    this.#use(url);
    await joined.rendezvous.settled();
    if (joined.rendezvous.connected) return true;
    this.#leave(url);
    if (this.#failed.size >= maxFailed) this.#failed.clear();
    this.#failed.set(url, performance.now());
    return false;
  }

  signal(at: string, to: string, signal: Signal): void {
    this.#use(at);
    this.#joined.get(at)?.rendezvous.signal(to, signal);
  }

  close(): void {
    this.#closed = true;
    for (const url of this.open) this.#leave(url);
  }

  #use(url: string): void {
    const joined = this.#joined.get(url);
    if (!joined) return;
    clearTimeout(joined.timer);
    joined.timer = setTimeout(() => this.#leave(url), unusedTimeout);
  }

  #leave(url: string): void {
    const joined = this.#joined.get(url);
    if (!joined) return;
    this.#joined.delete(url);
    clearTimeout(joined.timer);
    joined.rendezvous.close();
  }
}
