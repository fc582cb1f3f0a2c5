import type { CodioCDN, CodioEvents } from './index';
import type { Head } from './service-worker-messages';

export interface Times {
  readonly started: number;
  size: number;
  finding?: number;
  connecting?: number;
  /** Whom it is connecting to. */
  readonly peers: Set<string>;
  signalled?: number;
  connected?: number;
  first?: number;
  hashing?: number;
}

/** Watches what the transfers of a page go through. */
export class Timings {
  readonly #transfers = new Map<number, Times>();
  readonly #offs: (() => void)[];

  constructor(cdn: CodioCDN) {
    const on = <Name extends keyof CodioEvents>(name: Name, listener: (event: CodioEvents[Name]) => void) =>
      cdn.on(name, listener);
    const ofPeer = (peer: string, mark: (times: Times) => void) => {
      for (const times of this.#transfers.values()) if (times.peers.has(peer)) mark(times);
    };
    this.#offs = [
      on('started', ({ transfer }) => {
        this.#transfers.set(transfer, { started: performance.now(), size: 0, peers: new Set() });
      }),
      on('finished', ({ transfer }) => this.#transfers.delete(transfer)),
      on('failed', ({ transfer }) => this.#transfers.delete(transfer)),
      on('finding', ({ transfer }) => this.#mark(transfer, (times) => (times.finding ??= performance.now()))),
      on('connecting', ({ transfer, peer }) =>
        this.#mark(transfer, (times) => {
          times.connecting ??= performance.now();
          times.peers.add(peer);
        }),
      ),
      on('peer-signalled', ({ peer }) => ofPeer(peer, (times) => (times.signalled ??= performance.now()))),
      on('peer-connected', ({ peer }) => ofPeer(peer, (times) => (times.connected ??= performance.now()))),
      on('receiving', ({ transfer, size }) => this.#mark(transfer, (times) => (times.size = size))),
      on('verified', ({ transfer, hashing }) =>
        this.#mark(transfer, (times) => {
          times.first ??= performance.now();
          times.hashing ??= hashing;
        }),
      ),
    ];
  }

  stop(): void {
    for (const off of this.#offs) off();
  }

  /** Of a transfer that goes on; what is returned is filled in until it ends. */
  of(transfer: number): Times | undefined {
    return this.#transfers.get(transfer);
  }

  #mark(transfer: number, mark: (times: Times) => void): void {
    const times = this.#transfers.get(transfer);
    if (times) mark(times);
  }
}

/** As far as it is known by now. */
export function headOf({ size, started, finding, connecting, signalled, connected, first, hashing }: Times): Head {
  return {
    size,
    timing: {
      ...between('find', finding, connecting ?? first),
      ...between('signal', connecting, signalled),
      ...between('connect', signalled, connected),
      ...between('firstByte', started, first),
      ...(hashing !== undefined && { verify: hashing }),
    },
  };
}

/** Nothing, too, if the later came first: it did not wait for the other. */
function between<Name extends string>(name: Name, from?: number, to?: number): { [key in Name]?: number } {
  return (from === undefined || to === undefined || to < from ? {} : { [name]: to - from }) as { [key in Name]?: number };
}
