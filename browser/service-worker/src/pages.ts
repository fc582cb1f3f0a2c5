import { CodioError } from '../../lib/src/error';
import type { FromPage, Head, Notice, StreamRequest, ToPage } from '../../lib/src/service-worker-messages';
import type { Clients, ExtendableMessageEvent, WindowClient } from './scope';
import { Inlet, type Stream, type Wanted } from './stream';

/** How often a page that owes us bytes is looked after, and how long it may say nothing at all. */
const lookInterval = 1_000;
const maxSilence = 10_000;

/**
 * The pages that can serve. This is forgotten whenever the browser stops the worker, so pages tell it when they begin, and
 * are asked when they are first met.
 */
export class Pages {
  readonly #clients: Clients;
  readonly #patience: number;
  readonly #serving = new Set<string>();
  /** Until when an answer is waited for, by `performance.now()`. */
  readonly #asked = new Map<string, number>();
  readonly #waiting = new Set<() => void>();

  /** `patience`: milliseconds in which a page that is still loading may begin to serve. */
  constructor(clients: Clients, patience: number) {
    this.#clients = clients;
    this.#patience = patience;
  }

  hear(event: ExtendableMessageEvent): void {
    const { data, source, ports: [port] } = event;
    const notice = (data as Partial<Notice> | null)?.codio;
    if (!source?.id) return;
    if (notice === 'leaving-1') {
      this.#serving.delete(source.id);
      this.#asked.set(source.id, 0);
    }
    if (notice !== 'serving-1') return;
    this.#serving.add(source.id);
    for (const wake of this.#waiting) wake();
    // A page that was loaded past the worker is controlled from now on.
    if (port) event.waitUntil(this.#clients.claim().then(() => port.postMessage('known')));
  }

  /** One that is none of `tried`: `own`, if it serves, else one that is being looked at. */
  async find(own: string, tried: ReadonlySet<string>): Promise<WindowClient | undefined> {
    for (;;) {
      const windows = await this.#windows();
      const choices = windows.filter(({ id }) => this.#serving.has(id) && !tried.has(id));
      const chosen =
        choices.find(({ id }) => id === own) ??
        choices.find(({ visibilityState }) => visibilityState === 'visible') ??
        choices[0];
      if (chosen) return chosen;
      const now = performance.now();
      const until = windows.filter(({ id }) => !tried.has(id)).map((window) => this.#ask(window, now));
      const left = Math.max(0, ...until) - now;
      if (left <= 0) return undefined;
      await this.#hearing(left);
    }
  }

  /** Has those that serve say so again. */
  async wake(): Promise<void> {
    const notice: Notice = { codio: 'who-1' };
    for (const window of await this.#windows()) if (this.#serving.has(window.id)) window.postMessage(notice);
  }

  /** Resolves with the first bytes, or the end if there are none. Rejects as the page's `stream()` does. */
  async open(page: WindowClient, wanted: Wanted): Promise<Stream> {
    const stream = new PageStream(this.#clients, page.id, () => this.#serving.delete(page.id));
    const request: StreamRequest = { codio: 'stream-1', ...wanted };
    const { port1, port2 } = new MessageChannel();
    page.postMessage(request, [port2]);
    return stream.open(port1);
  }

  #ask(window: WindowClient, now: number): number {
    let until = this.#asked.get(window.id);
    if (until === undefined) {
      until = now + this.#patience;
      this.#asked.set(window.id, until);
      const notice: Notice = { codio: 'who-1' };
      window.postMessage(notice);
    }
    return until;
  }

  #hearing(milliseconds: number): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        clearTimeout(timer);
        this.#waiting.delete(wake);
        resolve();
      };
      const timer = setTimeout(wake, milliseconds);
      this.#waiting.add(wake);
    });
  }

  async #windows(): Promise<readonly WindowClient[]> {
    const windows = await this.#clients.matchAll({ type: 'window', includeUncontrolled: true });
    const ids = new Set(windows.map(({ id }) => id));
    for (const id of this.#serving) if (!ids.has(id)) this.#serving.delete(id);
    for (const id of this.#asked.keys()) if (!ids.has(id)) this.#asked.delete(id);
    return windows;
  }
}

/** What comes through one port. A page that is closed may not say so, so that it is looked after while it owes bytes. */
class PageStream implements Stream {
  size = 0;
  timing = {};
  readonly #clients: Clients;
  readonly #id: string;
  readonly #forget: () => void;
  readonly #inlet = new Inlet();
  #port: MessagePort | undefined;
  #head: ((head: Head | undefined) => void) | undefined;
  /** Since when it owes us an answer. */
  #pinged: number | undefined;
  #look: ReturnType<typeof setInterval> | undefined;

  constructor(clients: Clients, id: string, forget: () => void) {
    this.#clients = clients;
    this.#id = id;
    this.#forget = forget;
  }

  async open(port: MessagePort): Promise<Stream> {
    this.#port = port;
    this.#look = setInterval(() => void this.#lookAfter(), lookInterval);
    const coming = new Promise<Head | undefined>((resolve) => (this.#head = resolve));
    port.onmessage = ({ data }: MessageEvent<FromPage>) => this.#hear(data);
    const head = await coming;
    this.#head = undefined;
    if (head) return Object.assign(this, head);
    await this.#inlet.read(); // Throws why there is no head.
    throw new CodioError('io', 'the page answered without a head');
  }

  async read(): Promise<Uint8Array<ArrayBuffer> | undefined> {
    const bytes = await this.#inlet.read();
    if (bytes) this.#say('credit');
    return bytes;
  }

  cancel(): void {
    this.#say('cancel');
    this.#end(new CodioError('cancelled', 'cancelled'));
  }

  #hear(message: FromPage): void {
    this.#pinged = undefined;
    if (message instanceof ArrayBuffer) this.#inlet.push(new Uint8Array(message));
    else if (message === 'end') this.#end();
    else if (message === 'gone') this.#lose('is being closed');
    else if (message === 'here') return;
    else if ('head' in message) this.#head?.(message.head);
    else this.#end(new CodioError(message.failure.code, message.failure.message));
  }

  async #lookAfter(): Promise<void> {
    if (!this.#head && !this.#inlet.isAwaited) return;
    const now = performance.now();
    this.#pinged ??= now;
    if (!(await this.#clients.get(this.#id))) this.#lose('is gone');
    else if (now - this.#pinged > maxSilence) this.#lose('does not answer');
    else this.#say('ping');
  }

  #lose(how: string): void {
    this.#forget();
    this.#end(new CodioError('io', `the page that was serving ${how}`));
  }

  #end(error?: CodioError): void {
    clearInterval(this.#look);
    this.#port?.close();
    this.#inlet.end(error);
    this.#head?.(undefined);
  }

  #say(message: ToPage): void {
    this.#port?.postMessage(message);
  }
}
