import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { decide, decideTogether, GoodCitizen, type CitizenOptions, type Surroundings, type Verdict } from '../src/good-citizen';

/** What a browser may say of each, and whether it speaks against uploading. */
const senses: { [Sense in keyof Surroundings]-?: [Surroundings[Sense], boolean][] } = {
  saveData: [[undefined, false], [false, false], [true, true]],
  connection: [
    ...[undefined, 'wifi', 'ethernet', 'unknown', 'none', 'other'].map((type) => [type, false] as [string | undefined, boolean]),
    ...['cellular', 'wimax', 'bluetooth'].map((type) => [type, true] as [string, boolean]),
  ],
  metered: [[undefined, false], [false, false], [true, true]],
  charge: [[undefined, false], [0, true], [0.19, true], [0.2, false], [1, false]],
  charging: [[undefined, false], [false, true], [true, false]],
  hidden: [[undefined, false], [false, false], [true, true]],
  consent: [[undefined, true], [false, true], [true, false]],
};

function* combinations(names = Object.keys(senses) as (keyof Surroundings)[]): Generator<[Surroundings, Set<string>]> {
  const [name, ...others] = names;
  if (name === undefined) return void (yield [{}, new Set()]);
  for (const [value, against] of senses[name]) {
    for (const [rest, opposed] of combinations(others)) {
      yield [{ ...rest, [name]: value }, against ? new Set([...opposed, name]) : opposed];
    }
  }
}

test('Uploading is allowed if nothing speaks against it, in all combinations', () => {
  const asks: CitizenOptions = { mayUpload: () => true };
  let count = 0;
  for (const [now, against] of combinations()) {
    for (const pauseHidden of [false, true]) {
      for (const asked of [false, true]) {
        const allowed = !(
          (asked && against.has('consent')) ||
          against.has('saveData') ||
          against.has('metered') ||
          against.has('connection') ||
          (against.has('charge') && against.has('charging')) ||
          (pauseHidden && against.has('hidden'))
        );
        const verdict = decide(now, { pauseHidden, ...(asked ? asks : {}) });
        assert.equal(verdict.allowed, allowed, JSON.stringify({ now, pauseHidden, asked }));
        assert.equal(verdict.reason === '', allowed);
        count++;
      }
    }
  }
  assert.equal(count, 3 * 9 * 3 * 5 * 3 * 3 * 3 * 4);
});

test('The reason is in words', () => {
  assert.equal(decide({ connection: 'cellular' }).reason, 'the network is cellular');
  assert.equal(decide({ charge: 0.07, charging: false }).reason, 'the battery is at 7 %');
  assert.equal(decide({ charge: 0.4, charging: false }, { minCharge: 0.5 }).allowed, false);
  assert.equal(decide({ saveData: true, consent: false }, { mayUpload: () => false }).reason, 'it was not agreed to');
});

const realNavigator = Object.getOwnPropertyDescriptor(globalThis, 'navigator');
const opened: GoodCitizen[] = [];
afterEach(() => {
  opened.splice(0).forEach((citizen) => citizen.close());
  if (realNavigator) Object.defineProperty(globalThis, 'navigator', realNavigator);
  Reflect.deleteProperty(globalThis, 'document');
});

/** A browser with both interfaces; its `change` sets what is given and tells. */
function browser() {
  const connection = Object.assign(new EventTarget(), { saveData: false, type: 'wifi' });
  const battery = Object.assign(new EventTarget(), { level: 1, charging: false });
  const document = Object.assign(new EventTarget(), { hidden: false });
  const define = (name: string, value: unknown) => Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
  define('navigator', { connection, getBattery: async () => battery });
  define('document', document);
  const change = <Target extends EventTarget>(target: Target, event: string, values: Partial<Target>) => {
    Object.assign(target, values);
    target.dispatchEvent(new Event(event));
  };
  return { connection, battery, document, change };
}

function watch(options?: CitizenOptions) {
  const citizen = new GoodCitizen(options);
  opened.push(citizen);
  const verdicts: Verdict[] = [];
  citizen.on((verdict) => verdicts.push(verdict));
  return { citizen, reasons: () => verdicts.map(({ reason }) => reason) };
}

test('Changes of network, battery and tab are told, each once', async () => {
  const { connection, battery, document, change } = browser();
  const { citizen, reasons } = watch({ pauseHidden: true });
  await Promise.resolve();
  await Promise.resolve();
  assert.deepEqual(citizen.verdict, { allowed: true, reason: '' });
  change(connection, 'change', { type: 'cellular' });
  change(connection, 'change', { type: 'cellular' });
  change(connection, 'change', { type: 'wifi' });
  change(battery, 'levelchange', { level: 0.1 });
  change(battery, 'chargingchange', { charging: true });
  change(document, 'visibilitychange', { hidden: true });
  assert.deepEqual(reasons(), ['the network is cellular', '', 'the battery is at 10 %', '', 'the tab is in the background']);
  citizen.close();
  change(document, 'visibilitychange', { hidden: false });
  assert.equal(reasons().length, 5);
});

test('Nothing is uploaded before consent, and the visitor may change their mind', async () => {
  browser();
  let answer: boolean | Promise<boolean> = Promise.resolve(true);
  const { citizen, reasons } = watch({ mayUpload: () => answer });
  assert.equal(citizen.verdict.reason, 'nobody has agreed to it yet');
  await citizen.ask();
  assert.ok(citizen.verdict.allowed);
  answer = false;
  await citizen.ask();
  answer = Promise.reject(new Error('the dialogue is gone'));
  Object.assign(globalThis, { reportError: () => {} });
  await citizen.ask();
  assert.deepEqual(reasons(), ['', 'it was not agreed to']);
});

test('A slow answer does not undo a later one', async () => {
  browser();
  const answers: ((yes: boolean) => void)[] = [];
  const { citizen } = watch({ mayUpload: () => new Promise((resolve) => answers.push(resolve)) });
  const second = citizen.ask();
  answers[1]?.(false);
  await second;
  answers[0]?.(true);
  await Promise.resolve();
  await Promise.resolve();
  assert.equal(citizen.verdict.reason, 'it was not agreed to');
});

test('A browser that tells nothing allows it', () => {
  Object.defineProperty(globalThis, 'navigator', { value: {}, configurable: true });
  Object.defineProperty(globalThis, 'document', { value: new EventTarget(), configurable: true, writable: true });
  assert.ok(watch().citizen.verdict.allowed);
});

test('Of tabs that share a node each may forbid uploading, and one in front is enough', () => {
  const yes: Verdict = { allowed: true, reason: '' };
  const no: Verdict = { allowed: false, reason: 'it was not agreed to' };
  const behind: Verdict = { allowed: false, reason: 'the tab is in the background', hidden: true };
  assert.equal(decideTogether([]).allowed, false);
  assert.deepEqual(decideTogether([behind, yes, behind]), yes);
  assert.deepEqual(decideTogether([behind, behind]), behind);
  assert.deepEqual(decideTogether([yes, no, yes]), no);
  assert.deepEqual(decideTogether([behind, no]), no);
});
