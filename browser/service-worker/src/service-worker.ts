/**
 * Answers the site's requests for files by CID, out of a page that has peers, else out of the cache and gateways; it leaves
 * all other requests alone. It has no state that it could not do without: browsers stop workers at any time.
 */
import { CodioError, messageOf } from '../../lib/src/error';
import { readConfiguration } from '../../lib/src/service-worker-configuration';
import { Content } from './content';
import { makeHandlers } from './handlers';
import { Own } from './own';
import { Pages } from './pages';
import type { ServiceWorkerScope } from './scope';

const scope = globalThis as unknown as ServiceWorkerScope;
const configuration = readConfiguration(new URL(scope.location.href));
/** Of a page that may be loading its script; where nobody else may be asked, there is more of it. */
const patience = configuration.policy === 'p2p-only' ? 10_000 : 500;
/** Chromium stops a worker whose event takes five minutes, whatever it is streaming. */
const maxEvent = 290_000;
/** Firefox stops one a minute after its last event, and ends its streams as if they were whole: it must fail before. */
const maxQuiet = /firefox/i.test(navigator.userAgent) ? 45_000 : Infinity;

const pages = new Pages(scope.clients, patience);
let lastEvent = performance.now();
const own = new Own(configuration, () => {
  void pages.wake(); // Each answer is an event.
  if (performance.now() - lastEvent < maxQuiet) return;
  own.break(new CodioError('timeout', 'Firefox stops this worker now, as no page of the site that serves it is open'));
});
const content = new Content(pages, own, configuration.trusted);
const handlers = makeHandlers(new URL(scope.registration.scope), configuration.intercept, content);

scope.addEventListener('install', (event) => event.waitUntil(Promise.all([own.install(), scope.skipWaiting()])));
scope.addEventListener('activate', (event) => event.waitUntil(scope.clients.claim()));
scope.addEventListener('message', (event) => {
  lastEvent = performance.now();
  pages.hear(event);
});
scope.addEventListener('unhandledrejection', ({ reason }) => {
  // The core trapped: its host can do nothing more.
  if (reason instanceof WebAssembly.RuntimeError) own.break(new CodioError('io', `the core stopped: ${messageOf(reason)}`));
});
scope.addEventListener('fetch', (event) => {
  lastEvent = performance.now();
  const { request, clientId, resultingClientId } = event;
  if (request.method !== 'GET' && request.method !== 'HEAD') return;
  const handler = handlers.find((one) => one.canHandle(request));
  if (!handler) return;
  let ended = () => {};
  const whole = new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, maxEvent);
    ended = () => {
      clearTimeout(timer);
      resolve();
    };
  });
  event.waitUntil(whole);
  event.respondWith(handler.handle({ request, client: clientId || resultingClientId, ended }));
});
