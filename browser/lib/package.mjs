// Makes an npm package of build/browser/pkg, after all that is in it was built; compresses what pages load, as NAME.gz and NAME.br, for
// servers that send such files as they are; and tells what each weighs (build/browser/report.txt).
import { execFileSync } from 'node:child_process';
import { copyFileSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { brotliCompressSync } from 'node:zlib';

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

const loaded = readdirSync(out).filter((file) => /\.(js|wasm)$/.test(file));
// Zopfli makes what every client of gzip reads, 4 % smaller than zlib does at its best.
try {
  execFileSync('zopfli', loaded.map((file) => out + file));
} catch (error) {
  throw error.code === 'ENOENT' ? new Error('there is no program zopfli, which compresses the files: script/setup installs it') : error;
}
for (const file of loaded) writeFileSync(`${out}${file}.br`, brotliCompressSync(readFileSync(out + file)));

const firstLoad = ['codio_wasm.js', 'codio_worker.js', 'codio_wasm.wasm'];
const rowOf = (file) => [`  ${file}`, ...['', '.gz', '.br'].map((extension) => statSync(out + file + extension).size)];
const first = firstLoad.map(rowOf);
const total = ['  together', ...[1, 2, 3].map((column) => first.reduce((sum, row) => sum + row[column], 0))];
const others = loaded.filter((file) => !firstLoad.includes(file)).map(rowOf);
const table = [['', 'bytes', 'gzip', 'br'], ['to download a file:'], ...first, total, ['only where it is used:'], ...others];
const report = table.map(([name, ...sizes]) => name.padEnd(24) + sizes.map((size) => String(size).padStart(10)).join('')).join('\n');
writeFileSync(here('../../build/browser/report.txt'), `${report}\n`);
console.log(report);
