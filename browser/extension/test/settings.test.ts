import assert from 'node:assert/strict';
import { test } from 'node:test';
import { check, defaults } from '../src/settings';

const problemsOf = (changes: unknown) => check(changes).problems.map(({ field }) => field);

test('The defaults are valid', () => {
  assert.deepEqual(check(defaults), { settings: defaults, problems: [] });
});

test('What is valid is taken, and what is not keeps its value and is told', () => {
  const { settings, problems } = check({ node: 'https://node.example', uploadSlots: 0, unknown: 1 });
  assert.equal(settings.node, 'https://node.example');
  assert.equal(settings.uploadSlots, defaults.uploadSlots);
  assert.deepEqual(problems, [{ field: 'uploadSlots', message: 'a whole number from 1 to 100' }]);
});

test('Nothing that is no record changes anything', () => {
  for (const one of [undefined, null, 7, 'text', []]) assert.deepEqual(check(one), { settings: defaults, problems: [] });
});

test('Addresses have the protocols that their use has', () => {
  assert.deepEqual(problemsOf({ node: 'ftp://x' }), ['node']);
  assert.deepEqual(problemsOf({ gateways: ['javascript:alert(1)'] }), ['gateways']);
  assert.deepEqual(problemsOf({ rendezvous: ['wss://a.example/rendezvous', 7] }), ['rendezvous']);
  assert.deepEqual(problemsOf({ gateways: Array(21).fill('https://a.example/') }), ['gateways']);
  assert.deepEqual(problemsOf({ iceServers: [{ urls: 'https://a.example' }] }), ['iceServers']);
  assert.deepEqual(problemsOf({ iceServers: [{ urls: ['stun:a.example:3478', 'turns:b.example'], username: 'u', credential: 'c' }] }), []);
});

test('Limits are amounts, or nothing', () => {
  assert.deepEqual(problemsOf({ maxUpload: -1, maxDownload: 0, monthlyUpload: NaN, storeBytes: 1e12 }), [
    'maxUpload',
    'maxDownload',
    'monthlyUpload',
    'storeBytes',
  ]);
  assert.deepEqual(problemsOf({ maxUpload: 0, maxDownload: null, monthlyUpload: null }), []);
});

test('Rules are of origins', () => {
  assert.deepEqual(problemsOf({ sites: { 'https://a.example': { node: true, off: false } } }), []);
  for (const site of ['https://a.example/', 'a.example', 'file:///x']) assert.deepEqual(problemsOf({ sites: { [site]: {} } }), ['sites']);
  assert.deepEqual(problemsOf({ sites: { 'https://a.example': { admin: true } } }), ['sites']);
});
