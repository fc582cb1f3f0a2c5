/** Content by ranges for players in pages of ours: `content/?u=ADDRESS&type=TYPE`, answered by Chromium's background. */
import { CodioCDN } from 'codio-cdn';
import { anyAddress } from './addresses';
import type { Connection } from './handshake';

/** A player asks again for what follows, and an answer ends before the browser ends its worker. */
const maxAnswer = 4 * 1_048_576;

interface FetchEvent extends Event {
  readonly request: globalThis.Request;
  respondWith(answer: Promise<Response>): void;
}

export function answerPlayers(connect: () => Promise<Connection>): void {
  let joined: Promise<CodioCDN> | undefined;
  const join = async () => {
    const { port, lost } = await connect();
    void lost.then(() => (joined = undefined));
    return CodioCDN.connect(port);
  };
  addEventListener('fetch', (event) => {
    const { request, respondWith } = event as FetchEvent;
    const { pathname, searchParams } = new URL(request.url);
    const address = pathname === '/content/' ? anyAddress(searchParams.get('u') ?? '') : undefined;
    const type = searchParams.get('type') ?? '';
    // Never a page: it would be one of the extension's.
    if (!address || !/^(audio|video)\/[\w-]+$/.test(type)) return;
    const answer = async () => {
      joined ??= join().catch((error: unknown) => {
        joined = undefined;
        throw error;
      });
      return answerRange(await joined, address, request, type);
    };
    respondWith.call(event, answer().catch((error: unknown) => new Response(String(error), { status: 502 })));
  });
}

async function answerRange(cdn: CodioCDN, address: string, request: globalThis.Request, type: string): Promise<Response> {
  const [, from = '0', to = ''] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.get('range') ?? '') ?? [];
  const begin = Number(from);
  const end = Math.min(begin + maxAnswer, to === '' ? Infinity : Number(to) + 1);
  let off = () => {};
  let started = 0;
  const size = new Promise<number>((resolve, reject) => {
    const offs = [
      cdn.on('started', ({ transfer }) => (started ||= transfer)),
      cdn.on('receiving', (event) => event.transfer === started && resolve(event.size)),
      cdn.on('failed', (event) => event.transfer === started && reject(event.error)),
    ];
    off = () => offs.forEach((one) => one());
  });
  const body = cdn.stream(address, { range: { begin, end }, signal: request.signal });
  try {
    const whole = await size;
    const last = Math.min(end, whole) - 1;
    const headers = {
      'content-type': type,
      'content-length': String(last - begin + 1),
      'content-range': `bytes ${begin}-${last}/${whole}`,
      'accept-ranges': 'bytes',
      'x-content-type-options': 'nosniff',
    };
    return begin < whole ? new Response(body, { status: 206, headers }) : new Response(null, { status: 416 });
  } finally {
    off();
  }
}
