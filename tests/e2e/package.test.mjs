// The npm package, as a project that installs its tarball has it.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { closeBrowsers, openTab, skipWithout } from './support/browsers.mjs';
import { startNode, webRoot } from './support/node.mjs';
import { startSite } from './support/site.mjs';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const file = randomBytes(2_000_000);

let project;
let installed;
before(() => {
  project = mkdtempSync(join(tmpdir(), 'codio-package-'));
  writeFileSync(join(project, 'package.json'), '{"name": "site", "private": true, "type": "module"}');
  const npm = (...given) => execFileSync('npm', [...given, '--silent', '--offline', '--no-audit', '--no-fund'], { encoding: 'utf8' });
  const tarball = npm('pack', join(webRoot, 'pkg'), '--pack-destination', project).trim().split('\n').at(-1);
  npm('install', join(project, tarball), '--prefix', project);
  installed = join(project, 'node_modules/codio-cdn');
});
after(() => rmSync(project, { recursive: true, force: true }));

/** What esbuild makes of the source: its text, and which files of the package went in. */
async function bundle(source, name = 'main.js') {
  writeFileSync(join(project, name), source);
  const { outputFiles, metafile } = await build({
    absWorkingDir: project,
    entryPoints: [name],
    bundle: true,
    minify: true,
    format: 'esm',
    write: false,
    metafile: true,
  });
  const [output] = Object.values(metafile.outputs);
  const used = Object.entries(output.inputs).filter(([, { bytesInOutput }]) => bytesInOutput > 0);
  return { text: outputFiles[0].text, used: used.map(([path]) => path.split('/').at(-1)) };
}

/** Complaints of the TypeScript compiler about the source, with that way of finding modules. */
function complaints(source, moduleResolution) {
  writeFileSync(join(project, 'main.ts'), source);
  const module = moduleResolution === 'bundler' ? 'esnext' : 'nodenext';
  const compilerOptions = { module, moduleResolution, target: 'es2022', lib: ['es2023', 'dom', 'dom.iterable'], strict: true, noEmit: true, types: [] };
  writeFileSync(join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['main.ts'] }));
  try {
    execFileSync(here('../../node_modules/.bin/tsc'), ['--project', project], { encoding: 'utf8' });
    return '';
  } catch ({ stdout }) {
    return stdout;
  }
}

test('The package has all that its manifest names, a licence, and no dependency', () => {
  const manifest = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8'));
  assert.equal(manifest.dependencies, undefined);
  const files = Object.values(manifest.exports).flatMap((entry) => (typeof entry === 'string' ? [entry] : Object.values(entry)));
  for (const path of [...files, 'README.md', 'LICENSE']) assert.ok(readFileSync(join(installed, path)).length > 0, path);
  for (const path of ['.', './drop-in', './codio.js', './rewrite', './status', './service-worker', './core.wasm', './builder.wasm']) assert.ok(manifest.exports[path], path);
});

for (const resolution of ['bundler', 'nodenext']) {
  test(`TypeScript finds the types, with ${resolution}`, () => {
    const source = `
      import init, { CodioCDN, CodioError, type Progress } from 'codio-cdn';
      import { rewriteCodioUrls } from 'codio-cdn/rewrite';
      import { CodioStatus } from 'codio-cdn/status';
      import 'codio-cdn/drop-in';
      await init();
      const cdn: CodioCDN = await CodioCDN.new({ policy: 'fastest' });
      const undo: () => void = rewriteCodioUrls({ cdn, base: '/codio/' });
      const bytes: Uint8Array = await cdn.download('bafy', { onProgress: ({ total }: Progress) => total });
      new CodioStatus().cdn = cdn;
      addEventListener('codio-ready', ({ detail }) => detail.stats().peers);
      export const all = [undo, bytes, CodioError, window.codio?.getPeers()];`;
    assert.equal(complaints(source, resolution), '');
    assert.match(complaints("import { CodioCDN } from 'codio-cdn'; CodioCDN.new({ policy: 'slow' });", resolution), /"slow"/);
  });
}

test('A bundle has only what is imported', async () => {
  const small = await bundle("import { CodioError } from 'codio-cdn'; console.log(new CodioError('io', 'x'));");
  assert.ok(small.text.length < 500, `CodioError alone: ${small.text.length} bytes`);
  assert.ok(!small.text.includes('RTCPeerConnection'));
  const library = await bundle("import init, { CodioCDN } from 'codio-cdn'; await init(); console.log(await CodioCDN.new());");
  // What it may load later is in a bundle of one file.
  assert.deepEqual(library.used.sort(), ['codio-dag.js', 'codio-extension.js', 'codio_wasm.js', 'main.js']);
  const unused = await bundle("import { CodioCDN } from 'codio-cdn'; import { rewriteCodioUrls } from 'codio-cdn/rewrite';");
  assert.equal(unused.text.trim(), '', 'what is not used has no side effects');
  const both = await bundle("import 'codio-cdn/drop-in'; import 'codio-cdn/status';");
  assert.ok(both.used.includes('codio.js') && both.used.includes('codio-status.js'), String(both.used));
});

describe('chromium', { skip: skipWithout('chromium') }, () => {
  after(closeBrowsers);

  test('A bundle finds the worker and the core beside it, and downloads', async () => {
    const node = await startNode({ 'file.bin': file });
    const { text } = await bundle(`
      import init, { CodioCDN } from 'codio-cdn';
      await init();
      const cdn = await CodioCDN.new({ node: ${JSON.stringify(node.http)}, policy: 'p2p-only' });
      window.size = (await cdn.download(${JSON.stringify(node.roots[0].cid)})).length;`);
    // As bundlers see which files a bundle needs.
    const assets = [...text.matchAll(/new URL\("\.\/([\w.-]+)",\s*import\.meta\.url\)/g)].map(([, name]) => name);
    assert.deepEqual(assets.sort(), ['codio_builder.wasm', 'codio_wasm.wasm', 'codio_worker.js']);
    const folder = join(project, 'dist');
    mkdirSync(folder);
    writeFileSync(join(folder, 'site.js'), text);
    for (const name of assets) copyFileSync(join(installed, name), join(folder, name));
    const site = await startSite({ '/': '<!doctype html><script type="module" src="/pkg/site.js"></script>' }, { folder });
    const tab = await openTab('chromium', site.url);
    await tab.waitForFunction(() => window.size, undefined, { timeout: 15_000 });
    assert.equal(await tab.evaluate(() => window.size), file.length);
    assert.deepEqual(readdirSync(folder).sort(), ['codio_builder.wasm', 'codio_wasm.wasm', 'codio_worker.js', 'site.js']);
    site.stop();
    await node.stop();
  });
});
