// A bare RTCDataChannel between any two ends: what a transfer is measured against. The receiver acknowledges, and the sender
// keeps at most a window unacknowledged, as nothing else comes near the best speed (docs/design/0001-credit-window.md).
import { spawn } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { openProfile } from '../../tests/e2e/support/browsers.mjs';
import { rate } from './report.mjs';
import { withFolder } from './transfer.mjs';

const program = process.env.CODIO_RAW_PEER ?? fileURLToPath(new URL('../../build/bench/raw_peer', import.meta.url));

const KiB = 1024;
/** What is tried for the best: message sizes, windows, and the threads of a browser that may hold the channel. */
const messages = [16, 64, 256].map((kib) => kib * KiB);
const windows = [64, 128, 256, 512, 1024, 2048, 4096].map((kib) => kib * KiB);

/** Slower is as good as stalled. */
const patience = 60_000;

/**
 * `keeps`: the sender reads the bytes from a file, the receiver hashes every MiB and writes it to one before it acknowledges the
 * last, which is the least that verifying and keeping them costs. In browsers it takes a worker.
 * @typedef {{message: number, window: number, thread: 'page' | 'worker', keeps?: boolean}} Way
 */

/** @returns {Way[]} */
export function ways(from, to) {
  const threads = from === 'native' && to === 'native' ? ['page'] : ['page', 'worker'];
  return threads.flatMap((thread) =>
    messages.flatMap((message) =>
      windows.filter((window) => window >= message).map((window) => ({ message, window, thread })),
    ),
  );
}

export function nameOf({ message, window, thread }, from, to) {
  const where = from === 'native' && to === 'native' ? '' : `, in the ${thread}`;
  return `${message / KiB} KiB / ${window / KiB} KiB${where}`;
}

/**
 * MiB a second of `size` bytes over a fresh connection.
 * @param {string} url where tabs are opened
 * @param {Way} way
 */
export async function rawChannel(url, from, to, size, way) {
  return way.keeps ? withFolder((folder) => measure(url, from, to, size, way, folder)) : measure(url, from, to, size, way);
}

async function measure(url, from, to, size, { message, window, thread }, folder) {
  const step = Math.max(message, window / 8);
  if (folder && from === 'native') writeFileSync(join(folder, 'sent'), randomFillSync(Buffer.alloc(size)));
  const receiver = await openEnd(to, url, thread, { role: 'receive', total: size, step, folder });
  const sender = await openEnd(from, url, thread, { role: 'send', total: size, message, window, folder });
  try {
    const offer = await receiver.describe();
    await sender.hear(offer);
    await receiver.hear(await sender.describe());
    let timer;
    const given = new Promise((resolve) => (timer = setTimeout(resolve, patience, patience)));
    const ms = await Promise.race([sender.finished(), given]);
    clearTimeout(timer);
    return rate(size, ms);
  } finally {
    await Promise.all([sender.close(), receiver.close()]);
  }
}

const openEnd = (kind, url, thread, how) => (kind === 'native' ? nativeEnd(how) : browserEnd(kind, url, thread, how));

function nativeEnd({ role, total, step, message, window, folder }) {
  const given = role === 'send' ? [total, message, window] : [total, step];
  if (folder) given.push(join(folder, role === 'send' ? 'sent' : 'received'));
  const process_ = spawn(program, [role, ...given], { stdio: ['pipe', 'pipe', 'inherit'] });
  const description = { candidates: [] };
  const { promise: described, resolve: resolveDescribed, reject: rejectDescribed } = withResolvers();
  const { promise: finished, resolve: resolveFinished, reject: rejectFinished } = withResolvers();
  const ended = new Promise((resolve) => process_.on('close', resolve));
  for (const reject of [rejectDescribed, rejectFinished]) {
    process_.on('error', reject);
    process_.on('close', () => reject(new Error(`${program} ended`)));
  }
  described.catch(() => {});
  finished.catch(() => {});
  createInterface({ input: process_.stdout }).on('line', (line) => {
    const said = JSON.parse(line);
    if (said.ms !== undefined) resolveFinished(said.ms);
    else if (said.sdp) Object.assign(description, said);
    else if (said.candidate) description.candidates.push(said);
    else resolveDescribed(description);
  });
  const say = (line) => process_.stdin.write(`${JSON.stringify(line)}\n`);
  return {
    describe: () => described,
    hear: async ({ type, sdp, candidates }) => [{ type, sdp }, ...candidates].forEach(say),
    finished: () => finished,
    close: async () => {
      process_.stdin.end();
      await ended;
    },
  };
}

