/** Of TypeScript's library for workers, which excludes the one for pages: what is used here. */
export interface WindowClient {
  readonly id: string;
  readonly visibilityState: string;
  postMessage(message: unknown, transfer?: Transferable[]): void;
}

export interface Clients {
  claim(): Promise<void>;
  get(id: string): Promise<WindowClient | undefined>;
  matchAll(options: { type: 'window'; includeUncontrolled: boolean }): Promise<readonly WindowClient[]>;
}

export interface ExtendableEvent extends Event {
  waitUntil(promise: Promise<unknown>): void;
}

export interface ExtendableMessageEvent extends ExtendableEvent {
  readonly data: unknown;
  readonly source: Partial<WindowClient> | null;
  readonly ports: readonly MessagePort[];
}

export interface FetchEvent extends ExtendableEvent {
  readonly request: Request;
  readonly clientId: string;
  readonly resultingClientId: string;
  respondWith(response: Promise<Response>): void;
}

interface Events {
  install: ExtendableEvent;
  activate: ExtendableEvent;
  message: ExtendableMessageEvent;
  fetch: FetchEvent;
  unhandledrejection: PromiseRejectionEvent;
}

export interface ServiceWorkerScope {
  readonly clients: Clients;
  readonly location: Location;
  readonly registration: { readonly scope: string };
  skipWaiting(): Promise<void>;
  addEventListener<Name extends keyof Events>(name: Name, listener: (event: Events[Name]) => void): void;
}
