import { parseAddress } from '../../lib/src/address';
import type { Asked, Content, Target } from './content';

/** The first of a list that can handle a request answers it. */
export interface Handler {
  readonly name: string;
  canHandle(request: Request): boolean;
  /** Never rejects. */
  handle(asked: Asked): Promise<Response>;
}

const cidHeader = 'X-Codio-CID';
/** The shape of one, short ones with the bytes in them among them: what is none is left to the server. */
const cid = '(?:Qm[1-9A-HJ-NP-Za-km-z]{44}|[bBfFkKmMuUvVzZ][0-9A-Za-z_+=-]{30,}|bafkqa[a-z2-7]+)';

/** `intercept`: URL prefixes. */
export function makeHandlers(scope: URL, intercept: readonly string[], content: Pick<Content, 'respond'>): Handler[] {
  const isOfSite = (url: string) => new URL(url).origin === scope.origin;
  const own = new URL('codio/', scope).href;
  const gatewayOf = (url: string) => intercept.find((prefix) => restAfter(prefix, url) !== undefined);
  const respond = (asked: Asked, read: (request: Request) => Target) => content.respond(asked, () => read(asked.request));
  return [
    {
      name: '/codio/CID/path',
      canHandle: ({ url }) => restAfter(own, url) !== undefined,
      handle: (asked) => respond(asked, ({ url }) => targetOf(`codio://${restAfter(own, url)}`, url, true, true)),
    },
    {
      name: cidHeader,
      canHandle: ({ headers }) => headers.has(cidHeader),
      handle: (asked) =>
        respond(asked, ({ headers, url }) => targetOf(headers.get(cidHeader) ?? '', url, isOfSite(url), false)),
    },
    {
      name: 'gateway/CID/path',
      canHandle: (request) => !wantsBlocks(request) && gatewayOf(request.url) !== undefined,
      handle: (asked) =>
        respond(asked, ({ url }) => {
          const address = `codio://${restAfter(gatewayOf(url) ?? '', url)}`;
          return targetOf(address, url, isOfSite(url), true);
        }),
    },
  ];
}

/** What else is asked of a gateway, the library's own requests for blocks among it, is the gateway's affair. */
function wantsBlocks({ url, headers }: Request): boolean {
  return new URL(url).search !== '' || /application\/vnd\.ipld/.test(headers.get('Accept') ?? '');
}

/** `CID/path` without query and fragment, percent-encoded. */
function restAfter(prefix: string, url: string): string | undefined {
  if (!url.startsWith(prefix)) return undefined;
  return new RegExp(`^${cid}(?=[/?#]|$)[^?#]*`).exec(url.slice(prefix.length))?.[0];
}

function targetOf(address: string, url: string, isOfSite: boolean, redirects: boolean): Target {
  const { cid: root, path } = parseAddress(address);
  const name = (path === '' ? new URL(url).pathname : path).split('/').at(-1) ?? '';
  return { root, path, name, isOfSite, redirects };
}
