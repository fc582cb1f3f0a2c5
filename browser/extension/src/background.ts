/** Wakes for what the browser tells, starts the node when somebody needs it, and keeps what must be kept. */
import { anyAddress, cidOf, codioAddress, gatewayAddress, searchedAddress, viewUrl } from './addresses';
import { monthOf } from './budget';
import { connectNode } from './connect';
import { answerPlayers } from './content';
import { closeNode, giveToNode, isNodeOpen, openNode } from './host';
import { nameOf } from './fetch-file';
import { add, noTotals, type Errand, type Month, type Order, type Orders, type Outcome, type Request, type Share, type Totals, type Woken } from './messages';
import { permittedSettings, requestPermissions } from './permissions';
import { isFromUs, siteOf } from './sender';
import { changeSettings, check, isRecord, loadSettings, mayUseNode, type Settings } from './settings';
import { patternOf, registerScripts } from './site-scripts';
import { takeTurns } from './turns';

/** Changes of these need a node that starts anew. */
const founding = ['node', 'rendezvous', 'gateways', 'iceServers', 'privacy', 'share', 'storeBytes'] as const;
/** Originals that the user asked for, oldest first. */
const maxLeft = 100;
/** Milliseconds after which who waits for a file wants to know more. */
const patience = 3_000;

/** For what reads and then writes storage. */
const inTurn = takeTurns();

async function totalsOf(area: chrome.storage.StorageArea): Promise<Totals> {
  const { totals } = await area.get('totals');
  return { ...noTotals, ...(totals as Totals | undefined) };
}

async function month(): Promise<Month> {
  const name = monthOf(new Date());
  const { month: kept } = await chrome.storage.local.get('month');
  return (kept as Month | undefined)?.name === name ? (kept as Month) : { name, uploaded: 0 };
}

async function shares(): Promise<Share[]> {
  const { shares: kept } = await chrome.storage.local.get('shares');
  return (kept as Share[] | undefined) ?? [];
}

/** What the node has not ended yet. */
async function errands(): Promise<Errand[]> {
  const { errands: kept } = await chrome.storage.session.get('errands');
  return (kept as Errand[] | undefined) ?? [];
}

async function orders(): Promise<Orders> {
  return {
    settings: await loadSettings(),
    session: await totalsOf(chrome.storage.session),
    lifetime: await totalsOf(chrome.storage.local),
    month: await month(),
    shares: await shares(),
    errands: await errands(),
  };
}

async function keep(totals: Totals): Promise<void> {
  const { name, uploaded } = await month();
  await chrome.storage.session.set({ totals: add(await totalsOf(chrome.storage.session), totals) });
  await chrome.storage.local.set({
    totals: add(await totalsOf(chrome.storage.local), totals),
    month: { name, uploaded: uploaded + totals.uploaded },
  });
}

async function wake(): Promise<Woken> {
  if (!(await loadSettings()).enabled) return { error: 'Codio is off.' };
  try {
    await openNode();
    return {};
  } catch (error) {
    return { error: `The node did not start: ${error instanceof Error ? error.message : String(error)}` };
  }
}

/** Shows content in place of a URL that a tab is about to load, unless the user wants that one. */
async function divert(tabId: number, address: string, original: string): Promise<void> {
  const { enabled, sites } = await loadSettings();
  if (!enabled || sites[new URL(original).origin]?.off) return;
  const { left = [] } = await chrome.storage.session.get('left');
  if ((left as string[]).includes(`${tabId} ${original}`)) return;
  await chrome.tabs.update(tabId, { url: viewUrl(address, original) });
}

async function leaveAlone(tabId: number, url: string): Promise<void> {
  await inTurn(async () => {
    const { left = [] } = await chrome.storage.session.get('left');
    await chrome.storage.session.set({ left: [...(left as string[]), `${tabId} ${url}`].slice(-maxLeft) });
  });
  await chrome.tabs.update(tabId, { url });
}

chrome.runtime.onMessage.addListener((request: unknown, sender, answer) => {
  if (!isRecord(request)) return false;
  const { type } = request as Request;
  if (!isFromUs(sender)) {
    const site = siteOf(sender);
    if (site === undefined) return false;
    if (type === 'wake') {
      void loadSettings().then(async (settings) => answer(mayUseNode(settings, site) ? await wake() : { error: 'not allowed' }));
      return true;
    }
    if (type === 'named') void handleNamed(request as Extract<Request, { type: 'named' }>, sender);
    return false;
  }
  switch (type) {
    case 'wake':
      void wake().then(answer);
      return true;
    case 'start':
      void inTurn(orders).then(answer);
      return true;
    case 'report':
      void inTurn(() => keep((request as Extract<Request, { type: 'report' }>).totals));
      return false;
    case 'done': {
      const { errand, outcome } = request as Extract<Request, { type: 'done' }>;
      void end(errand, outcome);
      return false;
    }
    case 'idle':
      void closeNode();
      return false;
    case 'original': {
      const { url } = request as Extract<Request, { type: 'original' }>;
      if (sender.tab?.id !== undefined && /^https?:/.test(url)) void leaveAlone(sender.tab.id, url);
      return false;
    }
    default:
      return false;
  }
});

