import { CodioError } from './error';

export interface Address {
  cid: string;
  /** Decoded names joined by '/'; empty for the root itself. */
  path: string;
}

/**
 * Reads `CID`, `CID/path`, or a URL `codio://CID/path` (also `web+codio:`). Only a URL's path is percent-decoded, and
 * only a URL has a query and a fragment, which are dropped. The CID is the core's to judge.
 */
export function parseAddress(text: string): Address {
  const url = /^(?:web\+)?codio:(?:\/\/)?([^?#]*)/.exec(text);
  const [cid = '', ...names] = (url?.[1] ?? text).split('/');
  if (cid === '') throw new CodioError('malformed', `"${text}" names no CID`);
  return { cid, path: names.filter((name) => name !== '').map((name) => (url ? decode(name, text) : name)).join('/') };
}

function decode(name: string, whole: string): string {
  let decoded;
  try {
    decoded = decodeURIComponent(name);
  } catch {
    throw new CodioError('malformed', `"${whole}": "${name}" is not percent-encoded UTF-8`);
  }
  if (decoded.includes('/')) throw new CodioError('malformed', `"${whole}": a name cannot contain "/"`);
  return decoded;
}
