// A trustless gateway that can misbehave, in this process.
import { createServer } from 'node:http';

/**
 * @param {Map<string, Buffer>} blocks by CID
 * @param {(cid: string, response: import('node:http').ServerResponse) => boolean | void} misbehave answers itself and
 *   returns true, or lets the gateway answer
 */
export async function startGateway(blocks, misbehave = () => false) {
  const asked = [];
  const server = createServer((request, response) => {
    const [, cid] = /^\/ipfs\/(\w+)\?format=raw$/.exec(request.url) ?? [];
    response.setHeader('access-control-allow-origin', '*');
    asked.push(cid);
    if (misbehave(cid, response)) return;
    const block = blocks.get(cid);
    if (block) response.writeHead(200, { 'content-type': 'application/vnd.ipld.raw' }).end(block);
    else response.writeHead(404).end();
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}/ipfs/`,
    /** CIDs in the order in which they were asked for. */
    asked,
    stop() {
      server.close();
      server.closeAllConnections();
    },
  };
}
