/** In pages, where the user wants it: tells of `<link rel="codio" href="codio://CID">` as soon as the page has it. */
import type { Request } from './messages';

function look(): boolean {
  const link = document.querySelector<HTMLLinkElement>('head > link[rel~="codio"][href]');
  if (!link) return false;
  const request: Request = { type: 'named', address: link.getAttribute('href') ?? '' };
  void chrome.runtime.sendMessage(request);
  return true;
}

if (window === top && !look()) {
  const observer = new MutationObserver(() => look() && observer.disconnect());
  observer.observe(document, { childList: true, subtree: true });
  addEventListener('DOMContentLoaded', () => observer.disconnect());
}
