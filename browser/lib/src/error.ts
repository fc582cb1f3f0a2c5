/** The names of `ErrorCode` in src/common/result.h, in its order: the core speaks of them by index. */
export const errorCodes = [
  'malformed',
  'too-large',
  'unsupported',
  'mismatch',
  'not-found',
  'unavailable',
  'timeout',
  'cancelled',
  'io',
  'forged',
] as const;

/**
 * What went wrong, as far as a caller can act on it: `malformed` input; over a limit (`too-large`); `unsupported`; bytes
 * that do not hash to their CID (`mismatch`); `not-found`; `unavailable` now, another try may work; `timeout`;
 * `cancelled`; `io`: the browser refused; `forged`: it is not from whom it names.
 */
export type ErrorCode = (typeof errorCodes)[number];

/** Every failure of this library, except that an aborted call rejects with its signal's reason, as `fetch()` does. */
export class CodioError extends Error {
  override readonly name = 'CodioError';

  constructor(
    readonly code: ErrorCode,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** What can be told over a port. */
export interface Failure {
  code: ErrorCode;
  message: string;
}

export function failureOf(error: unknown): Failure {
  return { code: isCodioError(error) ? error.code : 'io', message: messageOf(error) };
}

/** Of any of our files: each that makes errors has a class of its own. */
function isCodioError(error: unknown): error is CodioError {
  return error instanceof Error && error.name === 'CodioError';
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
