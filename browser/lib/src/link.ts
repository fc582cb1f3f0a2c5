import type { CacheStats } from './block-store';
import type { Details, NodeEvents, PeerInfo, Stats } from './events';
import type { Verdict } from './good-citizen';
import type { Limits } from './limits';
import type { Failure } from './error';

/** To be changed with what follows: pages of other versions have nodes of their own. */
export const linkVersion = 1;

/** What the extension's script sets in the `dataset` of documents that may use its node. */
export const extensionMark = 'codioExtension';

/** From a CodioCDN to its node. A `request` is its number for a transfer or whatever else it waits for. */
export type Ask =
  /** The first: answered by the limits and the state. */
  | { type: 'hello' }
  /** `end` -1: the file's end. `whole`: all below the root is wanted, though it may have some already. */
  | { type: 'open'; request: number; address: string; begin: number; end: number; whole: boolean }
  | { type: 'consume'; request: number; bytes: number }
  | { type: 'cancel'; request: number }
  | { type: 'upload'; request: number; file: Blob }
  | { type: 'cache'; request: number; clear: boolean }
  | { type: 'limits'; limits: Limits }
  /** Whether it may upload, as far as this page is concerned; until it says so, it may not. */
  | { type: 'uploading'; verdict: Verdict }
  /** It wants no peers any more. */
  | { type: 'leave' };

/** From a node to one that uses it. */
export type Tell =
  | { type: 'size'; request: number; size: number }
  | { type: 'data'; request: number; offset: number; bytes: Uint8Array<ArrayBuffer> }
  | { type: 'details'; request: number; details: Details }
  | { type: 'ended'; request: number; error?: Failure }
  | { type: 'answer'; request: number; answer: string | CacheStats }
  /** `totals`: it is time for a `stats` event. */
  | { type: 'state'; stats: Stats; peers: PeerInfo[]; totals: boolean }
  | { type: 'limits'; limits: Limits; uploading: Verdict }
  | { type: 'problem'; error: Failure }
  | { [Name in keyof NodeEvents]: { type: 'event'; name: Name; event: NodeEvents[Name] } }[keyof NodeEvents];

/** One end of a way between the two; messages arrive in order, or not at all after either has closed it. */
export interface Link<Out, In> {
  onmessage: ((message: In) => void) | undefined;
  post(message: Out, transfer?: Transferable[]): void;
  close(): void;
}
export type ClientLink = Link<Ask, Tell>;
export type NodeLink = Link<Tell, Ask>;

/** Within one page: what one end posts is heard at the other before post() returns. */
export function directLink(): [ClientLink, NodeLink] {
  const client: ClientLink = { onmessage: undefined, post: (message) => node.onmessage?.(message), close };
  const node: NodeLink = { onmessage: undefined, post: (message) => client.onmessage?.(message), close };
  function close() {
    client.onmessage = node.onmessage = undefined;
  }
  return [client, node];
}

/** A port's, or those of a channel that no third has opened. */
export function portLink<Out, In>(port: MessagePort | BroadcastChannel): Link<Out, In> {
  const link: Link<Out, In> = {
    onmessage: undefined,
    post: (message, transfer = []) => {
      if (port instanceof MessagePort) port.postMessage(message, transfer);
      else port.postMessage(message);
    },
    close: () => port.close(),
  };
  port.onmessage = ({ data }: MessageEvent<In>) => link.onmessage?.(data);
  return link;
}

const maxAddress = 8192;

/** What a page that is not ours may ask: nothing that concerns others. */
export function isGuestAsk(message: unknown): message is Ask {
  const { type, request, ...more } = (message ?? {}) as Record<string, unknown>;
  if (type === 'hello') return true;
  if (!Number.isSafeInteger(request)) return false;
  switch (type) {
    case 'open':
      return (
        typeof more['address'] === 'string' &&
        more['address'].length <= maxAddress &&
        Number.isSafeInteger(more['begin']) &&
        Number.isSafeInteger(more['end']) &&
        typeof more['whole'] === 'boolean'
      );
    case 'consume':
      return Number.isSafeInteger(more['bytes']);
    case 'upload':
      return more['file'] instanceof Blob;
    default:
      return type === 'cancel';
  }
}
