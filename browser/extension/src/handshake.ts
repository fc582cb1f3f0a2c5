/** How a page of ours, or our script in a site's, meets the node's page: by a port for its life and one for its bytes. */

export interface Connection {
  port: MessagePort;
  /** The node's page is gone, or wants no more of this one: connect again. */
  lost: Promise<void>;
  /** Lets go of the node. */
  end(): void;
}

/** The node's page may be replaced meanwhile: then one half goes to the old page and one to the new. */
const patience = 5_000;

/**
 * Settles once the node listens at the other end of `port`: what is posted before that could be lost. Nothing, if it does
 * not in time. `give` brings the other end of that channel to it; `life` lets it go when it disconnects, and `version` is of
 * what will be said (browser/lib/src/link.ts).
 */
export async function meetNode(
  version: number,
  give: (token: string, port: MessagePort, life: chrome.runtime.Port) => Promise<void>,
): Promise<Connection | undefined> {
  const token = crypto.randomUUID();
  const life = chrome.runtime.connect({ name: `page ${token} ${version}` });
  const { port1, port2 } = new MessageChannel();
  const lost = new Promise<void>((resolve) => life.onDisconnect.addListener(() => resolve()));
  const end = () => {
    life.disconnect();
    port1.close();
  };
  let timer: ReturnType<typeof setTimeout> | undefined;
  const met = new Promise<boolean>((resolve) => {
    const listen = () => {
      life.onMessage.removeListener(listen);
      resolve(true);
    };
    life.onMessage.addListener(listen);
    void lost.then(() => resolve(false));
    timer = setTimeout(() => resolve(false), patience);
  });
  // What brings the port there may end without a word, as the background does when it is suspended.
  give(token, port2, life).catch(end);
  const isMet = await met;
  clearTimeout(timer);
  if (isMet) return { port: port1, lost, end };
  end();
  return undefined;
}
