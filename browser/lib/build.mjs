// Builds build/browser/pkg: what a page imports. With --test: the unit tests, to build/browser/test.
import { copyFileSync, existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const out = here('../../build/browser/pkg/');
const shared = { bundle: true, format: 'esm', target: ['chrome110', 'firefox115', 'safari16.4'], legalComments: 'none' };

/** Modules that are files of their own: by what they are imported as, what they are called in the package. */
const beside = (files) => ({
  name: 'files beside it',
  setup: ({ onResolve }) =>
    onResolve({ filter: /^\.\// }, ({ path }) => (files[path] ? { path: files[path], external: true } : undefined)),
});

if (process.argv.includes('--test')) {
  const test = here('../../build/browser/test/');
  rmSync(test, { recursive: true, force: true });
  await build({
    ...shared,
    platform: 'node',
    packages: 'external',
    target: 'node20',
    entryPoints: readdirSync(here('test')).filter((name) => name.endsWith('.ts')).map((name) => here(`test/${name}`)),
    outdir: test,
    outExtension: { '.js': '.mjs' },
  });
  process.exit();
}

rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });
await build({
  ...shared,
  minify: true,
  sourcemap: 'linked',
  entryPoints: { codio_wasm: here('src/index.ts') },
  outdir: out,
  plugins: [beside({ './dag': './codio-dag.js', './extension': './codio-extension.js', './service-worker-host': './codio-serve.js' })],
});
// Beside the library, which they share with the page.
await build({
  ...shared,
  minify: true,
  sourcemap: 'linked',
  entryPoints: {
    codio: here('src/drop-in.ts'),
    codio_worker: here('src/core-worker.ts'),
    'codio-dag': here('src/dag.ts'),
    'codio-extension': here('src/extension.ts'),
    'codio-rewrite': here('src/rewrite.ts'),
    'codio-serve': here('src/service-worker-host.ts'),
    'codio-status': here('src/status.ts'),
  },
  outdir: out,
  plugins: [beside({ './index': './codio_wasm.js' })],
});
writeFileSync(`${out}codio_wasm.d.ts`, "export * from './types/index.js';\nexport { default } from './types/index.js';\n");
for (const name of ['codio_wasm.wasm', 'codio_builder.wasm']) {
  const wasm = here(`../../build/wasm/src/wasm/${name}`);
  if (existsSync(wasm)) copyFileSync(wasm, out + name);
  else console.warn(`${wasm} is missing: build the wasm preset first`);
}