async function browserEnd(kind, url, thread, how) {
  const page = await openProfile(kind, url);
  await page.evaluate(
    ([source, where, given]) => {
      const drive = eval(`(${source})`);
      const connection = new RTCPeerConnection();
      const channel = connection.createDataChannel('raw', { negotiated: true, id: 0, ordered: true });
      window.connection = connection;
      if (where === 'page') {
        window.channel = channel;
        window.finished = drive(channel, given);
        return;
      }
      const script = `onmessage = async ({ data: [channel, how] }) => {
        self.channel = channel;
        postMessage(await (${source})(channel, how));
      }`;
      window.worker = new Worker(URL.createObjectURL(new Blob([script])));
      window.finished = new Promise((resolve) => (window.worker.onmessage = ({ data }) => resolve(data)));
      window.worker.postMessage([channel, given], [channel]);
    },
    [String(drive), thread, how],
  );
  return {
    describe: () =>
      page.evaluate(async () => {
        const { connection } = window;
        await connection.setLocalDescription();
        await new Promise((resolve) => {
          const check = () => connection.iceGatheringState === 'complete' && resolve();
          connection.onicegatheringstatechange = check;
          check();
        });
        return { ...connection.localDescription.toJSON(), candidates: [] };
      }),
    hear: (description) =>
      page.evaluate(async ({ type, sdp, candidates }) => {
        await window.connection.setRemoteDescription({ type, sdp });
        for (const { candidate, mid } of candidates) {
          await window.connection.addIceCandidate({ candidate, sdpMid: mid });
        }
      }, description),
    finished: () => page.evaluate(() => window.finished),
    close: () => page.context().close(),
  };
}

/** Runs in the page or in a worker: one end of the channel; bench/raw_peer.cc is the same natively. */
function drive(channel, { role, total, message, window, step, folder }) {
  const block = new Uint8Array(2 ** 20);
  const openFile = async () => {
    const handle = await (await navigator.storage.getDirectory()).getFileHandle('raw', { create: true });
    return handle.createSyncAccessHandle();
  };
  channel.binaryType = 'arraybuffer';
  if (role === 'receive') {
    let got = 0;
    let told = 0;
    let used = 0;
    let file = folder && openFile();
    const keep = async (opened, bytes) => {
      const [to] = await Promise.all([opened, crypto.subtle.digest('SHA-256', bytes)]);
      to.write(bytes);
      return to;
    };
    channel.onmessage = async ({ data }) => {
      got += data.byteLength;
      if (file) {
        block.set(new Uint8Array(data), used);
        used += data.byteLength;
        if (used === block.length || got === total) {
          file = keep(file, block.slice(0, used));
          used = 0;
        }
      }
      if (got < total && got - told < step) return;
      told = got;
      if (got === total) await file;
      channel.send(new Uint32Array([told]));
    };
    return new Promise(() => {});
  }
  const fill = async () => {
    const file = await openFile();
    for (let at = 0; at < block.length; at += 2 ** 16) crypto.getRandomValues(block.subarray(at, at + 2 ** 16));
    for (let at = 0; at < total; at += block.length) file.write(block);
    return file;
  };
  return new Promise((resolve) => {
    let file;
    const bytes = new Uint8Array(message);
    let sent = 0;
    let acknowledged = 0;
    let began = 0;
    const pump = () => {
      for (; sent < total && sent + message <= acknowledged + window; sent += message) {
        const at = sent % block.length;
        if (file && at === 0) file.read(block, { at: sent });
        channel.send(file ? block.subarray(at, at + message) : bytes);
      }
    };
    channel.onmessage = ({ data }) => {
      [acknowledged] = new Uint32Array(data);
      if (acknowledged >= total) resolve(performance.now() - began);
      else pump();
    };
    const filled = folder && fill();
    const begin = async () => {
      file = await filled;
      began = performance.now();
      pump();
    };
    if (channel.readyState === 'open') begin();
    else channel.onopen = begin;
  });
}

function withResolvers() {
  const all = {};
  all.promise = new Promise((resolve, reject) => Object.assign(all, { resolve, reject }));
  return all;
}
