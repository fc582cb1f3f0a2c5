import type { CodioError } from './error';
import type { Verdict } from './good-citizen';

/** The same fields as Progress of the core (src/transfer/progress.h). Sizes in bytes, rates in bytes a second. */
export interface Progress extends Details {
  /** The transfer's number in all events of one CodioCDN. */
  transfer: number;
  /** Handed over in order, of `total`. */
  received: number;
  /** Of the file or range; 0 until its first block came. */
  total: number;
}

/** What the core tells of a transfer, several times a second. */
export interface Details {
  /** Blocks from everywhere; inner nodes of the file too. */
  verified: number;
  fromStore: number;
  fromPeers: number;
  fromGateways: number;
  /** Came for it and was not needed any more, or did not verify. */
  duplicates: number;
  /** From the network, lately; and since it began. */
  rate: number;
  averageRate: number;
  /** Milliseconds until it ends at that rate, where that can be told. */
  remaining: number | undefined;
  /** Verified bytes of each peer, and the rate at which it sends lately. Peers that left are listed too. */
  peers: { peer: string; bytes: number; rate: number }[];
}

export const noDetails: Details = {
  verified: 0,
  fromStore: 0,
  fromPeers: 0,
  fromGateways: 0,
  duplicates: 0,
  rate: 0,
  averageRate: 0,
  remaining: undefined,
  peers: [],
};

/** Where a verified block came from. */
export type Source = { kind: 'store' } | { kind: 'peer'; peer: string } | { kind: 'gateway'; url: string };

export interface PeerInfo {
  id: string;
  state: 'connecting' | 'open';
  /** Verified bytes that it sent. */
  received: number;
}

/** Bytes since the node began, and what goes on now. Tabs that share a node see the same. */
export interface Stats {
  /** Open connections. */
  peers: number;
  downloadedFromPeers: number;
  downloadedFromGateways: number;
  uploaded: number;
  /** Came, and was not needed any more or did not verify. */
  duplicates: number;
  /** Active downloads and streams of this CodioCDN. */
  transfers: number;
}

/** What a node tells those that listen to CodioCDN.on(), of transfers to the one whose they are. */
export interface NodeEvents {
  finding: { transfer: number; cid: string };
  connecting: { transfer: number; peer: string };
  receiving: { transfer: number; size: number };
  /** `hashing`: milliseconds that its verification took; 0 for what was kept. */
  verified: { transfer: number; bytes: number; source: Source; hashing: number };
  /** It answered our offer: the connection is being made. */
  'peer-signalled': { peer: string };
  'peer-connected': { peer: string };
  'peer-disconnected': { peer: string; reason: string };
}

/** What `on()` can hear of. A transfer's are: started finding connecting receiving verified progress finished/failed. */
export interface CodioEvents extends NodeEvents {
  started: { transfer: number; address: string };
  progress: Progress;
  finished: { transfer: number };
  failed: { transfer: number; error: unknown };
  stats: Stats;
  /** Whether it uploads now, if there is anything to upload; if not, why. */
  uploading: Verdict;
  /** What went wrong apart from any call; the rest goes on. */
  error: { error: CodioError };
}
