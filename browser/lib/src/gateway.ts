import { CodioError, messageOf, type ErrorCode } from './error';
import { readBounded } from './read-bounded';

const maxBlock = 2 * 1024 * 1024;
const maxConcurrent = 6;
const failuresBeforePause = 3;
const pause = 30_000;

/** Whether the bytes are the block that was asked for. */
export type Verify = (bytes: Uint8Array<ArrayBuffer>) => Promise<boolean>;

interface Gateway {
  url: string;
  failures: number;
  pausedUntil: number;
}

export interface GatewayBlock {
  bytes: Uint8Array<ArrayBuffer>;
  gateway: string;
}

/**
 * Fetches verified blocks from trustless gateways (https://specs.ipfs.tech/http-gateways/trustless-gateway/), asking
 * the next where one has not, fails, hangs or lies. One that failed several times in a row is asked last for a while.
 */
export class GatewayClient {
  readonly #gateways: Gateway[];
  readonly #timeout: number;
  readonly #queue: (() => void)[] = [];
  #running = 0;

  /** `timeout`: milliseconds without a byte after which the next gateway is asked; half of it before the first byte. */
  constructor(urls: readonly string[], timeout: number) {
    this.#gateways = urls.map((url) => ({ url, failures: 0, pausedUntil: 0 }));
    this.#timeout = timeout;
  }

  get count(): number {
    return this.#gateways.length;
  }

  /** Rejects with the signal's reason, or with a CodioError that names every gateway and its cause. */
  async fetchBlock(cid: string, verify: Verify, signal: AbortSignal): Promise<GatewayBlock> {
    // A browser queues fetches of its own accord, and a queued one would run into the timeout.
    if (this.#running >= maxConcurrent) await new Promise<void>((resolve) => this.#queue.push(resolve));
    else this.#running++;
    try {
      return await this.#tryAll(cid, verify, signal);
    } finally {
      const next = this.#queue.shift();
      if (next) next();
      else this.#running--;
    }
  }

  async #tryAll(cid: string, verify: Verify, signal: AbortSignal): Promise<GatewayBlock> {
    const now = performance.now();
    const paused = this.#gateways.filter((gateway) => gateway.pausedUntil > now);
    const order = [...this.#gateways.filter((gateway) => !paused.includes(gateway)), ...paused];
    const causes: string[] = [];
    let code: ErrorCode | undefined;
    for (const gateway of order) {
      signal.throwIfAborted();
      try {
        const bytes = await this.#fetchFrom(gateway.url + cid, verify, signal);
        gateway.failures = 0;
        return { bytes, gateway: gateway.url };
      } catch (error) {
        signal.throwIfAborted();
        const reason = error instanceof CodioError ? error.code : 'unavailable';
        if (reason !== 'not-found' && ++gateway.failures >= failuresBeforePause) {
          gateway.pausedUntil = performance.now() + pause;
        }
        code = code === undefined || code === reason ? reason : 'unavailable';
        causes.push(`${gateway.url + cid}: ${messageOf(error)}`);
      }
    }
    throw new CodioError(code ?? 'unavailable', `all gateways failed: ${causes.join('; ') || 'none is configured'}`);
  }

  async #fetchFrom(url: string, verify: Verify, signal: AbortSignal): Promise<Uint8Array<ArrayBuffer>> {
    const abort = new AbortController();
    let silence = setTimeout(() => abort.abort(), this.#timeout / 2);
    const onAbort = () => abort.abort();
    signal.addEventListener('abort', onAbort);
    try {
      const response = await fetch(`${url}?format=raw`, {
        headers: { Accept: 'application/vnd.ipld.raw' },
        credentials: 'omit',
        signal: abort.signal,
      });
      if (response.status === 404 || response.status === 410) throw new CodioError('not-found', `HTTP ${response.status}`);
      if (!response.ok) throw new CodioError('unavailable', `HTTP ${response.status}`);
      if (response.headers.get('content-type')?.startsWith('text/html')) {
        throw new CodioError('unsupported', 'a web page, not a block');
      }
      const bytes = await readBounded(response, maxBlock, () => {
        clearTimeout(silence);
        silence = setTimeout(() => abort.abort(), this.#timeout);
      });
      if (!(await verify(bytes))) throw new CodioError('mismatch', 'the bytes do not match the CID');
      return bytes;
    } catch (error) {
      if (abort.signal.aborted) throw new CodioError('timeout', 'no byte in time', { cause: error });
      if (error instanceof CodioError) throw error;
      throw new CodioError('unavailable', `unreachable: ${messageOf(error)}`, { cause: error });
    } finally {
      clearTimeout(silence);
      signal.removeEventListener('abort', onAbort);
      abort.abort();
    }
  }
}
