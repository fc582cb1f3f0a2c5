/** As long as a page waits for the node (handshake.ts). */
const patience = 5_000;

/**
 * Where what comes from a page by two ways meets, in whichever order: the port that it lives by, and the one for its bytes,
 * which tell the same token. Lives are of whom the browser says; ports are of anybody.
 */
export class Meeting {
  readonly #met: (life: chrome.runtime.Port, port: MessagePort) => void;
  readonly #lives = new Map<string, chrome.runtime.Port>();
  readonly #ports = new Map<string, { port: MessagePort; timer: ReturnType<typeof setTimeout> }>();

  /** `met` gets each pair once, if its page is still there. */
  constructor(met: (life: chrome.runtime.Port, port: MessagePort) => void) {
    this.#met = met;
  }

  expect(token: string, life: chrome.runtime.Port): void {
    this.#lives.set(token, life);
    this.#look(token);
  }

  /** Its page has gone. */
  forget(gone: chrome.runtime.Port): void {
    for (const [token, life] of this.#lives) if (life === gone) this.#lives.delete(token);
  }

  /** A port that nobody comes for is closed. */
  take(token: string, port: MessagePort): void {
    this.#drop(token)?.close();
    this.#ports.set(token, { port, timer: setTimeout(() => this.#drop(token)?.close(), patience) });
    this.#look(token);
  }

  #look(token: string): void {
    const life = this.#lives.get(token);
    if (!life || !this.#ports.has(token)) return;
    this.#lives.delete(token);
    const port = this.#drop(token);
    if (port) this.#met(life, port);
  }

  #drop(token: string): MessagePort | undefined {
    const waiting = this.#ports.get(token);
    this.#ports.delete(token);
    clearTimeout(waiting?.timer);
    return waiting?.port;
  }
}
