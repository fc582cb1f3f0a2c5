// Debian's Chromium and Firefox, driven headless. A browser that is not installed gives a reason to skip.
import { execFileSync } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium, firefox } from 'playwright-core';

export const chromiumArguments = [
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--disable-gpu',
  '--disable-quic',
];

const kinds = { chromium, firefox };
const settings = {
  chromium: (executablePath) => ({ executablePath, chromiumSandbox: false, args: chromiumArguments }),
  firefox: (executablePath) => ({ executablePath, channel: 'moz-firefox' }),
};

const programs = { chromium: 'chromium', firefox: 'firefox-esr' };

export function pathOf(name) {
  try {
    return execFileSync('which', [programs[name]], { encoding: 'utf8' }).trim();
  } catch {
    return undefined;
  }
}

/** For `test(name, {skip})`: why the browser cannot be used, or false. */
export function skipWithout(...names) {
  const missing = names.filter((name) => !pathOf(name));
  return missing.length > 0 && `${missing.map((name) => programs[name]).join(', ')} not installed`;
}

const running = new Map();

/** A page in a context of its own: its own store, its own peer. What it logs as an error is in `page.problems`. */
export async function openTab(name, url, options = {}) {
  if (!running.has(name)) running.set(name, kinds[name].launch(settings[name](pathOf(name))));
  const browser = await running.get(name);
  const context = await browser.newContext(options);
  return go(name, await context.newPage(), url);
}

/**
 * The first page of a browser of its own with its profile on the disk, as a visitor has it: the contexts of openTab() keep
 * theirs in memory, which is another and slower store. Closing its context ends the browser and removes the profile.
 */
export async function openProfile(name, url, options = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'codio-profile-'));
  const context = await kinds[name].launchPersistentContext(folder, { ...settings[name](pathOf(name)), ...options });
  context.on('close', () => rm(folder, { recursive: true, force: true, maxRetries: 20 })); // The browser is still writing.
  return go(name, context.pages()[0] ?? (await context.newPage()), url);
}

async function go(name, page, url) {
  page.problems = [];
  page.on('pageerror', (error) => page.problems.push(String(error)));
  page.on('crash', () => page.problems.push('crash'));
  if (process.env.VERBOSE) page.on('console', (message) => console.log(`[${name}]`, message.text()));
  await page.goto(url);
  return page;
}

/** Loads the page again, and from then on runs `script` in its core workers before they hear anything. */
export async function patchWorkers(page, script) {
  await page.addInitScript((after) => {
    window.Worker = class extends Worker {
      constructor(url, options) {
        const source = `import ${JSON.stringify(String(url))};\n${after}`;
        super(URL.createObjectURL(new Blob([source], { type: 'text/javascript' })), options);
      }
    };
  }, script);
  await page.reload();
}

export async function closeBrowsers() {
  for (const browser of await Promise.all(running.values())) await browser.close();
  running.clear();
}
