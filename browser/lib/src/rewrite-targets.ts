import { urlBelow } from './codio-url';
import { CodioError, messageOf } from './error';
import type { RewriteOptions } from './rewrite';

/**
 * What a URL is for. `file`: any way of getting the bytes will do. `media`: plays before it is here whole. `script`, `style`: only bytes that are verified or the
 * origin's own. `page`: shown as a document, so that bytes from a stranger must not get the page's origin, which a blob
 * would give them.
 */
export type Use = 'file' | 'media' | 'script' | 'style' | 'page';

/** An identity CID: whoever reads CIDs can answer it, and nobody else answers so. */
const probeCid = 'bafkqabldn5sgs3y';
const probeText = 'codio';
/** A worker that has not taken over by then will not keep this page waiting. */
const workerPatience = 3000;
/** What one file may take of memory where nothing but a Blob can show it. */
const maxBlob = 256 * 1024 * 1024;
/** More of it takes longer to come whole than a visitor waits for it to play. */
const maxMediaBlob = 16 * 1024 * 1024;

/** A browser runs these by their type alone, and a CID has no extension. */
const typesByUse: Partial<Record<Use, string>> = { script: 'text/javascript', style: 'text/css' };

const typesByExtension: Record<string, string> = {
  css: 'text/css',
  html: 'text/html',
  js: 'text/javascript',
  json: 'application/json',
  mjs: 'text/javascript',
  mp4: 'video/mp4',
  pdf: 'application/pdf',
  png: 'image/png',
  svg: 'image/svg+xml',
  txt: 'text/plain',
  wasm: 'application/wasm',
  webm: 'video/webm',
};

interface State {
  /** What the last attempt came to, which is the codio URL itself where none worked. */
  url?: string;
  attempt?: Promise<unknown>;
  /** The canonical URL did not work. */
  refused: boolean;
}

/**
 * The URLs that stand for codio URLs in this page: the canonical one below `base`, where a service worker or the page's
 * server answers those; else a blob's, filled by the library; else one of the fallback.
 */
export class Targets {
  readonly #base: string;
  readonly #fallback: string | undefined;
  readonly #cdn: Promise<RewriteOptions['cdn']>;
  readonly #states = new Map<string, State>();
  readonly #warned = new Set<string>();
  readonly #blobs: string[] = [];
  readonly #ready: Promise<void>;
  #served: boolean | undefined;
  #saidCannot = false;

  constructor({ base = '/codio/', fallback, cdn, serviceWorker, firstVisitWait = 0 }: RewriteOptions) {
    this.#base = new URL(base, location.href).href.replace(/\/*$/, '/');
    this.#fallback = fallback === undefined ? undefined : new URL(fallback, location.href).href.replace(/\/*$/, '/');
    this.#cdn = Promise.resolve(cdn).catch(() => undefined);
    this.#ready = this.#decide(serviceWorker, firstVisitWait);
  }

  /** Settled once it is known who answers canonical URLs. */
  get ready(): Promise<void> {
    return this.#ready;
  }

  /** Whether canonical URLs are answered; undefined as long as that is not known. */
  get served(): boolean | undefined {
    return this.#served;
  }

  get cdn(): Promise<RewriteOptions['cdn']> {
    return this.#cdn;
  }

