import { extensionOf as knownExtensionOf, sniff, typeOf as typeOfName } from '../../lib/src/content-type';

/** How a file can be shown. */
export type Kind = 'image' | 'video' | 'audio' | 'html' | 'text' | 'pdf' | 'other';

/** By the name, else by the first bytes. Without parameters. */
export function typeOf(name: string, start: Uint8Array): string {
  return (typeOfName(name) ?? sniff(start)).split(';')[0] ?? '';
}

export function kindOf(type: string): Kind {
  if (type === 'text/html') return 'html';
  if (type === 'application/pdf') return 'pdf';
  const [family] = type.split('/');
  if (family === 'image' || family === 'video' || family === 'audio' || family === 'text') return family;
  return type === 'application/json' || type === 'application/xml' ? 'text' : 'other';
}

/** With the dot. */
export function extensionOf(type: string): string {
  const extension = knownExtensionOf(type);
  return extension === undefined ? '' : `.${extension}`;
}
