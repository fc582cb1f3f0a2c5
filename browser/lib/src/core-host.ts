import type { BlockStore } from './block-store';
import { codeIndex, Core, digest, Output } from './core';
import { failureOf } from './error';
import { free } from './free';
import type { GatewayClient } from './gateway';
import type { Command, Report } from './messages';

/** What a transfer's owner hears of it. */
export type TransferReport = Extract<Report, { request: number }>;

/**
 * One engine and what every host does for it: its store, hashing, gateways, time. Peers are the heirs' affair.
 *
 * After every call into the core, `drain()` carries out what it wants next.
 */
export abstract class CoreHost {
  protected readonly core: Core;
  protected readonly exchange: number;
  protected readonly store: BlockStore;
  readonly #gateways: GatewayClient;
  /** The core's transfer of a request, and back. */
  readonly #transfers = new Map<number, number>();
  readonly #requests = new Map<number, number>();
  readonly #gatewayRequests = new Map<number, AbortController>();
  #wakeup: ReturnType<typeof setTimeout> | undefined;
  /** Of the block that is being handed to the core: where it came from, and how long it was hashed. */
  #gateway = '';
  #hashing = 0;

  /** `policy`: its index in `policies`. */
  constructor(module: WebAssembly.Module, policy: number, store: BlockStore, gateways: GatewayClient) {
    this.core = new Core(module);
    this.exchange = this.core.abi.exchange_new(policy, gateways.count > 0 ? 1 : 0);
    this.store = store;
    this.#gateways = gateways;
  }

  protected abstract report(report: TransferReport): void;

  protected drain(): void {
    for (;;) {
      const kind: Output = this.core.abi.exchange_poll(this.exchange);
      if (kind === Output.None) return;
      this.carryOut(kind);
    }
  }

  protected download({ request, cid, path, begin, end }: Omit<Extract<Command, { type: 'download' }>, 'type'>): void {
    const core = this.core;
    const address = core.encode(`${cid}/${path}`);
    const at = core.write(address);
    const transfer = core.abi.exchange_download(this.exchange, performance.now(), at, address.length, begin, end);
    if (transfer === 0) {
      this.report({ type: 'ended', request, error: failureOf(core.error) });
      return;
    }
    this.#transfers.set(request, transfer);
    this.#requests.set(transfer, request);
    this.report({ type: 'started', request, root: core.text });
  }

  protected consume(request: number, bytes: number): void {
    this.withTransfer(request, (id) =>
      this.core.abi.exchange_consume(this.exchange, performance.now(), id, bytes),
    );
  }

  protected cancel(request: number): void {
    this.withTransfer(request, (id) => {
      this.#forget(id);
      this.core.abi.exchange_cancel(this.exchange, performance.now(), id);
    });
  }

  protected tellProviders(request: number, pending: number): void {
    this.withTransfer(request, (id) =>
      this.core.abi.exchange_providers(this.exchange, performance.now(), id, pending),
    );
  }

  protected transferOf(request: number): number | undefined {
    return this.#transfers.get(request);
  }

  protected withTransfer(request: number, call: (transfer: number) => void): void {
    const transfer = this.#transfers.get(request);
    if (transfer !== undefined) call(transfer);
  }

  /** Whether peers get the block if it is here. */
  protected gives(_cid: string): boolean {
    return true;
  }

  protected carryOut(kind: Output): void {
    const core = this.core;
    const { id } = core;
    switch (kind) {
      case Output.Load:
        if (core.code === 1 && !this.gives(core.text)) this.core.abi.exchange_refused(this.exchange, performance.now(), id);
        else void this.#load(id, core.text);
        break;
      case Output.Store:
        void this.store.put(core.text, core.bytes.slice(), false);
        break;
      case Output.Hash:
        void this.#hash(id, core.code, core.bytes);
        break;
      case Output.AskGateway:
        void this.#askGateway(id, core.text, core.code, core.bytes.slice());
        break;
      case Output.CancelGateway:
        this.#gatewayRequests.get(id)?.abort();
        this.#gatewayRequests.delete(id);
        break;
      case Output.Wakeup:
        this.#wakeAt(core.a);
        break;
      default:
        this.#tellOwner(kind, id);
    }
  }

