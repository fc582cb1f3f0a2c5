import type { Configuration } from './configuration';
import { directLink, portLink, type ClientLink } from './link';
import { Node } from './node';

/** What the tabs say to each other. `to`, `from`: a follower's attempt. */
type Call =
  | { type: 'leads' }
  | { type: 'hello'; from: string }
  | { type: 'welcome'; to: string; configuration: Configuration };

export interface LeadEvents {
  /** Starts the node: with the configuration of the leader that went, if there was one. */
  start(former: Configuration | undefined): Promise<Node>;
  /** There is a node to use, instead of the one before. */
  attach(link: ClientLink): void;
  /** This tab should lead and cannot start. */
  failed(error: unknown): void;
}

/**
 * One tab of an origin leads: it has the node, and the others that gave the same `name` use it. Who holds the lock of that
 * name leads; a tab that goes, however it goes, lets go of its locks, and the next in line is the leader. A follower and the
 * leader talk over a broadcast channel of their own. Without locks and channels, each tab has a node of its own.
 */
export class Lead {
  readonly #name: string;
  readonly #events: LeadEvents;
  readonly #calls: BroadcastChannel;
  #node: Node | undefined;
  #former: Configuration | undefined;
  /** This tab's attempt to follow: the name of its channel and lock, and what lets go of that. */
  #following: { id: string; link: ClientLink; end: () => void } | undefined;
  #letGo: (() => void) | undefined;

  static isPossible(): boolean {
    return typeof BroadcastChannel === 'function' && globalThis.navigator?.locks !== undefined;
  }

  constructor(name: string, events: LeadEvents) {
    this.#name = `codio ${name}`;
    this.#events = events;
    this.#calls = new BroadcastChannel(this.#name);
    this.#calls.onmessage = ({ data }: MessageEvent<Call>) => this.#handle(data);
    void navigator.locks.request(this.#name, () => this.#begin());
    void this.#follow();
  }

  /** No further tab joins this one's node; the next that comes leads another. */
  resign(): void {
    this.#calls.close();
    this.#following?.end();
    this.#following = undefined;
    this.#letGo?.();
  }

  /** Until it settles, this tab leads. */
  async #begin(): Promise<void> {
    const held = new Promise<void>((resolve) => (this.#letGo = resolve));
    try {
      this.#node = await this.#events.start(this.#former);
    } catch (error) {
      this.#events.failed(error);
      return;
    }
    this.#following?.end();
    const [client, node] = directLink();
    this.#node.serve(node);
    this.#events.attach(client);
    this.#call({ type: 'leads' });
    await held;
  }

  #handle(call: Call): void {
    if (call.type === 'hello') this.#welcome(call.from);
    else if (this.#node) return;
    else if (call.type === 'leads') void this.#follow();
    else if (call.to === this.#following?.id) {
      this.#former = call.configuration;
      this.#events.attach(this.#following.link);
    }
  }

  /** Holds a lock from before it says hello, by which the leader learns that it has gone. */
  async #follow(): Promise<void> {
    this.#following?.end();
    const id = `${this.#name} ${crypto.randomUUID()}`;
    const link: ClientLink = portLink(new BroadcastChannel(id));
    await new Promise<void>((locked) => {
      const held = new Promise<void>((end) => (this.#following = { id, link, end }));
      void navigator.locks.request(id, () => {
        locked();
        return held;
      });
    });
    if (this.#following?.id === id && !this.#node) this.#call({ type: 'hello', from: id });
  }

  #welcome(id: string): void {
    const node = this.#node;
    if (!node) return;
    const end = node.serve(portLink(new BroadcastChannel(id)));
    void navigator.locks.request(id, end);
    this.#call({ type: 'welcome', to: id, configuration: node.configuration });
  }

  #call(call: Call): void {
    this.#calls.postMessage(call);
  }
}
