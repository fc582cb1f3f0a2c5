import { CodioError, messageOf, type ErrorCode } from './error';
import { GatewayHealth, type Ending, type HealthRequest } from './gateway-health';
import { readBounded } from './read-bounded';

const maxBlock = 2 * 1024 * 1024;
/** A browser makes no more connections to an HTTP/1.1 server, and a request that it queues would seem late. */
const maxPerGateway = 6;

/** Whether the bytes are the block that was asked for. */
export type Verify = (bytes: Uint8Array<ArrayBuffer>) => Promise<boolean>;

export interface GatewayBlock {
  bytes: Uint8Array<ArrayBuffer>;
  gateway: string;
}

interface Fetch {
  readonly cid: string;
  readonly verify: Verify;
  readonly asked: Set<number>;
  /** Of those gateways that failed. */
  readonly causes: Map<number, CodioError>;
  readonly running: Set<Running>;
  /** Since it waits for a gateway that wants to be left alone. */
  patienceEnd?: number;
  over?: boolean;
  readonly end: (outcome: GatewayBlock | CodioError) => void;
}

interface Running {
  readonly request: HealthRequest;
  readonly abort: AbortController;
  bytes: number;
  /** Milliseconds, from an answer that is no block. */
  retryAfter?: number | undefined;
  look?: ReturnType<typeof setTimeout>;
}

const endings: Partial<Record<ErrorCode, Ending>> = { 'not-found': 'missing', mismatch: 'lied' };

/**
 * Fetches verified blocks from trustless gateways (https://specs.ipfs.tech/http-gateways/trustless-gateway/), as
 * src/gateway/gateway.h does: each from the first gateway that gives it; `GatewayHealth` says who is asked, and when
 * another one is asked too.
 */
export class GatewayClient {
  readonly #urls: readonly string[];
  readonly #timeout: number;
  readonly #health: GatewayHealth;
  readonly #queue = new Set<Fetch>();
  #waking: ReturnType<typeof setTimeout> | undefined;

  /** `timeout`: milliseconds without a byte after which a gateway is given up; half of it before the first byte. */
  constructor(urls: readonly string[], timeout: number) {
    this.#urls = urls;
    this.#timeout = timeout;
    this.#health = new GatewayHealth(urls.length, maxPerGateway);
  }

  get count(): number {
    return this.#urls.length;
  }

  /** Rejects with the signal's reason, or with a CodioError that names every gateway and its cause. */
  async fetchBlock(cid: string, verify: Verify, signal: AbortSignal): Promise<GatewayBlock> {
    signal.throwIfAborted();
    return new Promise((resolve, reject) => {
      const onAbort = () => {
        this.#finish(fetch, new CodioError('cancelled', 'aborted'));
        this.#startQueued();
      };
      const fetch: Fetch = {
        cid,
        verify,
        asked: new Set(),
        causes: new Map(),
        running: new Set(),
        end: (outcome) => {
          signal.removeEventListener('abort', onAbort);
          if (signal.aborted) reject(signal.reason);
          else if (outcome instanceof CodioError) reject(outcome);
          else resolve(outcome);
        },
      };
      signal.addEventListener('abort', onAbort);
      this.#queue.add(fetch);
      this.#startQueued();
    });
  }

  #startQueued(): void {
    clearTimeout(this.#waking);
    const now = performance.now();
    let wakeAt = Infinity;
    for (const fetch of this.#queue) {
      const choice = this.#health.choose(now, fetch.asked);
      if (typeof choice === 'number') {
        if (choice < Infinity) fetch.patienceEnd ??= now + this.#timeout;
        if (choice === Infinity || choice <= (fetch.patienceEnd as number)) {
          wakeAt = Math.min(wakeAt, choice);
          continue;
        }
      }
      this.#queue.delete(fetch);
      if (typeof choice === 'object') this.#ask(fetch, choice);
      else if (fetch.running.size === 0) this.#finish(fetch, this.#allFailed(fetch));
    }
    if (wakeAt < Infinity) this.#waking = setTimeout(() => this.#startQueued(), wakeAt - now);
  }

