/** Both ends of a port between parts of the extension, as far as the handshake uses them. Messages arrive in later tasks. */
class End {
  readonly onMessage = new Listeners<[unknown]>();
  readonly onDisconnect = new Listeners<[]>();
  other: End | undefined;
  isOpen = true;

  postMessage(message: unknown): void {
    if (!this.isOpen) throw new Error('Attempting to use a disconnected port object');
    setTimeout(() => this.other?.isOpen && this.other.onMessage.tell(message));
  }

  /** Its own listeners hear nothing of it. */
  disconnect(): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    setTimeout(() => {
      if (!this.other?.isOpen) return;
      this.other.isOpen = false;
      this.other.onDisconnect.tell();
    });
  }
}

class Listeners<Arguments extends unknown[]> {
  readonly #all = new Set<(...given: Arguments) => void>();
  addListener(listener: (...given: Arguments) => void): void {
    this.#all.add(listener);
  }
  removeListener(listener: (...given: Arguments) => void): void {
    this.#all.delete(listener);
  }
  tell(...given: Arguments): void {
    for (const listener of this.#all) listener(...given);
  }
}

export type LifePort = chrome.runtime.Port & { isOpen: boolean; other: LifePort };

export function portPair(): [LifePort, LifePort] {
  const [one, other] = [new End(), new End()];
  one.other = other;
  other.other = one;
  return [one, other] as unknown as [LifePort, LifePort];
}
