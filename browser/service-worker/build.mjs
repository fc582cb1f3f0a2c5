// Builds codio-sw.js into build/browser/pkg, beside the library. With --test: the unit tests.
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const shared = { bundle: true, legalComments: 'none' };

if (process.argv.includes('--test')) {
  const test = here('../../build/browser/service-worker-test/');
  rmSync(test, { recursive: true, force: true });
  await build({
    ...shared,
    format: 'esm',
    platform: 'node',
    packages: 'external',
    target: 'node20',
    entryPoints: readdirSync(here('test')).filter((name) => name.endsWith('.ts')).map((name) => here(`test/${name}`)),
    outdir: test,
    outExtension: { '.js': '.mjs' },
  });
  process.exit();
}

const out = here('../../build/browser/pkg/codio-sw.js');
for (const extension of ['.gz', '.br']) rmSync(out + extension, { force: true }); // browser/lib/package.mjs makes them.
await build({
  ...shared,
  format: 'iife', // A classic script, so that a site's own worker can import it.
  target: ['chrome110', 'firefox115', 'safari16.4'],
  minify: true,
  sourcemap: 'linked',
  entryPoints: [here('src/service-worker.ts')],
  outfile: out,
});
const bytes = readFileSync(out);
console.log(`codio-sw.js: ${bytes.length} bytes, ${gzipSync(bytes, { level: 9 }).length} gzipped`);
