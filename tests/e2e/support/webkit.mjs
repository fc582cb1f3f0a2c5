// Debian's WebKitGTK, driven over WebDriver: MiniBrowser on a display of its own, as it has no headless mode.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync } from 'node:fs';
import { freePort } from './services.mjs';

const libraries = '/usr/lib/x86_64-linux-gnu';

function pathOf(program) {
  try {
    return execFileSync('which', [program], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  } catch {
    return undefined;
  }
}

function miniBrowser() {
  const folders = existsSync(libraries) ? readdirSync(libraries).filter((name) => name.startsWith('webkit2gtk-')) : [];
  return folders.map((name) => `${libraries}/${name}/MiniBrowser`).find(existsSync);
}

/** For `test(name, {skip})`: why WebKit cannot be used, or false. */
export function skipWithoutWebKit() {
  const missing = ['WebKitWebDriver', 'Xvfb'].filter((program) => !pathOf(program));
  if (!miniBrowser()) missing.push('MiniBrowser of WebKitGTK');
  return missing.length > 0 && `${missing.join(', ')} not installed`;
}

/** A browser with one page, which has what is used here of Playwright's. */
export async function openWebKit(url) {
  const display = spawn('Xvfb', ['-displayfd', '3', '-screen', '0', '1024x768x24', '-nolisten', 'tcp'], {
    stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
  });
  const [number] = await once(display.stdio[3], 'data');
  const port = await freePort();
  const driver = spawn('WebKitWebDriver', [`--port=${port}`], {
    stdio: process.env.VERBOSE ? 'inherit' : 'ignore',
    env: {
      ...process.env,
      DISPLAY: `:${String(number).trim()}`,
      WEBKIT_DISABLE_DMABUF_RENDERER: '1',
      LIBGL_ALWAYS_SOFTWARE: '1',
    },
  });
  const kill = async (child) => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill();
    await once(child, 'exit');
  };
  const close = async () => {
    await kill(driver);
    await kill(display);
  };
  try {
    const session = await start(`http://127.0.0.1:${port}`);
    const page = {
      goto: (address) => session.post('/url', { url: address }),
      reload: () => session.post('/refresh', {}),
      title: () => session.get('/title'),
      /** The function's text is run in the page, with one argument, and may be async. */
      async evaluate(run, argument) {
        const script = `const done = arguments[1]; Promise.resolve().then(() => (${run})(arguments[0]))
          .then((value) => done({ value }), (error) => done({ error: String(error) }));`;
        const { value, error } = await session.post('/execute/async', { script, args: [argument ?? null] });
        if (error) throw new Error(error);
        return value;
      },
      async close() {
        await session.end();
        await close();
      },
    };
    await page.goto(url);
    return page;
  } catch (error) {
    await close();
    throw error;
  }
}

async function start(driver) {
  const call = async (method, path, body) => {
    const response = await fetch(`${driver}${path}`, { method, ...(body && { body: JSON.stringify(body) }) });
    const { value } = await response.json();
    if (!response.ok) throw new Error(`${path}: ${value.error}: ${value.message}`);
    return value;
  };
  const capabilities = {
    alwaysMatch: {
      browserName: 'MiniBrowser',
      'webkitgtk:browserOptions': { binary: miniBrowser(), args: ['--automation'] },
    },
  };
  const { sessionId } = await retried(() => call('POST', '/session', { capabilities }));
  const session = {
    get: (path) => call('GET', `/session/${sessionId}${path}`),
    post: (path, body) => call('POST', `/session/${sessionId}${path}`, body),
    end: () => call('DELETE', `/session/${sessionId}`),
  };
  await session.post('/timeouts', { script: 60_000, pageLoad: 60_000 });
  return session;
}

/** Until the driver listens. */
async function retried(ask) {
  for (let tries = 100; ; tries--) {
    try {
      return await ask();
    } catch (error) {
      if (tries === 0 || !(error instanceof TypeError)) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}
