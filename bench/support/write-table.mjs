// Puts what a benchmark printed into its place in docs/performance.md, with the machine that it ran on.
//
// usage: node bench/support/write-table.mjs NAME FILE
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';

const [name, output] = process.argv.slice(2);
const document = new URL('../../docs/performance.md', import.meta.url);

/** "Chromium 140.0", as `program --version` says; nothing if it is not installed. */
function version(program) {
  try {
    const text = execFileSync(program, ['--version'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
    return /(?:Chromium|Firefox) \d+\.\d+/.exec(text)?.[0];
  } catch {
    return undefined;
  }
}

const [{ model }] = cpus();
const machine = [
  `${cpus().length} cores (${model.trim()})`,
  `${Math.round(totalmem() / 2 ** 30)} GiB`,
  version('chromium'),
  version('firefox-esr'),
];
const begin = `<!-- ${name} -->\n`;
const end = `<!-- end of ${name} -->`;
const text = readFileSync(document, 'utf8');
const [before, rest] = text.split(begin);
const after = rest?.split(end)[1];
if (after === undefined) throw new Error(`${document.pathname} has no place for ${name}`);
const table = readFileSync(output, 'utf8').trim();
writeFileSync(document, `${before}${begin}\nOn ${machine.filter(Boolean).join(', ')}:\n\n${table}\n\n${end}${after}`);
