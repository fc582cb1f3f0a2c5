/** What a file is, by its name, else by its first bytes: the same as a node says (src/web/content_type.cc). */

const byExtension: Record<string, string> = {
  aac: 'audio/aac',
  avif: 'image/avif',
  bin: 'application/octet-stream',
  bmp: 'image/bmp',
  css: 'text/css; charset=utf-8',
  csv: 'text/csv; charset=utf-8',
  flac: 'audio/flac',
  gif: 'image/gif',
  gz: 'application/gzip',
  htm: 'text/html; charset=utf-8',
  html: 'text/html; charset=utf-8',
  ico: 'image/x-icon',
  jpeg: 'image/jpeg',
  jpg: 'image/jpeg',
  js: 'text/javascript; charset=utf-8',
  json: 'application/json',
  m4a: 'audio/mp4',
  md: 'text/markdown; charset=utf-8',
  mjs: 'text/javascript; charset=utf-8',
  mkv: 'video/x-matroska',
  mov: 'video/quicktime',
  mp3: 'audio/mpeg',
  mp4: 'video/mp4',
  ogg: 'audio/ogg',
  ogv: 'video/ogg',
  opus: 'audio/ogg',
  otf: 'font/otf',
  pdf: 'application/pdf',
  png: 'image/png',
  svg: 'image/svg+xml',
  ttf: 'font/ttf',
  txt: 'text/plain; charset=utf-8',
  vtt: 'text/vtt; charset=utf-8',
  wasm: 'application/wasm',
  wav: 'audio/wav',
  webm: 'video/webm',
  webp: 'image/webp',
  woff: 'font/woff',
  woff2: 'font/woff2',
  xhtml: 'application/xhtml+xml',
  xml: 'application/xml',
  zip: 'application/zip',
};

/** What sniff() reads. */
export const sniffedBytes = 512;

/** The first bytes, a character each; `.` is any. In this order. */
const signatures: [pattern: RegExp, type: string][] = [
  [/^\x89PNG\r\n\x1a\n/, 'image/png'],
  [/^\xff\xd8\xff/, 'image/jpeg'],
  [/^GIF8[79]a/, 'image/gif'],
  [/^RIFF....WEBP/s, 'image/webp'],
  [/^RIFF....WAVE/s, 'audio/wav'],
  [/^....ftypavi[fs]/s, 'image/avif'],
  [/^....ftypM4A/s, 'audio/mp4'],
  [/^....ftypqt/s, 'video/quicktime'],
  [/^....ftyp/s, 'video/mp4'],
  [/^\x1a\x45\xdf\xa3.*webm/s, 'video/webm'],
  [/^\x1a\x45\xdf\xa3.*matroska/s, 'video/x-matroska'],
  [/^OggS.{24}.\x80theora/s, 'video/ogg'],
  [/^OggS/, 'audio/ogg'],
  [/^fLaC/, 'audio/flac'],
  [/^(ID3|\xff[\xf2\xf3\xfa\xfb])/, 'audio/mpeg'],
  [/^BM....\0\0\0\0/s, 'image/bmp'],
  [/^\0\0\x01\0/, 'image/x-icon'],
  [/^wOF2/, 'font/woff2'],
  [/^wOFF/, 'font/woff'],
  [/^\0asm/, 'application/wasm'],
  [/^%PDF-/, 'application/pdf'],
  [/^PK\x03\x04/, 'application/zip'],
  [/^\x1f\x8b/, 'application/gzip'],
  [/^(\xef\xbb\xbf)?\s*(<!--[^]*?-->\s*)*<(!doctype html|html|head|body|script|title)[\s>]/i, 'text/html; charset=utf-8'],
  [/^(\xef\xbb\xbf)?\s*(<\?xml[^]*?\?>\s*)?(<!--[^]*?-->\s*|<!doctype svg[^>]*>\s*)*<svg[\s>]/i, 'image/svg+xml'],
  [/^(\xef\xbb\xbf)?\s*<\?xml\s/, 'application/xml'],
];

/** Of a name with a known extension. */
export function typeOf(name: string): string | undefined {
  const dot = name.lastIndexOf('.');
  const extension = name.slice(dot + 1).toLowerCase();
  return dot >= 0 && Object.hasOwn(byExtension, extension) ? byExtension[extension] : undefined;
}

/** Of files of that type, without the dot; nothing for a type that is not known. `type`: without parameters. */
export function extensionOf(type: string): string | undefined {
  return Object.entries(byExtension).find(([, known]) => known.split(';')[0] === type)?.[0];
}

/** Of a file without one, from its first bytes, as far as there are `sniffedBytes`. Never a script. */
export function sniff(bytes: Uint8Array): string {
  const first = bytes.subarray(0, sniffedBytes);
  const text = String.fromCharCode(...first);
  const known = signatures.find(([pattern]) => pattern.test(text));
  if (known) return known[1];
  const isText = !/[\0-\x08\x0e-\x1a\x1c-\x1f]/.test(text) && isUtf8(first);
  return isText ? 'text/plain; charset=utf-8' : 'application/octet-stream';
}

function isUtf8(bytes: Uint8Array): boolean {
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(bytes, { stream: true }); // The last character may be cut.
    return true;
  } catch {
    return false;
  }
}
