import assert from 'node:assert/strict';
import { test } from 'node:test';
import { monthOf, uploadCap } from '../src/budget';

test('Without a budget the cap is the user’s', () => {
  assert.equal(uploadCap(null, null), Infinity);
  assert.equal(uploadCap(5e6, null), 5e6);
});

test('The rate falls with what is left, and never overruns it at four looks a second', () => {
  let left = 3e6;
  for (let look = 0; look < 1000; look++) left -= uploadCap(null, left) / 4;
  assert.ok(left >= 0 && left <= 262_144, String(left));
  assert.equal(uploadCap(null, 0), 0);
  assert.equal(uploadCap(null, -5), 0);
});

test('Months are those of this machine’s clock', () => {
  assert.equal(monthOf(new Date(2026, 0, 31, 23, 59)), '2026-01');
});
