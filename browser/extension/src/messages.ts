/** What the parts of the extension say to each other. The node's page has `chrome.runtime` and no other extension API. */
import type { Settings } from './settings';

/** Bytes. */
export interface Totals {
  fromPeers: number;
  fromGateways: number;
  /** From the blocks on this disk, so not fetched again. */
  fromCache: number;
  uploaded: number;
}

export const noTotals: Totals = { fromPeers: 0, fromGateways: 0, fromCache: 0, uploaded: 0 };

export function add(a: Totals, b: Totals): Totals {
  return {
    fromPeers: a.fromPeers + b.fromPeers,
    fromGateways: a.fromGateways + b.fromGateways,
    fromCache: a.fromCache + b.fromCache,
    uploaded: a.uploaded + b.uploaded,
  };
}

/** Uploaded bytes of a calendar month. */
export interface Month {
  /** `2026-11` */
  name: string;
  uploaded: number;
}

/** A file that the user shared. */
export interface Share {
  cid: string;
  name: string;
  size: number;
  url: string;
}

/** A file that is to be read for the user, without credentials: to share it, or to tell its CID. */
export interface Errand {
  id: string;
  type: 'share' | 'hash';
  url: string;
  /** Where it was asked for, if that is a tab. */
  tab: number | undefined;
  /** Whether the browser lets us read there. */
  mayRead: boolean;
}
export type Outcome = { share: Share } | { cid: string } | { error: string };

/** To the background. */
export type Request =
  /** Of any page of ours, and of pages whose site may use the node. Answered once the node's page is there: Woken. */
  | { type: 'wake' }
  /** Of the node's page. Answered: Orders. */
  | { type: 'start' }
  /** Of the node's page: what moved since the last report. */
  | { type: 'report'; totals: Totals }
  /** Of the node's page: what became of it. */
  | { type: 'done'; errand: Errand; outcome: Outcome }
  /** Of the node's page: nothing to do; it may be closed. */
  | { type: 'idle' }
  /** Of the node's page, where its background would be suspended otherwise. */
  | { type: 'beat' }
  /** Of the viewer: load that URL in its tab, and leave it alone. */
  | { type: 'original'; url: string }
  /** Of a page that names its content. */
  | { type: 'named'; address: string };

export interface Woken {
  error?: string;
}

export interface Orders {
  settings: Settings;
  session: Totals;
  lifetime: Totals;
  month: Month;
  shares: Share[];
  /** What a page before did not end. */
  errands: Errand[];
}

/** From the background to the node's page. */
export type Order =
  | { type: 'settings'; settings: Settings }
  /** Once, however often it is told. */
  | { type: 'errand'; errand: Errand };

/** Over a port named `status`, from the node's page. */
export interface Snapshot {
  /** What keeps it from working as it should. */
  problem: string | undefined;
  peers: PeerView[];
  session: Totals;
  lifetime: Totals;
  month: Month;
  /** Sums at times by `Date.now()`, oldest first. */
  history: [time: number, down: number, up: number][];
  transfers: TransferView[];
  errands: ErrandView[];
}

export interface PeerView {
  id: string;
  open: boolean;
  received: number;
  /** Bytes a second, of downloads. */
  rate: number;
  /** Milliseconds. */
  roundTrip: number | undefined;
}

export interface TransferView {
  id: number;
  address: string;
  /** The origin that wants it; '': the user. */
  site: string;
  paused: boolean;
  /** Bytes of `total`; 0 of 0 until its size is known. */
  received: number;
  total: number;
  rate: number;
  /** Milliseconds to go. */
  remaining: number | undefined;
  fromPeers: number;
  fromGateways: number;
  fromCache: number;
}

export interface ErrandView {
  id: string;
  type: Errand['type'];
  name: string;
  received: number;
  total: number | undefined;
  /** To its end: what is left to do cannot be stopped. */
  isRead: boolean;
}

/** Over the same port, to the node's page. */
export type StatusCommand = { type: 'pause' | 'resume' | 'cancel'; id: number } | { type: 'stop'; id: string };
