// Makes the content of the example pages, serves it with `codio serve`, and fills the CIDs into the pages: see script/examples.
import { spawn } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { makePicture } from './png.mjs';
import { makeVideo } from './video.mjs';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const [program = here('../../build/release/codio'), endpoint = '127.0.0.1:8080', ...options] = process.argv.slice(2);
const folder = here('../../build/examples');
const content = join(folder, 'content');
const pages = join(folder, 'web/demo');

rmSync(folder, { recursive: true, force: true });
mkdirSync(join(content, 'gallery'), { recursive: true });
cpSync(here('pages/site'), join(content, 'site'), { recursive: true });
writeFileSync(join(content, 'site/picture.png'), makePicture(3));
writeFileSync(join(content, 'clock.mp4'), makeVideo(60));
writeFileSync(join(content, 'release.bin'), noise(32 * 1024 * 1024));
for (let i = 0; i < 50; i++) writeFileSync(join(content, `gallery/${String(i).padStart(2, '0')}.png`), makePicture(i));

cpSync(here('pages'), pages, { recursive: true, filter: (path) => !path.endsWith('/pages/site') });
symlinkSync(here('../../build/browser/pkg'), join(folder, 'web/pkg'));

const images = readdirSync(join(content, 'gallery')).map((name) => join(content, 'gallery', name));
const paths = [...images, ...['site', 'clock.mp4', 'release.bin'].map((name) => join(content, name))];
const serve = ['serve', ...paths, '--json', '--http', endpoint, '--repo', join(folder, 'repo'), '--web-root', join(folder, 'web')];
const node = spawn(program, [...serve, ...options], { stdio: ['ignore', 'pipe', 'inherit'] });
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => node.kill(signal));
node.on('close', (status) => process.exit(status ?? 0));

const cids = new Map();
let url = '';
for await (const line of createInterface({ input: node.stdout })) {
  const event = JSON.parse(line);
  if (event.event === 'listening') url = event.http;
  if (event.event === 'root') cids.set(basename(event.path), event.cid);
  if (event.event === 'ready') {
    fill();
    console.log(`Open    ${url}\n\nCtrl-C ends the node.`);
  }
}

function fill() {
  const gallery = images.map((path, i) => `<img src="codio://${cids.get(basename(path))}" alt="Waves, ${i + 1} of ${images.length}" />`);
  for (const name of readdirSync(pages).filter((file) => /\.(html|js)$/.test(file))) {
    const path = join(pages, name);
    const text = readFileSync(path, 'utf8').replace('<!-- GALLERY -->', gallery.join('\n      '));
    writeFileSync(path, text.replace(/\{\{([\w.]+)\}\}/g, (_, file) => cids.get(file)));
  }
}

/** Bytes that no compression makes less, the same ones each time, so that their CID is the same. */
function noise(size) {
  const words = new Uint32Array(size / 4);
  let x = 2463534242;
  for (let i = 0; i < words.length; i++) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    words[i] = x;
  }
  return Buffer.from(words.buffer);
}