async function handleNamed({ address }: Extract<Request, { type: 'named' }>, { tab, url }: chrome.runtime.MessageSender): Promise<void> {
  const found = typeof address === 'string' ? anyAddress(address) : undefined;
  const { namedPages } = await loadSettings();
  if (found && namedPages && tab?.id !== undefined && url) await divert(tab.id, found, url);
}

// codio: is no scheme that a browser knows, so its navigations end in an error at once.
chrome.webNavigation.onErrorOccurred.addListener(
  ({ url, frameId, tabId }) => {
    const address = codioAddress(url);
    if (frameId === 0 && address) void chrome.tabs.update(tabId, { url: viewUrl(address) });
  },
  { url: [{ schemes: ['codio', 'web+codio', 'ext+codio'] }] },
);

chrome.webNavigation.onBeforeNavigate.addListener(
  ({ url, frameId, tabId }) => {
    const address = frameId === 0 ? gatewayAddress(url) : undefined;
    if (!address) return;
    void loadSettings().then(({ gatewayLinks }) => (gatewayLinks ? divert(tabId, address, url) : undefined));
  },
  { url: [{ schemes: ['http', 'https'], pathPrefix: '/ipfs/' }, { schemes: ['http', 'https'], hostContains: '.ipfs.' }] },
);

if (FIREFOX) {
  // Firefox searches for what is typed with a scheme that it does not know.
  chrome.webNavigation.onBeforeNavigate.addListener(
    ({ url, frameId, tabId }) => {
      const address = frameId === 0 ? searchedAddress(url) : undefined;
      if (address) void divert(tabId, address, url);
    },
    { url: [{ schemes: ['http', 'https'], queryContains: 'codio%3A' }] },
  );
}

function handleHeaders({ responseHeaders, tabId, url, method, statusCode }: chrome.webRequest.OnHeadersReceivedDetails): undefined {
  const named = responseHeaders?.find(({ name }) => name.toLowerCase() === 'x-codio-cid')?.value;
  const address = named && anyAddress(named);
  if (!address || tabId < 0 || method !== 'GET' || statusCode !== 200) return;
  void loadSettings().then(({ namedPages }) => (namedPages ? divert(tabId, address, url) : undefined));
}

/** Its permission is asked for when the user wants it. */
function listenToHeaders(): void {
  const event = (chrome.webRequest as typeof chrome.webRequest | undefined)?.onHeadersReceived;
  if (!event || event.hasListener(handleHeaders)) return;
  event.addListener(handleHeaders, { urls: ['http://*/*', 'https://*/*'], types: ['main_frame' as chrome.webRequest.ResourceType] }, [
    'responseHeaders' as `${chrome.webRequest.OnHeadersReceivedOptions}`,
  ]);
}
listenToHeaders();
chrome.permissions.onAdded.addListener(() => {
  listenToHeaders();
  void loadSettings().then(registerScripts);
});
chrome.permissions.onRemoved.addListener(() => void loadSettings().then(permittedSettings).then(changeSettings));

chrome.omnibox.setDefaultSuggestion({ description: 'Open a CID, CID/path or codio:// address' });
chrome.omnibox.onInputEntered.addListener((text, disposition) => {
  const url = viewUrl(anyAddress(text) ?? text);
  if (disposition === 'currentTab') void chrome.tabs.update({ url });
  else void chrome.tabs.create({ url, active: disposition === 'newForegroundTab' });
});

const files: [`${chrome.contextMenus.ContextType}`, ...`${chrome.contextMenus.ContextType}`[]] = ['image', 'video', 'audio', 'link'];
chrome.runtime.onInstalled.addListener(() => {
  chrome.contextMenus.removeAll(() => {
    chrome.contextMenus.create({ id: 'share', title: 'Share this file by Codio', contexts: files });
    chrome.contextMenus.create({ id: 'copy', title: 'Copy CID', contexts: files });
  });
  void loadSettings().then(registerScripts);
  offerShares();
});

