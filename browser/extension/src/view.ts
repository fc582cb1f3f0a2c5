/** The page that shows any content: `view.html?u=ADDRESS`, and `original`, the URL that it stands in for. */
import { CodioCDN, type Progress } from 'codio-cdn';
import { anyAddress, cidOf, decoded } from './addresses';
import { connectNode } from './connect';
import { extensionOf, kindOf, typeOf, type Kind } from './content-type';
import { byId, element, setText } from './element';
import { formatBytes, formatRate, formatTime } from './format';
import type { Connection } from './handshake';
import type { Request } from './messages';
import { patientStream } from './patient';
import { Ranged } from './ranged';
import { changeSettings, loadSettings } from './settings';
import { Spool } from './spool';
import { Stages } from './stages';

const probeBytes = 65_536;
/** What is shown of a text; a page of HTML is shown whole or not at all. */
const maxText = 1_048_576;
const maxPage = 16_777_216;
const redraw = 250;
const maxTries = 5;
const anew = 'The node has to start anew…';

interface SavePicker {
  showSaveFilePicker?: (options: { suggestedName: string }) => Promise<FileSystemFileHandle>;
}

const query = new URLSearchParams(location.search);
const asked = query.get('u') ?? '';
const address = anyAddress(asked);
const original = readOriginal(query.get('original'));
const stages = new Stages();
let cdn: CodioCDN;
let name = '';
let type = '';
let size = 0;
/** The whole content on disk, once it was wanted. */
let spooled: Promise<File> | undefined;

function readOriginal(text: string | null): string | undefined {
  return text !== null && /^https?:/.test(text) && URL.canParse(text) ? text : undefined;
}

/** The background may be starting or ending just now. */
async function connectPatiently(): Promise<Connection> {
  for (let tries = 1; ; tries++) {
    try {
      return await connectNode();
    } catch (error) {
      if (tries === maxTries) throw error;
      await new Promise((resolve) => setTimeout(resolve, redraw));
    }
  }
}

async function join(): Promise<CodioCDN> {
  const first = await connectPatiently();
  const joined = CodioCDN.connect(first.port);
  void (async () => {
    for (let { lost } = first; ; ) {
      await lost;
      const state = byId('state');
      const before = state.textContent;
      setText(state, anew);
      const next = await connectPatiently();
      joined.reconnect(next.port);
      // What is under way says how far it is; what had ended has.
      if (state.textContent === anew) setText(state, before);
      ({ lost } = next);
    }
  })().catch(fail);
  return joined;
}

async function show(wanted: string): Promise<void> {
  name = decoded(wanted.slice('codio://'.length).split('/').slice(1).pop() ?? '');
  setText(byId('name'), name || cidOf(wanted));
  setText(byId('address'), wanted);
  document.title = `${name || cidOf(wanted)} – Codio`;
  cdn = await join();
  stages.listen(cdn);
  cdn.on('receiving', (event) => (size = event.size));
  const start = await cdn.download(wanted, { range: { begin: 0, end: probeBytes } });
  type = typeOf(name, start);
  name ||= `${cidOf(wanted)}${extensionOf(type)}`;
  setText(byId('facts'), `${formatBytes(size)} · ${type}`);
  byId<HTMLButtonElement>('save').disabled = false;
  byId('content').dataset['kind'] = kindOf(type);
  await present[kindOf(type)](wanted, start);
  stages.end();
  setText(byId('state'), kindOf(type) === 'other' ? 'Ready to be saved' : 'Verified');
  if (size <= start.length) showProgress(size);
}

