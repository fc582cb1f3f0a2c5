import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Asked, Target } from '../src/content';
import { makeHandlers } from '../src/handlers';

const v0 = 'QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG';
const v1 = 'bafkreifzjut3te7nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e';
const scope = new URL('https://site.example/app/');
const intercept = ['https://ipfs.example/ipfs/', 'https://site.example/ipfs/'];

/** Whose request it is, and what for. */
function route(url: string, init: RequestInit = {}): [name: string, target?: Target] {
  let target: Target | undefined;
  const content = {
    respond: (_: Asked, read: () => Target) => {
      target = read();
      return Promise.resolve(new Response());
    },
  };
  const request = new Request(url, init);
  const handler = makeHandlers(scope, intercept, content).find((one) => one.canHandle(request));
  void handler?.handle({ request, client: '', ended: () => {} });
  return target ? [handler?.name ?? '', target] : ['none'];
}

test('/codio/ below the scope is ours, decoded', () => {
  const target = { root: v1, path: 'a b/c.txt', name: 'c.txt', isOfSite: true, redirects: true };
  assert.deepEqual(route(`https://site.example/app/codio/${v1}/a%20b/c.txt?x#y`), ['/codio/CID/path', target]);
  const root = { root: v0, path: '', name: v0, isOfSite: true, redirects: true };
  assert.deepEqual(route(`https://site.example/app/codio/${v0}`), ['/codio/CID/path', root]);
});

test('X-Codio-CID makes any URL ours', () => {
  const [name, target] = route('https://other.example/cat.jpg?x', { headers: { 'x-codio-cid': v1 } });
  assert.deepEqual([name, target], ['X-Codio-CID', { root: v1, path: '', name: 'cat.jpg', isOfSite: false, redirects: false }]);
  assert.equal(route('https://site.example/x', { headers: { 'X-Codio-CID': `${v1}/a.css` } })[1]?.name, 'a.css');
});

test("A listed gateway's URLs are ours, and its blocks are not", () => {
  const target = { root: v1, path: 'a', name: 'a', isOfSite: false, redirects: true };
  assert.deepEqual(route(`https://ipfs.example/ipfs/${v1}/a`), ['gateway/CID/path', target]);
  assert.equal(route(`https://site.example/ipfs/${v0}`)[1]?.isOfSite, true);
  assert.deepEqual(route(`https://ipfs.example/ipfs/${v1}?format=raw`), ['none']);
  assert.deepEqual(route(`https://ipfs.example/ipfs/${v1}`, { headers: { Accept: 'application/vnd.ipld.raw' } }), ['none']);
});

test('All else is not', () => {
  for (const url of [
    'https://site.example/app/',
    `https://site.example/codio/${v1}`,
    'https://site.example/app/codio/',
    'https://site.example/app/codio/index.html',
    `https://site.example/app/codio/${v1}x/../..`,
    `https://site.example.evil/app/codio/${v1}`,
    `https://ipfs.example/ipns/${v1}`,
    `https://ipfs.example/ipfs/short`,
    `https://another.example/ipfs/${v1}`,
  ]) {
    assert.deepEqual(route(url), ['none'], url);
  }
});

test('A path that cannot be decoded is refused as it is read', () => {
  assert.throws(() => route(`https://site.example/app/codio/${v1}/%ff`), /percent-encoded/);
});
