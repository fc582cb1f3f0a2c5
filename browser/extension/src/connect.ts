/** How a page of the extension reaches the node. */
import { linkVersion } from 'codio-cdn';
import type { Request, Woken } from './messages';

export interface Connection {
  port: MessagePort;
  /** The node's page is gone: connect again. */
  lost: Promise<void>;
}

/** The node's page may be replaced while this one connects: then one half goes to the old page and one to the new. */
const patience = 5_000;

/** Starts the node if it must. Rejects, with a reason to show, when it may not run. */
export async function connectNode(wakeNode = wake, giveNode = give): Promise<Connection> {
  const { error } = await wakeNode();
  if (error !== undefined) throw new Error(error);
  const token = crypto.randomUUID();
  const life = chrome.runtime.connect({ name: `page ${token} ${linkVersion}` });
  const lost = new Promise<void>((resolve) => life.onDisconnect.addListener(() => resolve()));
  const { port1, port2 } = new MessageChannel();
  const met = new Promise<boolean>((resolve) => {
    life.onMessage.addListener(() => resolve(true));
    void lost.then(() => resolve(false));
    setTimeout(() => resolve(false), patience);
  });
  await giveNode(token, port2);
  if (!(await met)) {
    life.disconnect();
    throw new Error('the node did not answer');
  }
  return { port: port1, lost };
}

function wake(): Promise<Woken> {
  const request: Request = { type: 'wake' };
  return chrome.runtime.sendMessage<Request, Woken>(request);
}

async function give(token: string, port: MessagePort): Promise<void> {
  if (FIREFOX) {
    const background = (await chrome.runtime.getBackgroundPage()) as (Window & { giveToNode?: typeof import('./host').giveToNode }) | undefined;
    await background?.giveToNode?.(token, port);
  } else {
    (await navigator.serviceWorker.ready).active?.postMessage({ token }, [port]);
  }
}
