import init, { CodioCDN, CodioError, type Policy } from 'codio-cdn';
import { byId, element } from './element';
import { formatBytes, formatTime } from './format';
import { preview, typeOf } from './preview';
import { Shares } from './shares';

const form = byId<HTMLFormElement>('get-form');
const field = byId<HTMLInputElement>('cid');
const stages = ['finding', 'connecting', 'receiving', 'verifying'] as const;
type Stage = (typeof stages)[number];

/**
 * One node for each policy, in memory and of this tab alone, so that each has a store of its own, shows where its bytes come
 * from, and two tabs of one browser are two peers.
 */
const nodes = new Map<Policy, Promise<CodioCDN>>();
const names = new Map<string, string>();
let current: AbortController | undefined;
let resultUrl = '';

function node(policy: Policy): Promise<CodioCDN> {
  let made = nodes.get(policy);
  if (!made) {
    made = CodioCDN.new({ policy, persist: false, share: false });
    nodes.set(policy, made);
    made.then(
      (cdn) => (['stats', 'peer-connected', 'peer-disconnected'] as const).forEach((name) => cdn.on(name, showStatus)),
      () => nodes.delete(policy),
    );
  }
  return made;
}

async function showStatus(): Promise<void> {
  const all = (await Promise.all(nodes.values())).map((cdn) => cdn.stats());
  const sum = (pick: (stats: (typeof all)[number]) => number) => all.reduce((total, stats) => total + pick(stats), 0);
  byId('peer-count').textContent = String(sum(({ peers }) => peers));
  byId('bytes-downloaded').textContent = formatBytes(
    sum(({ downloadedFromPeers, downloadedFromGateways }) => downloadedFromPeers + downloadedFromGateways),
  );
  byId('bytes-uploaded').textContent = formatBytes(sum(({ uploaded }) => uploaded));
}

function check(name: 'wasm' | 'download' | 'p2p' | 'fallback'): void {
  byId(`check-${name}`).classList.add('done');
}

/** `direct`: no peer was connected, so that stage was none. */
function showStage(stage: Stage | 'done', direct: boolean): void {
  const reached = stage === 'done' ? stages.length : stages.indexOf(stage);
  stages.forEach((name, i) => {
    const { classList } = byId(`stage-${name}`);
    classList.toggle('active', i === reached);
    classList.toggle('done', i < reached);
    classList.toggle('skipped', direct && name === 'connecting' && i < reached);
  });
}

function showError(error: unknown): void {
  const text = error instanceof Error ? error.message : String(error);
  const title = error instanceof CodioError ? titles[error.code] : 'That did not work';
  byId('error').replaceChildren(element('b', {}, title ?? 'That did not work'), text);
  byId('error').hidden = false;
}

const titles: Partial<Record<CodioError['code'], string>> = {
  malformed: 'That is not an address',
  'not-found': 'Nobody has it',
  unavailable: 'Nobody could serve it',
  timeout: 'It took too long',
  mismatch: 'The bytes were not what the CID promises',
  unsupported: 'This page cannot show that',
};

async function get(address: string, policy: Policy): Promise<void> {
  current?.abort();
  const abort = new AbortController();
  current = abort;
  byId('error').hidden = true;
  byId('result').hidden = true;
  byId('hint').hidden = true;
  byId('transfer').hidden = false;
  byId('cancel-button').hidden = false;
  byId('figures-amount').textContent = '';
  byId('figures-speed').textContent = '';
  setMeter(0);
  let direct = true;
  showStage('finding', direct);
  const shares = new Shares();
  const began = performance.now();
  let firstByte = 0;
  let transfer = 0;
  const offs: (() => void)[] = [];
  try {
    const cdn = await node(policy);
    offs.push(
      cdn.on('started', (event) => (transfer ||= event.transfer)),
      cdn.on('connecting', (event) => {
        if (event.transfer !== transfer) return;
        direct = false;
        if (firstByte === 0) showStage('connecting', direct);
      }),
      cdn.on('receiving', (event) => {
        if (event.transfer === transfer) showStage('receiving', direct);
      }),
      cdn.on('verified', (event) => {
        if (event.transfer !== transfer) return;
        firstByte ||= performance.now() - began;
        shares.add(event.source, event.bytes);
        if (event.source.kind === 'peer') check('p2p');
        if (event.source.kind === 'gateway') check('fallback');
      }),
    );
    const bytes = await cdn.download(address, {
      signal: abort.signal,
      onProgress: ({ received, total }) => {
        const elapsed = performance.now() - began;
        setMeter(total === 0 ? 1 : received / total);
        if (received > 0) showStage('verifying', direct);
        byId('figures-amount').textContent = `${formatBytes(received)} of ${formatBytes(total)}`;
        byId('figures-speed').textContent = `${formatBytes((1000 * received) / elapsed)}/s`;
      },
    });
    const elapsed = performance.now() - began;
    setMeter(1);
    showStage('done', direct);
    check('download');
    byId('figures-amount').textContent = `${formatBytes(bytes.length)}, verified`;
    byId('figures-speed').textContent =
      `${formatTime(elapsed)} · first block after ${formatTime(firstByte)} · ` +
      `${formatBytes((1000 * bytes.length) / elapsed)}/s`;
    showResult(address, bytes);
  } catch (error) {
    if (!abort.signal.aborted) showError(error);
    byId('transfer').hidden = shares.count === 0;
  } finally {
    offs.forEach((off) => off());
    if (current === abort) {
      current = undefined;
      byId('cancel-button').hidden = true;
    }
    void showStatus();
  }
}

