// Somebody's site with the library on it, apart from any node: files, and a record of what its server is asked for.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { extname, join } from 'node:path';
import { webRoot } from './node.mjs';

const types = { '.js': 'text/javascript', '.wasm': 'application/wasm', '.html': 'text/html', '.json': 'application/json' };

/** @param {Record<string, string>} files by path, beside the library in `/pkg/` and the worker in `/codio-sw.js` */
export async function startSite(files = {}) {
  const site = {
    '/': '<!doctype html><title>site</title><link rel="icon" href="data:,"><h1>A site</h1>',
    '/codio-sw.js': "importScripts('/pkg/codio-sw.js');",
    ...files,
  };
  const asked = [];
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url, 'http://site');
    asked.push(`${request.method} ${request.url}`);
    const body = pathname.startsWith('/pkg/') ? read(pathname) : site[pathname];
    if (body === undefined) return response.writeHead(404).end('the server has no such file');
    response.writeHead(200, { 'content-type': types[extname(pathname)] ?? 'text/html', 'cache-control': 'no-cache' });
    response.end(body);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    files: site,
    asked,
    stop() {
      server.close();
      server.closeAllConnections();
    },
  };
}

function read(pathname) {
  try {
    return readFileSync(join(webRoot, pathname));
  } catch {
    return undefined;
  }
}
