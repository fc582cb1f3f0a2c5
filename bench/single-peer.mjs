// One peer's speed beside the best bare data channel between the same two ends, in one run.
//
// usage: node bench/single-peer.mjs [--runs 3] [--sizes 4,64] [--pairs native-native,native-chromium,…] [--quick]
//
// Every way to use a bare channel is tried once; the best three, the best as a channel whose bytes are read, hashed and written,
// and our own transfers in turns, `runs` times, so that a busy moment of the machine strikes all. Medians. --quick tries a few
// ways only, to see that all works.
import { closeBrowsers, skipWithout } from '../tests/e2e/support/browsers.mjs';
import { startNode } from '../tests/e2e/support/node.mjs';
import { median, MiB, note, percent, rate, settings, table } from './support/report.mjs';
import { nameOf, rawChannel, ways } from './support/raw.mjs';
import { transfer } from './support/transfer.mjs';

const { runs, sizes, pairs, quick } = settings({
  runs: 3,
  sizes: [4, 64],
  pairs: ['native-native', 'native-chromium', 'chromium-chromium', 'chromium-firefox', 'firefox-chromium'],
  quick: false,
});

const finalists = quick ? 1 : 3;
const isQuick = ({ message, window }) => message === 64 * 1024 && [128, 256, 512].includes(window / 1024);

async function measure(url, from, to, size) {
  const tried = [];
  for (const way of ways(from, to).filter((one) => !quick || isQuick(one))) {
    tried.push({ way, rates: [await rawChannel(url, from, to, size, way)] });
    note(`${from} → ${to}, ${size / MiB} MiB, bare, ${nameOf(way, from, to)}: ${tried.at(-1).rates[0].toFixed(1)} MB/s`);
  }
  const best = tried.sort((a, b) => b.rates[0] - a.rates[0]).slice(0, finalists);
  for (const one of best) one.rates = [];
  const keeping = { ...best[0].way, thread: 'worker', keeps: true };
  const kept = [];
  const ours = [];
  for (let i = 0; i < runs; i++) {
    for (const { way, rates } of best) rates.push(await rawChannel(url, from, to, size, way));
    kept.push(await rawChannel(url, from, to, size, keeping));
    const { ms, firstBlock, program } = await transfer(from, to, size);
    ours.push({
      whole: rate(size, ms),
      flowing: rate(size, ms - firstBlock),
      firstBlock,
      program: program && rate(size, program),
    });
    const name = `${from} → ${to}, ${size / MiB} MiB`;
    note(`${name}, read, hashed and written: ${kept.at(-1).toFixed(1)} MB/s; codio: ${ours.at(-1).whole.toFixed(1)} MB/s`);
  }
  const medians = best.map(({ way, rates }) => ({ way, rate: median(rates) }));
  return { raw: medians.reduce((a, b) => (b.rate > a.rate ? b : a)), kept: median(kept), ours };
}

function row(from, to, size, { raw, kept, ours }) {
  const of = (name) => median(ours.map((one) => one[name]));
  const worst = Math.min(...ours.map(({ whole }) => whole));
  const program = ours[0].program === undefined ? '' : of('program').toFixed(1);
  return [
    `${from} → ${to}`,
    size / MiB,
    `${raw.rate.toFixed(1)} (${nameOf(raw.way, from, to)})`,
    kept.toFixed(1),
    `${of('whole').toFixed(1)} (worst ${worst.toFixed(1)})`,
    of('flowing').toFixed(1),
    percent(of('whole') / raw.rate),
    percent(of('flowing') / raw.rate),
    percent(of('flowing') / kept),
    of('firstBlock').toFixed(0),
    program,
  ];
}

const node = await startNode();
try {
  const rows = [];
  for (const size of sizes.map((mib) => mib * MiB)) {
    for (const pair of pairs) {
      const [from, to] = pair.split('-');
      const missing = skipWithout(...[from, to].filter((end) => end !== 'native'));
      if (missing) note(`${pair}: ${missing}`);
      else rows.push(row(from, to, size, await measure(node.http, from, to, size)));
    }
  }
  table(
    [
      'from → to',
      'MiB',
      'best bare channel (message / window)',
      'read, hashed, written',
      'codio',
      'once flowing',
      'of the bare channel',
      'once flowing',
      'of the one that is written',
      'first block, ms',
      '`codio get`',
    ],
    rows,
  );
} finally {
  await closeBrowsers();
  await node.stop();
}
