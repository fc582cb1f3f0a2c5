// How long a visitor waits for a gallery of 50 images, from the navigation to the last image: as plain URLs, and as codio://
// with the drop-in; and what the drop-in costs a page that changes its document all the time.
//
// usage: node bench/gallery.mjs [--runs 5] [--images 50] [--kib 60] [--changes 5000] [--browsers chromium,firefox] [--parts loads,changes]
import { randomBytes } from 'node:crypto';
import { closeBrowsers, openProfile } from '../tests/e2e/support/browsers.mjs';
import { startNode } from '../tests/e2e/support/node.mjs';
import { makePng } from '../tests/e2e/support/png.mjs';
import { startSite } from '../tests/e2e/support/site.mjs';
import { median, note, settings, table } from './support/report.mjs';

const { runs, images, kib, changes, browsers, parts } = settings({
  runs: 5,
  images: 50,
  kib: 60,
  changes: 5000,
  browsers: ['chromium', 'firefox'],
  parts: ['loads', 'changes'],
});

/** Milliseconds from the page's navigation to its last image. */
async function open(page, url) {
  await page.goto(url);
  return page.evaluate(
    async (count) => {
      const all = () => [...document.images].filter(({ complete, naturalWidth }) => complete && naturalWidth > 0).length === count;
      while (!all()) await new Promise((resolve) => setTimeout(resolve, 2));
      return performance.now();
    },
    images,
  );
}

const page = (body, script = '') => `<!doctype html><html><head><title>A gallery</title><link rel="icon" href="data:,">${script}</head>
  <body>${body}</body></html>`;
const gallery = (node, prefix, script) => page(node.roots.map(({ cid }) => `<img src="${prefix}${cid}" alt="">`).join(''), script);

/** What a visitor sees, by what the page is made of. */
async function load(browser, add) {
  const files = Object.fromEntries(Array.from({ length: images }, (_, i) => [`${i}.png`, makePng(120, 90, i * 999, randomBytes(kib * 1024))]));
  const node = await startNode(files);
  const script = (attributes) => `<script type="module" src="/pkg/codio.js" data-node="${node.http}" ${attributes}></script>`;
  const alone = `data-first-visit-wait="1000" data-rendezvous="" data-gateways="${node.http}/ipfs/"`;
  const worker = { '/codio-sw.js': "importScripts('/pkg/codio-sw.js');" };
  const sites = {
    plain: await startSite({ '/': gallery(node, `${node.http}/ipfs/`) }),
    served: await startSite({ ...worker, '/': gallery(node, 'codio://', script('')) }, { node: node.http }),
    waits: await startSite({ ...worker, '/': gallery(node, 'codio://', script('data-first-visit-wait="1000"')) }, { node: node.http }),
    alone: await startSite({ ...worker, '/': gallery(node, 'codio://', script(alone)) }, { node: node.http }),
    own: await startSite({ ...worker, '/': gallery(node, 'codio://', script('')), '/first': page('', script('')) }),
  };
  const times = {};
  const asked = {};
  const visit = async (site, what, use) => {
    const visitor = await openProfile(browser, 'about:blank');
    const go = async (again) => {
      const before = site.asked.length;
      (times[`${what}${again}`] ??= []).push(await open(visitor, site.url));
      (asked[`${what}${again}`] ??= []).push(site.asked.slice(before).filter((path) => path.startsWith('/codio/bafk')).length);
    };
    await use(visitor, go);
    await visitor.context().close();
  };
  for (let run = 0; run < runs; run++) {
    note(`${browser}, run ${run + 1}`);
    const twice = async (_, go) => {
      await go(', first visit');
      await go(', again');
    };
    await visit(sites.plain, 'plain URLs of the node', twice);
    await visit(sites.served, '`codio://`, the server answers `/codio/` too', twice);
    await visit(sites.waits, 'the same, `data-first-visit-wait="1000"`', twice);
    await visit(sites.alone, 'the same, but without any peer', twice);
    await visit(sites.own, '`codio://`, only the worker answers', twice);
    await visit(sites.own, '`codio://`, the worker is there, nothing is kept', async (visitor, go) => {
      await visitor.goto(`${sites.own.url}/first`);
      await visitor.evaluate(async () => {
        while (!navigator.serviceWorker.controller) await new Promise((resolve) => setTimeout(resolve, 10));
      });
      await go('');
    });
  }
  for (const [what, all] of Object.entries(times)) {
    add([browser, what, ...[median(all), Math.min(...all), Math.max(...all)].map((ms) => ms.toFixed(0)), median(asked[what])]);
  }
  for (const site of Object.values(sites)) site.stop();
  await node.stop();
}

/** Microseconds a change of the document, its observers' work and the browser's own included. */
const kinds = {
  'an element comes': () => document.body.append(document.createElement('p')),
  'a branch of 20 elements comes': () => document.body.append(document.getElementById('branch').content.cloneNode(true)),
  '`setAttribute()` of another URL': (i) => document.getElementById('image').setAttribute('src', `data:,${i}`),
  'a `style` changes': (i) => (document.getElementById('box').style.width = `${i % 100}px`),
  'a text changes': (i) => (document.getElementById('box').firstChild.data = `${i}`),
};
async function change(browser, add) {
  const branch = `<template id="branch"><div>${'<p><a href="/x">a</a></p>'.repeat(10)}</div></template>`;
  const body = `${branch}<img id="image" alt=""><div id="box">x</div>`;
  const library = '<script type="module">import { rewriteCodioUrls } from "/pkg/codio-rewrite.js"; rewriteCodioUrls(); window.ready = 1;</script>';
  const site = await startSite({ '/without': page(body, '<script>window.ready = 1;</script>'), '/with': page(body, library) });
  const times = {};
  for (let run = 0; run < runs; run++) {
    for (const name of ['without', 'with']) {
      const visitor = await openProfile(browser, 'about:blank');
      for (const [what, make] of Object.entries(kinds)) {
        await visitor.goto(`${site.url}/${name}`);
        await visitor.waitForFunction(() => window.ready);
        const time = await visitor.evaluate(
          async ([text, count]) => {
            const act = eval(text);
            await new Promise((resolve) => setTimeout(resolve, 100));
            const began = performance.now();
            for (let i = 0; i < count; i++) act(i);
            await Promise.resolve(); // The observers' turn.
            return ((performance.now() - began) * 1000) / count;
          },
          [String(make), changes],
        );
        ((times[what] ??= {})[name] ??= []).push(time);
      }
      await visitor.context().close();
    }
  }
  for (const [what, measured] of Object.entries(times)) {
    const [without, with_] = [median(measured.without), median(measured.with)];
    add([browser, what, without.toFixed(2), with_.toFixed(2), (with_ - without).toFixed(2)]);
  }
  site.stop();
}

const loads = [];
const costs = [];
for (const browser of browsers) {
  if (parts.includes('loads')) await load(browser, (row) => loads.push(row));
  if (parts.includes('changes')) await change(browser, (row) => costs.push(row));
}
if (loads.length > 0) table(['browser', `${images} images of ${kib} KiB`, 'median, ms', 'least', 'most', 'asked of the site'], loads);
if (costs.length > 0) table(['browser', `each of ${changes} changes`, 'without, µs', 'with the rewriting', 'more'], costs);
await closeBrowsers();
