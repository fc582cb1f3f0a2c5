import assert from 'node:assert/strict';
import { createPublicKey, randomBytes, verify } from 'node:crypto';
import { mock, test } from 'node:test';
import { fingerprintOf, Identity, isProven, keyOf } from '../src/identity';

async function create(): Promise<Identity> {
  const identity = await Identity.create();
  assert.ok(identity);
  return identity;
}

function signed(peer: string, prefix: string, bytes: Uint8Array, signature: string): boolean {
  const key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: peer }, format: 'jwk' });
  return verify(null, Buffer.concat([Buffer.from(prefix), bytes]), key, Buffer.from(signature, 'base64url'));
}

const line = (digits: string) => `a=fingerprint:sha-256 ${digits}`;
const digits = (first: number) => Array.from({ length: 32 }, (_, i) => (first + i).toString(16).padStart(2, '0')).join(':');

test('A join is a signature of the challenge', async () => {
  const identity = await create();
  const challenge = randomBytes(32);
  const { peer, signature } = await identity.join(challenge.toString('base64url'));
  assert.equal(peer, identity.id);
  assert.match(peer, /^[\w-]{43}$/);
  assert.ok(signed(peer, 'codio-rendezvous.1 join\n', challenge, signature));
});

test('A challenge of another form is not signed', async () => {
  const identity = await create();
  for (const challenge of [undefined, 7, '', 'A'.repeat(42), 'A'.repeat(44), `${'A'.repeat(42)}B`, `${'A'.repeat(42)}=`]) {
    await assert.rejects(identity.join(challenge), { code: 'malformed' });
  }
});

test('Two peers prove who they are, for their connection only', async () => {
  const [a, b, c] = await Promise.all([create(), create(), create()]);
  const [fa, fb, fc] = [1, 2, 3].map((byte) => new Uint8Array(32).fill(byte)) as [Prints, Prints, Prints];
  type Prints = Uint8Array<ArrayBuffer>;
  const { proof } = await a.introduce(b.id, fa, fb);
  assert.ok(proof);
  assert.equal(proof.length, 96);
  const expectedOfA = async (at: Identity, peer: string, local: Prints, remote: Prints) => {
    const { expected } = await at.introduce(peer, local, remote);
    assert.ok(expected);
    return isProven(proof, expected);
  };
  assert.equal(await expectedOfA(b, a.id, fb, fa), true);
  assert.equal(await expectedOfA(b, a.id, fb, fc), false, 'somebody else is at the other end');
  assert.equal(await expectedOfA(b, a.id, fc, fa), false, 'it was said to somebody else');
  assert.equal(await expectedOfA(b, a.id, fa, fb), false, 'our own words, said back');
  assert.equal(await expectedOfA(b, c.id, fb, fa), false, 'it is another peer');
  for (const at of [0, 31, 32, 95]) {
    const forged = proof.slice();
    forged[at]! ^= 1;
    const { expected } = await b.introduce(a.id, fb, fa);
    assert.ok(expected);
    assert.equal(await isProven(forged, expected), false, `byte ${at}`);
  }
});

test('A name that a rendezvous gave is no key', async () => {
  const { id } = await create();
  assert.equal(Buffer.from(keyOf(id) ?? []).toString('base64url'), id);
  for (const name of ['', 'a-name', id.slice(1), `${id}A`, `${id.slice(1)}B`, `${id.slice(1)}.`, `${id.slice(1)}=`]) {
    assert.equal(keyOf(name), undefined, name);
  }
});

test('Without Ed25519 a browser is anonymous', async () => {
  const missing = mock.method(crypto.subtle, 'generateKey', async () => {
    throw new DOMException('Unrecognized algorithm', 'NotSupportedError');
  });
  assert.equal(await Identity.create(), undefined);
  missing.mock.restore();
});

test('The fingerprint is what all of the description says', () => {
  const expected = Uint8Array.from({ length: 32 }, (_, i) => 0x90 + i);
  const one = line(digits(0x90));
  for (const sdp of [`v=0\r\n${one}\r\nm=application\r\n`, `m=x\n${one}\n${one.toUpperCase().replace('A=', 'a=')}\n`, one]) {
    assert.deepEqual(fingerprintOf(sdp), expected);
  }
});

test('A fingerprint of another kind, or several, are refused', () => {
  const good = `${line(digits(1))}\r\n`;
  for (const sdp of [
    '',
    good + line(digits(2)),
    `a=fingerprint:sha-1 ${digits(1).slice(0, 59)}`,
    `${good}a=fingerprint:sha-512 ${digits(1)}:${digits(1)}`,
    `${good}a=fingerprint:md5 00`,
    line(digits(1).slice(3)),
    `${line(digits(1))}:00`,
    `${line(digits(1))} `,
    ` ${good}`,
    line(digits(1).replace('01', '0g')),
    `${good}a=fingerprint`,
    `${good}x fingerprint`,
  ]) {
    assert.throws(() => fingerprintOf(sdp), { code: 'malformed' }, sdp);
  }
});
