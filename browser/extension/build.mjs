// Builds build/extension: chrome and firefox, unpacked and zipped, from one source; the library's build comes first. With
// --test: the unit tests.
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { manifests } from './manifest.mjs';
import { zip } from './zip.mjs';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const out = here('../../build/extension/');
const { version } = JSON.parse(readFileSync(here('package.json')));

if (process.argv.includes('--test')) {
  rmSync(`${out}test`, { recursive: true, force: true });
  await build({
    bundle: true,
    format: 'esm',
    platform: 'node',
    packages: 'external',
    target: 'node20',
    entryPoints: readdirSync(here('test')).filter((name) => name.endsWith('.test.ts')).map((name) => here(`test/${name}`)),
    outdir: `${out}test`,
    outExtension: { '.js': '.mjs' },
  });
  process.exit();
}

const pkg = here('../../build/browser/pkg/');
const library = ['codio_wasm.js', 'codio_worker.js', 'codio-dag.js', 'codio_wasm.wasm', 'codio_builder.wasm'];
if (!library.every((name) => existsSync(pkg + name))) throw new Error(`${pkg} is not whole: build browser/lib first`);

const modules = ['background', 'bridge', 'media', 'node', 'options', 'popup', 'spool-worker', 'view'];
const scripts = ['named', 'page'];

for (const [browser, manifest] of Object.entries(manifests)) {
  const folder = `${out}${browser}/`;
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(`${folder}pkg`, { recursive: true });
  cpSync(here('static'), folder, { recursive: true });
  for (const name of library) {
    const bytes = readFileSync(pkg + name);
    writeFileSync(`${folder}pkg/${name}`, name.endsWith('.js') ? bytes.toString().replace(/\n\/\/# sourceMappingURL=.*/, '') : bytes);
  }
  writeFileSync(`${folder}manifest.json`, `${JSON.stringify(manifest(version), undefined, 2)}\n`);
  const shared = {
    bundle: true,
    target: browser === 'chrome' ? 'chrome124' : 'firefox142',
    minifySyntax: true,
    legalComments: 'none',
    outdir: folder,
    define: { FIREFOX: String(browser === 'firefox') },
    plugins: [
      {
        name: 'the library as a page imports it',
        setup: ({ onResolve }) => onResolve({ filter: /^codio-cdn$/ }, () => ({ path: './pkg/codio_wasm.js', external: true })),
      },
      {
        name: 'what is loaded when it is needed',
        setup: ({ onResolve }) => onResolve({ filter: /^\.\/media$/ }, () => ({ path: './media.js', external: true })),
      },
    ],
  };
  const entry = (names) => names.map((name) => here(`src/${name}.ts`));
  await build({ ...shared, format: 'esm', entryPoints: entry(modules) });
  await build({ ...shared, format: 'iife', entryPoints: entry(scripts) });
  const files = list(folder).map((path) => [relative(folder, path), readFileSync(path)]);
  const packed = zip(files);
  writeFileSync(`${out}codio-${browser}-${version}.zip`, packed);
  console.log(`codio-${browser}-${version}.zip: ${packed.length} bytes`);
}

function list(folder) {
  return readdirSync(folder).flatMap((name) => {
    const path = join(folder, name);
    return statSync(path).isDirectory() ? list(path) : [path];
  });
}
