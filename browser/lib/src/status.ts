/**
 * `<codio-status>`: what the page's CodioCDN does now, and what it may upload.
 *
 *     <script type="module" src="./pkg/codio-status.js"></script>
 *     <codio-status></codio-status>
 *
 * It shows `window.codio` of the drop-in, or the CodioCDN in its property `cdn`. Light or dark as `color-scheme` says, and
 * coloured by the custom properties `--codio-peers`, `--codio-gateways` and `--codio-store`.
 */
import type { CodioCDN, Source } from './index';

type Shown = Pick<CodioCDN, 'on' | 'stats' | 'getPeers' | 'limits' | 'setLimits' | 'uploading'>;

const sources = ['peer', 'gateway', 'store'] as const satisfies Source['kind'][];
const names = { peer: 'Peers', gateway: 'Gateways', store: 'Cache' };
/** What is listed of upload limits, in bytes a second. */
const choices: [number, string][] = [
  [Infinity, 'no limit'],
  [5_000_000, '5 MB/s'],
  [1_000_000, '1 MB/s'],
  [250_000, '250 kB/s'],
];
const maxShownPeers = 12;
/** Rates are of this long, in milliseconds; the page's totals come four times a second. */
const interval = 500;

const style = `:host{display:block;max-width:20rem;padding:.75rem .9rem;border:1px solid color-mix(in srgb,currentcolor 20%,transparent);
border-radius:.6rem;background:Canvas;color:CanvasText;font:.8rem/1.4 system-ui,sans-serif;
--p:var(--codio-peers,#3b82f6);--g:var(--codio-gateways,#e08a2c);--s:var(--codio-store,#4f9d78)}
:host([hidden]){display:none}
dl,ul,p{margin:0;padding:0;list-style:none}
dl{display:flex;justify-content:space-between;font-variant-numeric:tabular-nums}
dt{opacity:.7;font-size:.7rem}dd{margin:0;font-weight:600;font-size:.95rem}
svg{display:block;width:100%;height:6.5rem}
line{stroke:var(--p);stroke-linecap:round}circle{fill:var(--p)}line.c{stroke-dasharray:2 3;opacity:.5}circle.c{opacity:.4}
.me{fill:CanvasText}text{fill:CanvasText;font-size:9px;text-anchor:middle}
.bar{display:flex;height:.5rem;border-radius:.25rem;overflow:hidden;background:color-mix(in srgb,currentcolor 12%,transparent)}
.peer{background:var(--p)}.gateway{background:var(--g)}.store{background:var(--s)}
ul{display:flex;flex-wrap:wrap;gap:.1rem .8rem;margin:.35rem 0 .6rem}
li i{display:inline-block;width:.55rem;height:.55rem;border-radius:50%;margin-right:.3rem}
form{display:flex;flex-wrap:wrap;gap:.4rem .8rem;align-items:center}
#why:not(:empty){margin-top:.5rem;opacity:.7}
label{display:flex;gap:.35rem;align-items:center}select{font:inherit}`;

const template = `<section aria-label="Codio CDN">
<dl><div><dt>Peers</dt><dd id="peers">–</dd></div><div><dt>Down</dt><dd id="down">–</dd></div><div><dt>Up</dt><dd id="up">–</dd></div></dl>
<svg viewBox="-100 -52 200 104" role="img"></svg>
<div class="bar" role="img"></div><ul></ul>
<form><label><input type="checkbox" id="pause">Pause upload</label><label>Upload limit <select id="limit"></select></label></form>
<p id="why" role="status"></p></section>`;

