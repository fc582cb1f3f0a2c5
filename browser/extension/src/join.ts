import type { ExtensionAnswer } from '../../lib/src/extension';
import type { Connection } from './handshake';

/** Between tries to have a node again. */
const retryAfter = 1_000;
const maxTries = 5;

/**
 * Gives a page's library the node, and the next one whenever that is gone, until the library ends it. `connect` settles with
 * nothing if it may succeed later, and rejects if it may not.
 */
export async function serveLibrary(control: MessagePort, connect: () => Promise<Connection | undefined>): Promise<void> {
  let connection: Connection | undefined;
  let ended = false;
  const end = new Promise<void>((resolve) => {
    control.onmessage = () => {
      ended = true;
      resolve();
    };
  });
  const tell = (answer: ExtensionAnswer, transfer: Transferable[] = []) => control.postMessage(answer, transfer);
  for (let tries = 0; tries < maxTries && !ended; tries++) {
    const began = performance.now();
    try {
      connection = await connect();
    } catch {
      break; // It is off or not allowed any more, or the extension was removed.
    }
    if (connection && !ended) {
      tell({ type: 'node' }, [connection.port]);
      await Promise.race([connection.lost, end]);
    }
    if (connection && performance.now() - began > retryAfter) tries = 0;
    else if (!ended) await new Promise((resolve) => setTimeout(resolve, retryAfter));
  }
  connection?.end();
  if (!ended) tell({ type: 'gone' });
  control.close();
}
