// The built extension in a browser with a profile of its own, and its pages.
import { createHash } from 'node:crypto';
import { cpSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { BidiPage, startFirefox } from './bidi.mjs';
import { zip } from '../../../browser/extension/zip.mjs';
import { chromiumArguments, pathOf } from './browsers.mjs';
import { findProcess } from './process-tree.mjs';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
export const built = here('../../../build/extension/');
const uuid = '11111111-2222-4333-8444-555555555555';
const id = 'codio@codio.example';

/** A copy whose optional permissions are given or can never be: nobody can answer the browser's question in a test. */
function decided(folder, isGiven) {
  const copy = mkdtempSync(join(tmpdir(), 'codio-extension-'));
  cpSync(folder, copy, { recursive: true });
  const manifest = JSON.parse(readFileSync(join(copy, 'manifest.json')));
  if (isGiven) {
    manifest.host_permissions = manifest.optional_host_permissions;
    manifest.permissions.push(...manifest.optional_permissions);
  }
  delete manifest.optional_host_permissions;
  delete manifest.optional_permissions;
  writeFileSync(join(copy, 'manifest.json'), JSON.stringify(manifest));
  return copy;
}

/**
 * @param {{grant?: boolean | 'never', settings?: object, install?: 'for good', profile?: string, folder?: string}} options
 * `settings`: over the defaults; `install`: so that it is there after a restart; `profile`, `folder`: of one that was stopped
 * and kept
 * @returns the browser: `url` of the extension's pages, `open(url)`, and what else is its own
 */
export async function openExtension(browser, { grant = false, settings = {}, install, profile, folder: given } = {}) {
  const original = `${built}${browser === 'firefox' ? 'firefox' : 'chrome'}`;
  const folder = given ?? (grant ? decided(original, grant === true) : original);
  const opened = await (browser === 'firefox' ? openFirefox(folder, profile, install) : openChromium(folder, profile));
  const extension = {
    ...opened,
    folder,
    /** Of the extension: `page('popup.html')`. */
    page: (path) => extension.open(`${opened.url}${path}`),
    /** The tab whose address has that part. */
    find: async (part) => (await opened.pages()).find((page) => (page.at ?? page.url()).includes(part)),
    async stop(options = {}) {
      await opened.stop(options);
      if (grant && !options.keep) rmSync(folder, { recursive: true, force: true });
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

async function openChromium(folder, former) {
  const profile = former ?? mkdtempSync(join(tmpdir(), 'codio-profile-'));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: pathOf('chromium'),
    chromiumSandbox: false,
    args: [...chromiumArguments, `--disable-extensions-except=${folder}`, `--load-extension=${folder}`],
  });
  // When it was there before, nothing needs to start it.
  if (!former && context.serviceWorkers().length === 0) await context.waitForEvent('serviceworker');
  const url = `chrome-extension://${idOf(folder)}/`;
  return {
    url,
    context,
    profile,
    pid: findProcess(`--user-data-dir=${profile}`),
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
    async clipboard(page) {
      await context.grantPermissions(['clipboard-read', 'clipboard-write']);
      return page.evaluate(() => navigator.clipboard.readText());
    },
    /** As if that had been typed into the address bar: the browser's own part cannot be driven. */
    enter: (page, address) => page.goto(address).catch(() => {}), // It is no address of the web.
    /** Ends what was typed into the address bar after our keyword: the browser's own part cannot be driven. */
    type: (typed) =>
      context.serviceWorkers()[0].evaluate((given) => chrome.omnibox.onInputEntered.dispatch(given, 'currentTab'), typed.replace(/^codio /, '')),
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

async function openFirefox(folder, profile, install) {
  const prefs = {
    'extensions.webextensions.uuids': JSON.stringify({ [id]: uuid }),
    'media.peerconnection.ice.obfuscate_host_addresses': false,
    'xpinstall.signatures.required': false, // Which this browser heeds for add-ons that stay.
  };
  const firefox = await startFirefox(prefs, profile);
  if (!profile) {
    const file = install && writeZip(folder);
    const extensionData = file ? { type: 'archivePath', path: file } : { type: 'path', path: folder };
    await firefox.send('webExtension.install', { extensionData, ...(file && { 'moz:permanent': true }) });
    if (file) rmSync(file);
  }
  const { contexts: [window] } = await firefox.send('browsingContext.getTree', { 'moz:scope': 'chrome' });
  const browser = new BidiPage(firefox.send, window.context);
  const type = (typed) =>
    browser.evaluate(async (text) => {
      gURLBar.focus();
      gURLBar.search(text);
      await gURLBar.lastQueryContextPromise;
      gURLBar.handleCommand();
    }, typed);
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
    clipboard: () =>
      browser.evaluate(() => {
        const data = Cc['@mozilla.org/widget/transferable;1'].createInstance(Ci.nsITransferable);
        data.init(null);
        data.addDataFlavor('text/plain');
        Services.clipboard.getData(data, Services.clipboard.kGlobalClipboard);
        const text = {};
        data.getTransferData('text/plain', text);
        return text.value.QueryInterface(Ci.nsISupportsString).data;
      }),
    /** Into the address bar, and Enter. */
    type,
    enter: (_, address) => type(address),
    /** As a user who answers the browser's first question about links of that scheme. */
    agreeToHandle: (scheme) =>
      browser.evaluate((name) => {
        const handlers = Cc['@mozilla.org/uriloader/handler-service;1'].getService(Ci.nsIHandlerService);
        const info = Cc['@mozilla.org/uriloader/external-protocol-service;1'].getService(Ci.nsIExternalProtocolService).getProtocolHandlerInfo(name);
        info.preferredApplicationHandler = info.possibleApplicationHandlers.queryElementAt(0, Ci.nsIHandlerApp);
        info.preferredAction = Ci.nsIHandlerInfo.useHelperApp;
        info.alwaysAskBeforeHandling = false;
        handlers.store(info);
      }, scheme),
    /** Gives all that is optional, or takes it back, as the page about:addons does. */
    permit: (isGiven) =>
      browser.evaluate(
        async ([of, given]) => {
          const { ExtensionPermissions } = ChromeUtils.importESModule('resource://gre/modules/ExtensionPermissions.sys.mjs');
          const { extension } = WebExtensionPolicy.getByID(of);
          const all = { permissions: ['webRequest'], origins: ['https://*/*', 'http://*/*'] };
          await (given ? ExtensionPermissions.add(of, all, extension) : ExtensionPermissions.remove(of, all, extension));
        },
        [id, isGiven],
      ),
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

/** As Chromium makes it for an unpacked extension: of its path's hash, in letters from a to p. */
function idOf(folder) {
  const hash = createHash('sha256').update(realpathSync(folder)).digest('hex').slice(0, 32);
  return [...hash].map((digit) => String.fromCharCode(97 + parseInt(digit, 16))).join('');
}

/** Packed, as Firefox wants what it is to keep. */
function writeZip(folder) {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const path = `${folder}.xpi`;
  writeFileSync(path, zip(files.map(({ parentPath, name }) => [relative(folder, join(parentPath, name)), readFileSync(join(parentPath, name))])));
  return path;
}

export const text = (page, selector) => page.evaluate((one) => document.querySelector(one)?.textContent ?? '', selector);
export const click = (page, selector) => page.evaluate((one) => document.querySelector(one).click(), selector);
export const shown = (page, selector) => page.waitForFunction((one) => document.querySelector(one)?.checkVisibility(), selector);
export const at = (page, part) => page.waitForFunction((wanted) => location.href.includes(wanted), part);
export const progressOf = (viewer) => viewer.evaluate(() => Number(document.querySelector('#progress').getAttribute('aria-valuenow')));

/** Pages of the node, as the browser counts them. */
export async function countNodes(extension) {
  const page = await extension.page('popup.html');
  return page.evaluate(async () => {
    if (chrome.runtime.getContexts && chrome.offscreen) return (await chrome.runtime.getContexts({ contextTypes: ['OFFSCREEN_DOCUMENT'] })).length;
    return (await chrome.runtime.getBackgroundPage()).frames.length;
  });
}

/** Saves what the viewer has found, in the way of a browser that cannot write into a file of the user's choice. */
export async function saveToSpool(viewer) {
  await shown(viewer, '#note');
  await viewer.evaluate(() => (window.showSaveFilePicker = undefined));
  await click(viewer, '#save');
}

/** Of what the viewer has on disk. */
export async function savedHashes(page) {
  return page.evaluate(async () => {
    const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle('spool');
    const hashes = [];
    for await (const file of folder.values()) {
      const bytes = await (await file.getFile()).arrayBuffer();
      hashes.push([...new Uint8Array(await crypto.subtle.digest('SHA-256', bytes))].map((byte) => byte.toString(16).padStart(2, '0')).join(''));
    }
    return hashes;
  });
}

export async function savedHash(page) {
  const [hash] = await savedHashes(page);
  return hash;
}

/** Does not wait: the navigation may end elsewhere. */
export async function navigate(page, url) {
  await page.evaluate((to) => void setTimeout(() => (location.href = to)), url);
}
