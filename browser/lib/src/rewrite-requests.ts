import { isCodioUrl } from './codio-url';
import { messageOf } from './error';
import { typeOfName, type Targets } from './rewrite-targets';

/** Patches fetch(), Request and XMLHttpRequest for codio URLs; returns what undoes it. */
export function rewriteRequests(targets: Targets): () => void {
  const undos = [patchFetch(targets), patchRequest(targets), patchXhr(targets)];
  return () => undos.forEach((undo) => undo());
}

/** Replaces the property, unless something else has patched it since, which then goes on calling ours. */
export function patch<Target extends object, Name extends keyof Target>(
  target: Target,
  name: Name,
  make: (original: Target[Name]) => Target[Name],
): () => void {
  const original = target[name];
  const ours = make(original);
  target[name] = ours;
  return () => {
    if (target[name] === ours) target[name] = original;
  };
}

function codioUrlOf(input: unknown): string | undefined {
  const text = typeof input === 'string' ? input : input instanceof URL ? input.href : undefined;
  return text !== undefined && isCodioUrl(text) ? text : undefined;
}

function patchFetch(targets: Targets): () => void {
  let on = true;
  const undo = patch(window, 'fetch', (original) => {
    const native: typeof fetch = original.bind(window);
    return function fetch(input: RequestInfo | URL, init?: RequestInit): Promise<Response> {
      const address = input instanceof Request ? codioUrlOf(input.url) : codioUrlOf(input);
      if (address === undefined || !on) return native(input, init);
      return fetchCodio(targets, native, address, input, init);
    };
  });
  return () => {
    on = false;
    undo();
  };
}

async function fetchCodio(
  targets: Targets,
  native: typeof fetch,
  address: string,
  input: RequestInfo | URL,
  init: RequestInit | undefined,
): Promise<Response> {
  const request = new Request(input, init);
  const { method, signal } = request;
  if (method !== 'GET' && method !== 'HEAD') throw new TypeError(`${address}: a file by its CID has no ${method}`);
  let canonical;
  try {
    canonical = targets.canonical(address);
  } catch (cause) {
    throw new TypeError(`${address}: ${messageOf(cause)}`, { cause });
  }
  await targets.ready;
  signal.throwIfAborted();
  let response: Response | undefined;
  if (targets.served) {
    response = await native(new Request(canonical, request));
    if (isAnswer(response.status)) return response;
  }
  let cause: unknown = 'nothing here answers /codio/, and the library is not running';
  const cdn = await targets.cdn;
  try {
    if (cdn) return await stream(cdn, address, request);
  } catch (error) {
    signal.throwIfAborted();
    cause = error;
  }
  // What the origin said of it is more to the point.
  if (response) return response;
  const other = targets.fallback(address);
  if (other === undefined) throw new TypeError(`${address}: ${messageOf(cause)}`, { cause });
  return native(new Request(other, request));
}

type Cdn = NonNullable<Awaited<Targets['cdn']>>;

/** A response as the service worker would give it, as soon as the file's size is known. */
async function stream(cdn: Cdn, address: string, { method, headers: asked, signal }: Request): Promise<Response> {
  const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(asked.get('range') ?? '') ?? [];
  const begin = Number(first ?? 0);
  const range = first === undefined ? undefined : { begin, ...(last ? { end: Number(last) + 1 } : {}) };
  let begun: (total: number) => void = () => {};
  const size = new Promise<number>((resolve) => (begun = resolve));
  const body = cdn.stream(address, {
    signal,
    ...(range ? { range } : {}),
    onProgress: ({ total }) => begun(total),
  });
  const reader = body.getReader();
  // The first chunk is there, or the failure.
  const chunk = reader.read();
  const total = await Promise.race([size, chunk.then(() => size)]);
  const headers = new Headers({ 'content-length': String(total) });
  const type = typeOfName(address);
  if (type) headers.set('content-type', type);
  if (range) headers.set('content-range', `bytes ${begin}-${begin + total - 1}/*`);
  const status = range ? 206 : 200;
  if (method === 'HEAD') {
    chunk.catch(() => {});
    void reader.cancel();
    return new Response(null, { status, headers });
  }
  let next: typeof chunk | undefined = chunk;
  const rest = new ReadableStream<Uint8Array<ArrayBuffer>>(
    {
      async pull(controller) {
        const { done, value } = await (next ?? reader.read());
        next = undefined;
        if (done) controller.close();
        else controller.enqueue(value);
      },
      cancel: (reason) => reader.cancel(reason),
    },
    { highWaterMark: 0 },
  );
  return new Response(rest, { status, headers });
}

/** Only where canonical URLs are answered: fetch() knows what to do with the others. */
function patchRequest(targets: Targets): () => void {
  return patch(
    window,
    'Request',
    (Native) =>
      new Proxy(Native, {
        construct(target, [input, init]: ConstructorParameters<typeof Request>, newTarget) {
          const address = codioUrlOf(input);
          const url = address !== undefined && targets.served ? canonicalOr(targets, address) : input;
          return Reflect.construct(target, [url, init], newTarget) as Request;
        },
      }),
  );
}

