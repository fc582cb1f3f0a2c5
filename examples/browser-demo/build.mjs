// Builds build/browser/demo: the page that a node serves at `/`, with the library at `/pkg/`.
import { cpSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const out = here('../../build/browser/demo/');

rmSync(out, { recursive: true, force: true });
cpSync(here('static'), out, { recursive: true });
await build({
  bundle: true,
  format: 'esm',
  target: ['chrome110', 'firefox115', 'safari16.4'],
  minify: true,
  entryPoints: [here('src/demo.ts')],
  outdir: out,
  plugins: [
    {
      name: 'the library as a page imports it',
      setup: ({ onResolve }) =>
        onResolve({ filter: /^codio-cdn$/ }, () => ({ path: './pkg/codio_wasm.js', external: true })),
    },
  ],
});
