import type { CacheStats } from './block-store';
import type { Failure } from './error';
import type { Introduction } from './identity';
import type { Limits } from './limits';

/** From the page to its core worker. A `request` is the page's number for a transfer or whatever else it waits for. */
export type Command =
  | {
      type: 'start';
      module: WebAssembly.Module;
      policy: number;
      gateways: string[];
      gatewayTimeout: number;
      persist: boolean;
      storeBytes: number;
      maxPeers: number;
      /** Whether peers get what was downloaded; they always get uploads. */
      seed: boolean;
      limits: Limits;
    }
  | { type: 'limits'; limits: Limits }
  | { type: 'download'; request: number; cid: string; path: string; begin: number; end: number }
  | { type: 'consume'; request: number; bytes: number }
  | { type: 'cancel'; request: number }
  | { type: 'providers'; request: number; pending: number }
  | { type: 'channel'; peer: number; channel: RTCDataChannel | MessagePort }
  | ({ type: 'introduce'; peer: number } & Introduction)
  | { type: 'provides'; peer: number; request: number }
  | { type: 'gone'; peer: number }
  | { type: 'upload'; request: number; file: Blob; builder: WebAssembly.Module }
  /** Lets what that upload pinned go in its turn. */
  | { type: 'release'; request: number }
  /** Answered by those of them that are in the store. */
  | { type: 'has'; request: number; cids: string[] }
  | { type: 'cache'; request: number; clear: boolean };

/** From the core worker; several come in one message. */
export type Report =
  | { type: 'ready' }
  | { type: 'started'; request: number; root: string }
  | { type: 'find'; request: number; root: string }
  | { type: 'entity'; request: number; size: number }
  | { type: 'data'; request: number; offset: number; bytes: Uint8Array<ArrayBuffer> }
  /** As the ABI's kProgress has it. */
  | { type: 'progress'; request: number; values: Float64Array }
  /** `hashing`: milliseconds. */
  | { type: 'received'; request: number; bytes: number; peer: number; gateway: string; hashing: number }
  | { type: 'ended'; request: number; error?: Failure }
  | { type: 'answer'; request: number; answer: string | string[] | CacheStats }
  | { type: 'open'; peer: number }
  | { type: 'closed'; peer: number; error?: Failure }
  | { type: 'totals'; totals: Totals };

/** In the order of the ABI's exchange_total(). */
export type Totals = [peers: number, gateways: number, uploaded: number, duplicates: number];