chrome.contextMenus.onClicked.addListener(({ menuItemId, srcUrl, linkUrl, pageUrl }, tab) => {
  const url = srcUrl ?? linkUrl;
  if (url === undefined) return;
  const address = menuItemId === 'copy' ? anyAddress(url) : undefined;
  if (address) {
    void copy(cidOf(address), tab?.id, 'Its CID');
    return;
  }
  const type = menuItemId === 'copy' ? 'hash' : 'share';
  const run = (mayRead: boolean) => begin({ id: crypto.randomUUID(), type, url, tab: tab?.id, mayRead });
  if (!/^https?:/.test(url) || isReadable(url, pageUrl)) void run(true);
  // Asked for here, as the browser wants it within the click.
  else void requestPermissions({ origins: [patternOf(new URL(url).origin)] }).then(run);
});

/** Whether the click is permission enough: in Chromium it is for the page's own files. */
function isReadable(url: string, pageUrl: string | undefined): boolean {
  return !FIREFOX && pageUrl !== undefined && new URL(url).origin === new URL(pageUrl).origin;
}

async function begin(errand: Errand): Promise<void> {
  const known = errand.type === 'hash' && (await shares()).find(({ url }) => url === errand.url);
  if (known) return end(errand, { cid: known.cid });
  await inTurn(async () => chrome.storage.session.set({ errands: [...(await errands()), errand] }));
  const { error } = await wake();
  if (error !== undefined) return end(errand, { error });
  await order({ type: 'errand', errand });
  setTimeout(() => void remind(errand), patience);
}

async function remind({ id, url }: Errand): Promise<void> {
  if ((await errands()).some((one) => one.id === id)) notify(`Reading ${nameOf(url)}`, 'The popup shows how far it is, and can stop it.');
}

async function end({ id, type, url, tab, mayRead }: Errand, outcome: Outcome): Promise<void> {
  await inTurn(async () => chrome.storage.session.set({ errands: (await errands()).filter((one) => one.id !== id) }));
  if ('error' in outcome) {
    const why = mayRead ? '' : `. The browser was not allowed to let Codio read files of ${new URL(url).host}.`;
    notify(type === 'share' ? 'Not shared' : 'No CID', outcome.error + why);
  } else if ('cid' in outcome) {
    await copy(outcome.cid, tab, 'Its CID');
  } else {
    const { share } = outcome;
    await inTurn(async () => {
      const others = (await shares()).filter(({ cid }) => cid !== share.cid);
      await chrome.storage.local.set({ shares: [...others, share] });
    });
    await copy(`codio://${share.cid}`, tab, `${share.name} is shared while the browser is open. Its link`);
  }
}

/** To the clipboard, by the page that was clicked in; a page may have been closed or be protected. */
async function copy(text: string, tab: number | undefined, what: string): Promise<void> {
  const copied = await chrome.scripting
    .executeScript({ target: { tabId: tab ?? -1 }, func: (copied: string) => navigator.clipboard.writeText(copied).then(() => true), args: [text] })
    .then(([done]) => done?.result === true)
    .catch(() => false);
  notify('Codio', `${what}${copied ? ', now on the clipboard' : ''}: ${text}`);
}

/** In the popup, too: not everybody lets a browser notify. */
function notify(title: string, message: string): void {
  void chrome.storage.session.set({ notice: `${title}: ${message}` });
  void chrome.notifications.create({ type: 'basic', iconUrl: chrome.runtime.getURL('icons/128.png'), title, message });
}

function order(one: Order): Promise<void> {
  return chrome.runtime.sendMessage(one);
}

async function handleSettings(before: Settings, settings: Settings): Promise<void> {
  await registerScripts(settings);
  if (!(await isNodeOpen())) return;
  const changed = founding.some((name) => JSON.stringify(before[name]) !== JSON.stringify(settings[name]));
  if (settings.enabled && !changed) {
    await order({ type: 'settings', settings });
    return;
  }
  await closeNode();
  if (settings.enabled) await openNode();
}

chrome.storage.onChanged.addListener(({ settings, shares: kept }, area) => {
  if (area !== 'local') return;
  if (settings) void handleSettings(check(settings.oldValue).settings, check(settings.newValue).settings);
  const [was, is] = [kept?.oldValue, kept?.newValue] as (Share[] | undefined)[];
  // A node cannot take back what it has offered.
  if (was && is && is.length < was.length) void isNodeOpen().then(async (open) => open && (await closeNode(), await openNode()));
});

chrome.runtime.onStartup.addListener(offerShares);
function offerShares(): void {
  void shares().then((kept) => (kept.length > 0 ? wake() : undefined));
}

if (FIREFOX) {
  Object.assign(globalThis, { giveToNode });
} else {
  answerPlayers(() => connectNode(wake, giveToNode));
  addEventListener('message', (event) => {
    const { data, ports } = event as MessageEvent<{ token: string }>;
    const [port] = ports;
    if (port) void openNode().then(() => giveToNode(data.token, port));
  });
}