  /** Throws an Error that says why where the text is no address. */
  canonical(address: string): string {
    return urlBelow(this.#base, address);
  }

  /** Where unverified bytes may be had; nothing without one. */
  fallback(address: string): string | undefined {
    return this.#fallback && urlBelow(this.#fallback, address);
  }

  /**
   * What to write in place of the codio URL, or a promise after which to ask again. The codio URL itself means that there
   * is no way, which the console was told.
   */
  resolve(address: string, use: Use): string | Promise<unknown> {
    const state = this.#state(address, use);
    if (state.url !== undefined) return state.url;
    let canonical;
    try {
      canonical = this.canonical(address);
    } catch (error) {
      this.warn(address, error);
      return (state.url = address);
    }
    if (this.#served === undefined) return this.#ready;
    if (this.#served && !state.refused) return canonical;
    state.attempt ??= this.#attempt(address, use).then((url) => {
      state.url = url;
    });
    return state.attempt;
  }

  /** The browser could not use that URL for the address. Whether resolve() now knows another way. */
  refuse(address: string, use: Use, url: string): boolean {
    const state = this.#state(address, use);
    if (state.url !== undefined) return state.url !== url && state.url !== address;
    // Others than the canonical one are the last that there is.
    state.refused = true;
    return true;
  }

  /** One warning for each address. */
  warn(address: string, reason: unknown): void {
    if (this.#warned.has(address)) return;
    this.#warned.add(address);
    console.warn(`codio: ${address} is left as it is: ${messageOf(reason)}`);
  }

  /** One message for all that no library can do. */
  cannot(what: string): void {
    if (this.#saidCannot) return;
    this.#saidCannot = true;
    console.info(`codio: ${what}. docs/site-owners.md says where codio:// cannot work and what does; this is not repeated.`);
  }

  /** The file as a blob URL, valid until release(). Rejects with a CodioError. */
  async blob(address: string, type?: string, limit = maxBlob): Promise<string> {
    const cdn = await this.#cdn;
    if (!cdn) throw new CodioError('unavailable', 'nothing here answers /codio/, and the library is not running');
    const abort = new AbortController();
    const onProgress = ({ total }: { total: number }) => {
      if (total <= limit) return;
      const message = `${total} bytes are too many without a service worker, which could stream them`;
      abort.abort(new CodioError('too-large', message));
    };
    const stream = cdn.stream(address, { signal: abort.signal, onProgress });
    let blob = await new Response(stream).blob();
    // A browser looks into images, media and fonts whatever they are called, but not so for these.
    const known = type ?? typeOfName(address) ?? (await looksLikeSvg(blob));
    if (known) blob = blob.slice(0, blob.size, known);
    const url = URL.createObjectURL(blob);
    this.#blobs.push(url);
    return url;
  }

  release(): void {
    navigator.serviceWorker?.removeEventListener('controllerchange', this.#handleController);
    this.#blobs.forEach((url) => URL.revokeObjectURL(url));
  }

  async #decide(serviceWorker: Promise<unknown> | undefined, firstVisitWait: number): Promise<void> {
    // Absent where the context is not secure.
    const workers = navigator.serviceWorker as ServiceWorkerContainer | undefined;
    workers?.addEventListener('controllerchange', this.#handleController);
    let served = await this.#probe();
    if (serviceWorker && !(served && workers?.controller)) {
      const left = served ? firstVisitWait - performance.now() : workerPatience;
      if (left > 0) await Promise.race([serviceWorker.catch(() => {}), new Promise((resolve) => setTimeout(resolve, left))]);
      served ||= await this.#probe();
    }
    this.#served = served;
  }

  readonly #handleController = (): void => {
    void this.#probe().then((served) => {
      if (this.#served === false) this.#served = served;
    });
  };

  async #probe(): Promise<boolean> {
    try {
      const response = await fetch(this.#base + probeCid);
      return response.ok && (await response.text()) === probeText;
    } catch {
      return false;
    }
  }

  async #attempt(address: string, use: Use): Promise<string> {
    let reason: unknown;
    if (use === 'page') {
      reason = 'links and frames need a service worker, or a node that serves /codio/ on this origin';
    } else {
      try {
        const streams = use === 'media' && this.#fallback !== undefined;
        return await this.blob(address, typesByUse[use], streams ? maxMediaBlob : maxBlob);
      } catch (error) {
        reason = error;
      }
    }
    const other = typesByUse[use] ? undefined : this.fallback(address);
    if (other !== undefined) return other;
    if (use === 'page') this.cannot(String(reason));
    else this.warn(address, reason);
    return address;
  }

  #state(address: string, use: Use): State {
    const key = `${use} ${address}`;
    let state = this.#states.get(key);
    if (!state) this.#states.set(key, (state = { refused: false }));
    return state;
  }
}

/** By the extension in the address's path. */
export function typeOfName(address: string): string | undefined {
  const extension = /\/[^/?#]*\.(\w+)(?:[?#]|$)/.exec(address.replace(/^[^:]*:\/*/, ''))?.[1];
  return typesByExtension[extension?.toLowerCase() ?? ''];
}

async function looksLikeSvg(blob: Blob): Promise<string | undefined> {
  const start = await blob.slice(0, 512).text();
  return /^\s*(?:<\?xml[^>]*>|<!--|<!DOCTYPE svg|<svg)/.test(start) && start.includes('<svg') ? 'image/svg+xml' : undefined;
}
