/**
 * Lets a page use `codio://CID[/path]` and `web+codio://…` wherever it may name a URL, though browsers know neither: they
 * become the URLs `/codio/CID[/path]` of the page's origin, which the service worker answers, or a node that serves the page.
 *
 *     import { rewriteCodioUrls } from './pkg/codio-rewrite.js';
 *     const undo = rewriteCodioUrls({ cdn: CodioCDN.new() });
 *
 * docs/site-owners.md says what is covered, and what no library can do.
 */
import { rewriteDocument } from './rewrite-document';
import { rewriteRequests } from './rewrite-requests';
import { isCodioUrl } from './codio-url';
import { Targets } from './rewrite-targets';

/** What brings the files that nobody on the page's origin serves: a CodioCDN. */
export interface FileSource {
  stream(
    address: string,
    options: {
      signal?: AbortSignal;
      range?: { begin: number; end?: number };
      onProgress?: (progress: { transfer: number; total: number }) => void;
    },
  ): ReadableStream<Uint8Array<ArrayBuffer>>;
}

export interface RewriteOptions {
  /**
   * Gets files into blobs where neither a service worker nor the page's server answers `base`. May still be starting; if
   * it rejects, the page does without.
   */
  cdn?: FileSource | Promise<FileSource | undefined> | undefined;
  /** Of the canonical URLs on this origin; default `/codio/`. */
  base?: string | undefined;
  /**
   * Where else files may be had if all other ways fail, and links and frames if nobody answers `base`: the `/codio/` or
   * `/ipfs/` of a server that is trusted, as nobody verifies what it sends. Scripts and styles are never taken from there.
   */
  fallback?: string | undefined;
  /** Resolves when a service worker has taken over; the page waits for it for three seconds if nobody else serves `base`. */
  serviceWorker?: Promise<unknown> | undefined;
  /**
   * Milliseconds after its navigation began until which a page whose server answers `base` waits for the service worker all
   * the same, so that the first visit's files come from peers too. Default 0: they come from the server at once. Later visits
   * have the worker from their beginning.
   */
  firstVisitWait?: number | undefined;
}

/** Shared by all copies of this file in a page. */
const installed = Symbol.for('codio.rewrite');
const parameter = 'codio';

/**
 * Rewrites what is in the document and what comes into it from now on, and patches `fetch`, `Request`, `XMLHttpRequest` and
 * the properties of elements that take URLs. Returns what undoes the patches; URLs that were rewritten stay as they are,
 * and those of blobs end. While it is in force, further calls change nothing and return the same.
 */
export function rewriteCodioUrls(options: RewriteOptions = {}): () => void {
  const page = window as { [installed]?: (() => void) | undefined };
  if (page[installed]) return page[installed];
  const targets = new Targets(options);
  const undos = [rewriteRequests(targets), rewriteDocument(targets)];
  void followHandler(targets);
  return (page[installed] = () => {
    undos.forEach((undo) => undo());
    targets.release();
    page[installed] = undefined;
  });
}

/**
 * Asks the visitor to open `web+codio:` links of other pages here, in the page at `page`, which must call
 * rewriteCodioUrls(). Throws a SecurityError where the context is not secure.
 */
export function registerProtocolHandler(page: string | URL = '/'): void {
  const url = new URL(page, location.href);
  // %s must not be encoded.
  navigator.registerProtocolHandler('web+codio', `${url.href.replace(/[?#].*/, '')}?${parameter}=%s`);
}

/** Goes on to what a link of another page named. */
async function followHandler(targets: Targets): Promise<void> {
  const address = new URLSearchParams(location.search).get(parameter);
  if (!address || !isCodioUrl(address)) return;
  for (;;) {
    const url = targets.resolve(address, 'page');
    if (typeof url !== 'string') await url;
    else {
      if (!isCodioUrl(url)) location.replace(url);
      return;
    }
  }
}
