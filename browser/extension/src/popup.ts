/** Live while it is open: what the node's page tells over a port, several times a second while something moves. */
import { formatBytes, formatRate, formatTime } from './format';
import { byId, element, setText } from './element';
import { drawGraph } from './graph';
import { drawMap } from './map';
import { monthOf } from './budget';
import { noTotals, type ErrandView, type Month, type Share, type Snapshot, type StatusCommand, type Totals, type TransferView } from './messages';
import { requestPermissions } from './permissions';
import { changeSettings, changeSite, loadSettings, type Settings } from './settings';
import { patternOf } from './site-scripts';

const redraw = 1_000;
const rates: [bytes: number | null, text: string][] = [
  [null, 'no limit'],
  [10e6, '10 MB/s'],
  [5e6, '5 MB/s'],
  [1e6, '1 MB/s'],
  [250e3, '250 KB/s'],
  [50e3, '50 KB/s'],
];

let settings: Settings;
let snapshot: Snapshot | undefined;
let port: chrome.runtime.Port | undefined;
/** Of transfers and errands. */
const rows = new Map<number | string, ReturnType<typeof makeRow>>();

function listen(): void {
  port?.disconnect();
  const opened = chrome.runtime.connect({ name: 'status' });
  port = opened;
  opened.onMessage.addListener((told: Snapshot) => {
    snapshot = told;
    show(told);
  });
  opened.onDisconnect.addListener(() => {
    void chrome.runtime.lastError; // Nobody listened: the node is at rest.
    if (port !== opened) return;
    port = undefined;
    snapshot = undefined;
    void showRest();
  });
}

function command(told: StatusCommand): void {
  port?.postMessage(told);
}

/** What is known without the node. */
async function showRest(): Promise<void> {
  const { totals: session } = await chrome.storage.session.get('totals');
  const { totals: lifetime, month } = await chrome.storage.local.get(['totals', 'month']);
  const name = monthOf(new Date());
  const kept = month as Month | undefined;
  show({
    problem: undefined,
    peers: [],
    session: { ...noTotals, ...(session as Totals | undefined) },
    lifetime: { ...noTotals, ...(lifetime as Totals | undefined) },
    month: kept?.name === name ? kept : { name, uploaded: 0 },
    history: [],
    transfers: [],
    errands: [],
  });
}

function show(told: Snapshot): void {
  const { session, lifetime, month, history, transfers, errands, problem } = told;
  const open = told.peers.filter((peer) => peer.open);
  setText(byId('peer-count'), String(open.length));
  setText(byId('bytes-downloaded'), formatBytes(session.fromPeers + session.fromGateways));
  setText(byId('bytes-uploaded'), formatBytes(session.uploaded));
  setText(byId('bytes-saved'), formatBytes(lifetime.fromCache));
  setText(byId('state'), stateOf(open.length));
  setText(byId('problem'), problem ?? '');
  byId('problem').hidden = !problem;
  drawSpeed(history);
  for (const [id, { item }] of rows) {
    if (transfers.some((one) => one.id === id) || errands.some((one) => one.id === id)) continue;
    const hadFocus = item.contains(document.activeElement);
    const next = item.nextElementSibling ?? item.previousElementSibling;
    item.remove();
    rows.delete(id);
    if (hadFocus) (next?.querySelector('button') ?? byId('options')).focus();
  }
  for (const transfer of transfers) showTransfer(transfer);
  for (const errand of errands) showErrand(errand);
  const count = transfers.length + errands.length;
  setText(byId('transfers-title'), count > 0 ? `Transfers (${count})` : 'Transfers');
  byId('map-section').hidden = open.length === 0;
  drawMap(byId<SVGSVGElement>('map'), byId('map-text'), open);
  const limit = settings.monthlyUpload;
  setText(byId('month'), `Uploaded this month: ${formatBytes(month.uploaded)}${limit === null ? '' : ` of ${formatBytes(limit)}`}`);
  showTotals(session, lifetime);
}

function stateOf(open: number): string {
  if (!settings.enabled) return 'Off: nothing is sent or fetched';
  if (!snapshot) return 'At rest: starts when it is needed';
  if (open > 0) return open === 1 ? 'Connected to 1 peer' : `Connected to ${open} peers`;
  return settings.node === '' && settings.rendezvous.length === 0 ? 'On, gateways only' : 'On, no peers now';
}

function drawSpeed(history: Snapshot['history']): void {
  const { down, up } = drawGraph(byId<SVGSVGElement>('graph'), history);
  setText(byId('speed-down'), formatRate(down));
  setText(byId('speed-up'), formatRate(up));
}

