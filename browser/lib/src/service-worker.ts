/**
 * Registers the service worker whose script is at `url`, if there is one, and resolves when it controls this page. Rejects
 * where there is none, and where the browser or the site does not allow it.
 */
export async function startServiceWorker(url: string): Promise<void> {
  const { serviceWorker } = navigator as { serviceWorker?: ServiceWorkerContainer };
  if (!serviceWorker) throw new Error('service workers need https: or localhost');
  await serviceWorker.register(url, { type: 'classic' });
  if (serviceWorker.controller) return;
  await new Promise<void>((resolve) => serviceWorker.addEventListener('controllerchange', () => resolve(), { once: true }));
}
