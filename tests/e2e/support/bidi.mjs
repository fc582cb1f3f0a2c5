// Firefox over WebDriver BiDi itself: what drives pages of the web elsewhere does not follow the pages of an extension.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import WebSocket from 'ws';
import { pathOf } from './browsers.mjs';

const prefs = {
  'browser.shell.checkDefaultBrowser': false,
  'browser.startup.homepage_override.mstone': 'ignore',
  'datareporting.policy.dataSubmissionEnabled': false,
  'app.update.disabledForTesting': true,
  'extensions.autoDisableScopes': 0,
  'remote.prefs.recommended': true,
};

/** A Firefox with a profile of its own. @param {Record<string, unknown>} more preferences */
export async function startFirefox(more = {}, folder = mkdtempSync(join(tmpdir(), 'codio-firefox-'))) {
  const lines = Object.entries({ ...prefs, ...more }).map((pref) => `user_pref(${pref.map((one) => JSON.stringify(one)).join(', ')});`);
  writeFileSync(join(folder, 'user.js'), lines.join('\n'));
  const process_ = spawn(
    pathOf('firefox'),
    ['--headless', '--no-remote', '--profile', folder, '--remote-debugging-port=0', '--remote-allow-system-access'],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  const ended = new Promise((resolve) => process_.on('close', resolve));
  let log = '';
  const url = await new Promise((resolve, reject) => {
    process_.on('close', () => reject(new Error(`Firefox ended: ${log}`)));
    process_.stderr.on('data', (data) => {
      log += data;
      if (process.env.VERBOSE) process.stderr.write(data);
      const found = /WebDriver BiDi listening on (ws:\/\/\S+)/.exec(log);
      if (found) resolve(found[1]);
    });
  });
  const socket = new WebSocket(`${url}/session`);
  await new Promise((resolve, reject) => socket.on('open', resolve).on('error', reject));
  const asked = new Map();
  let last = 0;
  socket.on('message', (text) => {
    const { id, result, error, message } = JSON.parse(text);
    if (error) asked.get(id)?.reject(new Error(`${error}: ${message}`));
    else asked.get(id)?.resolve(result);
    asked.delete(id);
  });
  const send = (method, params = {}) =>
    new Promise((resolve, reject) => {
      asked.set(++last, { resolve, reject });
      socket.send(JSON.stringify({ id: last, method, params }));
    });
  await send('session.new', { capabilities: {} });
  return {
    pid: process_.pid,
    folder,
    send,
    /** @returns {Promise<BidiPage>} a tab, once its document is there */
    open: async (address) => {
      const { context } = await send('browsingContext.create', { type: 'tab' });
      const page = new BidiPage(send, context);
      if (address) await page.goto(address);
      return page;
    },
    pages: async () => {
      const { contexts } = await send('browsingContext.getTree', { maxDepth: 0 });
      return contexts.map(({ context, url: at }) => Object.assign(new BidiPage(send, context), { at }));
    },
    async stop({ keep = false } = {}) {
      socket.terminate();
      process_.kill('SIGKILL');
      await ended;
      if (!keep) rmSync(folder, { recursive: true, force: true, maxRetries: 20 });
    },
  };
}

/** As much of playwright's Page as the tests use. */
export class BidiPage {
  constructor(send, context) {
    this.send = send;
    this.context = context;
  }

  async goto(url) {
    await this.send('browsingContext.navigate', { context: this.context, url, wait: 'none' });
    await this.waitForFunction((wanted) => location.href.startsWith(wanted) && document.readyState === 'complete', url.split('#')[0]);
  }

  url() {
    return this.evaluate(() => location.href);
  }

  async evaluate(fn, argument) {
    const { result, exceptionDetails } = await this.send('script.callFunction', {
      functionDeclaration: `async (text) => JSON.stringify(await (${fn})(...JSON.parse(text)))`,
      arguments: [{ type: 'string', value: JSON.stringify([argument]) }],
      target: { context: this.context },
      awaitPromise: true,
      userActivation: true,
    });
    if (exceptionDetails) throw new Error(exceptionDetails.text);
    return result.value === undefined ? undefined : JSON.parse(result.value);
  }

  async waitForFunction(fn, argument, { timeout = 20_000 } = {}) {
    const until = Date.now() + timeout;
    for (;;) {
      const value = await this.evaluate(fn, argument).catch((error) => {
        if (Date.now() > until) throw error; // The document is being replaced.
      });
      if (value) return value;
      if (Date.now() > until) {
        const shows = await this.evaluate(() => `${location.href}: ${document.body.innerText.slice(0, 500)}`);
        throw new Error(`still not: ${fn}, ${JSON.stringify(argument)} in ${shows}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  async screenshot(width, height, scheme) {
    await this.send('browsingContext.setViewport', { context: this.context, viewport: { width, height } });
    const { data } = await this.send('browsingContext.captureScreenshot', { context: this.context, origin: 'document' });
    return Buffer.from(data, 'base64');
  }

  async bringToFront() {
    await this.send('browsingContext.activate', { context: this.context });
  }

  async close() {
    await this.send('browsingContext.close', { context: this.context });
  }
}
