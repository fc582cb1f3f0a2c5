import { CodioError, type ErrorCode } from '../../lib/src/error';
import type { Own } from './own';
import type { Pages } from './pages';
import type { Bytes, Stream, Wanted } from './stream';

/** What is wrong with the request itself, whomever it is put to. */
const finalCodes: readonly ErrorCode[] = ['malformed', 'unsupported', 'too-large', 'not-found'];

/**
 * One request's bytes, from a page that serves, and when that fails from where it stopped on from another page or from the
 * worker itself: the reader gets all that was promised, or an error.
 */
export class Delivery implements Stream {
  readonly size: number;
  readonly #sources: Sources;
  readonly #address: string;
  readonly #end: number;
  #stream: Stream;
  #position: number;
  #cancelled = false;

  /** Resolves once the size and the first bytes, if there are any, are known. `client`: of whom it is. */
  static async open(pages: Pages, own: Own, client: string, wanted: Wanted): Promise<Delivery> {
    const sources = new Sources(pages, own, client);
    return new Delivery(await sources.open(wanted), sources, wanted);
  }

  private constructor(stream: Stream, sources: Sources, wanted: Wanted) {
    const { address, begin, end } = wanted;
    this.size = stream.size;
    this.#sources = sources;
    this.#address = address;
    this.#stream = stream;
    this.#position = begin;
    this.#end = end < 0 ? stream.size : Math.min(end, stream.size);
  }

  get timing(): Stream['timing'] {
    return this.#stream.timing;
  }

  /** `page` or `worker`: who gives the bytes now. */
  get source(): string {
    return this.#sources.last;
  }

  async read(): Promise<Bytes | undefined> {
    while (this.#position < this.#end) {
      let bytes;
      let why: unknown;
      try {
        bytes = await this.#stream.read();
      } catch (error) {
        if (this.#cancelled || isFinal(error)) throw error;
        why = error;
      }
      if (!bytes) {
        await this.#goOn(why ?? new CodioError('io', `${this.#address} ended at ${this.#position} of ${this.#end}`));
      } else if (bytes.length > this.#end - this.#position) {
        this.cancel();
        throw new CodioError('mismatch', `${this.#address}: more came than there is`);
      } else {
        this.#position += bytes.length;
        return bytes;
      }
    }
    return undefined;
  }

  cancel(): void {
    this.#cancelled = true;
    this.#stream.cancel();
  }

  async #goOn(why: unknown): Promise<void> {
    const wanted = { address: this.#address, begin: this.#position, end: this.#end };
    const stream = await this.#sources.open(wanted, why);
    this.#stream = stream;
    if (this.#cancelled) stream.cancel();
    if (stream.size !== this.size) throw new CodioError('mismatch', `${this.#address} has ${this.size} and ${stream.size} bytes`);
  }
}

/** Each page once, and then the worker. */
class Sources {
  last = 'page';
  readonly #pages: Pages;
  readonly #own: Own;
  readonly #client: string;
  readonly #tried = new Set<string>();
  #error: unknown;

  constructor(pages: Pages, own: Own, client: string) {
    this.#pages = pages;
    this.#own = own;
    this.#client = client;
  }

  /** `why`: what the last one failed with. */
  async open(wanted: Wanted, why?: unknown): Promise<Stream> {
    this.#error = why;
    while (this.last === 'page') {
      const page = await this.#pages.find(this.#client, this.#tried);
      if (!page) break;
      this.#tried.add(page.id);
      try {
        return await this.#pages.open(page, wanted);
      } catch (error) {
        if (isFinal(error)) throw error;
        this.#error = error;
      }
    }
    if (this.last === 'worker') throw this.#error;
    this.last = 'worker';
    try {
      return await this.#own.open(wanted);
    } catch (error) {
      // Of the two, what was asked more says more.
      this.#error = this.#own.hasGateways || this.#error === undefined ? error : this.#error;
      throw this.#error;
    }
  }
}

function isFinal(error: unknown): boolean {
  return error instanceof CodioError && finalCodes.includes(error.code);
}
