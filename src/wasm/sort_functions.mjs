// node sort_functions.mjs MODULE.wat: puts the functions of a module that wasm-dis wrote in the order of their size. Alike ones come to lie
// side by side, which compresses 2 % better, and those that are called often, which are small, get numbers of one byte.
import { readFileSync, writeFileSync } from 'node:fs';

const [, , file] = process.argv;
// A field of the module begins on a line with one space, what belongs to it on lines with more.
const fields = readFileSync(file, 'utf8').split(/\n(?= [^ )]|\))/);
const isFunction = (field) => field.startsWith(' (func ');
const functions = fields.filter(isFunction).sort((a, b) => a.length - b.length);
writeFileSync(file, fields.map((field) => (isFunction(field) ? functions.shift() : field)).join('\n'));