const present: Record<Kind, (wanted: string, start: Uint8Array<ArrayBuffer>) => Promise<void>> = {
  image: async (wanted) => {
    const image = element('img', { src: URL.createObjectURL(new Blob([await onDisk(wanted)], { type })), alt: name });
    byId('content').replaceChildren(image);
    await image.decode().catch(() => note('This browser cannot show the image. It can be saved.'));
  },
  video: (wanted) => play('video', wanted),
  audio: (wanted) => play('audio', wanted),
  pdf: async (wanted) => {
    const src = URL.createObjectURL(new Blob([await onDisk(wanted)], { type }));
    byId('content').replaceChildren(element('iframe', { src, title: name }));
  },
  html: async (wanted) => {
    if (size > maxPage) return note(`A page of ${formatBytes(size)} is not shown. It can be saved.`);
    const text = new TextDecoder().decode(await progressing((onProgress) => cdn.download(wanted, { onProgress })));
    const frame = element('iframe', { title: name, srcdoc: `${lonely}${text}` });
    frame.sandbox.value = '';
    byId('content').replaceChildren(frame);
    note('Shown alone: its scripts and what it would load from elsewhere are off.');
  },
  text: async (wanted, start) => {
    const range = { begin: 0, end: Math.min(size, maxText) };
    const bytes = size <= start.length ? start : await progressing((onProgress) => cdn.download(wanted, { range, onProgress }));
    byId('content').replaceChildren(element('pre', { textContent: new TextDecoder().decode(bytes), tabIndex: 0 }));
    if (size > maxText) note(`The first ${formatBytes(maxText)} of ${formatBytes(size)}. Save it to have all.`);
  },
  other: async () => note('This browser has nothing to show it with. It can be saved.'),
};

/** Nothing that a page of a stranger brings may run or call home. */
const lonely =
  '<!doctype html><meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; font-src data:; style-src \'unsafe-inline\' data:">';

async function play(tag: 'video' | 'audio', wanted: string): Promise<void> {
  const player = element(tag, { controls: true });
  const stage = () => byId('content').replaceChildren(player);
  const showError = () => note(`This browser cannot play it: ${player.error?.message || type}`);
  player.onprogress = player.ondurationchange = () => showReady(player);
  if (!(await playBitByBit(player, wanted, stage))) {
    // Where our service worker answers for pages of ours, the player asks for what it needs.
    player.src = FIREFOX ? await wholeUrl(wanted) : `content/?${new URLSearchParams({ u: wanted, type })}`;
    stage();
  }
  player.onerror = showError;
  if (player.error) showError();
}

async function wholeUrl(wanted: string): Promise<string> {
  note('Firefox plays a file of this kind once all of it is here.');
  const whole = await onDisk(wanted);
  byId('note').hidden = true;
  return URL.createObjectURL(new Blob([whole], { type }));
}

/** Tells whether that can be done. */
async function playBitByBit(player: HTMLMediaElement, wanted: string, stage: () => void): Promise<boolean> {
  const { playFrom, Unsuitable } = await import('./media');
  const file = new Ranged((begin) => streamFrom(wanted, begin, () => {}));
  stage();
  try {
    await playFrom(player, { size, read: (begin, end) => file.read(begin, end) }, fail);
    return true;
  } catch (error) {
    file.close();
    if (!(error instanceof Unsuitable)) throw error;
    return false;
  }
}

/** How far it can be played from where it is. */
function showReady({ buffered, currentTime, duration }: HTMLMediaElement): void {
  if (!Number.isFinite(duration)) return;
  let ready = currentTime;
  for (let i = 0; i < buffered.length; i++) {
    if (buffered.start(i) <= currentTime) ready = Math.max(ready, buffered.end(i));
  }
  showProgress((size * ready) / duration);
}

function onDisk(wanted: string): Promise<File> {
  spooled ??= fill(wanted).catch((error: unknown) => {
    spooled = undefined;
    throw error;
  });
  return spooled;
}

async function fill(wanted: string): Promise<File> {
  const spool = await Spool.open(wanted);
  try {
    if (spool.size < size) {
      // What has come is some megabytes ahead of what is on disk.
      await progressing(async (onProgress) => {
        const stream = streamFrom(wanted, spool.size, (progress) => onProgress({ ...progress, received: spool.size }));
        for await (const bytes of stream) await spool.append(bytes);
      });
    }
  } catch (error) {
    await spool.leave();
    throw error;
  }
  return spool.finish();
}

