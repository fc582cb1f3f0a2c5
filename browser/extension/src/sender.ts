/** Whether it is a page or the background of this extension, and not a script of ours in somebody's page. */
export function isFromUs(sender: chrome.runtime.MessageSender | undefined): boolean {
  if (sender?.id !== chrome.runtime.id) return false;
  // Chromium's background has no URL of a page; its scripts in pages have their page's.
  return sender.url === undefined ? sender.tab === undefined : sender.url.startsWith(chrome.runtime.getURL(''));
}

/** The origin of the page in whose top frame a script of ours is. */
export function siteOf({ id, origin, url, tab, frameId }: chrome.runtime.MessageSender): string | undefined {
  if (id !== chrome.runtime.id || !tab || frameId !== 0) return undefined;
  return origin ?? (url && new URL(url).origin);
}
