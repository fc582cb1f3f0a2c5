/** What a file is, by its name, else by its first bytes. */

const byExtension: Record<string, string> = {
  avif: 'image/avif',
  css: 'text/css',
  csv: 'text/csv',
  flac: 'audio/flac',
  gif: 'image/gif',
  htm: 'text/html',
  html: 'text/html',
  jpeg: 'image/jpeg',
  jpg: 'image/jpeg',
  js: 'text/javascript',
  json: 'application/json',
  m4a: 'audio/mp4',
  md: 'text/markdown',
  mp3: 'audio/mpeg',
  mp4: 'video/mp4',
  oga: 'audio/ogg',
  ogg: 'audio/ogg',
  ogv: 'video/ogg',
  opus: 'audio/ogg',
  pdf: 'application/pdf',
  png: 'image/png',
  svg: 'image/svg+xml',
  txt: 'text/plain',
  wav: 'audio/wav',
  webm: 'video/webm',
  webp: 'image/webp',
  xml: 'text/xml',
};

/** First bytes, with '.' for any. */
const byMagic: [string, string][] = [
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
  ['%PDF-', 'application/pdf'],
  ['<svg', 'image/svg+xml'],
];

export type Kind = 'image' | 'video' | 'audio' | 'html' | 'text' | 'pdf' | 'other';

export function typeOf(name: string, start: Uint8Array): string {
  const extension = /\.(\w+)$/.exec(name)?.[1]?.toLowerCase() ?? '';
  return byExtension[extension] ?? sniff(start);
}

export function kindOf(type: string): Kind {
  if (type === 'text/html') return 'html';
  if (type === 'application/pdf') return 'pdf';
  const [family] = type.split('/');
  if (family === 'image' || family === 'video' || family === 'audio' || family === 'text') return family;
  return type === 'application/json' ? 'text' : 'other';
}

/** With the dot. */
export function extensionOf(type: string): string {
  const [extension] = Object.entries(byExtension).find(([, one]) => one === type) ?? [];
  return extension ? `.${extension}` : '';
}

function sniff(start: Uint8Array): string {
  const text = String.fromCharCode(...start.subarray(0, 512));
  const known = byMagic.find(([magic]) => [...magic].every((char, i) => char === '.' || char === text[i]));
  if (known) return known[1];
  if (/^\s*(<!doctype html|<html)/i.test(text)) return 'text/html';
  return isText(start) ? 'text/plain' : 'application/octet-stream';
}

function isText(start: Uint8Array): boolean {
  if (start.includes(0)) return false;
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(start, { stream: true });
    return true;
  } catch {
    return false;
  }
}
