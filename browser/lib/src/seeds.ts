/**
 * Which roots this origin's store has whole, and their sizes, oldest first: what a later session offers at once. Only a
 * page can keep it.
 */
const key = 'codio-seeds';
const maxSeeds = 256;

/** Nothing where the browser keeps nothing. */
export function loadSeeds(): Map<string, number> {
  try {
    const list: unknown = JSON.parse(localStorage.getItem(key) ?? '[]');
    return new Map(Array.isArray(list) ? list.filter(isSeed).slice(-maxSeeds) : []);
  } catch {
    return new Map();
  }
}

export function saveSeeds(seeds: ReadonlyMap<string, number>): void {
  try {
    localStorage.setItem(key, JSON.stringify([...seeds].slice(-maxSeeds)));
  } catch {
    // The next session offers what it downloads.
  }
}

export function forgetSeeds(): void {
  saveSeeds(new Map());
}

function isSeed(one: unknown): one is [string, number] {
  return Array.isArray(one) && typeof one[0] === 'string' && typeof one[1] === 'number' && one[1] >= 0;
}
