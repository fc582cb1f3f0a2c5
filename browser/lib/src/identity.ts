/** Who is who among peers: docs/protocol.md §5. */
import { CodioError } from './error';

type Bytes = Uint8Array<ArrayBuffer>;

const algorithm = 'Ed25519';
const joinPrefix = 'codio-rendezvous.1 join\n';
const helloPrefix = 'codio-exchange.1 hello\n';
const challengeSize = 32;

/** What the core worker needs to meet a peer. */
export interface Introduction {
  /** Our key and our signature, for HELLO; without, we are anonymous. */
  readonly proof: Bytes | undefined;
  /** What the peer has to have signed, and with which key, if it was found under the id of one. */
  readonly expected: { key: Bytes; message: Bytes } | undefined;
}

/** A key of this session. */
export class Identity {
  readonly id: string;
  readonly #key: Bytes;
  readonly #secret: CryptoKey;

  private constructor(key: Bytes, secret: CryptoKey) {
    this.id = toBase64url(key);
    this.#key = key;
    this.#secret = secret;
  }

  /** Nothing where the browser has no Ed25519. */
  static async create(): Promise<Identity | undefined> {
    try {
      const { publicKey, privateKey } = (await crypto.subtle.generateKey(algorithm, false, ['sign', 'verify'])) as CryptoKeyPair;
      return new Identity(new Uint8Array(await crypto.subtle.exportKey('raw', publicKey)), privateKey);
    } catch {
      return undefined;
    }
  }

  /** The members of a `join`. Rejects a challenge that is none. */
  async join(challenge: unknown): Promise<{ peer: string; signature: string }> {
    const bytes = typeof challenge === 'string' ? fromBase64url(challenge) : undefined;
    if (bytes?.length !== challengeSize) throw new CodioError('malformed', 'a challenge must be 32 bytes');
    return { peer: this.id, signature: toBase64url(await this.#sign(join(joinPrefix, bytes))) };
  }

  /** For a peer with this id, over a connection with these fingerprints. */
  async introduce(peer: string, local: Bytes, remote: Bytes): Promise<Introduction> {
    const key = keyOf(peer);
    return {
      proof: join(this.#key, await this.#sign(join(helloPrefix, local, remote))),
      expected: key && { key, message: join(helloPrefix, remote, local) },
    };
  }

  async #sign(message: Bytes): Promise<Bytes> {
    return new Uint8Array(await crypto.subtle.sign(algorithm, this.#secret, message));
  }
}

/** Whether `proof`, a key and a signature, is what was expected. */
export async function isProven(proof: Bytes, { key, message }: { key: Bytes; message: Bytes }): Promise<boolean> {
  if (!key.every((byte, i) => byte === proof[i])) return false;
  const signature = proof.slice(key.length);
  const imported = await crypto.subtle.importKey('raw', key, algorithm, false, ['verify']);
  return crypto.subtle.verify(algorithm, imported, signature, message);
}

/** Nothing: not the id of a key, but a name that a rendezvous gave. */
export function keyOf(id: string): Bytes | undefined {
  const key = id.length === 43 ? fromBase64url(id) : undefined;
  return key?.length === 32 ? key : undefined;
}

/**
 * The SHA-256 of the certificate that a description speaks of: docs/protocol.md §3. Throws if it has none, several that
 * differ, one of another hash function, or the word anywhere else, so that no parser can read another one.
 */
export function fingerprintOf(sdp: string): Bytes {
  const found = sdp.match(/^a=fingerprint:sha-256 [\da-f]{2}(:[\da-f]{2}){31}\r?$/gim) ?? [];
  const [first, ...others] = new Set(found.map((line) => line.trim().slice(-95).toLowerCase()));
  if (first === undefined || others.length > 0 || found.length !== (sdp.match(/fingerprint/gi) ?? []).length) {
    throw new CodioError('malformed', 'a description has no fingerprint, one that is not SHA-256, or two that differ');
  }
  return Uint8Array.from(first.split(':'), (byte) => parseInt(byte, 16));
}

function join(...parts: (string | Bytes)[]): Bytes {
  const encoder = new TextEncoder();
  const bytes = parts.flatMap((part) => [...(typeof part === 'string' ? encoder.encode(part) : part)]);
  return Uint8Array.from(bytes);
}

function toBase64url(bytes: Bytes): string {
  return btoa(String.fromCharCode(...bytes))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replaceAll('=', '');
}

/** Nothing: it is not the one text of some bytes. */
function fromBase64url(text: string): Bytes | undefined {
  if (!/^[\w-]*$/.test(text)) return undefined;
  try {
    const bytes = Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (char) => char.charCodeAt(0));
    return toBase64url(bytes) === text ? bytes : undefined;
  } catch {
    return undefined;
  }
}