/** What is no address goes as it is to whoever will refuse it. */
function canonicalOr(targets: Targets, address: string): string {
  try {
    return targets.canonical(address);
  } catch {
    return address;
  }
}

interface Opened {
  readonly address: string;
  readonly method: string;
  /** What is under way: the canonical URL; the other way; or something that the page hears all of. */
  attempt: 'first' | 'second' | 'last';
  /** The first attempt has no answer. */
  isLost: boolean;
}

const xhrEvents = ['readystatechange', 'loadstart', 'progress', 'load', 'error', 'timeout', 'loadend'];

/** The page hears nothing of an attempt that fails while there is another way; what was asked by setRequestHeader() it is spared. */
function patchXhr(targets: Targets): () => void {
  const prototype = XMLHttpRequest.prototype;
  const opened = new WeakMap<XMLHttpRequest, Opened>();
  type Open = (method: string, url: string | URL, async?: boolean, user?: string | null, password?: string | null) => void;
  type Send = (body?: Document | XMLHttpRequestBodyInit | null) => void;
  let nativeOpen: Open;
  let nativeSend: Send;

  const hear = (event: Event): void => {
    const request = event.currentTarget as XMLHttpRequest;
    const codio = opened.get(request);
    if (!codio || codio.attempt === 'last') return;
    if (codio.attempt === 'second') {
      // That it was opened, and began, the page has heard.
      if (request.readyState === XMLHttpRequest.OPENED) event.stopImmediatePropagation();
      return;
    }
    if (event.type === 'timeout') {
      codio.attempt = 'last'; // The page's own.
      return;
    }
    codio.isLost ||= request.readyState >= XMLHttpRequest.HEADERS_RECEIVED && !isAnswer(request.status);
    if (!codio.isLost) return;
    event.stopImmediatePropagation();
    if (event.type !== 'loadend') return;
    void sendOtherwise(request, codio).then((sent) => sent || tell(request, codio));
  };

  /** By the library, else from the fallback; tells whether there was a way. */
  const sendOtherwise = async (request: XMLHttpRequest, codio: Opened): Promise<boolean> => {
    const { address, method } = codio;
    const url = await targets.blob(address).catch((error: unknown) => {
      const other = targets.fallback(address);
      if (other === undefined) targets.warn(address, error);
      return other;
    });
    // Not if it was aborted or opened again meanwhile.
    if (opened.get(request) !== codio) return true;
    if (url === undefined) return false;
    codio.attempt = codio.isLost ? 'second' : 'last';
    nativeOpen.call(request, method, url, true);
    nativeSend.call(request);
    return true;
  };

  /** What the page was spared so far. */
  const tell = (request: XMLHttpRequest, codio: Opened): void => {
    codio.attempt = 'last';
    request.dispatchEvent(new Event('readystatechange'));
    for (const type of [request.status === 0 ? 'error' : 'load', 'loadend']) request.dispatchEvent(new ProgressEvent(type));
  };

  const sendCodio = async (request: XMLHttpRequest, codio: Opened): Promise<void> => {
    if (targets.served === undefined) await targets.ready;
    if (opened.get(request) !== codio) return;
    if (targets.served) {
      codio.attempt = 'first';
      nativeSend.call(request);
    } else if (!(await sendOtherwise(request, codio))) {
      nativeSend.call(request); // For the error.
    }
  };

  const undos = [
    patch(
      window,
      'XMLHttpRequest',
      (Native) =>
        new Proxy(Native, {
          construct(target, given, newTarget) {
            const request = Reflect.construct(target, given, newTarget) as XMLHttpRequest;
            // From the first, as listeners are called in the order in which they came.
            for (const type of xhrEvents) request.addEventListener(type, hear);
            return request;
          },
        }),
    ),
    patch(prototype, 'open', (original) => {
      nativeOpen = original as Open;
      return function open(this: XMLHttpRequest, method: string, url: string | URL, ...rest: [boolean?]) {
        opened.delete(this);
        const address = codioUrlOf(url);
        if (address === undefined) return nativeOpen.call(this, method, url, ...rest);
        nativeOpen.call(this, method, canonicalOr(targets, address), ...rest);
        if (rest[0] === false) {
          if (!targets.served) targets.cannot('a synchronous XMLHttpRequest needs a service worker');
        } else {
          opened.set(this, { address, method, attempt: 'last', isLost: false });
        }
      };
    }),
    patch(prototype, 'send', (native) => {
      nativeSend = native;
      return function send(this: XMLHttpRequest, body) {
        const codio = opened.get(this);
        if (!codio) return native.call(this, body);
        void sendCodio(this, codio);
      };
    }),
    patch(
      prototype,
      'abort',
      (native) =>
        function abort(this: XMLHttpRequest) {
          opened.delete(this);
          native.call(this);
        },
    ),
  ];
  return () => undos.forEach((undo) => undo());
}

/** Whether the origin has answered for the file, so that nobody else need be asked. */
function isAnswer(status: number): boolean {
  return (status >= 200 && status < 300) || status === 304 || status === 416;
}