export class CodioStatus extends HTMLElement {
  #cdn: Shown | undefined;
  readonly #root = this.attachShadow({ mode: 'open' });
  readonly #offs: (() => void)[] = [];
  readonly #bytes = { peer: 0, gateway: 0, store: 0 };
  /** At the beginning of the interval that the rates are of. */
  #before = { time: 0, down: 0, up: 0 };
  #rates = { down: 0, up: 0 };
  /** Uploading is allowed up to this, unless it is paused. */
  #limit = Infinity;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor() {
    super();
    // A Content-Security-Policy may forbid style elements, but not this.
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(style);
    this.#root.adoptedStyleSheets = [sheet];
    this.#root.innerHTML = template;
    this.#find<HTMLInputElement>('#pause').onchange = this.#setLimit;
    this.#find<HTMLSelectElement>('#limit').onchange = () => {
      this.#limit = Number(this.#find<HTMLSelectElement>('#limit').value);
      this.#setLimit();
    };
  }

  /** Whose numbers are shown. */
  get cdn(): Shown | undefined {
    return this.#cdn;
  }

  set cdn(cdn: Shown | undefined) {
    this.#unlisten();
    this.#cdn = cdn;
    if (this.isConnected) this.#listen();
  }

  connectedCallback(): void {
    window.addEventListener('codio-ready', this.#adopt);
    this.#adopt();
    this.#listen();
  }

  disconnectedCallback(): void {
    window.removeEventListener('codio-ready', this.#adopt);
    this.#unlisten();
  }

  readonly #adopt = (): void => {
    const { codio } = window as { codio?: Shown };
    if (!this.#cdn && codio) this.cdn = codio;
  };

  #find<Found extends Element = HTMLElement>(selector: string): Found {
    return this.#root.querySelector(selector) as Found;
  }

  #listen(): void {
    const cdn = this.#cdn;
    if (!cdn || this.#offs.length > 0) return;
    const { downloadedFromPeers, downloadedFromGateways } = cdn.stats();
    Object.assign(this.#bytes, { peer: downloadedFromPeers, gateway: downloadedFromGateways });
    const { maxUpload } = cdn.limits;
    if (maxUpload > 0) this.#limit = maxUpload;
    this.#find<HTMLInputElement>('#pause').checked = maxUpload === 0;
    const options = choices.some(([bytes]) => bytes === this.#limit) ? choices : [...choices, [this.#limit, rate(this.#limit)] as const];
    this.#find<HTMLSelectElement>('#limit').replaceChildren(
      ...options.map(([bytes, text]) => new Option(text, String(bytes), false, bytes === this.#limit)),
    );
    this.#offs.push(
      cdn.on('verified', ({ bytes, source }) => {
        this.#bytes[source.kind] += bytes;
        this.#later();
      }),
      ...(['stats', 'peer-connected', 'peer-disconnected', 'connecting', 'uploading'] as const).map((name) => cdn.on(name, this.#later)),
    );
    this.#mark();
    this.#draw();
  }

  #unlisten(): void {
    this.#offs.splice(0).forEach((off) => off());
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** Nothing runs while nothing happens. */
  readonly #later = (): void => {
    if (this.#timer === undefined && !this.#moving()) this.#mark();
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      const { time, down, up } = this.#before;
      this.#mark();
      const seconds = (this.#before.time - time) / 1000;
      this.#rates = { down: (this.#before.down - down) / seconds, up: (this.#before.up - up) / seconds };
      this.#draw();
      // Once more, to show that it has become quiet.
      if (this.#moving()) this.#later();
    }, interval);
  };

  #moving(): boolean {
    return this.#rates.down > 0 || this.#rates.up > 0;
  }

  #mark(): void {
    const { peer, gateway } = this.#bytes;
    this.#before = { time: performance.now(), down: peer + gateway, up: this.#cdn?.stats().uploaded ?? 0 };
  }

  readonly #setLimit = (): void => {
    this.#cdn?.setLimits({ maxUpload: this.#find<HTMLInputElement>('#pause').checked ? 0 : this.#limit });
  };

  #draw(): void {
    const cdn = this.#cdn;
    if (!cdn) return;
    this.#find('#peers').textContent = String(cdn.stats().peers);
    this.#find('#down').textContent = rate(this.#rates.down);
    this.#find('#up').textContent = rate(this.#rates.up);
    const { allowed, reason } = cdn.uploading;
    this.#find('#why').textContent = allowed ? '' : `Not uploading: ${reason}.`;
    const total = sources.reduce((sum, kind) => sum + this.#bytes[kind], 0);
    const shares = sources.map((kind) => ({ kind, share: total === 0 ? 0 : this.#bytes[kind] / total }));
    const words = shares.map(({ kind, share }) => `${names[kind]} ${Math.round(100 * share)} %`);
    this.#find('.bar').replaceChildren(
      ...shares.map(({ kind, share }) => {
        const part = html('span', kind);
        part.style.width = `${100 * share}%`;
        return part;
      }),
    );
    this.#find('.bar').setAttribute('aria-label', `Where it came from: ${words.join(', ')}`);
    this.#find('ul').replaceChildren(
      ...shares.map(({ kind }, i) => {
        const item = html('li');
        item.append(html('i', kind), words[i] ?? '');
        return item;
      }),
    );
    this.#drawPeers(cdn.getPeers());
  }

  #drawPeers(peers: ReturnType<Shown['getPeers']>): void {
    const shown = peers.sort((a, b) => b.received - a.received).slice(0, maxShownPeers);
    const most = Math.max(1, ...shown.map(({ received }) => received));
    const lines: Element[] = [];
    const dots: Element[] = [];
    shown.forEach(({ id, state, received }, i) => {
      const angle = (2 * Math.PI * i) / shown.length;
      const [x, y] = [85 * Math.cos(angle), 40 * Math.sin(angle)].map(Math.round) as [number, number];
      const mark = state === 'open' ? '' : 'c';
      lines.push(svg('line', { x2: x, y2: y, 'stroke-width': 1 + 5 * (received / most), class: mark }));
      const dot = svg('circle', { cx: x, cy: y, r: 5, class: mark });
      const title = svg('title');
      title.textContent = `${id}: ${amount(received)}`;
      dot.append(title);
      dots.push(dot);
    });
    const more = peers.length - shown.length;
    const note = svg('text', { y: 48 });
    note.textContent = more > 0 ? `and ${more} more` : '';
    const graph = this.#find('svg');
    graph.replaceChildren(...lines, ...dots, svg('circle', { r: 7, class: 'me' }), note);
    graph.setAttribute('aria-label', `Peers connected: ${peers.filter(({ state }) => state === 'open').length}`);
  }
}

function html(name: string, className = ''): HTMLElement {
  return Object.assign(document.createElement(name), { className });
}

function svg(name: string, attributes: Record<string, string | number> = {}): Element {
  const element = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, String(value));
  return element;
}

function amount(bytes: number): string {
  const unit = bytes < 1e3 ? 0 : bytes < 1e6 ? 1 : bytes < 1e9 ? 2 : 3;
  const value = bytes / 1000 ** unit;
  return `${value.toFixed(unit > 0 && value < 10 ? 1 : 0)} ${['B', 'kB', 'MB', 'GB'][unit]}`;
}

function rate(bytes: number): string {
  return `${amount(bytes)}/s`;
}

// Twice in a page that has it from two places.
if (!customElements.get('codio-status')) customElements.define('codio-status', CodioStatus);
