import type { CodioError } from '../../lib/src/error';
import type { Head } from '../../lib/src/service-worker-messages';

export type Bytes = Uint8Array<ArrayBuffer>;

/** Bytes [begin, end) of a file; end < 0: to its end. */
export interface Wanted {
  address: string;
  begin: number;
  end: number;
}

/** The bytes that are wanted, as far as the file has them, in order. */
export interface Stream extends Head {
  /** Nothing: it has ended. Rejects if it broke. One call at a time. */
  read(): Promise<Bytes | undefined>;
  cancel(): void;
}

/** Bytes that come in their own time and are read in the reader's. */
export class Inlet {
  readonly #chunks: Bytes[] = [];
  #ended = false;
  #error: CodioError | undefined;
  #wake: (() => void) | undefined;

  /** Whether a reader has nothing to read. */
  get isAwaited(): boolean {
    return this.#wake !== undefined;
  }

  push(bytes: Bytes): void {
    this.#chunks.push(bytes);
    this.#wake?.();
  }

  /** What came before can still be read, and then the error. */
  end(error?: CodioError): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#error = error;
    this.#wake?.();
  }

  async read(): Promise<Bytes | undefined> {
    while (this.#chunks.length === 0 && !this.#ended) {
      await new Promise<void>((resolve) => (this.#wake = resolve));
      this.#wake = undefined;
    }
    const chunk = this.#chunks.shift();
    if (!chunk && this.#error) throw this.#error;
    return chunk;
  }
}
