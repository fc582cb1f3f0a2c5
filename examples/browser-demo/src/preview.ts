import { element } from './element';

const typesByExtension: Record<string, string> = {
  avif: 'image/avif',
  flac: 'audio/flac',
  gif: 'image/gif',
  jpeg: 'image/jpeg',
  jpg: 'image/jpeg',
  m4a: 'audio/mp4',
  mp3: 'audio/mpeg',
  mp4: 'video/mp4',
  oga: 'audio/ogg',
  ogg: 'audio/ogg',
  ogv: 'video/ogg',
  opus: 'audio/ogg',
  png: 'image/png',
  svg: 'image/svg+xml',
  wav: 'audio/wav',
  webm: 'video/webm',
  webp: 'image/webp',
};

/** First bytes of a file, with '.' for any byte. */
const typesByMagic: [string, string][] = [
  ['\x89PNG\r\n\x1a\n', 'image/png'],
  ['\xff\xd8\xff', 'image/jpeg'],
  ['GIF8', 'image/gif'],
  ['RIFF....WEBP', 'image/webp'],
  ['RIFF....WAVE', 'audio/wav'],
  ['....ftypavif', 'image/avif'],
  ['....ftypM4A', 'audio/mp4'],
  ['....ftyp', 'video/mp4'],
  ['\x1aE\xdf\xa3', 'video/webm'],
  ['OggS', 'audio/ogg'],
  ['fLaC', 'audio/flac'],
  ['ID3', 'audio/mpeg'],
  ['\xff\xfb', 'audio/mpeg'],
  ['<svg', 'image/svg+xml'],
];

const maxText = 100_000;

/** By the name's extension, else by the first bytes, else text if it is UTF-8. */
export function typeOf(name: string, bytes: Uint8Array): string {
  const extension = /\.(\w+)$/.exec(name)?.[1]?.toLowerCase() ?? '';
  return typesByExtension[extension] ?? sniff(bytes) ?? (isText(bytes) ? 'text/plain' : 'application/octet-stream');
}

function sniff(bytes: Uint8Array): string | undefined {
  const start = String.fromCharCode(...bytes.subarray(0, 16));
  return typesByMagic.find(([magic]) => [...magic].every((char, i) => char === '.' || char === start[i]))?.[1];
}

function isText(bytes: Uint8Array): boolean {
  const sample = bytes.subarray(0, 65_536);
  if (sample.includes(0)) return false;
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(sample, { stream: true });
    return true;
  } catch {
    return false;
  }
}

/** What shows a file of that type; nothing for one that can only be saved. */
export function preview(type: string, url: string, bytes: Uint8Array): HTMLElement | undefined {
  switch (type.split('/')[0]) {
    case 'image':
      return element('img', { src: url, alt: 'The file' });
    case 'video':
      return element('video', { src: url, controls: true });
    case 'audio':
      return element('audio', { src: url, controls: true });
    case 'text': {
      const text = new TextDecoder().decode(bytes.subarray(0, maxText));
      return element('pre', { textContent: bytes.length > maxText ? `${text}\n…` : text });
    }
    default:
      return undefined;
  }
}
