/** How fast uploads may be now, so that a month's budget is not overrun. */

/** Bytes of budget that are not worth an upload any more. */
const nothing = 65_536;
/** Seconds for which what is left must last: many times the interval at which it is looked at. */
const horizon = 2;

/** `cap`, `left`: bytes a second and bytes, null for no limit. Infinity: no limit. */
export function uploadCap(cap: number | null, left: number | null): number {
  const limit = cap ?? Infinity;
  if (left === null) return limit;
  return left <= nothing ? 0 : Math.min(limit, left / horizon);
}

export function monthOf(date: Date): string {
  return `${date.getFullYear()}-${String(date.getMonth() + 1).padStart(2, '0')}`;
}