  #tellOwner(kind: Output, transfer: number): void {
    const core = this.core;
    const request = this.#requests.get(transfer);
    if (request === undefined) return;
    switch (kind) {
      case Output.FindProviders:
        this.report({ type: 'find', request, root: core.text });
        break;
      case Output.Entity:
        this.report({ type: 'entity', request, size: core.a });
        break;
      case Output.Data:
        this.report({ type: 'data', request, offset: core.a, bytes: core.bytes.slice() });
        break;
      case Output.Received: {
        const { code } = core;
        this.report({
          type: 'received',
          request,
          bytes: core.b,
          peer: code === 1 ? core.a : 0,
          gateway: code === 2 ? this.#gateway : '',
          hashing: code === 0 ? 0 : this.#hashing,
        });
        break;
      }
      case Output.Progress:
        this.report({ type: 'progress', request, values: new Float64Array(core.bytes.slice().buffer) });
        break;
      case Output.Finished:
      case Output.Failed:
        this.#forget(transfer);
        this.report({ type: 'ended', request, ...(kind === Output.Failed && { error: failureOf(core.error) }) });
        break;
    }
  }

  #forget(transfer: number): void {
    const request = this.#requests.get(transfer);
    this.#requests.delete(transfer);
    if (request !== undefined) this.#transfers.delete(request);
  }

  async #load(id: number, cid: string): Promise<void> {
    const bytes = await this.store.get(cid);
    const { abi } = this.core;
    const now = performance.now();
    if (bytes) {
      abi.exchange_loaded(this.exchange, now, id, this.core.write(bytes), bytes.length);
      free(bytes.buffer);
    } else abi.exchange_missing(this.exchange, now, id);
    this.drain();
  }

  async #hash(id: number, code: number, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    const began = performance.now();
    const hash = await digest(code, bytes).catch(() => new Uint8Array());
    const now = performance.now();
    this.#hashing = now - began;
    this.core.abi.exchange_hashed(this.exchange, now, id, this.core.write(hash), hash.length);
    this.drain();
  }

  async #askGateway(id: number, cid: string, code: number, expected: Uint8Array<ArrayBuffer>): Promise<void> {
    const { abi } = this.core;
    const abort = new AbortController();
    this.#gatewayRequests.set(id, abort);
    let hashing = 0;
    const verify = async (block: Uint8Array<ArrayBuffer>) => {
      const began = performance.now();
      const verified = equal(await digest(code, block), expected);
      hashing = performance.now() - began;
      return verified;
    };
    // Apart from the calls into the core: a trap is no answer of a gateway.
    const answer = await this.#gateways.fetchBlock(cid, verify, abort.signal).catch(failureOf);
    if (!this.#gatewayRequests.delete(id)) return;
    if ('bytes' in answer) {
      const { bytes, gateway } = answer;
      this.#gateway = gateway;
      this.#hashing = hashing;
      abi.exchange_gateway_block(this.exchange, performance.now(), id, this.core.write(bytes), bytes.length);
    } else {
      const text = this.core.encode(answer.message);
      const at = this.core.write(text);
      abi.exchange_gateway_failed(this.exchange, performance.now(), id, codeIndex(answer.code), at, text.length);
    }
    this.drain();
  }

  #wakeAt(time: number): void {
    clearTimeout(this.#wakeup);
    if (time < 0) return;
    this.#wakeup = setTimeout(
      () => {
        this.core.abi.exchange_wakeup(this.exchange, performance.now());
        this.drain();
      },
      Math.max(0, time - performance.now()),
    );
  }
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