  #ask(fetch: Fetch, request: HealthRequest): void {
    const running: Running = { request, abort: new AbortController(), bytes: 0 };
    fetch.asked.add(request.gateway);
    fetch.running.add(running);
    this.#lookLater(fetch, running);
    void this.#run(fetch, running);
  }

  #lookLater(fetch: Fetch, running: Running): void {
    clearTimeout(running.look);
    const wait = this.#health.nextLook(running.request) - performance.now();
    running.look = setTimeout(() => this.#look(fetch, running), Math.max(wait, 0));
  }

  /** Asks another gateway too if this one is late. */
  #look(fetch: Fetch, running: Running): void {
    const now = performance.now();
    const { request, bytes } = running;
    const late = this.#health.isLate(now, request, bytes);
    const hedge = late && this.#health.hedge(now, fetch.asked);
    if (hedge) this.#ask(fetch, hedge);
    else this.#lookLater(fetch, running);
    if (late) this.#startQueued(); // Nobody waits for a place at a gateway that is late.
  }

  async #run(fetch: Fetch, running: Running): Promise<void> {
    const { request } = running;
    const url = this.#urls[request.gateway] as string;
    const onFirstByte = () => {
      if (fetch.over) return;
      this.#health.firstByte(performance.now(), request);
      this.#lookLater(fetch, running); // Sooner, if it answers soon.
    };
    const outcome = await this.#fetchFrom(url + fetch.cid, fetch.verify, running, onFirstByte).catch(
      (error: CodioError) => error,
    );
    if (fetch.over) return;
    clearTimeout(running.look);
    fetch.running.delete(running);
    const now = performance.now();
    if (!(outcome instanceof CodioError)) {
      this.#health.end(now, request, 'block');
      this.#finish(fetch, { bytes: outcome, gateway: url });
    } else {
      if (running.retryAfter !== undefined) {
        this.#health.busy(now, request, running.retryAfter);
        fetch.asked.delete(request.gateway);
      } else {
        this.#health.end(now, request, endings[outcome.code] ?? 'failed');
      }
      fetch.causes.set(request.gateway, outcome);
      if ([...fetch.running].every((other) => other.request.late)) this.#queue.add(fetch);
    }
    this.#startQueued();
  }

  #finish(fetch: Fetch, outcome: GatewayBlock | CodioError): void {
    fetch.over = true;
    this.#queue.delete(fetch);
    for (const { request, abort, look } of fetch.running) {
      clearTimeout(look);
      abort.abort();
      const outrun = request.late && !(outcome instanceof CodioError);
      this.#health.end(performance.now(), request, outrun ? 'outrun' : 'cancelled');
    }
    fetch.end(outcome);
  }

  #allFailed({ cid, causes }: Fetch): CodioError {
    let code: ErrorCode | undefined;
    const texts = this.#urls.map((url, i) => {
      const lied = this.#health.hasLied(i);
      const cause = causes.get(i) ?? {
        code: lied ? ('mismatch' as const) : ('unavailable' as const),
        message: lied ? 'it lied before and is asked no more' : 'it wants to be left alone for a while',
      };
      code = code === undefined || code === cause.code ? cause.code : 'unavailable';
      return `${url + cid}: ${cause.message}`;
    });
    return new CodioError(code ?? 'unavailable', `all gateways failed: ${texts.join('; ') || 'none is configured'}`);
  }

  /** Rejects with a CodioError. */
  async #fetchFrom(
    url: string,
    verify: Verify,
    running: Running,
    onFirstByte: () => void,
  ): Promise<Uint8Array<ArrayBuffer>> {
    const { abort } = running;
    let silence = setTimeout(() => abort.abort(), this.#timeout / 2);
    try {
      const response = await fetch(`${url}?format=raw`, {
        headers: { Accept: 'application/vnd.ipld.raw' },
        credentials: 'omit',
        signal: abort.signal,
      });
      const { status, headers } = response;
      if (status === 429 || status === 503) running.retryAfter = retryAfter(headers);
      if (status === 404 || status === 410) throw new CodioError('not-found', `HTTP ${status}`);
      if (!response.ok) throw new CodioError('unavailable', `HTTP ${status}`);
      if (headers.get('content-type')?.startsWith('text/html')) {
        throw new CodioError('unsupported', 'a web page, not a block');
      }
      const bytes = await readBounded(response, maxBlock, (size) => {
        clearTimeout(silence);
        silence = setTimeout(() => abort.abort(), this.#timeout);
        if (running.bytes === 0) onFirstByte();
        running.bytes += size;
      });
      if (!(await verify(bytes))) throw new CodioError('mismatch', 'the bytes do not match the CID');
      return bytes;
    } catch (error) {
      if (abort.signal.aborted) throw new CodioError('timeout', 'no byte in time', { cause: error });
      if (error instanceof CodioError) throw error;
      throw new CodioError('unavailable', `unreachable: ${messageOf(error)}`, { cause: error });
    } finally {
      clearTimeout(silence);
      abort.abort();
    }
  }
}

/** Milliseconds; undefined: it does not say, or not to this origin. A date is by the server's own clock if that is told. */
function retryAfter(headers: Headers): number | undefined {
  const text = headers.get('retry-after');
  if (!text) return undefined;
  const date = Date.parse(headers.get('date') ?? '') || Date.now();
  const ms = Number(text) >= 0 ? Number(text) * 1000 : Date.parse(text) - date;
  return Number.isNaN(ms) ? undefined : ms;
}
