// A bare RTCDataChannel between any two ends: what a transfer is measured against. The receiver acknowledges, and the sender
// keeps at most a window unacknowledged, as nothing else comes near the best speed (docs/design/0001-credit-window.md).
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { openProfile } from '../../tests/e2e/support/browsers.mjs';
import { rate } from './report.mjs';

const program = process.env.CODIO_RAW_PEER ?? fileURLToPath(new URL('../../build/bench/raw_peer', import.meta.url));

const KiB = 1024;
/** What is tried for the best: message sizes, windows, and the threads of a browser that may hold the channel. */
const messages = [16, 64, 256].map((kib) => kib * KiB);
const windows = [64, 128, 256, 512, 1024, 2048, 4096].map((kib) => kib * KiB);

/** Slower is as good as stalled. */
const patience = 60_000;

/** @typedef {{message: number, window: number, thread: 'page' | 'worker'}} Way */

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
  const { message, window, thread } = way;
  const step = Math.max(message, window / 8);
  const receiver = await openEnd(to, url, thread, { role: 'receive', total: size, step });
  const sender = await openEnd(from, url, thread, { role: 'send', total: size, message, window });
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

function nativeEnd({ role, total, step, message, window }) {
  const process_ = spawn(program, role === 'send' ? [role, total, message, window] : [role, total, step], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
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
function drive(channel, { role, total, message, window, step }) {
  channel.binaryType = 'arraybuffer';
  if (role === 'receive') {
    let got = 0;
    let told = 0;
    channel.onmessage = ({ data }) => {
      got += data.byteLength;
      if (got < total && got - told < step) return;
      told = got;
      channel.send(new Uint32Array([got]));
    };
    return new Promise(() => {});
  }
  return new Promise((resolve) => {
    const bytes = new Uint8Array(message);
    let sent = 0;
    let acknowledged = 0;
    let began = 0;
    const pump = () => {
      for (; sent < total && sent + message <= acknowledged + window; sent += message) channel.send(bytes);
    };
    channel.onmessage = ({ data }) => {
      [acknowledged] = new Uint32Array(data);
      if (acknowledged >= total) resolve(performance.now() - began);
      else pump();
    };
    const begin = () => {
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
