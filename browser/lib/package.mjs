// Makes an npm package of build/browser/pkg, after all that is in it was built, and tells what each file weighs (build/browser/report.txt).
import { copyFileSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const out = here('../../build/browser/pkg/');
const source = JSON.parse(readFileSync(here('package.json'), 'utf8'));

/** By subpath: the file, and the source whose types it has. */
const entries = {
  '.': ['codio_wasm.js', 'index'],
  './drop-in': ['codio.js', 'drop-in'],
  './codio.js': ['codio.js', 'drop-in'],
  './rewrite': ['codio-rewrite.js', 'rewrite'],
  './status': ['codio-status.js', 'status'],
  './service-worker': ['codio-sw.js'],
  './core.wasm': ['codio_wasm.wasm'],
  './builder.wasm': ['codio_builder.wasm'],
};

const exported = Object.entries(entries).map(([path, [file, types]]) => [
  path,
  types ? { types: `./types/${types}.d.ts`, default: `./${file}` } : `./${file}`,
]);

const { name, version, description, type, license } = source;
const manifest = {
  name,
  version,
  description,
  type,
  license,
  keywords: ['ipfs', 'cid', 'p2p', 'webrtc', 'cdn'],
  exports: { ...Object.fromEntries(exported), './package.json': './package.json' },
  // The others do nothing until something of theirs is called.
  sideEffects: ['./codio.js', './codio-status.js', './codio_worker.js', './codio-sw.js'],
  files: ['*.js', '*.wasm', 'types', 'README.md', 'LICENSE'],
};
writeFileSync(`${out}package.json`, `${JSON.stringify(manifest, null, 2)}\n`);
copyFileSync(here('README.md'), `${out}README.md`);
copyFileSync(here('../../LICENSE'), `${out}LICENSE`);

// As Node's own way of resolving modules wants it, which a project may have chosen for its types.
for (const file of readdirSync(`${out}types`)) {
  const path = `${out}types/${file}`;
  const text = readFileSync(path, 'utf8');
  writeFileSync(path, text.replace(/((?:from|import)\s*\(?['"])(\.\/[\w-]+)(['"])/g, '$1$2.js$3'));
}

const firstLoad = ['codio_wasm.js', 'codio_worker.js', 'codio_wasm.wasm'];
const rowOf = (file) => [`  ${file}`, readFileSync(out + file).length, gzipSync(readFileSync(out + file), { level: 9 }).length];
const others = readdirSync(out).filter((file) => /\.(js|wasm)$/.test(file) && !firstLoad.includes(file));
const first = firstLoad.map(rowOf);
const total = first.reduce(([, bytes, gzipped], row) => ['  together', bytes + row[1], gzipped + row[2]], [, 0, 0]);
const table = [['', 'bytes', 'gzipped'], ['to download a file:'], ...first, total, ['only where it is used:'], ...others.map(rowOf)];
const report = table.map(([name, ...sizes]) => name.padEnd(24) + sizes.map((size) => String(size).padStart(10)).join('')).join('\n');
writeFileSync(here('../../build/browser/report.txt'), `${report}\n`);
console.log(report);
