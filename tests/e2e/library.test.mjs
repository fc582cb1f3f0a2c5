// The library's contract in each browser, with gateways only a test can make misbehave.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { statSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { closeBrowsers, openTab, skipWithout } from './support/browsers.mjs';
import { download, join, sha256, stats } from './support/cdn.mjs';
import { buildFile, rawCid } from './support/dag.mjs';
import { startGateway } from './support/gateway.mjs';
import { startNode, webRoot } from './support/node.mjs';

const file = randomBytes(5_500_000);
const onNode = randomBytes(300_000);
const { cid, blocks } = buildFile(file);
const unknown = rawCid(Buffer.from('nobody has this'));

let node;
let elsewhere;
let gateway;
before(async () => {
  elsewhere = await startNode();
  node = await startNode({ 'known.bin': onNode });
  gateway = await startGateway(blocks);
});
after(async () => {
  await closeBrowsers();
  gateway?.stop();
  await node?.stop();
  await elsewhere?.stop();
});

for (const browser of ['chromium', 'firefox']) {
  describe(browser, { skip: skipWithout(browser) }, () => {
    async function tab(options) {
      const page = await openTab(browser, node.http);
      await join(page, options);
      return page;
    }

    test('Progress tells from whom every byte came', async () => {
      const page = await tab({ persist: false });
      const seen = await page.evaluate(async (known) => {
        const events = [];
        const snapshots = [];
        window.cdn.on('progress', (event) => {
          events.push(event);
          snapshots.push(window.cdn.transfers());
        });
        await window.cdn.download(known);
        return { events, snapshots, after: window.cdn.transfers() };
      }, node.roots[0].cid);
      const last = seen.events.at(-1);
      assert.equal(last.received, onNode.length);
      assert.equal(last.total, onNode.length);
      assert.equal(last.fromPeers + last.fromGateways + last.fromStore, last.verified);
      assert.ok(last.verified >= onNode.length);
      assert.equal(last.fromStore, 0);
      assert.equal(last.duplicates, 0);
      const shares = last.peers.reduce((sum, { bytes }) => sum + bytes, 0);
      assert.equal(shares, last.fromPeers);
      assert.ok(last.peers.every(({ peer }) => peer.length > 0));
      assert.ok(last.averageRate > 0);
      assert.deepEqual(seen.snapshots.at(-1), [last], 'the snapshot has the same fields');
      assert.deepEqual(seen.after, []);
    });

    test('Limits hold, can be changed at any time, and are checked', async () => {
      const [seeder, viewer] = [await tab({ maxUpload: 0, gateways: [] }), await tab({ gateways: [gateway.url] })];
      const root = await seeder.evaluate(async (bytes) => window.cdn.upload(new Uint8Array(bytes)), [...randomBytes(1000)]);
      const refused = await download(viewer, root);
      assert.match(refused.error, /gateway/, 'a peer that may not upload gives nothing');
      await seeder.evaluate(() => window.cdn.setLimits({ maxUpload: 1_000_000 }));
      assert.equal(await seeder.evaluate(() => window.cdn.limits.maxUpload), 1_000_000);
      const given = await download(viewer, root);
      assert.equal(given.size, 1000);
      assert.deepEqual(Object.keys(given.sources), ['peer']);
      for (const wrong of [{ maxUpload: -1 }, { maxDownload: 0 }, { uploadSlots: 1.5 }, { maxUpload: 'much' }]) {
        const code = await seeder.evaluate((changes) => {
          try {
            window.cdn.setLimits(changes);
            return 'accepted';
          } catch (error) {
            return error.code;
          }
        }, wrong);
        assert.equal(code, 'malformed', JSON.stringify(wrong));
      }
    });

    test("The proposal's snippet runs as written", async () => {
      const page = await openTab(browser, node.http);
      await page.evaluate((known) => {
        window.known = known;
        const script = document.createElement('script');
        script.type = 'module';
        script.textContent = `
          import init, { CodioCDN } from './pkg/codio_wasm.js';
          const cid = window.known;
          await init();
          const cdn = await CodioCDN.new();
          const bytes = await cdn.download(cid);   // Uint8Array
          const cid2  = await cdn.upload(bytes);   // string
          cdn.get_peers();                         // list; getPeers() is the same
          await cdn.disconnect();                  // leave the network; download() then uses the gateway
          window.done = [bytes instanceof Uint8Array, bytes.length, cid2, cdn.get_peers(), cdn.getPeers()];
        `;
        document.head.append(script);
      }, node.roots[0].cid);
      await page.waitForFunction(() => window.done, undefined, { timeout: 10_000 });
      const done = await page.evaluate(() => window.done);
      assert.deepEqual(done, [true, onNode.length, node.roots[0].cid, [], []]);
      assert.deepEqual(page.problems, []);
      await page.context().close();
    });

    test('Without a provider the gateway serves at once', async () => {
      const page = await tab({ gateways: [gateway.url] });
      const got = await download(page, cid);
      assert.equal(got.hash, sha256(file));
      assert.deepEqual(Object.keys(got.sources), ['gateway']);
      assert.ok(got.ms < 2000, `${got.ms} ms`);
      assert.equal((await stats(page)).downloadedFromGateways, got.sources.gateway);
      await page.context().close();
    });

    test('After disconnect() download() uses the gateway', async () => {
      const page = await tab({ gateways: [gateway.url] });
      await page.evaluate(() => window.cdn.disconnect());
      const got = await download(page, `codio://${cid}`);
      assert.equal(got.hash, sha256(file));
      assert.deepEqual(Object.keys(got.sources), ['gateway']);
      await page.context().close();
    });

    test('When nobody has it, the error names every gateway and its cause', async () => {
      const liar = await startGateway(new Map([[unknown, Buffer.from('a lie')]]));
      const page = await tab({ gateways: [gateway.url, liar.url, 'http://127.0.0.1:1/ipfs/'] });
      const { error, name, code } = await download(page, unknown);
      assert.equal(name, 'CodioError');
      assert.equal(code, 'unavailable');
      assert.match(error, /all gateways failed/);
      assert.ok(error.includes(`${gateway.url}${unknown}: HTTP 404`), error);
      assert.ok(error.includes(`${liar.url}${unknown}: the bytes do not match the CID`), error);
      assert.ok(error.includes(`http://127.0.0.1:1/ipfs/${unknown}: unreachable`), error);
      liar.stop();
      await page.context().close();
    });

    test('Malformed addresses and ranges are refused', async () => {
      const page = await tab({ gateways: [gateway.url] });
      for (const address of ['', 'nonsense', 'codio://', `${cid}x`, 'codio://bafy%']) {
        assert.equal((await download(page, address)).code, 'malformed', address);
      }
      for (const range of [{ begin: -1 }, { begin: 2, end: 1 }, { begin: NaN }]) {
        assert.equal((await download(page, cid, range)).code, 'malformed');
      }
      await page.context().close();
    });

    test('A range brings its bytes and little else', async () => {
      const page = await tab({ gateways: [gateway.url] });
      const [begin, end] = [1_048_000, 1_049_000];
      const got = await download(page, cid, { begin, end });
      assert.equal(got.hash, sha256(file.subarray(begin, end)));
      assert.ok(got.sources.gateway < 3 * 1_048_576);
      const tail = await download(page, cid, { begin: file.length - 10 });
      assert.equal(tail.hash, sha256(file.subarray(-10)));
      assert.equal((await download(page, cid, { begin: 0, end: 1e12 })).size, file.length);
      assert.equal((await download(page, cid, { begin: file.length + 5 })).size, 0);
      await page.context().close();
    });

    test('Several downloads of one file at once fetch each block once', async () => {
      const page = await tab({ gateways: [gateway.url] });
      gateway.asked.length = 0;
      const all = await Promise.all(Array.from({ length: 4 }, () => download(page, cid)));
      for (const { hash } of all) assert.equal(hash, sha256(file));
      assert.equal(gateway.asked.length, blocks.size);
      await page.context().close();
    });

    test('A gateway that keeps silent is asked once, and holds up nothing', async () => {
      const silent = await startGateway(blocks, () => true);
      const page = await tab({ gateways: [silent.url, gateway.url], gatewayTimeout: 120_000 });
      assert.equal((await download(page, cid)).hash, sha256(file));
      assert.deepEqual(silent.asked, [cid]);
      await page.context().close();
      silent.stop();
    });

    test('An aborted download rejects with its reason and stops', async () => {
      const slow = await startGateway(blocks, (asked, response) => {
        if (asked === cid) return false;
        response.writeHead(200).write('slow');
        return true;
      });
      const page = await tab({ gateways: [slow.url] });
      const reason = await page.evaluate(async (wanted) => {
        const abort = new AbortController();
        const promise = window.cdn.download(wanted, { signal: abort.signal, onProgress: () => abort.abort() });
        return promise.then(String, (error) => error.name);
      }, cid);
      assert.equal(reason, 'AbortError');
      assert.equal((await stats(page)).transfers, 0);
      const before = await page.evaluate(async (wanted) => {
        return window.cdn.download(wanted, { signal: AbortSignal.abort('never') }).catch((error) => error);
      }, cid);
      assert.equal(before, 'never');
      slow.stop();
      await page.context().close();
    });

    test('A stream is read at the pace of its reader', async () => {
      const big = randomBytes(64 * 1_048_576);
      const dag = buildFile(big);
      const source = await startGateway(dag.blocks);
      const page = await tab({ gateways: [source.url] });
      await page.evaluate(async (wanted) => {
        window.reader = window.cdn.stream(wanted).getReader();
        await window.reader.read();
      }, dag.cid);
      await page.waitForTimeout(1500);
      assert.ok(source.asked.length < 40, `${source.asked.length} blocks were fetched for a reader of one`);
      const got = await page.evaluate(async () => {
        let size = 0;
        for (let part = await window.reader.read(); !part.done; part = await window.reader.read()) size += part.value.length;
        return size;
      });
      assert.ok(got < big.length && got >= big.length - 1_048_576);
      const cancelled = await page.evaluate(async (wanted) => {
        const reader = window.cdn.stream(wanted, { range: { begin: 5, end: 25 } }).getReader();
        const first = await reader.read();
        await reader.cancel();
        return [first.value.length, window.cdn.stats().transfers];
      }, dag.cid);
      assert.deepEqual(cancelled, [20, 0]);
      source.stop();
      await page.context().close();
    });

    test('A page of another origin can use the node', async () => {
      const page = await openTab(browser, elsewhere.http);
      await join(page, { node: node.http }, node.http);
      const got = await download(page, node.roots[0].cid);
      assert.equal(got.hash, sha256(onNode), got.error);
      await page.context().close();
    });

    test('An upload over the limit is refused, and leaves room', async () => {
      const page = await tab({ gateways: [], storeBytes: 2_000_000 });
      const code = await page.evaluate(() => window.cdn.upload(new Uint8Array(2_000_001)).catch((error) => error.code));
      assert.equal(code, 'too-large');
      assert.ok(await page.evaluate(() => window.cdn.upload(new Blob([new Uint8Array(1_900_000)]))));
      await page.context().close();
    });

    test('When the core stops, everything ends and says so', async () => {
      const page = await openTab(browser, node.http);
      await page.evaluate(() => {
        const { postMessage } = Worker.prototype;
        Worker.prototype.postMessage = function (message, transfer) {
          window.worker = this;
          postMessage.call(this, message, transfer);
        };
      });
      const hanging = await startGateway(blocks, () => true);
      await join(page, { gateways: [hanging.url] });
      const running = download(page, cid);
      await page.waitForFunction(() => window.cdn.stats().transfers === 1);
      await page.evaluate(() => window.worker.postMessage(null));
      const { error, code } = await running;
      assert.match(error, /^the core stopped: /);
      assert.equal(code, 'io');
      assert.equal((await download(page, cid)).error, error);
      hanging.stop();
      await page.context().close();
    });

    test('The library comes in Brotli from the node', async () => {
      const page = await openTab(browser, `${node.http}/healthz`); // Where nothing else loads it.
      await join(page);
      assert.equal((await download(page, node.roots[0].cid)).hash, sha256(onNode));
      const files = ['codio_wasm.js', 'codio_worker.js', 'codio_wasm.wasm'];
      const sizes = await page.evaluate((names) => {
        const entries = performance.getEntriesByType('resource');
        return names.map((name) => entries.find((entry) => entry.name.endsWith(`/pkg/${name}`))?.encodedBodySize);
      }, files);
      assert.deepEqual(sizes, files.map((name) => statSync(path.join(webRoot, `pkg/${name}.br`)).size));
      await page.context().close();
    });

    test('A missing core is named', async () => {
      const page = await openTab(browser, node.http);
      const error = await page.evaluate(async () => {
        const { default: init } = await import('/pkg/codio_wasm.js?anew');
        return init('/pkg/nothing.wasm').catch((reason) => reason.message);
      });
      assert.match(error, /\/pkg\/nothing\.wasm: HTTP 404/);
      await page.context().close();
    });

    test("A page's own failing listener does not stop a transfer", async () => {
      const page = await tab({ gateways: [gateway.url] });
      const size = await page.evaluate(async (wanted) => {
        const fail = () => {
          throw new Error('mine');
        };
        window.cdn.on('verified', fail);
        return (await window.cdn.download(wanted, { onProgress: fail })).length;
      }, cid);
      assert.equal(size, file.length);
      await page.context().close();
    });
  });
}
