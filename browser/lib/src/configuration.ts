import { CodioError, messageOf } from './error';
import type { CitizenOptions } from './good-citizen';
import { changeLimits, defaultLimits, type Limits } from './limits';
import { readBounded } from './read-bounded';

export type Policy = 'p2p-first' | 'fastest' | 'gateway-only' | 'p2p-only';

export interface CodioOptions extends Partial<Limits>, CitizenOptions {
  /** The node whose `/.well-known/codio` fills in what is not given here; default: the page's origin. */
  node?: string | URL;
  /** WebSocket URLs where peers meet, tried in order; `[]`: stay alone. */
  rendezvous?: readonly (string | URL)[];
  /**
   * URL prefixes to which a CID is appended, in the order in which they are asked; `[]`: none. One without a path is
   * given `/ipfs/`.
   */
  gateways?: readonly (string | URL)[];
  /** STUN and TURN servers, as of `RTCConfiguration`. */
  iceServers?: readonly RTCIceServer[];
  /** `relay`: connect through TURN servers only, so that peers do not learn this machine's addresses. Default: `all`. */
  iceTransportPolicy?: RTCIceTransportPolicy;
  /**
   * `p2p-first` (default): peers, and the gateway for what they do not bring in time. `fastest`: both at once.
   * `gateway-only`, `p2p-only`: one of them.
   */
  policy?: Policy;
  /** Whether tabs of this origin that give the same options share one node; default true. */
  share?: boolean;
  /** Whether to use the node of the Codio extension where the visitor lets this site; default true. Only its options count. */
  extension?: boolean;
  /** Whether peers are offered and given what was downloaded; default true. Uploads always are. */
  seed?: boolean;
  /**
   * Whether blocks outlive the tab, so that a download goes on after a reload, and tabs of one origin share what they
   * have; default true. Where the browser does not allow it they are in memory: see `cache.stats().kind`.
   */
  persist?: boolean;
  /** Bytes of blocks kept, by each open tab; default 512 MiB. */
  storeBytes?: number;
  /** Idle connections kept beyond the transfers that needed them; default 32. */
  maxPeers?: number;
  /** Peers are used only for what at least so many offer; default 1. A page whose few visitors should not meet wants more. */
  minSwarm?: number;
  /** Milliseconds that a gateway may stay silent before the next one is asked; default 10,000, and half before its
   * first byte. */
  gatewayTimeout?: number;
}

export interface Configuration {
  rendezvous: string[];
  gateways: string[];
  iceServers: RTCIceServer[];
  /** Those of them that are the caller's. */
  givenIceServers: RTCIceServer[];
  iceTransportPolicy: RTCIceTransportPolicy;
  policy: Policy;
  seed: boolean;
  persist: boolean;
  storeBytes: number;
  maxPeers: number;
  minSwarm: number;
  gatewayTimeout: number;
  limits: Limits;
}

/** The order is the ABI's. */
export const policies: readonly Policy[] = ['p2p-first', 'fastest', 'gateway-only', 'p2p-only'];

const maxDescriptorBytes = 64 * 1024;
const descriptorTimeout = 10_000;

/** The same for pages in different folders. */
export function withAbsoluteUrls(options: CodioOptions, pageUrl: string): CodioOptions {
  const absolute = (url: string | URL) => new URL(url, pageUrl).href;
  const { node, rendezvous, gateways } = options;
  return {
    ...options,
    ...(node && { node: absolute(node) }),
    ...(rendezvous && { rendezvous: rendezvous.map(absolute) }),
    ...(gateways && { gateways: gateways.map(absolute) }),
  };
}

