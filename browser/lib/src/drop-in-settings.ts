import type { CodioOptions, Policy } from './configuration';

/** What the attributes of the drop-in's script element ask for. */
export interface Settings {
  options: CodioOptions;
  base: string | undefined;
  fallback: string | undefined;
  /** Path of the worker's script; empty: no worker; undefined: where it usually is. */
  serviceWorker: string | undefined;
  /** As of RewriteOptions. */
  firstVisitWait: number | undefined;
  /** As of ServiceWorkerOptions. */
  intercept: string[];
  trusted: string[];
  rewrite: boolean;
  protocolHandler: boolean;
  /** What is wrong with them, in words; such attributes are left out. */
  problems: string[];
}

const policies: readonly string[] = ['p2p-first', 'fastest', 'gateway-only', 'p2p-only'] satisfies Policy[];

/** `data-max-upload="500K"` is `maxUpload: '500K'` there, as of HTMLElement.dataset. */
export function readSettings(dataset: Readonly<Record<string, string | undefined>>): Settings {
  const problems: string[] = [];
  const readers = new Map<string, (text: string) => void>();
  const options: CodioOptions = {};
  const read = <Value>(name: string, parse: (text: string) => Value | undefined, wanted: string, keep: (value: Value) => void) =>
    readers.set(name, (text) => {
      const value = parse(text.trim());
      if (value !== undefined) keep(value);
      else problems.push(`${attributeOf(name)}="${text}" is not understood: use ${wanted}`);
    });

  const settings: Settings = {
    options,
    base: undefined,
    fallback: undefined,
    serviceWorker: undefined,
    firstVisitWait: undefined,
    intercept: [],
    trusted: [],
    rewrite: true,
    protocolHandler: false,
    problems,
  };
  const url = 'a URL such as https://node.example';
  const urls = 'URLs with spaces between them';
  const rate = 'bytes a second such as 500K, 2.5M or none';
  const onOff = 'on or off';
  read('node', parseUrl, url, (node) => (options.node = node));
  read('rendezvous', parseUrls, urls, (list) => (options.rendezvous = list));
  read('gateways', parseUrls, urls, (list) => (options.gateways = list));
  read('policy', oneOf(policies), policies.join(', '), (policy) => (options.policy = policy as Policy));
  read('iceTransportPolicy', oneOf(['all', 'relay']), 'all or relay', (policy) => {
    options.iceTransportPolicy = policy as RTCIceTransportPolicy;
  });
  read('maxUpload', parseBytes, rate, (bytes) => (options.maxUpload = bytes));
  read('maxDownload', positive(parseBytes), rate, (bytes) => (options.maxDownload = bytes));
  read('uploadSlots', positive(parseCount), 'a whole number from 1', (count) => (options.uploadSlots = count));
  read('maxPeers', parseCount, 'a whole number', (count) => (options.maxPeers = count));
  read('minSwarm', parseCount, 'a whole number', (count) => (options.minSwarm = count));
  read('pauseHidden', parseSwitch, onOff, (pause) => (options.pauseHidden = pause));
  read('storeBytes', parseBytes, 'bytes such as 200M', (bytes) => (options.storeBytes = bytes));
  read('seed', parseSwitch, onOff, (seed) => (options.seed = seed));
  read('persist', parseSwitch, onOff, (persist) => (options.persist = persist));
  read('rewrite', parseSwitch, onOff, (rewrite) => (settings.rewrite = rewrite));
  read('protocolHandler', parseSwitch, onOff, (on) => (settings.protocolHandler = on));
  read('base', parsePath, 'a path of this site such as /codio/', (base) => (settings.base = base));
  read('serviceWorker', (text) => (text === 'off' ? '' : parsePath(text)), 'a path of this site, or off', (path) => {
    settings.serviceWorker = path;
  });
  read('firstVisitWait', parseCount, 'milliseconds such as 500', (wait) => (settings.firstVisitWait = wait));
  read('intercept', parsePrefixes, 'URLs that a CID follows, such as https://ipfs.io/ipfs/, with spaces between them', (list) => {
    settings.intercept = list;
  });
  read('trusted', parseCids, 'CIDs with spaces between them', (list) => (settings.trusted = list));

  for (const [name, text] of Object.entries(dataset)) {
    const reader = readers.get(name);
    if (reader) reader(text ?? '');
    else problems.push(`there is no ${attributeOf(name)}; there are ${[...readers.keys()].map(attributeOf).join(', ')}`);
  }
  settings.fallback = options.gateways?.[0]?.toString() ?? (options.node ? new URL('/codio/', options.node).href : undefined);
  return settings;
}

function attributeOf(name: string): string {
  return `data-${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

function parseUrl(text: string): string | undefined {
  return URL.canParse(text) ? text : undefined;
}

/** Empty: none, which is something else than the default. */
function parseUrls(text: string): string[] | undefined {
  const list = listOf(text);
  return list.every((one) => /^(?:https?|wss?):/.test(one) && URL.canParse(one)) ? list : undefined;
}

/** A prefix without its slash would be none. */
function parsePrefixes(text: string): string[] | undefined {
  return parseUrls(text)?.every((one) => /^https?:.*\/$/.test(one)) ? listOf(text) : undefined;
}

function parseCids(text: string): string[] | undefined {
  const list = listOf(text);
  return list.every((one) => /^\w{20,}$/.test(one)) ? list : undefined;
}

function listOf(text: string): string[] {
  return text.split(/[\s,]+/).filter((one) => one !== '');
}

function parsePath(text: string): string | undefined {
  return /^(?!\/\/)[./\w]/.test(text) && !/^\w+:/.test(text) ? text : undefined;
}

function oneOf(values: readonly string[]): (text: string) => string | undefined {
  return (text) => (values.includes(text) ? text : undefined);
}

/** As the options of the `codio` program have it. */
function parseBytes(text: string): number | undefined {
  if (text === 'none') return Infinity;
  const [, number, unit = ''] = /^(\d+(?:\.\d+)?)([KMG]?)$/.exec(text) ?? [];
  return number === undefined ? undefined : Math.round(Number(number) * 1024 ** ' KMG'.indexOf(unit || ' '));
}

function parseCount(text: string): number | undefined {
  return /^\d{1,6}$/.test(text) ? Number(text) : undefined;
}

function positive(parse: (text: string) => number | undefined): (text: string) => number | undefined {
  return (text) => parse(text) || undefined;
}

/** An attribute without a value switches on. */
function parseSwitch(text: string): boolean | undefined {
  return ['', 'on', 'true'].includes(text) ? true : ['off', 'false'].includes(text) ? false : undefined;
}