/** To its end. When nobody has the rest now, it says so and goes on later. `onProgress` hears of all that came before, too. */
function streamFrom(wanted: string, begin: number, onProgress: (progress: Progress) => void): ReadableStream<Uint8Array<ArrayBuffer>> {
  const open = (at: number) =>
    cdn.stream(wanted, { range: { begin: at, end: size }, onProgress: (progress) => onProgress({ ...progress, received: at + progress.received }) });
  return patientStream(open, begin, async (pause) => {
    const before = byId('state').textContent;
    const said = `Nobody has the rest now. Trying again in ${formatTime(pause)}…`;
    setText(byId('state'), said);
    await new Promise((resolve) => setTimeout(resolve, pause));
    if (byId('state').textContent === said) setText(byId('state'), before);
  });
}

/** Shows how far a download is. */
async function progressing<Result>(download: (onProgress: (progress: Progress) => void) => Promise<Result>): Promise<Result> {
  let shown = 0;
  const result = await download(({ received, rate, remaining }) => {
    if (performance.now() - shown < redraw) return;
    shown = performance.now();
    showProgress(received);
    const left = remaining === undefined ? '' : `, ${formatTime(remaining)} left`;
    setText(byId('state'), `${formatBytes(received)} of ${formatBytes(size)}, ${formatRate(rate)}${left}`);
    stages.show();
  });
  showProgress(size);
  return result;
}

function showProgress(received: number): void {
  const share = size === 0 ? 1 : Math.min(1, received / size);
  byId('progress').setAttribute('aria-valuenow', String(Math.round(100 * share)));
  byId('progress-bar').style.width = `${100 * share}%`;
}

async function save(wanted: string): Promise<void> {
  const { showSaveFilePicker } = window as SavePicker;
  if (showSaveFilePicker && !spooled) {
    const file = await showSaveFilePicker({ suggestedName: name });
    const to = await file.createWritable();
    await progressing((onProgress) => streamFrom(wanted, 0, onProgress).pipeTo(to));
  } else {
    const href = URL.createObjectURL(await onDisk(wanted));
    element('a', { href, download: name }).click();
  }
  setText(byId('state'), 'Saved');
}

function note(text: string): void {
  setText(byId('note'), text);
  byId('note').hidden = false;
}

function fail(error: unknown): void {
  if (error instanceof DOMException && error.name === 'AbortError') return;
  stages.end();
  setText(byId('state'), '');
  byId('error-text').textContent = error instanceof Error ? error.message : String(error);
  byId('error').hidden = false;
  if (original && !stages.isReceiving) loadOriginal();
}

function loadOriginal(): void {
  if (!original) return;
  setText(byId('state'), 'Loading the original…');
  const request: Request = { type: 'original', url: original };
  void chrome.runtime.sendMessage(request);
}

byId('save').onclick = () => {
  if (address) void save(address).catch(fail);
};
byId('copy').onclick = async () => {
  await navigator.clipboard.writeText(address ?? asked);
  setText(byId('copy'), 'Copied');
};
byId('original').onclick = loadOriginal;
byId('retry').onclick = () => location.reload();
byId('turn-on').onclick = async () => {
  await changeSettings({ enabled: true });
  location.reload();
};

const { enabled, deadline } = await loadSettings();
if (original) {
  byId('instead').hidden = false;
  setText(byId('original-url'), new URL(original).host);
  setTimeout(() => {
    if (!stages.isReceiving) loadOriginal();
  }, 1000 * deadline);
}
if (!address) {
  setText(byId('name'), 'No address');
  fail(new Error(`“${asked}” is no CID, CID/path or codio:// address.`));
} else if (!enabled) {
  setText(byId('name'), cidOf(address));
  byId('off').hidden = false;
  if (original) loadOriginal();
} else {
  await show(address).catch(fail);
}