function makeRow() {
  const name = element('b', { dir: 'auto' });
  const pause = element('button', { type: 'button' }, 'Pause');
  const cancel = element('button', { type: 'button' }, 'Cancel');
  const [peer, gateway, store] = [element('i', { className: 'peer' }), element('i', { className: 'gateway' }), element('i', { className: 'store' })];
  const meter = element('div', { className: 'meter' }, peer, gateway, store);
  meter.setAttribute('role', 'progressbar');
  const amount = element('span');
  const rate = element('span');
  const sources = element('span', { className: 'sources' });
  const how = element('p', { className: 'how' }, amount, rate, sources);
  const item = element('li', {}, element('div', { className: 'what' }, name, pause, cancel), meter, how);
  byId('transfers').append(item);
  return { item, name, pause, cancel, peer, gateway, store, meter, amount, rate, sources };
}

function showTransfer(transfer: TransferView): void {
  const { id, address, site, paused, received, total, fromPeers, fromGateways, fromCache } = transfer;
  const row = rows.get(id) ?? makeRow();
  rows.set(id, row);
  const name = address.slice(address.lastIndexOf('/') + 1) || address;
  setText(row.name, name);
  row.name.title = site === '' ? address : `${address}, for ${site}`;
  setText(row.pause, paused ? 'Go on' : 'Pause');
  row.pause.setAttribute('aria-label', `${paused ? 'Go on with' : 'Pause'} ${name}`);
  row.cancel.setAttribute('aria-label', `Cancel ${name}`);
  row.pause.onclick = () => command({ type: paused ? 'resume' : 'pause', id });
  row.cancel.onclick = () => command({ type: 'cancel', id });
  const share = total > 0 ? received / total : 0;
  row.meter.setAttribute('aria-valuenow', String(Math.round(100 * share)));
  row.meter.setAttribute('aria-label', `Progress of ${name}`);
  const all = fromPeers + fromGateways + fromCache || 1;
  const parts = [
    ['peer', fromPeers, 'peers'],
    ['gateway', fromGateways, 'gateways'],
    ['store', fromCache, 'cache'],
  ] as const;
  for (const [part, bytes] of parts) row[part].style.width = `${(100 * share * bytes) / all}%`;
  setText(row.amount, total > 0 ? `${formatBytes(received)} of ${formatBytes(total)}` : 'Looking for it…');
  setText(row.rate, rateOf(transfer));
  const shown = parts.filter(([, bytes]) => bytes > 0);
  const text = shown.map(([, bytes, where]) => `${Math.round((100 * bytes) / all)} % ${where}`);
  if (row.sources.textContent !== text.join('')) {
    row.sources.replaceChildren(...shown.flatMap(([part], i) => [element('i', { className: `dot ${part}` }), text[i] ?? '']));
  }
}

function showErrand({ id, type, name, received, total, isRead }: ErrandView): void {
  const row = rows.get(id) ?? makeRow();
  rows.set(id, row);
  setText(row.name, name);
  row.pause.hidden = true;
  row.cancel.hidden = isRead;
  row.cancel.setAttribute('aria-label', `Cancel ${name}`);
  row.cancel.onclick = () => command({ type: 'stop', id });
  const share = isRead ? 1 : total ? received / total : 0;
  row.meter.setAttribute('aria-valuenow', String(Math.round(100 * share)));
  row.meter.setAttribute('aria-label', `Progress of ${name}`);
  row.store.style.width = `${100 * share}%`;
  setText(row.amount, total === undefined || isRead ? formatBytes(received) : `${formatBytes(received)} of ${formatBytes(total)}`);
  const what = type === 'share' ? 'Read to be shared' : 'Read for its CID';
  setText(row.rate, isRead && type === 'share' ? 'Added to what you share…' : what);
}

function rateOf({ paused, rate, remaining, total }: TransferView): string {
  if (paused) return 'Paused';
  if (total === 0) return '';
  return remaining === undefined ? formatRate(rate) : `${formatRate(rate)}, ${formatTime(remaining)} left`;
}

function showTotals(session: Totals, lifetime: Totals): void {
  const lines: [string, keyof Totals][] = [
    ['From peers', 'fromPeers'],
    ['From gateways', 'fromGateways'],
    ['Saved by the cache', 'fromCache'],
    ['Uploaded', 'uploaded'],
  ];
  const body = byId('totals');
  if (body.childElementCount === 0) {
    body.append(...lines.map(([text]) => element('tr', {}, element('th', { scope: 'row' }, text), element('td'), element('td'))));
  }
  lines.forEach(([, name], i) => {
    const cells = body.children[i]?.querySelectorAll('td');
    if (cells?.[0]) setText(cells[0], formatBytes(session[name]));
    if (cells?.[1]) setText(cells[1], formatBytes(lifetime[name]));
  });
}

