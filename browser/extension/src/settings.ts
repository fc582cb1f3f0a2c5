/** What the user chose: kept in `storage.local`, and checked whenever it comes from outside. */
import { takeTurns } from './turns';

export const privacyModes = ['open', 'relay', 'gateway-only', 'p2p-only'] as const;
export type Privacy = (typeof privacyModes)[number];

/** Of one origin. */
export interface SiteRule {
  /** Its pages may use the extension's node. */
  node?: boolean;
  /** Its pages and gateway links are left alone. */
  off?: boolean;
}

export interface Settings {
  enabled: boolean;
  /** The node whose descriptor names rendezvous, gateways and ICE servers; '': none. */
  node: string;
  /** Besides the node's. */
  rendezvous: string[];
  gateways: string[];
  iceServers: RTCIceServer[];
  privacy: Privacy;
  /** Whether downloads are offered to others. */
  share: boolean;
  /** Bytes a second; null: no limit. */
  maxUpload: number | null;
  maxDownload: number | null;
  uploadSlots: number;
  /** Bytes in a calendar month, by the clock of this machine; null: no limit. */
  monthlyUpload: number | null;
  /** Bytes of blocks on disk. */
  storeBytes: number;
  /** Links to gateways, `https://…/ipfs/CID`, open by Codio. */
  gatewayLinks: boolean;
  /** So do pages that name their CID. */
  namedPages: boolean;
  /** Seconds without a byte after which the original is loaded instead. */
  deadline: number;
  sites: Record<string, SiteRule>;
}

export const defaults: Settings = {
  enabled: true,
  node: '', // There is no public one.
  rendezvous: [],
  gateways: ['https://ipfs.io/ipfs/'],
  iceServers: [], // A STUN server learns who asks it.
  privacy: 'open',
  share: true,
  maxUpload: null,
  maxDownload: null,
  uploadSlots: 8,
  monthlyUpload: 10e9, // What a modest plan does not notice.
  storeBytes: 1e9,
  gatewayLinks: false,
  namedPages: false,
  deadline: 10,
  sites: {},
};

export interface Problem {
  field: keyof Settings;
  message: string;
}

const maxList = 20;
const maxSites = 1000;
const maxUrl = 2048;

/** `changes` over `base`, as far as they are valid, and what is wrong with the others. */
export function check(changes: unknown, base: Settings = defaults): { settings: Settings; problems: Problem[] } {
  const settings: Settings = { ...base };
  const problems: Problem[] = [];
  if (!isRecord(changes)) return { settings, problems };
  for (const [field, rule] of Object.entries(rules)) {
    const value = changes[field];
    if (value === undefined) continue;
    const message = rule(value);
    if (message === undefined) Object.assign(settings, { [field]: value });
    else problems.push({ field: field as keyof Settings, message });
  }
  return { settings, problems };
}

type Rule = (value: unknown) => string | undefined;

const bool: Rule = (value) => (typeof value === 'boolean' ? undefined : 'must be true or false');

const urls =
  (protocols: string[], example: string): Rule =>
  (value) => {
    if (!Array.isArray(value)) return 'must be a list of addresses';
    if (value.length > maxList) return `at most ${maxList}`;
    const wrong: unknown = value.find((one) => !isUrl(one, protocols));
    return wrong === undefined ? undefined : `“${String(wrong)}” is not an address like ${example}`;
  };

const amount =
  (least: number, what: string): Rule =>
  (value) =>
    value === null || (typeof value === 'number' && Number.isFinite(value) && value >= least) ? undefined : what;

const whole =
  (least: number, most: number): Rule =>
  (value) =>
    typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most
      ? undefined
      : `a whole number from ${least.toLocaleString('en')} to ${most.toLocaleString('en')}`;

const rules: Record<keyof Settings, Rule> = {
  enabled: bool,
  node: (value) =>
    value === '' || isUrl(value, ['http:', 'https:']) ? undefined : 'an address like https://node.example, or nothing',
  rendezvous: urls(['ws:', 'wss:', 'http:', 'https:'], 'wss://node.example/rendezvous'),
  gateways: urls(['http:', 'https:'], 'https://ipfs.io/ipfs/'),
  iceServers: (value) =>
    Array.isArray(value) && value.length <= maxList && value.every(isIceServer)
      ? undefined
      : 'a list like [{"urls": "stun:stun.example:3478"}], each with stun:, stuns:, turn: or turns:',
  privacy: (value) => (privacyModes.includes(value as Privacy) ? undefined : `one of ${privacyModes.join(', ')}`),
  share: bool,
  maxUpload: amount(0, 'a number from 0, or nothing'),
  maxDownload: amount(1, 'a number above 0, or nothing'),
  uploadSlots: whole(1, 100),
  monthlyUpload: amount(0, 'a number from 0, or nothing'),
  storeBytes: (value) =>
    typeof value === 'number' && Number.isInteger(value) && value >= 64e6 && value <= 100e9 ? undefined : 'from 64 MB to 100 GB',
  gatewayLinks: bool,
  namedPages: bool,
  deadline: whole(1, 120),
  sites: (value) =>
    isRecord(value) &&
    Object.keys(value).length <= maxSites &&
    Object.entries(value).every(([origin, rule]) => isOrigin(origin) && isSiteRule(rule))
      ? undefined
      : 'origins like https://site.example, each with node and off, true or false',
};

function isSiteRule(value: unknown): boolean {
  return isRecord(value) && Object.entries(value).every(([key, one]) => /^(node|off)$/.test(key) && typeof one === 'boolean');
}

function isIceServer(value: unknown): boolean {
  if (!isRecord(value)) return false;
  const { urls: given, username = '', credential = '' } = value;
  const all: unknown[] = Array.isArray(given) ? given : [given];
  const valid = (one: unknown) => typeof one === 'string' && /^(stuns?|turns?):[^\s/]+$/.test(one) && one.length < maxUrl;
  return all.length > 0 && all.length <= maxList && all.every(valid) && typeof username === 'string' && typeof credential === 'string';
}

function isUrl(value: unknown, protocols: string[]): boolean {
  if (typeof value !== 'string' || value.length > maxUrl || !URL.canParse(value)) return false;
  return protocols.includes(new URL(value).protocol);
}

export function isOrigin(value: string): boolean {
  return isUrl(value, ['http:', 'https:']) && new URL(value).origin === value;
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export async function loadSettings(): Promise<Settings> {
  const { settings } = await chrome.storage.local.get('settings');
  return check(settings).settings;
}

const inTurn = takeTurns();

/** Rejects nothing: what is not valid is told and not kept. */
export function changeSettings(changes: Partial<Settings>): Promise<Problem[]> {
  return inTurn(async () => {
    const { settings, problems } = check(changes, await loadSettings());
    await chrome.storage.local.set({ settings });
    return problems;
  });
}

/** Changes one origin's rule; a rule that says nothing goes. */
export async function changeSite(origin: string, changes: SiteRule): Promise<void> {
  const { sites } = await loadSettings();
  const { [origin]: before, ...others } = sites;
  const rule = Object.fromEntries(Object.entries({ ...before, ...changes }).filter(([, value]) => value));
  await changeSettings({ sites: Object.keys(rule).length > 0 ? { ...others, [origin]: rule } : others });
}

export function mayUseNode({ sites }: Settings, origin: string): boolean {
  const rule = sites[origin];
  return rule?.node === true && !rule.off;
}
