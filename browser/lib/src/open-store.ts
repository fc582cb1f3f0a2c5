import { openBlobs } from './blob-database';
import { CachedBlocks, type BlockStore, type Medium } from './block-store';
import { openPacks } from './opfs-packs';

/** A browser whose storage does not answer must not keep a download waiting. */
const openTimeout = 2_000;

/** The best store that there is: on disk in OPFS, else in IndexedDB, if it is to `persist`; else in memory. */
export function openStore(persist: boolean, capacity: number): BlockStore {
  return new CachedBlocks(capacity, openMedium(persist ? [openPacks, openBlobs] : [], capacity));
}

async function openMedium(ways: ((capacity: number) => Promise<Medium>)[], capacity: number): Promise<Medium | undefined> {
  for (const open of ways) {
    try {
      return await Promise.race([open(capacity), new Promise<never>((_, reject) => setTimeout(reject, openTimeout))]);
    } catch {
      // The next one.
    }
  }
  return undefined;
}
