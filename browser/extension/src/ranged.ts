/** Picture and sound of a film may lie apart, and so do its tables and its beginning. */
const maxStreams = 2;
/** What is skipped so far ahead is read over: a new stream costs more. */
const maxGap = 1_048_576;
/** Kept behind what was read last, for a reader that steps back. */
const maxKept = 2_097_152;

type Bytes = Uint8Array<ArrayBuffer>;

/** Reads a file anywhere, by streams of it that go on from where the last reads were and wait while nothing is read. */
export class Ranged {
  readonly #open: (begin: number) => ReadableStream<Bytes>;
  /** The one that was used last is the last. */
  #streams: Stream[] = [];

  /** `open`: the file from there to its end. */
  constructor(open: (begin: number) => ReadableStream<Bytes>) {
    this.#open = open;
  }

  /** Bytes [begin, end). Rejects as the stream does, and when others are read elsewhere before these have come. */
  read(begin: number, end: number): Promise<Bytes> {
    const stream = this.#streams.find((one) => one.reaches(begin)) ?? new Stream(begin, this.#open(begin));
    const others = this.#streams.filter((one) => one !== stream);
    for (const old of others.splice(0, others.length - maxStreams + 1)) old.close();
    this.#streams = [...others, stream];
    return stream.read(begin, end);
  }

  close(): void {
    for (const stream of this.#streams.splice(0)) stream.close();
  }
}

class Stream {
  readonly #reader: ReadableStreamDefaultReader<Bytes>;
  readonly #parts: Bytes[] = [];
  /** Of the parts. */
  #begin: number;
  #end: number;
  #last: Promise<unknown> = Promise.resolve();

  constructor(begin: number, stream: ReadableStream<Bytes>) {
    this.#begin = this.#end = begin;
    this.#reader = stream.getReader();
  }

  reaches(begin: number): boolean {
    return begin >= this.#begin && begin <= this.#end + maxGap;
  }

  read(begin: number, end: number): Promise<Bytes> {
    const reading = this.#last.then(() => this.#read(begin, end));
    this.#last = reading.catch(() => {});
    return reading;
  }

  close(): void {
    void this.#reader.cancel().catch(() => {});
  }

  async #read(begin: number, end: number): Promise<Bytes> {
    while (this.#end < end) {
      const { value } = await this.#reader.read();
      if (!value) throw new Error(`no bytes from ${this.#end} on`);
      this.#parts.push(value);
      this.#end += value.length;
      this.#forget(Math.min(begin, this.#end) - maxKept);
    }
    const bytes = new Uint8Array(end - begin);
    let at = this.#begin;
    for (const part of this.#parts) {
      const wanted = part.subarray(Math.max(0, begin - at), Math.max(0, end - at));
      if (wanted.length > 0) bytes.set(wanted, Math.max(0, at - begin));
      at += part.length;
    }
    return bytes;
  }

  #forget(before: number): void {
    for (let [part] = this.#parts; part && this.#begin + part.length <= before; [part] = this.#parts) {
      this.#begin += part.length;
      this.#parts.shift();
    }
  }
}
