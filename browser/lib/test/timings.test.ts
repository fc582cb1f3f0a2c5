import assert from 'node:assert/strict';
import { test } from 'node:test';
import { headOf, type Times } from '../src/timings';

const timingOf = (times: Partial<Times>) => headOf({ started: 100, size: 1, peers: new Set(), ...times }).timing;

test('Each stage lasts from its begin to the next', () => {
  const times = { finding: 110, connecting: 130, signalled: 150, connected: 190, first: 200, hashing: 2 };
  assert.deepEqual(timingOf(times), { find: 20, signal: 20, connect: 40, firstByte: 100, verify: 2 });
  assert.deepEqual(timingOf({ finding: 110, first: 140 }), { find: 30, firstByte: 40 });
});

test('What was here did not wait for the search that follows', () => {
  assert.deepEqual(timingOf({ first: 101, finding: 103, hashing: 0 }), { firstByte: 1, verify: 0 });
});
