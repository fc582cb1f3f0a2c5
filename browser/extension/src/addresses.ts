/** Which URLs name content, and how. */

const cidV0 = /^Qm[1-9A-HJ-NP-Za-km-z]{44}$/;
const cidV1 = /^(?:b[a-z2-7]{20,}|B[A-Z2-7]{20,}|f[0-9a-f]{20,}|z[1-9A-HJ-NP-Za-km-z]{20,}|k[0-9a-z]{20,})$/;

/** Whether it looks like one; the core judges. */
export function isCid(text: string): boolean {
  return text.length <= 256 && (cidV0.test(text) || cidV1.test(text));
}

/** `codio://CID/path` of a `codio:`, `web+codio:` or `ext+codio:` URL. */
export function codioAddress(url: string): string | undefined {
  const [, rest = ''] = /^(?:web\+|ext\+)?codio:(?:\/\/)?([^?#]*)/i.exec(url) ?? [];
  return addressOf(rest);
}

/** `codio://CID/path` of a gateway's URL, `https://HOST/ipfs/CID/path` or `https://CID.ipfs.HOST/path`. */
export function gatewayAddress(url: string): string | undefined {
  if (!URL.canParse(url)) return undefined;
  const { protocol, hostname, pathname } = new URL(url);
  if (protocol !== 'https:' && protocol !== 'http:') return undefined;
  if (pathname.startsWith('/ipfs/')) return addressOf(pathname.slice('/ipfs/'.length));
  const [, cid] = /^([^.]+)\.ipfs\./.exec(hostname) ?? [];
  return cid && addressOf(cid + pathname);
}

/** `codio://CID/path` of a search for just that. */
export function searchedAddress(url: string): string | undefined {
  for (const value of new URL(url).searchParams.values()) {
    const address = codioAddress(value.trim());
    if (address) return address;
  }
  return undefined;
}

/** Of what a person types or a page names: a CID, a path below one, or any of the URLs above. */
export function anyAddress(text: string): string | undefined {
  const trimmed = text.trim();
  return codioAddress(trimmed) ?? gatewayAddress(trimmed) ?? addressOf(trimmed.replace(/^\/ipfs\//, ''));
}

export function cidOf(address: string): string {
  return address.slice('codio://'.length).split('/')[0] ?? '';
}

/** A name in a URL as people read it; a percent sign may mean itself. */
export function decoded(name: string): string {
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}

/** The page that shows it. `original`: what it stands in for. */
export function viewUrl(address: string, original?: string): string {
  const query = new URLSearchParams({ u: address, ...(original !== undefined && { original }) });
  return chrome.runtime.getURL(`view.html?${query}`);
}

function addressOf(rest: string): string | undefined {
  const [cid = '', ...names] = rest.split('/');
  if (!isCid(cid)) return undefined;
  const path = names.filter((name) => name !== '').join('/');
  return `codio://${cid}${path && `/${path}`}`;
}
