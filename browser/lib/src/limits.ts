import { CodioError } from './error';

/** What the engine may take of the visitor's connection. Bytes of content a second; Infinity: no limit. */
export interface Limits {
  /** To all peers together; 0: nothing is given. */
  maxUpload: number;
  /** From peers and gateways together. */
  maxDownload: number;
  /** Peers served at a time; others wait for their turn. */
  uploadSlots: number;
}

/** Few enough that each gets a share of a home connection that is worth having. */
export const defaultLimits: Limits = { maxUpload: Infinity, maxDownload: Infinity, uploadSlots: 8 };

/** `limits` with those changes that are given; rejects what is no limit. */
export function changeLimits(limits: Limits, changes: Partial<Limits>): Limits {
  const { maxUpload, maxDownload, uploadSlots } = { ...limits, ...given(changes) };
  if (!(maxUpload >= 0) || !(maxDownload > 0)) {
    throw new CodioError('malformed', 'maxUpload and maxDownload are bytes a second; a download needs some');
  }
  if (!Number.isSafeInteger(uploadSlots) || uploadSlots < 1) {
    throw new CodioError('malformed', 'uploadSlots is a whole number from 1');
  }
  return { maxUpload, maxDownload, uploadSlots };
}

function given<T extends object>(changes: T): Partial<T> {
  return Object.fromEntries(Object.entries(changes).filter(([, value]) => value !== undefined)) as Partial<T>;
}
