// Browsers whose tabs know whether they are seen: playwright makes each believe that it is.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import WebSocket from 'ws';
import { startFirefox } from '../../tests/e2e/support/bidi.mjs';
import { chromiumArguments, pathOf } from '../../tests/e2e/support/browsers.mjs';

/**
 * @typedef {{evaluate: <T>(fn: (argument: any) => T, argument?: any) => Promise<Awaited<T>>, show: () => Promise<void>}} Tab
 * Of Chromium there are `heaps()`, too: what DevTools know of the page and its first worker, in bytes; and of the browser
 * `renderers()`: the processes with the pages, their workers and their connections.
 * @returns {Promise<{open: (url: string) => Promise<Tab>, stop: () => Promise<void>}>} `show()` hides the other tabs
 */
export async function startBrowser(name) {
  if (name === 'chromium') return startChromium();
  const firefox = await startFirefox();
  return {
    open: async (url) => {
      const page = await firefox.open(url);
      return Object.assign(page, { show: () => firefox.send('browsingContext.activate', { context: page.context }) });
    },
    stop: () => firefox.stop(),
  };
}

async function startChromium() {
  const folder = mkdtempSync(join(tmpdir(), 'codio-chromium-'));
  const browser = spawn(
    pathOf('chromium'),
    [...chromiumArguments, '--headless=new', '--no-sandbox', '--remote-debugging-port=0', `--user-data-dir=${folder}`, 'about:blank'],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  const ended = new Promise((resolve) => browser.on('close', resolve));
  let log = '';
  const url = await new Promise((resolve, reject) => {
    browser.on('close', () => reject(new Error(`Chromium ended: ${log}`)));
    browser.stderr.on('data', (data) => {
      log += data;
      const found = /DevTools listening on (ws:\/\/\S+)/.exec(log);
      if (found) resolve(found[1]);
    });
  });
  const socket = new WebSocket(url);
  await new Promise((resolve, reject) => socket.on('open', resolve).on('error', reject));
  const asked = new Map();
  /** Sessions of a tab's workers, by that of the tab. */
  const workers = new Map();
  let last = 0;
  socket.on('message', (text) => {
    const { id, result, error, method, params, sessionId } = JSON.parse(text);
    if (method === 'Target.attachedToTarget' && params.targetInfo.type === 'worker') workers.get(sessionId)?.push(params.sessionId);
    if (error) asked.get(id)?.reject(new Error(error.message));
    else asked.get(id)?.resolve(result);
    asked.delete(id);
  });
  const send = (method, params = {}, sessionId = undefined) =>
    new Promise((resolve, reject) => {
      asked.set(++last, { resolve, reject });
      socket.send(JSON.stringify({ id: last, method, params, sessionId }));
    });
  return {
    open: async (address) => {
      const { targetId } = await send('Target.createTarget', { url: address });
      const { sessionId } = await send('Target.attachToTarget', { targetId, flatten: true });
      const evaluate = async (fn, argument) => {
        const expression = `(async () => JSON.stringify(await (${fn})(${JSON.stringify(argument)})))()`;
        const wanted = { expression, awaitPromise: true, userGesture: true };
        const { result, exceptionDetails } = await send('Runtime.evaluate', wanted, sessionId);
        if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
        return result.value === undefined ? undefined : JSON.parse(result.value);
      };
      while (!(await evaluate((wanted) => location.href.startsWith(wanted) && document.readyState === 'complete', address))) {
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      workers.set(sessionId, []);
      await send('Target.setAutoAttach', { autoAttach: true, waitForDebuggerOnStart: false, flatten: true }, sessionId);
      const heap = (of) => send('Runtime.getHeapUsage', {}, of);
      return {
        evaluate,
        show: () => send('Target.activateTarget', { targetId }),
        heaps: async () => ({ page: await heap(sessionId), worker: await heap(workers.get(sessionId)[0]) }),
      };
    },
    async renderers() {
      const { processInfo } = await send('SystemInfo.getProcessInfo');
      return processInfo.filter(({ type }) => type === 'renderer').map(({ id }) => id);
    },
    async stop() {
      socket.terminate();
      browser.kill();
      await ended;
      rmSync(folder, { recursive: true, force: true, maxRetries: 20 });
    },
  };
}
