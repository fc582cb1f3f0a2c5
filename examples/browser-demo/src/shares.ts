import type { Source } from 'codio-cdn';
import { byId, element } from './element';
import { formatBytes } from './format';

const peerColours = ['#6366f1', '#14b8a6', '#ec4899', '#84cc16', '#0ea5e9', '#a855f7', '#f43f5e', '#22c55e'];
const gatewayColour = '#f59e0b';
const storeColour = '#94a3b8';

/** The coloured bar and legend of which share came from where. */
export class Shares {
  readonly #rows = new Map<string, { bytes: number; bar: HTMLElement; amount: HTMLDataElement }>();
  #peers = 0;
  #total = 0;

  constructor() {
    byId('shares').hidden = true;
    byId('share-bar').replaceChildren();
    byId('share-legend').replaceChildren();
  }

  get count(): number {
    return this.#rows.size;
  }

  add(source: Source, bytes: number): void {
    const name = nameOf(source);
    const row = this.#rows.get(name) ?? this.#addRow(name, source);
    row.bytes += bytes;
    this.#total += bytes;
    for (const { bytes: part, bar, amount } of this.#rows.values()) {
      bar.style.flexGrow = String(part);
      amount.value = String(part);
      amount.textContent = `${formatBytes(part)} · ${Math.round((100 * part) / this.#total)} %`;
    }
  }

  #addRow(name: string, source: Source) {
    const colour = this.#colourOf(source);
    const row = { bytes: 0, bar: element('i', { title: name }), amount: element('data') };
    const dot = element('i');
    row.bar.style.background = dot.style.background = colour;
    byId('shares').hidden = false;
    byId('share-bar').append(row.bar);
    byId('share-legend').append(element('li', {}, dot, element('span', { title: name }, name), row.amount));
    this.#rows.set(name, row);
    return row;
  }

  #colourOf({ kind }: Source): string {
    if (kind === 'gateway') return gatewayColour;
    if (kind === 'store') return storeColour;
    return peerColours[this.#peers++ % peerColours.length] ?? storeColour;
  }
}

function nameOf(source: Source): string {
  switch (source.kind) {
    case 'peer':
      return `Peer ${source.peer.slice(0, 8)}`;
    case 'gateway':
      return `Gateway ${new URL(source.url).host}`;
    case 'store':
      return 'This tab’s store';
  }
}
