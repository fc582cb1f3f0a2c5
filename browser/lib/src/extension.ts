/**
 * What a page and the extension's script in it say to each other. The script is only in pages of sites that the visitor lets
 * use the extension's node, and marks the document there: other pages neither see nor wait for anything, nor load this.
 */
import { linkVersion } from './link';

export { extensionMark } from './link';

export interface ExtensionCall {
  codio: 'join';
  version: number;
}

/** The script's answers over the port that came with the call. */
export type ExtensionAnswer =
  /** A port to the node comes with it; again whenever the node had to start anew. */
  | { type: 'node' }
  /** There is none, or none any more. */
  | { type: 'gone' };

/** From the page to the script, over the same port: the page has another node now, and wants nothing any more. */
export interface ExtensionEnd {
  type: 'end';
}

/** The script has had its tries by then: the browser may be starting the extension's node. */
const patience = 10_000;

/**
 * Whether the extension lets this page, which it has marked, use its node, which `attach` is then given a port to, maybe more than once. `lost`:
 * it did, and does not any more.
 */
export async function joinExtension(attach: (port: MessagePort) => void, lost: () => void): Promise<boolean> {
  const { port1, port2 } = new MessageChannel();
  let joined = false;
  const answered = new Promise<boolean>((resolve) => {
    setTimeout(() => resolve(false), patience);
    port1.onmessage = ({ data, ports: [port] }: MessageEvent<ExtensionAnswer>) => {
      if (data.type === 'node' && port) {
        attach(port);
        joined = true;
      } else if (joined) {
        joined = false;
        lost();
      }
      resolve(joined);
    };
  });
  const call: ExtensionCall = { codio: 'join', version: linkVersion };
  window.postMessage(call, location.origin, [port2]);
  if (await answered) return true;
  port1.postMessage({ type: 'end' } satisfies ExtensionEnd);
  port1.close();
  return false;
}
