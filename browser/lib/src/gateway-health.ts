/** What ended a request: `outrun`: it was late, and another gateway brought the block. */
export type Ending = 'block' | 'missing' | 'failed' | 'lied' | 'outrun' | 'cancelled';

/** One request, from `choose()` or `hedge()` to `end()` or `busy()`. */
export interface HealthRequest {
  readonly gateway: number;
  readonly askedAt: number;
  readonly probe: boolean;
  late: boolean;
  seenAt: number;
  seenBytes: number;
}

interface Gateway {
  running: number;
  /** Of the running ones. */
  late: number;
  lied: boolean;
  /** A moving average, as is that of the distance from it. */
  latency: number | undefined;
  deviation: number;
  measuredAt: number;
  /** The score, 0 to 1. */
  failures: number;
  resting: boolean;
  restsUntil: number;
  nextRest: number;
  bannedUntil: number;
}

const firstHedge = 500;
const leastHedge = 100;
const mostHedge = 3000;
const rest = 30_000;
const longestRest = 300_000;
const shortestBan = 1000;
const longestBan = 600_000;
const stale = 60_000;
const notable = 50;
const leastProgress = 4096;
const mostHedges = 16;

/**
 * Whom to ask for the next block, and when to ask another gateway too: the rules of src/gateway/gateway_health.h, which
 * explains them; testdata/gateway-health.json is what both are tested with. Gateways are known by index; times are
 * milliseconds, and arguments.
 */
export class GatewayHealth {
  readonly #gateways: Gateway[];
  readonly #maxPerGateway: number;
  readonly #mostFailures: number;
  #hedges = mostHedges;

