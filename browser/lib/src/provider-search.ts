import type { Peer } from './peers';
import type { Found } from './rendezvous';

/** Set-ups at a time for one transfer: few until it is known to be worth more. */
const firstSetUps = 3;
const maxSetUps = 8;
const worthMoreSetUps = 4 * 1024 * 1024;
const maxProviders = 32;
/** Open connections that one transfer looks for. */
const enoughPeers = 10;

/** What the node does for a search. */
export interface SearchHost {
  /** Fewer providers than this are none. */
  readonly minSwarm: number;
  /** The rendezvous that finds. */
  home(): string | undefined;
  find(root: string, handle: (found: Found) => void): Promise<unknown>;
  /** Joins another rendezvous; tells whether it can be used. */
  join(rendezvous: string): Promise<boolean>;
  /** An open connection or a set-up, perhaps one of before; nothing if it may not be. `at`: as of Peer. */
  connect(id: string, at: string): Peer | undefined;
  /** The peer, newly, is a provider. */
  provides(peer: Peer): void;
  /** How many may still come. */
  pending(count: number): void;
}

/** One transfer's providers: finds them, and connects as many as the transfer is worth, one after the other. */
export class ProviderSearch {
  readonly #host: SearchHost;
  /** Not yet tried, by id and rendezvous, as of Peer. */
  #providers: { id: string; at: string }[] = [];
  /** Providers whose rendezvous is being joined. */
  #joining = 0;
  /** Who was found, so that nobody is tried twice for one search. */
  readonly #found = new Set<string>();
  /** Whether providers may still be found. */
  #more = false;
  readonly #connecting = new Set<Peer>();
  readonly #connected = new Set<Peer>();
  #searching = true;
  #ended = false;
  #size = 0;
  /** What the host was told last. */
  #pending = -1;

  constructor(host: SearchHost) {
    this.#host = host;
  }

  async find(root: string): Promise<void> {
    this.#searching = true;
    this.#providers = [];
    this.#found.clear();
    await this.#host.find(root, (found) => this.#handleFound(found));
  }

  /** The transfer's bytes. */
  handleSize(size: number): void {
    this.#size = size;
    this.#connectMore();
  }

  handleOpen(peer: Peer): void {
    if (!this.#connecting.delete(peer)) return;
    this.#connected.add(peer);
    this.#connectMore();
  }

  handleClosed(peer: Peer): void {
    if (this.#connected.delete(peer) || this.#connecting.delete(peer)) this.#connectMore();
  }

  end(): void {
    this.#ended = true;
  }

  #handleFound({ peers, elsewhere, more }: Found): void {
    const home = this.#host.home();
    const providers = [
      ...peers.map((id) => ({ id, at: '' })),
      ...elsewhere.map(({ peer, rendezvous }) => ({ id: peer, at: rendezvous === home ? '' : rendezvous })),
    ];
    for (const provider of providers) {
      const key = `${provider.id} ${provider.at}`;
      if (this.#found.size >= maxProviders || this.#found.has(key)) continue;
      this.#found.add(key);
      this.#providers.push(provider);
    }
    this.#more = more;
    if (this.#found.size < this.#host.minSwarm) this.#providers = [];
    this.#searching = false;
    this.#pending = -1;
    this.#connectMore();
  }

  /** Begins what set-ups the transfer is worth, and tells how many may still come. */
  #connectMore(): void {
    if (this.#searching || this.#ended) return;
    const setUps = this.#size < worthMoreSetUps ? firstSetUps : maxSetUps;
    const busy = () => this.#connecting.size + this.#joining;
    while (busy() < setUps && this.#connected.size + busy() < enoughPeers) {
      const provider = this.#providers.shift();
      if (provider === undefined) break;
      if (provider.at === '') this.#connect(provider.id, '');
      else void this.#connectElsewhere(provider.id, provider.at);
    }
    const more = this.#providers.length + (this.#more ? 1 : 0);
    const pending = busy() + (this.#connected.size < enoughPeers ? more : 0);
    if (pending === this.#pending) return;
    this.#pending = pending;
    this.#host.pending(pending);
  }

  #connect(id: string, at: string): void {
    const peer = this.#host.connect(id, at);
    if (!peer || this.#connecting.has(peer) || this.#connected.has(peer)) return;
    (peer.open ? this.#connected : this.#connecting).add(peer);
    this.#host.provides(peer);
  }

  async #connectElsewhere(id: string, at: string): Promise<void> {
    this.#joining++;
    const joined = await this.#host.join(at);
    this.#joining--;
    if (joined && !this.#ended) this.#connect(id, at);
    this.#connectMore();
  }
}
