/** How a page of the extension reaches the node. */
import { linkVersion } from 'codio-cdn';
import { meetNode, type Connection } from './handshake';
import type { Request, Woken } from './messages';

/** Starts the node if it must. Rejects, with a reason to show, when it may not run. */
export async function connectNode(wakeNode = wake, giveNode = give): Promise<Connection> {
  const { error } = await wakeNode();
  if (error !== undefined) throw new Error(error);
  const connection = await meetNode(linkVersion, giveNode);
  if (!connection) throw new Error('the node did not answer');
  return connection;
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
