import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CodioError, type ErrorCode } from '../../lib/src/error';
import { Delivery } from '../src/delivery';
import type { Own } from '../src/own';
import type { Pages } from '../src/pages';
import type { Bytes, Stream, Wanted } from '../src/stream';

const size = 100;
const file = Uint8Array.from({ length: size }, (_, i) => i);
const wanted: Wanted = { address: 'bafy', begin: 10, end: -1 };

interface Source {
  /** Of its answer; the rest is missing. */
  gives?: number;
  /** Then; without it, it ends. */
  error?: ErrorCode;
  size?: number;
  /** It gives all of the file, whatever it was asked for. */
  excess?: boolean;
}

/** In pieces of 7. */
function streamOf({ gives = size, error, size: said = size, excess = false }: Source, { begin, end }: Wanted): Stream {
  let at = begin;
  const last = excess ? size : Math.min(end < 0 ? said : end, begin + gives);
  return {
    size: said,
    timing: {},
    async read(): Promise<Bytes | undefined> {
      if (at >= last) {
        if (error) throw new CodioError(error, 'broke');
        return undefined;
      }
      const bytes = file.slice(at, Math.min(at + 7, last));
      at += bytes.length;
      return bytes;
    },
    cancel() {},
  };
}

/** What is read of the pages and the worker that are there, and who was asked for what. */
async function deliver(sources: Source[], own: Source): Promise<{ bytes: number[]; asked: string[]; source: string }> {
  const asked: string[] = [];
  const open = async (name: string, source: Source, what: Wanted) => {
    asked.push(`${name} ${what.begin}-${what.end}`);
    if (source.error && source.gives === 0) throw new CodioError(source.error, `${name} cannot`);
    return streamOf(source, what);
  };
  const pages = {
    find: async (_: string, tried: ReadonlySet<string>) => sources.map((__, i) => ({ id: String(i) })).find(({ id }) => !tried.has(id)),
    open: ({ id }: { id: string }, what: Wanted) => open(`page${id}`, sources[Number(id)] ?? {}, what),
  } as unknown as Pages;
  const worker = { hasGateways: true, open: (what: Wanted) => open('worker', own, what) } as unknown as Own;
  const delivery = await Delivery.open(pages, worker, 'me', wanted);
  const bytes: number[] = [];
  for (let part = await delivery.read(); part; part = await delivery.read()) bytes.push(...part);
  return { bytes, asked, source: delivery.source };
}

const all = [...file.slice(10)];

test('A page that serves gives it all', async () => {
  const { bytes, asked, source } = await deliver([{}], {});
  assert.deepEqual([bytes, asked, source], [all, ['page0 10--1'], 'page']);
});

test('Without a page, the worker does', async () => {
  assert.deepEqual(await deliver([], {}), { bytes: all, asked: ['worker 10--1'], source: 'worker' });
});

for (const broken of [{ gives: 30, error: 'io' }, { gives: 30, error: 'unavailable' }, { gives: 30 }] as Source[]) {
  test(`What breaks off (${broken.error ?? 'as if it were whole'}) is gone on with from there`, async () => {
    const { bytes, asked } = await deliver([broken, { gives: 20, error: 'io' }], {});
    assert.deepEqual([bytes, asked], [all, ['page0 10--1', 'page1 40-100', 'worker 60-100']]);
  });
}

test('Nobody is asked twice, and in the end it fails', async () => {
  await assert.rejects(deliver([{ gives: 5, error: 'io' }], { gives: 5, error: 'unavailable' }), { code: 'unavailable' });
  await assert.rejects(deliver([{ gives: 0, error: 'io' }], { gives: 0, error: 'unavailable' }), { message: 'worker cannot' });
});

test('What is wrong with the request is asked of nobody else', async () => {
  for (const error of ['malformed', 'not-found', 'unsupported', 'too-large'] as const) {
    await assert.rejects(deliver([{ gives: 0, error }], {}), { message: 'page0 cannot' });
  }
});

test('Another size is not taken for the rest', async () => {
  await assert.rejects(deliver([{ gives: 5, error: 'io' }], { size: 99 }), { code: 'mismatch' });
});

test('More bytes than there are to be are an error', async () => {
  await assert.rejects(deliver([{ size: 50, excess: true }], {}), { code: 'mismatch' });
});
