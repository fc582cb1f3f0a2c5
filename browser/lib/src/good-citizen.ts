/** What a browser tells of the machine and its network; undefined where it does not. */
export interface Surroundings {
  /** The visitor asked for little traffic. */
  saveData?: boolean | undefined;
  /** As of `navigator.connection.type`. */
  connection?: string | undefined;
  /** That the network is paid for by volume. */
  metered?: boolean | undefined;
  /** Of the battery, 0 to 1. */
  charge?: number | undefined;
  charging?: boolean | undefined;
  /** The tab is in the background. */
  hidden?: boolean | undefined;
  /** What `mayUpload` said; undefined until it has. */
  consent?: boolean | undefined;
}

export interface CitizenOptions {
  /** Whether a tab in the background stops uploading; default false: those are most of the tabs that are open for long. */
  pauseHidden?: boolean | undefined;
  /** Below this a battery that is not being charged is spared, 0 to 1; default 0.2. */
  minCharge?: number | undefined;
  /** Asked once, and again at ask(). Nothing is uploaded before it has said true; one that throws has said no. */
  mayUpload?: (() => boolean | Promise<boolean>) | undefined;
}

export interface Verdict {
  /** Whether to upload now. */
  readonly allowed: boolean;
  /** If not, why, in words for the visitor. */
  readonly reason: string;
  /** And only because this tab is in the background. */
  readonly hidden?: true;
}

/** What is usually paid for by volume. */
const meteredConnections = new Set(['cellular', 'wimax', 'bluetooth']);
const defaultMinCharge = 0.2;

/** The first thing that speaks against it, most lasting first. What is not known does not, but for the consent. */
export function decide(now: Surroundings, options: CitizenOptions = {}): Verdict {
  const { saveData, connection, metered, charge, charging, hidden, consent } = now;
  const no = (reason: string): Verdict => ({ allowed: false, reason });
  if (options.mayUpload && consent === undefined) return no('nobody has agreed to it yet');
  if (options.mayUpload && !consent) return no('it was not agreed to');
  if (saveData) return no('the browser saves data');
  if (metered) return no('the network is metered');
  if (connection !== undefined && meteredConnections.has(connection)) return no(`the network is ${connection}`);
  if (charging === false && charge !== undefined && charge < (options.minCharge ?? defaultMinCharge)) {
    return no(`the battery is at ${Math.round(100 * charge)} %`);
  }
  if (options.pauseHidden && hidden) return { ...no('the tab is in the background'), hidden: true };
  return { allowed: true, reason: '' };
}

/** Of tabs that share a node: each may forbid it, and one in front is enough. */
export function decideTogether(verdicts: readonly Verdict[]): Verdict {
  const refused = verdicts.find(({ allowed, hidden }) => !allowed && !hidden);
  const allowed = verdicts.find((verdict) => verdict.allowed);
  return refused ?? allowed ?? verdicts[0] ?? { allowed: false, reason: 'it has not been decided yet' };
}

interface NetworkInformation extends EventTarget {
  saveData?: boolean;
  type?: string;
  metered?: boolean;
}

interface Battery extends EventTarget {
  level: number;
  charging: boolean;
}

type SensingNavigator = Navigator & { connection?: NetworkInformation; getBattery?: () => Promise<Battery> };

/**
 * Watches what speaks against uploading, on a page; nothing is polled.
 *
 *     const citizen = new GoodCitizen({ mayUpload: () => confirm('Share with other visitors?') });
 *     citizen.on(({ allowed, reason }) => …);
 */
export class GoodCitizen {
  readonly #options: CitizenOptions;
  readonly #listeners = new Set<(verdict: Verdict) => void>();
  readonly #connection = (navigator as SensingNavigator).connection;
  #battery: Battery | undefined;
  #consent: boolean | undefined;
  /** Of the latest question to mayUpload(). */
  #question = 0;
  #verdict: Verdict;
  #closed = false;

  constructor(options: CitizenOptions = {}) {
    this.#options = options;
    this.#verdict = this.#decide();
    this.#connection?.addEventListener('change', this.#update);
    document.addEventListener('visibilitychange', this.#update);
    void this.#watchBattery();
    if (options.mayUpload) void this.ask();
  }

  get verdict(): Verdict {
    return this.#verdict;
  }

  /** Calls `listener` at every change of the verdict until the function returned is called. */
  on(listener: (verdict: Verdict) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Asks `mayUpload` again, as the visitor may have changed their mind; meanwhile what it said last holds. */
  async ask(): Promise<void> {
    const question = ++this.#question;
    let consent = false;
    try {
      consent = (await this.#options.mayUpload?.()) === true;
    } catch (error) {
      reportError(error);
    }
    if (question !== this.#question) return;
    this.#consent = consent;
    this.#update();
  }

  /** Watches no more. */
  close(): void {
    this.#closed = true;
    this.#connection?.removeEventListener('change', this.#update);
    document.removeEventListener('visibilitychange', this.#update);
    this.#battery?.removeEventListener('levelchange', this.#update);
    this.#battery?.removeEventListener('chargingchange', this.#update);
    this.#listeners.clear();
  }

  /** Chromium has it in secure contexts; a policy may refuse it. */
  async #watchBattery(): Promise<void> {
    const battery = await (navigator as SensingNavigator).getBattery?.().catch(() => undefined);
    if (!battery || this.#closed) return;
    this.#battery = battery;
    battery.addEventListener('levelchange', this.#update);
    battery.addEventListener('chargingchange', this.#update);
    this.#update();
  }

  #decide(): Verdict {
    const { saveData, type, metered } = this.#connection ?? {};
    const { level, charging } = this.#battery ?? {};
    const { hidden } = document;
    const now = { saveData, connection: type, metered, charge: level, charging, hidden, consent: this.#consent };
    return decide(now, this.#options);
  }

  readonly #update = (): void => {
    if (this.#closed) return;
    const verdict = this.#decide();
    if (verdict.reason === this.#verdict.reason) return;
    this.#verdict = verdict;
    for (const listener of this.#listeners) {
      try {
        listener(verdict);
      } catch (error) {
        reportError(error);
      }
    }
  };
}
