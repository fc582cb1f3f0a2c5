/** Blocks as blobs in IndexedDB, where OPFS does not serve. Pinned ones, which other tabs must not remove, in memory. */
import { inMemory, newPack, type Block, type Medium, type Pack } from './block-store';

type Key = [time: number, cid: string, size: number];
interface BlobPack extends Pack {
  readonly key: Key;
}

export async function openBlobs(): Promise<Medium> {
  const opening = indexedDB.open('codio-1');
  opening.onupgradeneeded = () => opening.result.createObjectStore('blocks');
  const database = await settled(opening);
  const blocks = (mode: IDBTransactionMode) => database.transaction('blocks', mode).objectStore('blocks');
  const blockOf = (key: Key, checked: boolean): Block => {
    const pack: BlobPack = { ...newPack(), key };
    return { pack, offset: 0, size: key[2], pinned: false, checked };
  };
  const keyOf = (pack: Pack) => (pack as BlobPack).key;
  const keys = (await settled(blocks('readonly').getAllKeys())) as Key[];
  return {
    kind: 'indexeddb',
    found: keys.map((key) => [key[1], blockOf(key, false)]),
    async append(cid, bytes, pinned) {
      if (pinned) return inMemory(bytes, pinned);
      const key: Key = [Date.now(), cid, bytes.length];
      await settled(blocks('readwrite').put(new Blob([bytes]), key));
      return blockOf(key, true);
    },
    async read({ pack }) {
      const blob: Blob = await settled(blocks('readonly').get(keyOf(pack)));
      return new Uint8Array(await blob.arrayBuffer());
    },
    remove: (pack) => settled(blocks('readwrite').delete(keyOf(pack))),
    clear: () => settled(blocks('readwrite').clear()),
  };
}

function settled<Result>(request: IDBRequest<Result>): Promise<Result> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