  constructor(count: number, maxPerGateway: number, mostFailures = 0.5) {
    this.#gateways = Array.from({ length: count }, () => ({
      running: 0,
      late: 0,
      lied: false,
      latency: undefined,
      deviation: 0,
      measuredAt: 0,
      failures: 0,
      resting: false,
      restsUntil: 0,
      nextRest: rest,
      bannedUntil: 0,
    }));
    this.#maxPerGateway = maxPerGateway;
    this.#mostFailures = mostFailures;
  }

  /**
   * Whom to ask for a block for which those `asked` were asked already; or until when to wait, unless a request ends or
   * is late before (`Infinity`: only for that); or, undefined, nobody is left.
   */
  choose(now: number, asked: ReadonlySet<number>): HealthRequest | number | undefined {
    const candidates = this.#working(now, asked);
    for (const candidate of candidates) {
      if (this.#hasRoom(candidate)) return this.#start(now, candidate);
      if (this.#at(candidate).late === 0) break; // It will have room soon.
    }
    if (candidates.length > 0) return Infinity;
    let freeAt: number | undefined;
    let full = false;
    for (const [i, { lied, bannedUntil }] of this.#gateways.entries()) {
      if (asked.has(i) || lied) continue;
      if (now < bannedUntil) freeAt = Math.min(freeAt ?? Infinity, bannedUntil);
      else if (this.#hasRoom(i)) return this.#start(now, i);
      else full = true;
    }
    return full ? Infinity : freeAt;
  }

  /** Whom to ask besides those `asked`, one of which is late; undefined: nobody who works and has room, or too many hedges. */
  hedge(now: number, asked: ReadonlySet<number>): HealthRequest | undefined {
    const chosen = this.#working(now, asked).find((i) => !this.#at(i).resting && this.#hasRoom(i));
    if (chosen === undefined || this.#hedges < 1) return undefined;
    this.#hedges--;
    return this.#start(now, chosen);
  }

  /** When `isLate()` is worth asking next. */
  nextLook({ gateway, seenAt }: HealthRequest): number {
    return seenAt + this.hedgeDelay(gateway);
  }

  /** Whether the request, which has brought so many `bytes`, is late. Not before `nextLook()`. */
  isLate(now: number, request: HealthRequest, bytes: number): boolean {
    const progress = bytes - request.seenBytes;
    request.seenAt = now;
    request.seenBytes = bytes;
    if (progress >= leastProgress) return false;
    if (!request.late) this.#at(request.gateway).late++;
    return (request.late = true);
  }

  firstByte(now: number, request: HealthRequest): void {
    request.seenAt = now;
    this.#measure(now, request, 1 / 8);
  }

  end(now: number, request: HealthRequest, ending: Ending): void {
    const gateway = this.#leave(request);
    if (ending === 'lied') gateway.lied = true;
    if (ending === 'outrun') this.#measure(now, request, 1 / 2); // It would have taken at least so long.
    const earned = { block: 0.1, outrun: 1 }[ending as string] ?? 0;
    this.#hedges = Math.min(this.#hedges + earned, mostHedges);
    if (ending === 'block' || ending === 'missing') {
      gateway.failures = gateway.resting ? 0 : gateway.failures * 0.75;
      gateway.resting = false;
      gateway.nextRest = rest;
    } else if (ending === 'failed' || ending === 'outrun') {
      gateway.failures += (1 - gateway.failures) / 4;
      // What was under way when it began to rest, or asked it for want of others, does not make its rest longer.
      if (gateway.failures <= this.#mostFailures || (gateway.resting && !request.probe)) return;
      gateway.resting = true;
      gateway.restsUntil = now + gateway.nextRest;
      gateway.nextRest = Math.min(2 * gateway.nextRest, longestRest);
    }
  }

  /** It ended with a Retry-After. */
  busy(now: number, request: HealthRequest, retryAfter: number): void {
    const gateway = this.#leave(request);
    const ban = Math.min(Math.max(retryAfter, shortestBan), longestBan);
    gateway.bannedUntil = Math.max(gateway.bannedUntil, now + ban);
  }

  hedgeDelay(index: number): number {
    const { latency, deviation } = this.#at(index);
    return latency === undefined ? firstHedge : Math.min(Math.max(latency + 2 * deviation, leastHedge), mostHedge);
  }

  hasLied(index: number): boolean {
    return this.#at(index).lied;
  }

  #at(index: number): Gateway {
    return this.#gateways[index] as Gateway;
  }

  #hasRoom(index: number): boolean {
    return this.#at(index).running < this.#maxPerGateway;
  }

  /** Of those that were not asked, have not lied and work: first the one to prefer, then the others in order. */
  #working(now: number, asked: ReadonlySet<number>): number[] {
    const known = ({ latency, measuredAt }: Gateway) => (now - measuredAt < stale ? latency : undefined);
    const working: number[] = [];
    let best = 0;
    for (const [i, gateway] of this.#gateways.entries()) {
      const { lied, bannedUntil, resting, restsUntil } = gateway;
      if (asked.has(i) || lied || now < bannedUntil || (resting && now < restsUntil)) continue;
      working.push(i);
      const before = known(this.#at(working[best] as number));
      const after = known(gateway);
      if (before !== undefined && after !== undefined && before > 2 * after + notable) best = working.length - 1;
    }
    working.unshift(...working.splice(best, 1));
    return working;
  }

  #start(now: number, index: number): HealthRequest {
    const gateway = this.#at(index);
    gateway.running++;
    const probe = gateway.resting && now >= gateway.restsUntil;
    // For all but this request, which finds out how it is now, nothing changes yet.
    if (probe) gateway.restsUntil = now + gateway.nextRest;
    if (now - gateway.measuredAt >= stale) gateway.measuredAt = now;
    return { gateway: index, askedAt: now, probe, late: false, seenAt: now, seenBytes: 0 };
  }

  /** The sample moves the average by its share. */
  #measure(now: number, { gateway: index, askedAt }: HealthRequest, share: number): void {
    const gateway = this.#at(index);
    const sample = now - askedAt;
    if (gateway.latency === undefined) {
      gateway.latency = sample;
      gateway.deviation = sample / 2;
    } else {
      gateway.deviation += (Math.abs(sample - gateway.latency) - gateway.deviation) / 4;
      gateway.latency += (sample - gateway.latency) * share;
    }
    gateway.measuredAt = now;
  }

  #leave({ gateway: index, late }: HealthRequest): Gateway {
    const gateway = this.#at(index);
    gateway.running--;
    if (late) gateway.late--;
    return gateway;
  }
}
