/** How fast uploads may be now, so that a month's budget is not overrun. */

/** Seconds for which what is left must last: many times the interval at which it is looked at. */
const horizon = 2;
/** Slower than this, in bytes a second, nobody waits for it: what is left then is not worth an upload any more. */
const slowest = 131_072;

/** `cap`, `left`: bytes a second and bytes, null for no limit. Infinity: no limit. */
export function uploadCap(cap: number | null, left: number | null): number {
  const limit = cap ?? Infinity;
  if (left === null) return limit;
  const rate = left / horizon;
  return rate < slowest ? 0 : Math.min(limit, rate);
}

export function monthOf(date: Date): string {
  return `${date.getFullYear()}-${String(date.getMonth() + 1).padStart(2, '0')}`;
}
