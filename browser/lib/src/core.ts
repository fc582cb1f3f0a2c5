import { CodioError, errorCodes, type ErrorCode } from './error';

/** `OutputKind` of src/wasm/abi.h. */
export const enum Output {
  None = 0,
  Send = 1,
  ClosePeer = 2,
  Load = 3,
  Store = 4,
  Hash = 5,
  AskGateway = 6,
  CancelGateway = 7,
  Wakeup = 8,
  FindProviders = 9,
  Entity = 10,
  Data = 11,
  Received = 12,
  Finished = 13,
  Failed = 14,
  Progress = 15,
  VerifyPeer = 16,
}

/** The exports of src/wasm/abi.h that both modules have; numbers are addresses, sizes, ids and milliseconds. */
interface Abi {
  memory: WebAssembly.Memory;
  _initialize(): void;
  record(): number;
  allocate(size: number): number;
  release(memory: number): void;
}

/** Those of codio_wasm. */
export interface ExchangeAbi extends Abi {
  exchange_new(policy: number, hasGateways: number): number;
  exchange_poll(exchange: number): number;
  exchange_set_limits(exchange: number, now: number, upload: number, download: number, uploadSlots: number): void;
  exchange_download(exchange: number, now: number, address: number, size: number, begin: number, end: number): number;
  exchange_cancel(exchange: number, now: number, transfer: number): void;
  exchange_consume(exchange: number, now: number, transfer: number, bytes: number): void;
  exchange_providers(exchange: number, now: number, transfer: number, pending: number): void;
  exchange_peer_connected(
    exchange: number,
    now: number,
    peer: number,
    transfer: number,
    proof: number,
    mustProve: number,
  ): void;
  exchange_verified(exchange: number, now: number, peer: number, isProven: number): void;
  exchange_peer_provides(exchange: number, now: number, peer: number, transfer: number): void;
  exchange_peer_disconnected(exchange: number, now: number, peer: number): void;
  exchange_message(exchange: number, now: number, peer: number, bytes: number, size: number): void;
  exchange_buffered_amount(exchange: number, now: number, peer: number, bytes: number): void;
  exchange_loaded(exchange: number, now: number, request: number, bytes: number, size: number): void;
  exchange_missing(exchange: number, now: number, request: number): void;
  exchange_refused(exchange: number, now: number, request: number): void;
  exchange_hashed(exchange: number, now: number, request: number, digest: number, size: number): void;
  exchange_gateway_block(exchange: number, now: number, request: number, bytes: number, size: number): void;
  exchange_gateway_failed(
    exchange: number,
    now: number,
    request: number,
    code: number,
    text: number,
    size: number,
  ): void;
  exchange_wakeup(exchange: number, now: number): void;
  exchange_total(exchange: number, which: number): number;
}

/** Those of codio_builder. One file is built with an instance, which goes with it. */
export interface BuilderAbi extends Abi {
  builder_new(): number;
  builder_append(builder: number, bytes: number, size: number): void;
  builder_finish(builder: number): void;
  builder_poll(builder: number): number;
  builder_hashed(builder: number, id: number, digest: number): void;
  builder_root(builder: number): number;
}

/** An instance of a module: its memory and its one record. */
export class Core<Exports extends Abi = ExchangeAbi> {
  readonly abi: Exports;
  readonly #record: number;
  readonly #decoder = new TextDecoder();
  readonly #encoder = new TextEncoder();
  #fields: DataView;
  #scratch = 0;
  #scratchSize = 0;

  constructor(module: WebAssembly.Module) {
    this.abi = new WebAssembly.Instance(module).exports as unknown as Exports;
    this.abi._initialize();
    this.#record = this.abi.record();
    this.#fields = new DataView(this.abi.memory.buffer);
  }

  get id(): number {
    return this.#u32(4);
  }

  get code(): number {
    return this.#u32(8);
  }

  /** A view into the core's memory, good until the next call. */
  get bytes(): Uint8Array<ArrayBuffer> {
    return this.#view(this.#u32(12), this.#u32(16));
  }

  get text(): string {
    return this.#decoder.decode(this.#view(this.#u32(20), this.#u32(24)));
  }

  get a(): number {
    return this.#current().getFloat64(this.#record + 32, true);
  }

  get b(): number {
    return this.#current().getFloat64(this.#record + 40, true);
  }

  get error(): CodioError {
    return new CodioError(errorCodes[this.code] ?? 'io', this.text);
  }

  /** Writes what the next call reads, over what was written before; its address. */
  write(bytes: Uint8Array): number {
    if (bytes.length > this.#scratchSize) {
      this.abi.release(this.#scratch);
      this.#scratchSize = Math.max(bytes.length, 256 * 1024);
      this.#scratch = this.abi.allocate(this.#scratchSize);
    }
    this.#view(this.#scratch, bytes.length).set(bytes);
    return this.#scratch;
  }

  encode(text: string): Uint8Array<ArrayBuffer> {
    return this.#encoder.encode(text);
  }

  #u32(offset: number): number {
    return this.#current().getUint32(this.#record + offset, true);
  }

  #view(address: number, size: number): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.abi.memory.buffer, address, size);
  }

  #current(): DataView {
    const { buffer } = this.abi.memory; // Another one after the memory grew.
    if (this.#fields.buffer !== buffer) this.#fields = new DataView(buffer);
    return this.#fields;
  }
}

export function codeIndex(code: ErrorCode): number {
  return errorCodes.indexOf(code);
}

const digestNames = new Map([
  [0x11, 'SHA-1'],
  [0x12, 'SHA-256'],
  [0x13, 'SHA-512'],
]);

/** The digest of a multihash function; the bytes are read before it returns. Rejects for a function WebCrypto lacks. */
export async function digest(code: number, bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  const name = digestNames.get(code);
  if (!name) throw new CodioError('unsupported', `multihash function 0x${code.toString(16)}`);
  return new Uint8Array(await crypto.subtle.digest(name, bytes));
}
