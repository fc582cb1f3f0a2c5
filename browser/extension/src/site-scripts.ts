/** Which of our scripts the browser runs in whose pages. */
import type { Settings } from './settings';

export async function registerScripts({ enabled, namedPages, sites }: Settings): Promise<void> {
  const before = await chrome.scripting.getRegisteredContentScripts();
  if (before.length > 0) await chrome.scripting.unregisterContentScripts({ ids: before.map(({ id }) => id) });
  if (!enabled) return;
  const allowed = Object.entries(sites).filter(([, { node, off }]) => node && !off);
  const matches = [...new Set(allowed.map(([origin]) => patternOf(origin)))];
  const shared = { runAt: 'document_start' } as const;
  if (matches.length > 0) await register({ ...shared, id: 'page', js: ['page.js'], matches });
  if (namedPages) await register({ ...shared, id: 'named', js: ['named.js'], matches: ['https://*/*', 'http://*/*'] });
}

async function register(script: chrome.scripting.RegisteredContentScript): Promise<void> {
  await chrome.scripting.registerContentScripts([script]);
}

/** Match patterns have no port. */
export function patternOf(origin: string): string {
  const { protocol, hostname } = new URL(origin);
  return `${protocol}//${hostname}/*`;
}
