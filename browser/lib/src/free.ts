const { port1: away, port2 } = new MessageChannel();
port2.close();

/**
 * Gives the memory of `buffer` back at once, and leaves it empty. Browsers let tens of MiB of dropped buffers pile up before
 * they collect any. It is sent to nobody: `transfer()` empties a buffer too, but Chromium 156 keeps the bytes of one that a message
 * brought, and does not even count them any more.
 */
export function free(buffer: ArrayBuffer): void {
  away.postMessage(undefined, [buffer]);
}
