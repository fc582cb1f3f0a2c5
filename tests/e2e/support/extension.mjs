// The built extension in a browser with a profile of its own, and its pages.
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { BidiPage, startFirefox } from './bidi.mjs';
import { chromiumArguments, pathOf } from './browsers.mjs';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
export const built = here('../../../build/extension/');
const uuid = '11111111-2222-4333-8444-555555555555';
const id = 'codio@codio.example';

/** A copy whose optional permissions are given: nobody can click on the browser's question in a test. */
function granted(folder) {
  const copy = mkdtempSync(join(tmpdir(), 'codio-extension-'));
  cpSync(folder, copy, { recursive: true });
  const manifest = JSON.parse(readFileSync(join(copy, 'manifest.json')));
  manifest.host_permissions = manifest.optional_host_permissions;
  manifest.permissions.push(...manifest.optional_permissions);
  delete manifest.optional_host_permissions;
  delete manifest.optional_permissions;
  writeFileSync(join(copy, 'manifest.json'), JSON.stringify(manifest));
  return copy;
}

/**
 * @param {{grant?: boolean, settings?: object}} options `settings`: over the defaults
 * @returns the browser: `url` of the extension's pages, `open(url)`, and what else is its own
 */
export async function openExtension(browser, { grant = false, settings = {} } = {}) {
  const folder = grant ? granted(`${built}${browser === 'firefox' ? 'firefox' : 'chrome'}`) : `${built}${browser === 'firefox' ? 'firefox' : 'chrome'}`;
  const opened = await (browser === 'firefox' ? openFirefox(folder) : openChromium(folder));
  const extension = {
    ...opened,
    /** Of the extension: `page('popup.html')`. */
    page: (path) => extension.open(`${opened.url}${path}`),
    async stop(options) {
      await opened.stop(options);
      if (grant) rmSync(folder, { recursive: true, force: true });
    },
  };
  if (Object.keys(settings).length > 0) await setSettings(extension, settings);
  return extension;
}

export async function setSettings(extension, changes) {
  const page = await extension.page('options.html');
  await page.evaluate(async (changed) => {
    const { settings } = await chrome.storage.local.get('settings');
    await chrome.storage.local.set({ settings: { ...settings, ...changed } });
  }, changes);
  await page.close();
}

async function openChromium(folder, profile = mkdtempSync(join(tmpdir(), 'codio-profile-'))) {
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: pathOf('chromium'),
    chromiumSandbox: false,
    args: [...chromiumArguments, `--disable-extensions-except=${folder}`, `--load-extension=${folder}`],
  });
  const worker = context.serviceWorkers()[0] ?? (await context.waitForEvent('serviceworker'));
  const url = `chrome-extension://${new URL(worker.url()).host}/`;
  return {
    url,
    context,
    profile,
    open: async (address) => {
      const page = await context.newPage();
      page.setDefaultTimeout(15_000);
      if (process.env.VERBOSE) page.on('console', (message) => console.log(address, message.text()));
      if (address) await page.goto(address);
      return page;
    },
    pages: async () => context.pages(),
    /** Ends the background as the browser does when it is idle. */
    async suspend() {
      const session = await context.newCDPSession(context.pages()[0]);
      const stopped = new Promise((resolve) =>
        session.on('ServiceWorker.workerVersionUpdated', ({ versions }) => {
          if (versions.some(({ runningStatus }) => runningStatus === 'stopped')) resolve();
        }),
      );
      await session.send('ServiceWorker.enable');
      await session.send('ServiceWorker.stopAllWorkers');
      await stopped;
      await session.detach();
    },
    async uninstall() {
      const page = await context.newPage();
      await page.goto(`${url}bridge.html`);
      // It takes the page with it, so nothing answers.
      const uninstalling = page.evaluate(() => chrome.management.uninstallSelf({ showConfirmDialog: false })).catch(() => {});
      await Promise.all([page.waitForEvent('close'), uninstalling]);
    },
    /** Clicks our entry in the context menu of what has that URL. */
    clickMenu: (menuItemId, srcUrl, pageUrl) =>
      context.serviceWorkers()[0].evaluate(
        async ([item, src, at]) => {
          const [tab] = await chrome.tabs.query({ url: `${at}*` });
          chrome.contextMenus.onClicked.dispatch({ menuItemId: item, srcUrl: src, pageUrl: at }, tab);
        },
        [menuItemId, srcUrl, pageUrl],
      ),
    async stop({ keep = false } = {}) {
      await context.close();
      if (!keep) await rm(profile, { recursive: true, force: true, maxRetries: 20 });
    },
  };
}

async function openFirefox(folder) {
  const firefox = await startFirefox({
    'extensions.webextensions.uuids': JSON.stringify({ [id]: uuid }),
    'media.peerconnection.ice.obfuscate_host_addresses': false,
  });
  await firefox.send('webExtension.install', { extensionData: { type: 'path', path: folder } });
  const { contexts: [window] } = await firefox.send('browsingContext.getTree', { 'moz:scope': 'chrome' });
  const browser = new BidiPage(firefox.send, window.context);
  return {
    ...firefox,
    profile: firefox.folder,
    url: `moz-extension://${uuid}/`,
    suspend: () =>
      browser.evaluate(async (of) => {
        const { extension } = WebExtensionPolicy.getByID(of);
        await extension.terminateBackground({ ignoreDevToolsAttached: true });
      }, id),
    setScheme: (scheme) =>
      browser.evaluate((one) => {
        Services.prefs.setIntPref('layout.css.prefers-color-scheme.content-override', one === 'dark' ? 0 : 1);
      }, scheme),
    /** In the browser's own window. */
    chromeEvaluate: (fn, argument) => browser.evaluate(fn, argument),
    uninstall: () => firefox.send('webExtension.uninstall', { extension: id }),
    clickMenu: (menuItemId, srcUrl, pageUrl) =>
      browser.evaluate(
        async ([of, item, src, at]) => {
          const { extension } = WebExtensionPolicy.getByID(of);
          await extension.wakeupBackground();
          const tab = gBrowser.tabs.find(({ linkedBrowser }) => linkedBrowser.currentURI.spec.startsWith(at));
          extension.emit('webext-menu-menuitem-click', { menuItemId: item, srcUrl: src, pageUrl: at }, tab);
        },
        [id, menuItemId, srcUrl, pageUrl],
      ),
  };
}
