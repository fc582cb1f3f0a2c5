/**
 * Codio CDN without a line of code:
 *
 *     <script type="module" src="https://node.example/pkg/codio.js" data-node="https://node.example"></script>
 *
 * Joins the network, rewrites codio:// URLs, and registers the service worker if the site has it. The CodioCDN is
 * `window.codio` once a `codio-ready` event came to the window, with it as `detail`. What is blocked or down leaves
 * the page as it is, with its files from whoever else serves them. docs/site-owners.md lists the attributes.
 */
import { readSettings, type Settings } from './drop-in-settings';
import { messageOf } from './error';
import type { CodioCDN } from './index';
import { registerProtocolHandler, rewriteCodioUrls } from './rewrite';

declare global {
  interface Window {
    codio?: CodioCDN;
  }
  interface WindowEventMap {
    'codio-ready': CustomEvent<CodioCDN>;
  }
}

const scripts = document.querySelectorAll<HTMLScriptElement>('script[type="module"][src]');
const element = [...scripts].find(({ src }) => src === import.meta.url);
const settings = readSettings({ ...element?.dataset });
settings.problems.forEach((problem) => console.error(`codio: ${problem}`));

const cdn = start(settings);
cdn.then(
  (started) => {
    window.codio = started;
    window.dispatchEvent(new CustomEvent('codio-ready', { detail: started }));
  },
  (error: unknown) => console.warn(`codio: ${messageOf(error)}; this page does without peers`),
);

const { base, fallback } = settings;
// A site without the worker is nothing to complain of.
const serviceWorker = settings.serviceWorker === '' ? undefined : serve(settings.serviceWorker).catch(() => {});
if (settings.rewrite) rewriteCodioUrls({ cdn, base, fallback, serviceWorker, firstVisitWait: settings.firstVisitWait });
if (settings.protocolHandler) {
  try {
    registerProtocolHandler(location.pathname);
  } catch (error) {
    console.warn(`codio: web+codio: links of other pages will not open here: ${messageOf(error)}`);
  }
}

/** Brings a worker for all that is beside `base`. */
async function serve(script: string | undefined): Promise<void> {
  const scope = new URL('..', new URL(base ?? '/codio/', location.href)).pathname;
  // The site's own, else that of the node if it serves the page too.
  const usual = [new URL('/codio-sw.js', location.href), new URL('codio-sw.js', import.meta.url)];
  const scripts = script === undefined ? usual : [new URL(script, location.href)];
  const own = scripts.filter(({ origin }) => origin === location.origin);
  // Long before the library could: a page that waits for a worker shall soon know that there is none.
  const present = await Promise.all(own.map(isThere));
  if (!present.includes(true) && script === undefined) return;
  const { serveServiceWorker } = await import('./index');
  const started = await cdn;
  const { intercept, trusted } = settings;
  for (const url of own) {
    try {
      await serveServiceWorker(started, url, { scope, intercept, trusted });
      return;
    } catch (error) {
      if (script !== undefined) console.warn(`codio: ${messageOf(error)}`);
    }
  }
}

/** Without a network it may be, from before. */
async function isThere(url: URL): Promise<boolean> {
  return fetch(url, { method: 'HEAD' }).then(({ ok }) => ok, () => true);
}

async function start({ options }: Settings): Promise<CodioCDN> {
  const { default: init, CodioCDN: Cdn } = await import('./index');
  await init();
  try {
    return await Cdn.new(options);
  } catch (error) {
    if (!options.gateways?.length) throw error;
    // Without its node a page has the gateways still.
    console.warn(`codio: ${messageOf(error)}; this page has its files from the gateways`);
    return Cdn.new({ ...options, rendezvous: [] });
  }
}
