import { openBlobs } from './blob-database';
import { CachedBlocks, type BlockStore, type Medium, type Pack } from './block-store';
import { openPacks, openPacksToRead } from './opfs-packs';

/** A browser whose storage does not answer must not keep a download waiting. */
const openTimeout = 2_000;

/** The best store that there is: on disk in OPFS, else in IndexedDB, if it is to `persist`; else in memory. */
export function openStore(persist: boolean, capacity: number): BlockStore {
  return new CachedBlocks(capacity, openMedium(persist ? [openPacks, openBlobs] : [], capacity));
}

/**
 * The store of a service worker, which can only read the packs of the pages: what it gets itself goes to IndexedDB. Its
 * index is as of now, so it is opened anew whenever it is needed again.
 */
export function openWorkerStore(persist: boolean, capacity: number): BlockStore {
  return new CachedBlocks(capacity, openMedium(persist ? [openPacksAndBlobs, openBlobs] : [], capacity));
}

async function openPacksAndBlobs(capacity: number): Promise<Medium> {
  const [packs, blobs] = await Promise.all([openPacksToRead(capacity), openBlobs()]);
  const ofPacks = new Set(Array.from(packs.found, ([, { pack }]) => pack));
  const of = (pack: Pack) => (ofPacks.has(pack) ? packs : blobs);
  return {
    kind: blobs.kind,
    found: [...packs.found, ...blobs.found],
    append: (cid, bytes, pinned) => blobs.append(cid, bytes, pinned),
    read: (block) => of(block.pack).read(block),
    remove: (pack) => of(pack).remove(pack),
    clear: () => Promise.all([packs.clear(), blobs.clear()]),
  };
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
