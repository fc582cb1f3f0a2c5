import { CodioError, messageOf, type ErrorCode } from '../../lib/src/error';
import type { Timing } from '../../lib/src/service-worker-messages';
import { sniff, sniffedBytes, typeOf } from '../../lib/src/content-type';
import { Delivery } from './delivery';
import type { Own } from './own';
import type { Pages } from './pages';
import { parseRange, type Range } from './range';
import type { Bytes } from './stream';

export interface Asked {
  readonly request: Request;
  /** Of whom it is: the id of a page, or of a worker of one. */
  readonly client: string;
  /** Is called when the answer is complete, broken or given up. */
  ended(): void;
}

/** What a request is for. */
export interface Target {
  root: string;
  /** Decoded names joined by '/'. */
  path: string;
  /** What the type is read from: the last name of the path, or of the URL. */
  name: string;
  /** That of the site: what is answered can act as the site, unless we see to it that it does not. */
  isOfSite: boolean;
  /** A directory without a slash at its end is redirected there, as relative links in it need. */
  redirects: boolean;
}

/** Of an answer to a media element that asks for all the rest: it wants to seek, and asks again. */
const mediaChunk = 4 * 1024 * 1024;
const mediaDestinations: readonly string[] = ['audio', 'video'];
/** Where the bytes would run, or style, as the site's own. */
const actingDestinations: readonly string[] = [
  ...['script', 'style', 'worker', 'sharedworker', 'audioworklet', 'paintworklet', 'xslt'],
];
const statuses: Partial<Record<ErrorCode, number>> = {
  malformed: 400,
  'too-large': 400,
  unsupported: 400,
  'not-found': 404,
  mismatch: 502,
  unavailable: 503,
  timeout: 504,
};
const maxTypes = 1_000;

/** Answers requests for content, as an IPFS gateway does. */
export class Content {
  readonly #pages: Pages;
  readonly #own: Own;
  readonly #trusted: readonly string[];
  /** Sniffed, by address; the oldest go first. */
  readonly #types = new Map<string, string>();

  constructor(pages: Pages, own: Own, trusted: readonly string[]) {
    this.#pages = pages;
    this.#own = own;
    this.#trusted = trusted;
  }

  /** `read` may throw what is wrong with the request. */
  async respond(asked: Asked, read: () => Target): Promise<Response> {
    try {
      const target = read();
      const isGuarded = target.isOfSite && !this.#trusted.includes(target.root);
      return await new Answer(this.#pages, this.#own, this.#types, asked, target).make(isGuarded);
    } catch (error) {
      asked.ended();
      const code = error instanceof CodioError ? error.code : 'io';
      return refuse(statuses[code] ?? 500, messageOf(error));
    }
  }
}

class Answer {
  readonly #pages: Pages;
  readonly #own: Own;
  readonly #types: Map<string, string>;
  readonly #request: Request;
  readonly #client: string;
  readonly #ended: () => void;
  readonly #target: Target;
  #address: string;

  constructor(pages: Pages, own: Own, types: Map<string, string>, asked: Asked, target: Target) {
    this.#pages = pages;
    this.#own = own;
    this.#types = types;
    this.#request = asked.request;
    this.#client = asked.client;
    this.#ended = () => asked.ended();
    this.#target = target;
    this.#address = [target.root, target.path].filter((part) => part !== '').join('/');
  }