function setMeter(share: number): void {
  const meter = byId('progress');
  meter.setAttribute('aria-valuenow', String(Math.round(100 * share)));
  (meter.firstElementChild as HTMLElement).style.width = `${100 * share}%`;
}

function showResult(address: string, bytes: Uint8Array<ArrayBuffer>): void {
  const tail = address.slice(address.lastIndexOf('/') + 1);
  const name = names.get(address) ?? tail;
  const type = typeOf(name, bytes);
  URL.revokeObjectURL(resultUrl);
  resultUrl = URL.createObjectURL(new Blob([bytes], { type }));
  const shown = preview(type, resultUrl, bytes);
  byId('result').replaceChildren(
    ...(shown ? [shown] : []),
    element(
      'p',
      { className: 'result-foot' },
      element('span', {}, name === tail ? type : `${name} · ${type}`),
      element('a', { className: 'button', href: resultUrl, download: name }, 'Save'),
    ),
  );
  byId('result').hidden = false;
}

async function share(file: File): Promise<void> {
  const size = element('span', {}, formatBytes(file.size));
  const note = element('code', {}, 'Computing its CID…');
  const item = element('li', {}, element('div', { className: 'name' }, element('span', {}, file.name), size), note);
  byId('uploads').prepend(item);
  try {
    const cdn = await node('p2p-first');
    const cid = await cdn.upload(file);
    names.set(cid, file.name);
    note.textContent = cid;
    const link = new URL(`#${cid}`, location.href).href;
    const copy = element('button', { type: 'button' }, 'Copy link');
    copy.onclick = async () => {
      await navigator.clipboard.writeText(link);
      copy.textContent = 'Copied';
    };
    item.append(element('a', { className: 'button', href: link, target: '_blank' }, 'Open in another tab'), copy);
  } catch (error) {
    note.textContent = error instanceof Error ? error.message : String(error);
  }
}

async function showRoots(): Promise<void> {
  const response = await fetch('./api/roots');
  if (!response.ok) return;
  const roots = (await response.json()) as { cid: string; name: string; size: number }[];
  for (const { cid, name, size } of roots) {
    names.set(cid, name);
    const button = element(
      'button',
      { type: 'button' },
      element('div', { className: 'name' }, element('span', {}, name), element('span', {}, formatBytes(size))),
      element('code', {}, cid),
    );
    button.onclick = () => ask(cid);
    byId('root-list').append(element('li', {}, button));
  }
  byId('roots').hidden = roots.length === 0;
  const first = roots[0]?.cid;
  for (const [name, policy] of proofs) {
    byId(`check-${name}`).onclick = () => {
      if (first === undefined) return;
      form.querySelector<HTMLInputElement>(`[value=${policy}]`)?.click();
      ask(first);
    };
  }
}

const proofs: [string, Policy][] = [
  ['download', 'p2p-first'],
  ['p2p', 'p2p-only'],
  ['fallback', 'gateway-only'],
];

function ask(address: string): void {
  field.value = address;
  form.requestSubmit();
}

form.onsubmit = (event) => {
  event.preventDefault();
  void get(field.value.trim(), new FormData(form).get('policy') as Policy);
};
byId('cancel-button').onclick = () => current?.abort();

const drop = byId('drop');
const file = byId<HTMLInputElement>('file');
file.onchange = () => {
  for (const one of file.files ?? []) void share(one);
  file.value = '';
};
drop.ondragover = (event) => {
  event.preventDefault();
  drop.classList.add('over');
};
drop.ondragleave = () => drop.classList.remove('over');
drop.ondrop = (event) => {
  event.preventDefault();
  drop.classList.remove('over');
  for (const one of event.dataTransfer?.files ?? []) void share(one);
};

const askHash = () => {
  if (location.hash.length > 1) ask(decodeURIComponent(location.hash.slice(1)));
};
window.onhashchange = askHash;

try {
  await init();
  await node('p2p-first');
  check('wasm');
  void showStatus();
} catch (error) {
  showError(error);
}
showRoots().catch(() => {});
askHash();
