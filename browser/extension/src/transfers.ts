/**
 * The downloads that go on for others: viewer pages, and pages of sites that may use the node. Each talks to the node as its
 * CodioCDN does (browser/lib/src/link.ts); what passes is watched here, so that the popup can show, pause and cancel it, and
 * so that a site learns nothing of what others do.
 */
import type { Ask, Details, PeerInfo, Tell } from 'codio-cdn';
import type { TransferView } from './messages';

/** The way to a page. What comes from a site's may be anything. */
export interface Wire {
  onmessage: ((message: unknown) => void) | undefined;
  post(message: unknown, transfer: Transferable[]): void;
}

/** What the node is asked to do more than once at a time by one page; it refuses more itself. */
const maxRequests = 64;

interface Running {
  readonly id: number;
  readonly address: string;
  readonly site: string;
  /** Bytes of the file that the page wants. */
  readonly begin: number;
  readonly end: number;
  total: number;
  received: number;
  paused: boolean;
  /** What the page took while it is paused: the node stops when it hears nothing of that. */
  held: Ask[];
  details: Details | undefined;
  tellNode(ask: Ask): void;
  cancel(): void;
}

export class Transfers {
  readonly #changed: () => void;
  readonly #running = new Map<number, Running>();
  #last = 0;
  /** Bytes that the store had, of all transfers. */
  fromCache = 0;

  constructor(changed: () => void) {
    this.#changed = changed;
  }

  get views(): TransferView[] {
    return [...this.#running.values()].map(viewOf);
  }

  /** Download rates by peer, in bytes a second. */
  get rates(): Map<string, number> {
    const rates = new Map<string, number>();
    for (const { details, paused } of this.#running.values()) {
      if (paused) continue;
      for (const { peer, rate } of details?.peers ?? []) rates.set(peer, (rates.get(peer) ?? 0) + rate);
    }
    return rates;
  }

  pause(id: number): void {
    const running = this.#running.get(id);
    if (running) running.paused = true;
    this.#changed();
  }

  resume(id: number): void {
    const running = this.#running.get(id);
    if (!running) return;
    running.paused = false;
    for (const ask of running.held.splice(0)) running.tellNode(ask);
    this.#changed();
  }

  cancel(id: number): void {
    this.#running.get(id)?.cancel();
  }

  /** Joins a page and the node, until the function returned is called. `site`: the page's origin; '': it is ours. */
  join(wire: Wire, node: MessagePort, site: string): () => void {
    /** By the page's numbers. */
    const mine = new Map<number, Running>();
    const seen = new Seen();
    /** What the viewer got from the network, by address: it reads the beginning of a file twice. */
    const fetched = new Map<string, number>();
    const forget = (request: number) => {
      const running = mine.get(request);
      mine.delete(request);
      if (running && this.#running.delete(running.id)) this.#changed();
    };
    wire.onmessage = (message) => {
      const ask = (message ?? {}) as Ask;
      // The user decides on these, not a page.
      if (ask.type === 'uploading' || ask.type === 'limits' || ask.type === 'leave') return;
      if (ask.type === 'cache') {
        wire.post({ type: 'ended', request: ask.request, error: { code: 'unsupported', message: 'the extension’s cache is of all sites' } }, []);
        return;
      }
      if (ask.type === 'open' && typeof ask.address === 'string' && mine.size < maxRequests) {
        const { request } = ask;
        const cancel = () => {
          node.postMessage({ type: 'cancel', request });
          wire.post({ type: 'ended', request, error: { code: 'cancelled', message: 'cancelled in the popup' } }, []);
          forget(request);
        };
        const running: Running = {
          id: ++this.#last,
          address: ask.address.slice(0, 300),
          site,
          begin: ask.begin,
          end: ask.end,
          total: 0,
          received: 0,
          paused: false,
          held: [],
          details: undefined,
          tellNode: (one) => node.postMessage(one),
          cancel,
        };
        forget(request);
        mine.set(request, running);
        this.#running.set(running.id, running);
        this.#changed();
      } else if (ask.type === 'consume' && mine.get(ask.request)?.paused) {
        mine.get(ask.request)?.held.push(ask);
        return;
      } else if (ask.type === 'cancel') {
        forget(ask.request);
      }
      node.postMessage(message);
    };
    node.onmessage = ({ data: told }: MessageEvent<Tell>) => {
      const running = 'request' in told ? mine.get(told.request) : undefined;
      switch (told.type) {
        case 'size':
          if (running) running.total = Math.max(0, (running.end < 0 ? told.size : Math.min(running.end, told.size)) - running.begin);
          break;
        case 'data':
          if (running) running.received += told.bytes.length;
          this.#changed();
          wire.post(told, [told.bytes.buffer]);
          return;
        case 'details':
          if (running) running.details = told.details;
          seen.note(told.details);
          this.#changed();
          break;
        case 'ended':
          forget(told.request);
          break;
        case 'event':
          if (told.name === 'verified') {
            const { transfer, bytes, source } = told.event;
            const address = mine.get(transfer)?.address ?? '';
            const again = fetched.get(address) ?? 0;
            seen.add(source.kind, bytes);
            if (source.kind === 'store') {
              const known = Math.min(again, bytes);
              this.fromCache += bytes - known;
              fetched.set(address, again - known);
            } else if (site === '') {
              fetched.set(address, again + bytes);
            }
          }
          break;
      }
      const shown = site === '' ? told : seen.filter(told);
      if (shown) wire.post(shown, []);
    };
    return () => {
      for (const request of [...mine.keys()]) forget(request);
      node.close();
    };
  }
}

/** What one site has had from the node, and of that node's state it may see no more. */
class Seen {
  readonly #peers = new Map<string, number>();
  readonly #bytes = { peer: 0, gateway: 0, store: 0 };

  note({ peers }: Details): void {
    for (const { peer, bytes } of peers) this.#peers.set(peer, bytes);
  }

  add(kind: 'peer' | 'gateway' | 'store', bytes: number): void {
    this.#bytes[kind] += bytes;
  }

  filter(told: Tell): Tell | undefined {
    if (told.type === 'event' && (told.name === 'peer-connected' || told.name === 'peer-disconnected')) {
      return this.#peers.has(told.event.peer) ? told : undefined;
    }
    if (told.type === 'problem') return undefined;
    if (told.type === 'limits') return { ...told, limits: { ...told.limits, maxUpload: Infinity, maxDownload: Infinity } };
    if (told.type !== 'state') return told;
    const peers: PeerInfo[] = told.peers.filter(({ id }) => this.#peers.has(id)).map((peer) => ({ ...peer, received: this.#peers.get(peer.id) ?? 0 }));
    const { peer, gateway } = this.#bytes;
    const stats = {
      peers: peers.filter(({ state }) => state === 'open').length,
      downloadedFromPeers: peer,
      downloadedFromGateways: gateway,
      uploaded: 0,
      duplicates: 0,
      transfers: 0,
    };
    return { ...told, peers, stats };
  }
}

function viewOf({ id, address, site, paused, received, total, details }: Running): TransferView {
  return {
    id,
    address,
    site,
    paused,
    received,
    total,
    rate: paused ? 0 : (details?.rate ?? 0),
    remaining: paused ? undefined : details?.remaining,
    fromPeers: details?.fromPeers ?? 0,
    fromGateways: details?.fromGateways ?? 0,
    fromCache: details?.fromStore ?? 0,
  };
}