  async make(isGuarded: boolean): Promise<Response> {
    const { destination, headers, method } = this.#request;
    if (isGuarded && actingDestinations.includes(destination)) {
      const hint = `name it in serveServiceWorker(cdn, url, {trusted: ['${this.#target.root}']}) if it is yours`;
      this.#ended();
      return refuse(403, `${this.#target.root} may not be a ${destination} of this site: ${hint}`);
    }
    // What a CID names does not change, so that nobody has to be asked.
    const etag = `"${encodeURI(this.#address)}"`;
    const common = { ETag: etag, 'Cache-Control': 'public, max-age=29030400, immutable' };
    if (matchesTag(headers.get('If-None-Match'), etag)) {
      this.#ended();
      return new Response(null, { status: 304, headers: common });
    }
    const isHead = method === 'HEAD';
    const ifRange = headers.get('If-Range');
    const isRanged = !isHead && (ifRange === null || ifRange === etag);
    const asked = isRanged ? parseRange(headers.get('Range')) : undefined;
    const delivery = await this.#open(asked, isHead);
    if (delivery instanceof Response) return delivery;
    const { size, begin, end } = delivery;
    if (asked && begin >= end) {
      this.#close(delivery.stream);
      return refuse(416, `${this.#address} has ${size} bytes`, { 'Content-Range': `bytes */${size}` });
    }
    let first: Bytes | undefined;
    let type: string;
    try {
      first = await delivery.stream.read();
      type = await this.#typeOf(begin === 0 ? first : undefined, size);
    } catch (error) {
      delivery.stream.cancel();
      throw error;
    }
    const isDocument = /html|xml/.test(type);
    const response = {
      status: asked ? 206 : 200,
      headers: {
        ...common,
        'Content-Type': type,
        'Content-Length': String(isHead ? size : end - begin),
        'Accept-Ranges': 'bytes',
        'X-Content-Type-Options': 'nosniff',
        // A page of another origin's gateway may be one that asks its images for this.
        'Cross-Origin-Resource-Policy': 'cross-origin',
        'Server-Timing': serverTiming(delivery.stream),
        ...(asked && { 'Content-Range': `bytes ${begin}-${end - 1}/${size}` }),
        // It would run as the site, with its storage and its visitors' rights.
        ...(isGuarded && isDocument && { 'Content-Security-Policy': 'sandbox' }),
      },
    };
    if (isHead) this.#close(delivery.stream);
    return new Response(isHead ? null : this.#body(delivery.stream, first), response);
  }

  /** The bytes of what is asked, as far as the file has them; or where to go for it. */
  async #open(
    asked: Range | undefined,
    isHead: boolean,
  ): Promise<{ stream: Delivery; size: number; begin: number; end: number } | Response> {
    let range = { begin: 0, end: isHead ? sniffedBytes : -1 };
    if (asked && 'suffix' in asked) {
      const probe = await this.#deliver({ begin: 0, end: 0 });
      if (probe instanceof Response) return probe;
      probe.cancel();
      range = { begin: Math.max(0, probe.size - asked.suffix), end: probe.size };
    } else if (asked) {
      const { begin, end } = asked;
      const isMedia = mediaDestinations.includes(this.#request.destination);
      range = { begin, end: end ?? (isMedia ? begin + mediaChunk : -1) };
    }
    const stream = await this.#deliver(range);
    if (stream instanceof Response) return stream;
    const { size } = stream;
    return { stream, size, begin: range.begin, end: range.end < 0 ? size : Math.min(range.end, size) };
  }

  async #deliver(range: { begin: number; end: number }): Promise<Delivery | Response> {
    const open = () => {
      const wanted = { address: this.#address, ...range };
      return Delivery.open(this.#pages, this.#own, this.#client, wanted);
    };
    try {
      return await open();
    } catch (error) {
      if (!isOfDirectory(error)) throw error;
      const url = new URL(this.#request.url);
      if (this.#target.redirects && this.#request.mode === 'navigate' && !url.pathname.endsWith('/')) {
        this.#ended();
        url.pathname += '/';
        return Response.redirect(url.href, 301);
      }
    }
    this.#address += '/index.html';
    this.#target.name = 'index.html';
    return open().catch((error: unknown) => {
      if (!(error instanceof CodioError) || error.code !== 'not-found') throw error;
      throw new CodioError('not-found', 'this directory has no index.html; name a file in it');
    });
  }

  /** `first`: the file's first bytes, if they came. */
  async #typeOf(first: Bytes | undefined, size: number): Promise<string> {
    const named = typeOf(this.#target.name);
    if (named) return named;
    let type = this.#types.get(this.#address);
    if (!type) {
      const isEnough = (first?.length ?? 0) >= Math.min(size, sniffedBytes);
      type = sniff(first && isEnough ? first : await this.#beginning());
      this.#types.set(this.#address, type);
      for (const oldest of this.#types.keys()) {
        if (this.#types.size <= maxTypes) break;
        this.#types.delete(oldest);
      }
    }
    const { destination } = this.#request;
    if (!type.startsWith('text/plain') || !actingDestinations.includes(destination)) return type;
    return destination === 'style' ? 'text/css; charset=utf-8' : 'text/javascript; charset=utf-8';
  }

  async #beginning(): Promise<Bytes> {
    const delivery = await this.#deliver({ begin: 0, end: sniffedBytes });
    const bytes = delivery instanceof Delivery ? await delivery.read() : undefined;
    return bytes ?? new Uint8Array();
  }

  #body(stream: Delivery, first: Bytes | undefined): ReadableStream<Bytes> {
    const ended = this.#ended;
    let next = first;
    return new ReadableStream<Bytes>(
      {
        async pull(controller) {
          try {
            const bytes = next ?? (await stream.read());
            next = undefined;
            if (bytes) return controller.enqueue(bytes);
            controller.close();
          } catch (error) {
            controller.error(error); // Not close(): browsers take that for all of the body.
          }
          ended();
        },
        cancel() {
          // WebKit holds a lock meanwhile, and waits for it forever if an event is dispatched (its bug 305769): an abort is one.
          setTimeout(() => {
            stream.cancel();
            ended();
          });
        },
      },
      { highWaterMark: 0 },
    );
  }

  #close(stream: Delivery): void {
    stream.cancel();
    this.#ended();
  }
}

function refuse(status: number, why: string, headers: Record<string, string> = {}): Response {
  return new Response(`${why}\n`, {
    status,
    headers: { 'Content-Type': 'text/plain; charset=utf-8', 'Cache-Control': 'no-store', ...headers },
  });
}

/** By what the core says of a path that leads to one. */
function isOfDirectory(error: unknown): boolean {
  return error instanceof CodioError && error.code === 'unsupported' && error.message.endsWith('is a directory, not a file');
}

function matchesTag(header: string | null, etag: string): boolean {
  const tags = header?.split(',').map((tag) => tag.trim().replace(/^W\//, '')) ?? [];
  return tags.includes(etag);
}

const metrics: [keyof Timing, string][] = [
  ['find', 'find'],
  ['signal', 'signal'],
  ['connect', 'connect'],
  ['firstByte', 'first-byte'],
  ['verify', 'verify'],
];

function serverTiming({ source, timing }: Delivery): string {
  const known = metrics.flatMap(([key, name]) => {
    const milliseconds = timing[key];
    return milliseconds === undefined ? [] : [`${name};dur=${milliseconds.toFixed(1)}`];
  });
  return [`source;desc="${source}"`, ...known].join(', ');
}