export async function configure(options: CodioOptions, pageUrl: string): Promise<Configuration> {
  const policy = options.policy ?? 'p2p-first';
  if (!policies.includes(policy)) throw new CodioError('malformed', `no policy "${policy}": use ${policies.join(', ')}`);
  const { maxUpload, maxDownload, uploadSlots } = options;
  const limits = changeLimits(defaultLimits, { maxUpload, maxDownload, uploadSlots } as Partial<Limits>);
  let { rendezvous, gateways, iceServers } = options;
  let base = pageUrl;
  if (!rendezvous || !gateways) {
    const url = new URL('/.well-known/codio', options.node ?? pageUrl).href;
    const descriptor = await fetchDescriptor(url);
    if (!rendezvous && !gateways) base = url;
    rendezvous ??= descriptor.rendezvous.map((at) => new URL(at, url));
    gateways ??= descriptor.gateways.map((at) => new URL(at, url));
    iceServers ??= descriptor.iceServers;
  }
  return {
    rendezvous: rendezvous.map((at) => webSocketUrl(new URL(at, base))),
    gateways: [...new Set(gateways.map((at) => gatewayUrl(new URL(at, base))))],
    iceServers: [...(iceServers ?? [])],
    givenIceServers: [...(options.iceServers ?? [])],
    iceTransportPolicy: options.iceTransportPolicy ?? 'all',
    policy,
    seed: options.seed ?? true,
    persist: options.persist ?? true,
    storeBytes: options.storeBytes ?? 512 * 1024 * 1024,
    maxPeers: options.maxPeers ?? 32,
    minSwarm: options.minSwarm ?? 1,
    gatewayTimeout: options.gatewayTimeout ?? 10_000,
    limits,
  };
}

interface Descriptor {
  rendezvous: string[];
  gateways: string[];
  iceServers: RTCIceServer[];
}

/** docs/protocol.md §1. */
async function fetchDescriptor(url: string): Promise<Descriptor> {
  const hint = 'run `codio serve` there, or pass {rendezvous, gateways} to CodioCDN.new()';
  let text;
  try {
    const response = await fetch(url, { credentials: 'omit', signal: AbortSignal.timeout(descriptorTimeout) });
    if (!response.ok) throw new Error(`HTTP ${response.status}`);
    text = new TextDecoder().decode(await readBounded(response, maxDescriptorBytes));
  } catch (error) {
    if (error instanceof CodioError) throw new CodioError(error.code, `${url}: ${error.message}; ${hint}`);
    throw new CodioError('unavailable', `no Codio node at ${url}: ${messageOf(error)}; ${hint}`, { cause: error });
  }
  return readDescriptor(text, url, hint);
}

export function readDescriptor(text: string, url: string, hint = ''): Descriptor {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new CodioError('malformed', `${url} is not a Codio descriptor; ${hint}`);
  }
  const { version, rendezvous = [], gateways = [], iceServers = [] } = (json ?? {}) as Record<string, unknown>;
  if (version !== 1) throw new CodioError('unsupported', `${url} has version ${String(version)}; this library knows 1`);
  if (!isTextList(rendezvous) || !isTextList(gateways) || !isIceServers(iceServers)) {
    throw new CodioError('malformed', `${url}: rendezvous and gateways must be lists of URLs, iceServers of RTCIceServer`);
  }
  return { rendezvous, gateways, iceServers };
}

export function isIceServers(value: unknown): value is RTCIceServer[] {
  return (
    Array.isArray(value) &&
    value.every((one: { urls?: unknown } | null) => typeof one?.urls === 'string' || isTextList(one?.urls))
  );
}

export function isTextList(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((one) => typeof one === 'string');
}

function gatewayUrl({ protocol, origin, pathname, search, hash, username, password }: URL): string {
  if (!protocol.startsWith('http') || search || hash || username || password) {
    throw new CodioError('malformed', `${origin}${pathname} is no gateway: it should be like https://host/ipfs/`);
  }
  return origin + (pathname === '/' ? '/ipfs/' : pathname.replace(/\/?$/, '/'));
}

function webSocketUrl(url: URL): string {
  return url.href.replace(/^http/, 'ws');
}
