/** Keeps the one page of the node: an offscreen document where the background has no WebRTC, else a frame of the background's page. */
import { takeTurns } from './turns';

const page = 'node.html';
/** A page that is being closed is no page that is open. */
const inTurn = takeTurns();
let frame: HTMLIFrameElement | undefined;

export async function isNodeOpen(): Promise<boolean> {
  if (FIREFOX) return frame !== undefined;
  return (await chrome.runtime.getContexts({ contextTypes: ['OFFSCREEN_DOCUMENT' as chrome.runtime.ContextType] })).length > 0;
}

/** Settles once the page listens. */
export function openNode(): Promise<void> {
  return inTurn(open);
}

export function closeNode(): Promise<void> {
  return inTurn(close);
}

/** Gives the node the other end of a page's channel. */
export async function giveToNode(token: string, port: MessagePort): Promise<void> {
  if (FIREFOX) {
    frame?.contentWindow?.postMessage({ token }, location.origin, [port]);
    return;
  }
  const url = chrome.runtime.getURL(page);
  // The types are a page's; this runs in a service worker.
  const { clients } = globalThis as unknown as { clients: { matchAll(options: object): Promise<(Client & { url: string })[]> } };
  const all = await clients.matchAll({ includeUncontrolled: true, type: 'all' });
  all.find((client) => client.url === url)?.postMessage({ token }, [port]);
}

interface Client {
  postMessage(message: unknown, transfer: Transferable[]): void;
}

async function open(): Promise<void> {
  if (await isNodeOpen()) return;
  if (FIREFOX) {
    const made = document.createElement('iframe');
    const loaded = new Promise((resolve) => (made.onload = resolve));
    made.src = page;
    frame = made;
    document.body.append(made);
    await loaded;
  } else {
    await chrome.offscreen.createDocument({
      url: page,
      reasons: ['WEB_RTC' as chrome.offscreen.Reason],
      justification: 'Connections to peers, and the WebAssembly core that checks what they send',
    });
  }
  await chrome.storage.session.set({ running: Date.now() });
}

async function close(): Promise<void> {
  if (!(await isNodeOpen())) return;
  if (FIREFOX) {
    frame?.remove();
    frame = undefined;
  } else {
    await chrome.offscreen.closeDocument();
  }
  await chrome.storage.session.set({ running: 0 });
}
