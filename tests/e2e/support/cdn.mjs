// The library as a page uses it, from the test's side. In the page, `window.cdn` is the node and `window.log` its events.
import { createHash } from 'node:crypto';

export const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');

/**
 * Loads the library, from another origin if one is given, and joins the network. `asks`: with a `mayUpload` that answers what
 * `window.agrees` is.
 */
export async function join(page, options = {}, origin = '', asks = undefined) {
  await page.evaluate(async ([given, from, question]) => {
    const { default: init, CodioCDN } = await import(`${from}/pkg/codio_wasm.js`);
    await init();
    window.cdn = await CodioCDN.new({ ...given, ...(question && { [question]: () => window.agrees }) });
    window.log = [];
    const names = 'started finding connecting receiving verified finished failed peer-connected peer-disconnected';
    for (const name of names.split(' ')) window.cdn.on(name, (event) => window.log.push({ name, ...event }));
    window.cdn.on('error', ({ error: { code, message } }) => window.log.push({ name: 'error', code, message }));
    window.sha256 = async (bytes) => {
      const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
      return [...hash].map((byte) => byte.toString(16).padStart(2, '0')).join('');
    };
  }, [options, origin, asks]);
}

/**
 * Downloads without carrying the bytes here: what came, from where, and how long it took, or the error. `sources` are bytes by
 * 'store', 'gateway' or 'peer'; `peers` by peer id.
 */
export async function download(page, address, range) {
  return page.evaluate(
    async ([wanted, part]) => {
      const began = performance.now();
      const sources = {};
      const peers = {};
      let transfer;
      let firstBlock = 0;
      const offs = [
        window.cdn.on('started', (event) => (transfer ??= event.transfer)),
        window.cdn.on('verified', ({ transfer: of, bytes, source }) => {
          if (of !== transfer) return;
          firstBlock ||= performance.now() - began;
          sources[source.kind] = (sources[source.kind] ?? 0) + bytes;
          if (source.peer) peers[source.peer] = (peers[source.peer] ?? 0) + bytes;
        }),
      ];
      try {
        const bytes = await window.cdn.download(wanted, { range: part });
        const ms = performance.now() - began;
        return { size: bytes.length, hash: await window.sha256(bytes), ms, firstBlock, sources, peers };
      } catch (error) {
        return { error: error.message, code: error.code, name: error.name, ms: performance.now() - began, sources };
      } finally {
        offs.forEach((off) => off());
      }
    },
    [address, range],
  );
}

/** Uploads random bytes made in the page. */
export async function uploadRandom(page, size) {
  return page.evaluate(async (length) => {
    const bytes = new Uint8Array(length);
    for (let at = 0; at < length; at += 65_536) crypto.getRandomValues(bytes.subarray(at, at + 65_536));
    return { cid: await window.cdn.upload(bytes), hash: await window.sha256(bytes) };
  }, size);
}

/** Bytes that a page can make for itself (see upload()): xorshift32 from `seed`. */
export function pseudoRandom(seed, size) {
  const words = new Uint32Array(Math.ceil(size / 4));
  let x = seed;
  for (let i = 0; i < words.length; i++) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    words[i] = x;
  }
  return new Uint8Array(words.buffer, 0, size);
}

/** Uploads pseudoRandom(seed, size). */
export async function upload(page, seed, size) {
  return page.evaluate(
    ([source, ...given]) => window.cdn.upload(eval(`(${source})`)(...given)),
    [String(pseudoRandom), seed, size],
  );
}

export const stats = (page) => page.evaluate(() => window.cdn.stats());

/** Waits until the rendezvous of the page's node knows `count` providers of the content. */
export async function awaitProviders(page, cid, count) {
  await page.evaluate(
    ([wanted, enough]) =>
      new Promise((resolve, reject) => {
        const socket = new WebSocket(`ws://${location.host}/rendezvous`, 'codio-rendezvous.1');
        const find = () => socket.send(JSON.stringify({ type: 'find', id: 1, cid: wanted }));
        socket.onopen = () => {
          socket.send('{"type":"join"}');
          find();
        };
        socket.onerror = () => reject(new Error('the rendezvous is gone'));
        socket.onmessage = ({ data }) => {
          const { type, peers } = JSON.parse(data);
          if (type !== 'providers') return;
          if (peers.length < enough) return void setTimeout(find, 50);
          socket.close();
          resolve();
        };
      }),
    [cid, count],
  );
}

/** Polls until `check` holds; fails after `limit` milliseconds. */
export async function eventually(check, limit = 5000) {
  const until = Date.now() + limit;
  for (;;) {
    try {
      return await check();
    } catch (error) {
      if (Date.now() > until) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}
