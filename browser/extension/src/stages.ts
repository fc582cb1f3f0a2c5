import type { CodioCDN } from 'codio-cdn';
import { byId, element, setText } from './element';
import { formatBytes, formatTime } from './format';

const names = {
  starting: 'Starting the node',
  finding: 'Finding who has it',
  connecting: 'Connecting to peers',
  waiting: 'Waiting for the first block',
  receiving: 'Receiving and checking',
} as const;
type Stage = keyof typeof names;
const order = Object.keys(names) as Stage[];

/** How long each stage of a download took, where its bytes came from, and what that says. */
export class Stages {
  readonly #began: Partial<Record<Stage, number>> = {};
  readonly #bytes = { peer: 0, gateway: 0, store: 0 };
  #fetched = 0;
  readonly #peers = new Set<string>();
  #ended: number | undefined;

  constructor() {
    this.#reach('starting');
  }

  get isReceiving(): boolean {
    return this.#began.receiving !== undefined;
  }

  /** Follows whatever the page downloads. */
  listen(cdn: CodioCDN): void {
    cdn.on('finding', () => this.#reach('finding'));
    cdn.on('connecting', () => this.#reach('connecting'));
    cdn.on('peer-connected', () => this.#reach('waiting'));
    cdn.on('verified', ({ bytes, source }) => {
      // The beginning is read twice: what it is decides how it is read.
      const again = source.kind === 'store' ? Math.min(bytes, this.#fetched) : -bytes;
      this.#fetched -= again;
      this.#bytes[source.kind] += source.kind === 'store' ? bytes - again : bytes;
      if (source.kind === 'peer') this.#peers.add(source.peer);
      this.#reach('receiving');
    });
  }

  /** More may come; then it goes on from its beginning. */
  end(): void {
    this.#ended = performance.now();
    this.show();
  }

  show(): void {
    const now = this.#ended ?? performance.now();
    const reached = order.filter((stage) => this.#began[stage] !== undefined);
    const spans = reached.map((stage, i) => {
      const next = reached[i + 1];
      return { stage, time: (next ? (this.#began[next] ?? now) : now) - (this.#began[stage] ?? now) };
    });
    const whole = spans.reduce((sum, { time }) => sum + time, 0) || 1;
    byId('stages').replaceChildren(
      ...spans.map(({ stage, time }) => {
        const bar = element('i');
        bar.style.width = `${(100 * time) / whole}%`;
        return element('li', {}, element('span', {}, names[stage]), element('span', { className: 'track' }, bar), element('data', {}, formatTime(time)));
      }),
    );
    setText(byId('verdict'), this.#verdict(spans));
  }

  #reach(stage: Stage): void {
    if (this.#began.receiving !== undefined || this.#began[stage] !== undefined) return;
    this.#began[stage] = performance.now();
    this.show();
  }

  #verdict(spans: { stage: Stage; time: number }[]): string {
    const { peer, gateway, store } = this.#bytes;
    const all = peer + gateway + store;
    const sources = [
      peer > 0 && `${formatBytes(peer)} from ${this.#peers.size} ${this.#peers.size === 1 ? 'peer' : 'peers'}`,
      gateway > 0 && `${formatBytes(gateway)} from a gateway`,
      store > 0 && `${formatBytes(store)} from this computer`,
    ].filter((text) => text !== false);
    const [slowest] = [...spans].sort((a, b) => b.time - a.time);
    if (all === 0) return advice[slowest?.stage ?? 'starting'];
    const late = this.#began.waiting === undefined ? ' No peer was connected in time.' : ' Peers brought little of it in time.';
    const why = gateway > peer + store ? late : '';
    return `${sources.join(', ')}.${why}`;
  }
}

const advice: Record<Stage, string> = {
  starting: 'The node is starting.',
  finding: 'Nobody who has it was found yet. Without a rendezvous, only the gateways are asked.',
  connecting: 'Peers have it, and the connection to them takes its time: a firewall may be in between.',
  waiting: 'A peer is connected, and has not sent anything yet.',
  receiving: '',
};
