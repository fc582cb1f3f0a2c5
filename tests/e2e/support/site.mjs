// The web site of somebody who uses the library: pages of the test, the library's files, and as a reverse proxy what a node serves.
import { readFileSync } from 'node:fs';
import { createServer, request as forward } from 'node:http';
import { extname, join } from 'node:path';
import { webRoot } from './node.mjs';

const types = {
  '.css': 'text/css',
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.json': 'application/json',
  '.map': 'application/json',
  '.wasm': 'application/wasm',
};

/**
 * @param {Record<string, string | Buffer | {body: string | Buffer, headers: Record<string, string>}>} pages by path
 * @param {{node?: string, codio?: boolean, folder?: string}} options `node`: what `/.well-known/codio` and, unless `codio` is
 *   false, `/codio/` is passed on to; `folder`: where the library is, in place of the build
 */
export async function startSite(pages, { node, codio = true, folder = join(webRoot, 'pkg') } = {}) {
  const asked = [];
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url, 'http://site');
    asked.push(pathname);
    const page = pages[pathname];
    if (page !== undefined) {
      const { body = page, headers = {} } = page;
      const type = types[extname(pathname)] ?? types['.html'];
      return response.writeHead(200, { 'content-type': type, 'cache-control': 'no-store', ...headers }).end(body);
    }
    if (node && (pathname === '/.well-known/codio' || (codio && pathname.startsWith('/codio/')))) {
      const { method, headers } = request;
      const onward = forward(node + request.url, { method, headers }, (answer) => {
        response.writeHead(answer.statusCode, answer.headers);
        answer.pipe(response);
      });
      onward.on('error', () => response.writeHead(502).end());
      return request.pipe(onward);
    }
    try {
      const name = /^\/pkg\/([\w./-]+)$/.exec(pathname)?.[1];
      const bytes = readFileSync(join(folder, name ?? ''));
      response.writeHead(200, { 'content-type': types[extname(pathname)], 'access-control-allow-origin': '*' }).end(bytes);
    } catch {
      response.writeHead(404, { 'content-type': 'text/html' }).end('<h1>This site has no such page</h1>');
    }
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    /** Paths in the order in which they were asked for. */
    asked,
    stop() {
      server.close();
      server.closeAllConnections();
    },
  };
}
