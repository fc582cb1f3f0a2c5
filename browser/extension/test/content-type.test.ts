import assert from 'node:assert/strict';
import { test } from 'node:test';
import { extensionOf, kindOf, typeOf } from '../src/content-type';

const bytes = (text: string) => Uint8Array.from(text, (char) => char.charCodeAt(0));

test('The name tells the type, else the first bytes do', () => {
  assert.equal(typeOf('a.PNG', bytes('')), 'image/png');
  assert.equal(typeOf('', bytes('\x89PNG\r\n\x1a\n')), 'image/png');
  assert.equal(typeOf('', bytes('\0\0\0\x20ftypisom')), 'video/mp4');
  assert.equal(typeOf('', bytes('  <!DOCTYPE html><p>')), 'text/html');
  assert.equal(typeOf('', bytes('plain')), 'text/plain');
  assert.equal(typeOf('', bytes('\0\x01')), 'application/octet-stream');
});

test('A text that is cut within a character is one', () => {
  assert.equal(typeOf('', new TextEncoder().encode('für').subarray(0, 2)), 'text/plain');
});

test('Kinds are what there is a way to show', () => {
  assert.deepEqual(['text/html', 'text/css', 'application/json', 'application/zip', 'audio/ogg'].map(kindOf), ['html', 'text', 'text', 'other', 'audio']);
  assert.equal(extensionOf('image/svg+xml'), '.svg');
});
