import { parseAddress } from './address';

/** In any of the texts that can hold such a URL; quick, and right about those that cannot. */
export function mayHoldCodioUrl(text: string | null | undefined): text is string {
  return text?.includes('codio:') ?? false;
}

/** Whether the whole text is a `codio:` or `web+codio:` URL. */
export function isCodioUrl(text: string): boolean {
  return /^\s*(?:web\+)?codio:/.test(text);
}

/** Where in an attribute's text URLs are: it is one; it has one in each candidate; it is CSS. */
export type Grammar = 'url' | 'srcset' | 'css';

const patterns: Record<Grammar, RegExp> = {
  url: /^(\s*)((?:web\+)?codio:\S*)/g,
  srcset: /(^|[\s,])((?:web\+)?codio:\S*[^\s,])/g,
  css: /(url\(\s*["']?|@import\s+["'])((?:web\+)?codio:[^\s"')]+)/gi,
};

/** The text with `replacement(url)` in place of every codio URL in it. */
export function replaceCodioUrls(text: string, grammar: Grammar, replacement: (url: string) => string): string {
  return text.replace(patterns[grammar], (_, before: string, url: string) => before + replacement(url));
}

/** Of the multibases that the core reads, and CIDs of version 0. */
const cidPattern = /^(?:Qm[1-9A-HJ-NP-Za-km-z]{44}|[bB][a-zA-Z2-7]{5,}|[zZ][1-9A-HJ-NP-Za-km-z]{5,}|[kKfF][0-9a-zA-Z]{5,})$/;

/**
 * The URL below `base` (absolute, ending with `/`) that stands for a codio URL, with its query and fragment. Throws an
 * Error that says why if the text is none, or if its path would lead out of the CID.
 */
export function urlBelow(base: string, text: string): string {
  const trimmed = text.trim();
  const { cid } = parseAddress(trimmed);
  if (!cidPattern.test(cid)) throw new Error(`"${cid}" is not a CID`);
  const url = new URL(base + trimmed.replace(/^(?:web\+)?codio:(?:\/\/)?/, ''));
  const root = base + cid;
  if (!url.href.startsWith(root) || !/^(?:[/?#]|$)/.test(url.href.slice(root.length))) {
    throw new Error('its path leaves the CID');
  }
  return url.href;
}
