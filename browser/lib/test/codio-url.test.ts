import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isCodioUrl, replaceCodioUrls, urlBelow } from '../src/codio-url';

const cid = 'bafkreifzjut3te7nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e';
const v0 = 'QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG';
const base = 'https://site.example/codio/';

test('A codio URL becomes one of the origin, with its query and fragment', () => {
  assert.equal(urlBelow(base, `codio://${cid}`), base + cid);
  assert.equal(urlBelow(base, `web+codio://${v0}/a%20b/c.png?x=1#t=10`), `${base}${v0}/a%20b/c.png?x=1#t=10`);
  assert.equal(urlBelow(base, ` codio:${cid}/ `), `${base}${cid}/`);
});

for (const text of [
  'codio://',
  'codio://not-a-cid',
  `codio://${cid}x!`,
  `codio://${cid}\\..\\..\\x`,
  `codio://${cid}/../../account`,
  `codio://${cid}/..`,
  `codio://${cid}/%2e%2e/x`,
  `codio://${cid}/a/\\..\\..\\..\\x`,
  `codio://${cid}/%`,
  `codio://user@${cid}`,
  'codio://Qm0',
]) {
  test(`"${text}" stands for no URL`, () => assert.throws(() => urlBelow(base, text)));
}

test('Only what begins with the scheme is a codio URL', () => {
  assert.ok(isCodioUrl(' codio://x') && isCodioUrl('web+codio:x'));
  assert.ok(!isCodioUrl('https://site.example/?codio://x') && !isCodioUrl('xcodio://x') && !isCodioUrl('codiox://'));
});

const there = (url: string) => `/there/${url.split('//')[1]}`;

test('A srcset has a URL in each candidate', () => {
  const text = 'codio://a 1x, b.png 2x,web+codio://c/d,e.png 3x, codio://f';
  assert.equal(replaceCodioUrls(text, 'srcset', there), '/there/a 1x, b.png 2x,/there/c/d,e.png 3x, /there/f');
  assert.equal(replaceCodioUrls('x?codio://a 1x', 'srcset', there), 'x?codio://a 1x');
});

test('CSS has URLs in url() and @import, and texts that are none', () => {
  const text = `@import "codio://i"; a { background: url( 'codio://a' ), url(web+codio://b); content: "codio://c" }`;
  const want = `@import "/there/i"; a { background: url( '/there/a' ), url(/there/b); content: "codio://c" }`;
  assert.equal(replaceCodioUrls(text, 'css', there), want);
});

test('Other URLs stay as they are', () => {
  for (const text of ['https://site.example/codio:x', 'codio.png', '/codio/x', 'data:,codio:x']) {
    assert.equal(replaceCodioUrls(text, 'url', there), text);
  }
});
