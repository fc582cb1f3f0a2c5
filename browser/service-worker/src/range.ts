/** Offsets of RFC 9110's `Range`: from `begin` to `end`, its last byte excluded; to the end; or the last `suffix` bytes. */
export type Range = { begin: number; end: number | undefined } | { suffix: number };

/** Nothing for what may be answered as if it were not there: no range, none of bytes, several, or nonsense. */
export function parseRange(header: string | null): Range | undefined {
  const [, first = '', last = ''] = /^\s*bytes\s*=\s*(\d*)\s*-\s*(\d*)\s*$/i.exec(header ?? '') ?? [];
  const [begin, end] = [Number(first), Number(last) + 1];
  if (!Number.isSafeInteger(begin) || !Number.isSafeInteger(end)) return undefined;
  if (first === '') return last === '' ? undefined : { suffix: end - 1 };
  if (last === '') return { begin, end: undefined };
  return begin < end ? { begin, end } : undefined;
}
