// Whether peers add up: one file from 1, 2, 4 and 8 native nodes, each held to the same upload rate, so that neither the
// machine nor the loopback interface is the limit.
//
// usage: node bench/many-peers.mjs [--peers 1,2,4,8] [--rate 1] [--seconds 10] [--runs 1]
//
// `rate` is in MiB a second. The file is as long as takes all seeders together `seconds`.
import { closeBrowsers, openTab } from '../tests/e2e/support/browsers.mjs';
import { awaitProviders } from '../tests/e2e/support/cdn.mjs';
import { startNode } from '../tests/e2e/support/node.mjs';
import { median, MiB, note, percent, rate as rateOf, settings, table } from './support/report.mjs';
import { close, fetchInTab, fetchNatively, freshBytes, rendezvousOf } from './support/transfer.mjs';

const { peers, rate, seconds, runs } = settings({ peers: [1, 2, 4, 8], rate: 1, seconds: 10, runs: 1 });

async function measure(count, fetch) {
  const size = count * rate * seconds * MiB;
  const bytes = freshBytes(size);
  const hub = await startNode();
  const options = ['--max-upload', `${rate * MiB}`, '--rendezvous', rendezvousOf(hub)];
  const seeders = [];
  for (let i = 0; i < count; i++) seeders.push(await startNode({ 'film.bin': bytes }, [], options));
  const { cid } = seeders[0].roots[0];
  const page = await openTab('chromium', hub.http);
  await awaitProviders(page, cid, count);
  await close(page);
  const { ms, firstBlock, peers: from } = await fetch(hub, cid);
  for (const one of [...seeders, hub]) await one.stop();
  const helped = Object.values(from).filter((got) => got > 0).length;
  return { whole: rateOf(size, ms), flowing: rateOf(size, ms - firstBlock), helped };
}

const ends = {
  native: fetchNatively,
  chromium: (hub, cid) => fetchInTab('chromium', hub, cid),
};

try {
  const rows = [];
  for (const [to, fetch] of Object.entries(ends)) {
    for (const count of peers) {
      const results = [];
      for (let i = 0; i < runs; i++) results.push(await measure(count, fetch));
      const of = (name) => median(results.map((one) => one[name]));
      const sum = count * rate;
      note(`${count} → ${to}: ${of('whole').toFixed(1)} of ${sum} MB/s`);
      rows.push([
        `${count} → ${to}`,
        sum.toFixed(1),
        of('whole').toFixed(2),
        percent(of('whole') / sum),
        percent(of('flowing') / sum),
        of('helped'),
      ]);
    }
  }
  table(
    ['seeders → downloader', 'sum of their rates, MB/s', 'codio, MB/s', 'of the sum', 'once flowing', 'seeders used'],
    rows,
  );
} finally {
  await closeBrowsers();
}
