import { setText, svg } from './element';
import { formatRate, formatTime } from './format';
import type { PeerView } from './messages';

/** Rings in milliseconds; what is nearer than the first is in it, what is farther than the last beyond it. */
const rings = [1, 10, 100, 1000];
const [x, y] = [170, 60];
const [innermost, outermost] = [16, 150];

/**
 * Peers by how long a message takes to them and back, as their connections measured it: nobody is asked where they are. The
 * angle only tells them apart.
 */
export function drawMap(map: SVGSVGElement, text: HTMLElement, peers: PeerView[]): void {
  const shown = [...peers].sort((a, b) => (a.roundTrip ?? Infinity) - (b.roundTrip ?? Infinity)).slice(0, 64);
  map.replaceChildren(
    ...rings.map((time) => svg('ellipse', { class: 'ring', cx: x, cy: y, rx: radius(time), ry: radius(time) * squash })),
    ...rings.slice(1).map((time) => label(x, y - radius(time) * squash + 3, formatTime(time))),
    ...shown.map((peer) => {
      const [px, py] = place(peer);
      return svg('line', { x1: x, y1: y, x2: px, y2: py, stroke: 'var(--peer)', 'stroke-opacity': peer.rate > 0 ? 0.7 : 0.2, 'stroke-width': peer.rate > 0 ? 1.5 : 1 });
    }),
    svg('circle', { cx: x, cy: y, r: 5, fill: 'var(--accent)' }),
    ...shown.map((peer) => {
      const [cx, cy] = place(peer);
      const title = svg('title', {});
      title.textContent = `${peer.id.slice(0, 8)}: ${peer.roundTrip === undefined ? 'not measured yet' : formatTime(peer.roundTrip)}`;
      const size = 3.5 + Math.min(4, Math.log10(1 + peer.rate / 1e5) * 2);
      return svg('circle', { cx, cy, r: size, fill: 'var(--peer)', stroke: 'var(--card)', 'stroke-width': 1.5 }, title);
    }),
  );
  const [nearest] = shown;
  const rate = peers.reduce((sum, peer) => sum + peer.rate, 0);
  const near = nearest?.roundTrip === undefined ? '' : ` Nearest: ${formatTime(Math.max(1, nearest.roundTrip))} away.`;
  setText(text, `${peers.length === 1 ? '1 peer.' : `${peers.length} peers.`}${near}${rate > 0 ? ` Sending ${formatRate(rate)}.` : ''}`);
}

const squash = 0.38;

function radius(time: number): number {
  const share = Math.log10(Math.max(1, Math.min(2000, time))) / 3;
  return innermost + (outermost - innermost) * share;
}

function place({ id, roundTrip }: PeerView): [number, number] {
  let hash = 0;
  for (const char of id) hash = (hash * 31 + char.charCodeAt(0)) >>> 0;
  const angle = ((hash % 360) * Math.PI) / 180;
  const far = radius(roundTrip ?? 1000);
  return [x + far * Math.cos(angle), y + far * squash * Math.sin(angle)];
}

function label(atX: number, atY: number, text: string): SVGElement {
  const made = svg('text', { x: atX, y: atY, 'text-anchor': 'middle' });
  made.textContent = text;
  return made;
}
