import { svg } from './element';
import type { Snapshot } from './messages';

const span = 60_000;
const step = 1_000;
/** What a speed of now is the average of. */
const recent = 2_000;
const [width, height] = [340, 44];

/** Draws the last minute, and tells the speeds of now in bytes a second. `history`: sums, as of Snapshot. */
export function drawGraph(graph: SVGSVGElement, history: Snapshot['history']): { down: number; up: number } {
  const now = Date.now();
  const speed = (which: 1 | 2, begin: number, end: number) => (sumAt(history, which, end) - sumAt(history, which, begin)) / ((end - begin) / 1000);
  const lines = ([1, 2] as const).map((which) => {
    const speeds: number[] = [];
    for (let end = now - span + step; end <= now; end += step) speeds.push(Math.max(0, speed(which, end - step, end)));
    return speeds;
  });
  const most = Math.max(100_000, ...lines.flat());
  const points = (speeds: number[]) =>
    speeds.map((one, i) => `${((width * i) / (speeds.length - 1)).toFixed(1)} ${(height - 1 - ((height - 4) * one) / most).toFixed(1)}`).join('L');
  graph.replaceChildren(
    ...lines.flatMap((speeds, i) => {
      const colour = i === 0 ? 'var(--down)' : 'var(--up)';
      const path = points(speeds);
      return [
        svg('path', { d: `M0 ${height}L${path}L${width} ${height}Z`, fill: colour, 'fill-opacity': 0.12 }),
        svg('path', { d: `M${path}`, fill: 'none', stroke: colour, 'stroke-width': 1.5, 'stroke-linejoin': 'round' }),
      ];
    }),
  );
  return { down: Math.max(0, speed(1, now - recent, now)), up: Math.max(0, speed(2, now - recent, now)) };
}

/** Between two known sums it is taken to have grown evenly; before the first it was that one. */
function sumAt(history: Snapshot['history'], which: 1 | 2, time: number): number {
  const after = history.findIndex(([at]) => at > time);
  const before = history[after < 0 ? history.length - 1 : after - 1];
  const next = after < 0 ? undefined : history[after];
  if (!before) return next?.[which] ?? 0;
  if (!next || next[0] - before[0] > 2 * recent) return before[which];
  return before[which] + ((next[which] - before[which]) * (time - before[0])) / (next[0] - before[0]);
}