function showShares(shares: Share[]): void {
  byId('shares-section').hidden = shares.length === 0;
  byId('shares').replaceChildren(
    ...shares.map(({ cid, name, size }) => {
      const copy = element('button', { type: 'button', ariaLabel: `Copy the link to ${name}` }, 'Copy link');
      copy.onclick = async () => {
        await navigator.clipboard.writeText(`codio://${cid}`);
        setText(copy, 'Copied');
      };
      const stop = element('button', { type: 'button', ariaLabel: `Stop sharing ${name}` }, 'Stop');
      stop.onclick = () => void chrome.storage.local.set({ shares: shares.filter((one) => one.cid !== cid) });
      return element('li', {}, element('b', { title: `codio://${cid}`, dir: 'auto' }, name), element('span', { className: 'soft' }, formatBytes(size)), copy, stop);
    }),
  );
}

function showNotice(text: unknown): void {
  byId('notice').hidden = typeof text !== 'string';
  setText(byId('notice-text'), typeof text === 'string' ? text : '');
}
byId('dismiss').onclick = () => void chrome.storage.session.remove('notice');

function showSettings(): void {
  byId<HTMLInputElement>('enabled').checked = settings.enabled;
  setText(byId('power-label'), settings.enabled ? 'On' : 'Off');
  byId('welcome').hidden = settings.node !== '' || settings.rendezvous.length > 0 || settings.privacy === 'gateway-only' || !settings.enabled;
  for (const [id, value] of [['max-upload', settings.maxUpload], ['max-download', settings.maxDownload]] as const) {
    const known: typeof rates = [...rates, ...(id === 'max-upload' ? [[0, 'nothing'] as [number, string]] : [])];
    if (!known.some(([rate]) => rate === value)) known.push([value, formatRate(value ?? 0)]);
    byId(id).replaceChildren(...known.map(([rate, text]) => element('option', { value: String(rate), selected: rate === value }, text)));
  }
}

for (const [id, name] of [['max-upload', 'maxUpload'], ['max-download', 'maxDownload']] as const) {
  byId<HTMLSelectElement>(id).onchange = ({ target }) => {
    const { value } = target as HTMLSelectElement;
    void changeSettings({ [name]: value === 'null' ? null : Number(value) });
  };
}
byId<HTMLInputElement>('enabled').onchange = ({ target }) => void changeSettings({ enabled: (target as HTMLInputElement).checked });
byId('options').onclick = () => void chrome.runtime.openOptionsPage();
byId('welcome').onsubmit = async (event) => {
  event.preventDefault();
  const [problem] = await changeSettings({ node: byId<HTMLInputElement>('node').value.trim() });
  setText(byId('node-problem'), problem?.message ?? '');
};

/** The tab below the popup, which opening it lets us see. */
async function showSite(): Promise<void> {
  const [tab] = await chrome.tabs.query({ active: true, currentWindow: true });
  if (!tab?.url || !/^https?:/.test(tab.url)) return;
  const { origin, host } = new URL(tab.url);
  const { node = false, off = false } = settings.sites[origin] ?? {};
  byId('site-section').hidden = false;
  for (const one of document.querySelectorAll('.site-name')) setText(one, host);
  const [nodeSwitch, offSwitch] = [byId<HTMLInputElement>('site-node'), byId<HTMLInputElement>('site-off')];
  nodeSwitch.checked = node;
  offSwitch.checked = off;
  nodeSwitch.onchange = async () => {
    const allowed = !nodeSwitch.checked || (await requestPermissions({ origins: [patternOf(origin)] }));
    if (allowed) await changeSite(origin, { node: nodeSwitch.checked });
    else nodeSwitch.checked = false;
    byId('site-note').hidden = false;
    setText(byId('site-note'), allowed ? 'Reload the page to see the change.' : 'The browser did not allow it.');
  };
  offSwitch.onchange = () => void changeSite(origin, { off: offSwitch.checked });
}

chrome.storage.onChanged.addListener(({ settings: changed, running, shares, notice }, area) => {
  if (area === 'session' && notice) showNotice(notice.newValue);
  if (area === 'session' && running?.newValue) listen();
  if (shares) showShares((shares.newValue as Share[] | undefined) ?? []);
  if (!changed) return;
  void loadSettings().then((now) => {
    settings = now;
    showSettings();
    if (snapshot) show(snapshot);
    else void showRest();
  });
});

settings = await loadSettings();
showSettings();
await showRest();
listen();
const { shares } = await chrome.storage.local.get('shares');
showShares((shares as Share[] | undefined) ?? []);
showNotice((await chrome.storage.session.get('notice'))['notice']);
await showSite();
// The graph moves on when nothing else does.
setInterval(() => snapshot && snapshot.history.length > 0 && drawSpeed(snapshot.history), redraw);
