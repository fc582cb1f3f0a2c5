/**
 * What the service worker and the pages that serve it say to each other. Their first messages go where a site's own do,
 * and name the version: a page and a worker of different ages do not talk.
 */
import type { Failure } from './error';

/** `who`: from the worker, answered by `serving`. The others are a page's; a port that comes with `serving` is told 'known'. */
export interface Notice {
  codio: 'serving-1' | 'leaving-1' | 'alive-1' | 'who-1';
}

/** From the worker: bytes [begin, end) of the address to the port that comes with it; end < 0: all that follow. */
export interface StreamRequest {
  codio: 'stream-1';
  address: string;
  begin: number;
  end: number;
}

/** Milliseconds of what a transfer went through; what it was spared is missing. */
export interface Timing {
  find?: number;
  signal?: number;
  connect?: number;
  /** From the request to the first verified bytes. */
  firstByte?: number;
  /** The hashing of the first block. */
  verify?: number;
}

/** Before the first bytes. */
export interface Head {
  /** Of the whole file. */
  size: number;
  timing: Timing;
}

/** Over the stream's port: the head, the bytes, and how it ended; 'gone': the page will say nothing more. */
export type FromPage = { head: Head } | ArrayBuffer | 'end' | { failure: Failure } | 'gone' | 'here';

/** 'credit': room for one more message of bytes. 'ping' is answered 'here', whatever the transfer waits for. */
export type ToPage = 'credit' | 'cancel' | 'ping';

/** Messages of bytes that may be under way, and the size of each: docs/performance.md. */
export const credits = 8;
export const chunkBytes = 256 * 1024;
