import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sniff, typeOf } from '../src/content-type';

const latin1 = (text: string) => Uint8Array.from(text, (character) => character.charCodeAt(0));

test('A name with a known extension has its type', () => {
  assert.equal(typeOf('a/b.PNG'), 'image/png');
  assert.equal(typeOf('app.min.js'), 'text/javascript; charset=utf-8');
  for (const name of ['', 'png', 'a.unknown', 'a.', '.constructor', 'x.toString']) assert.equal(typeOf(name), undefined, name);
});

const files: [beginning: string, type: string][] = [
  ['\x89PNG\r\n\x1a\n\0\0', 'image/png'],
  ['\xff\xd8\xff\xe0', 'image/jpeg'],
  ['GIF89a', 'image/gif'],
  ['RIFF\x10\0\0\0WEBPVP8 ', 'image/webp'],
  ['RIFF\x10\n\0\0WAVEfmt ', 'audio/wav'],
  ['\0\0\0\x20ftypisom', 'video/mp4'],
  ['\0\0\0\x20ftypavif', 'image/avif'],
  ['\x1a\x45\xdf\xa3\x9fB\x86\x81\x01B\x82\x84webm', 'video/webm'],
  ['\x1a\x45\xdf\xa3\xa3B\x86\x81\x01B\x82\x88matroska', 'video/x-matroska'],
  ['ID3\x04', 'audio/mpeg'],
  ['%PDF-1.7', 'application/pdf'],
  ['\0asm\x01', 'application/wasm'],
  ['<!DOCTYPE html><p>', 'text/html; charset=utf-8'],
  ['\xef\xbb\xbf\n <!-- hello --> <HTML lang=en>', 'text/html; charset=utf-8'],
  ['<?xml version="1.0"?>\n<svg xmlns="x">', 'image/svg+xml'],
  ['<svg>', 'image/svg+xml'],
  ['<?xml version="1.0"?><feed>', 'application/xml'],
  ['hello', 'text/plain; charset=utf-8'],
  ['', 'text/plain; charset=utf-8'],
  ['gr\xc3\xbc\xc3\x9fe', 'text/plain; charset=utf-8'],
  ['gr\xfc\xdfe', 'application/octet-stream'],
  ['text\0', 'application/octet-stream'],
];
for (const [beginning, type] of files) {
  test(`${JSON.stringify(beginning)} is ${type}`, () => assert.equal(sniff(latin1(beginning)), type));
}

test('A character that is cut at the end of what is sniffed is still text', () => {
  assert.equal(sniff(new TextEncoder().encode(`${'x'.repeat(511)}ü and more`)), 'text/plain; charset=utf-8');
});

test('Nothing is ever taken for a script', () => {
  assert.equal(sniff(latin1('"use strict"; function () {}')), 'text/plain; charset=utf-8');
});
