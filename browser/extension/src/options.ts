/** Every change is kept at once, if it is valid; what is not says so beside its field. */
import { byId, element, setText } from './element';
import { formatBytes } from './format';
import { monthOf } from './budget';
import type { Month } from './messages';
import { namedPermissions, requestPermissions } from './permissions';
import { changeSettings, changeSite, check, defaults, isRecord, loadSettings, type Problem, type Settings } from './settings';

interface Field {
  name: keyof Settings;
  /** What the user reads and writes, and what is kept; `undefined` if it is not even that. */
  show(settings: Settings): string;
  read(text: string): unknown;
}

const lines = (name: 'rendezvous' | 'gateways'): Field => ({
  name,
  show: (settings) => settings[name].join('\n'),
  read: (text) => text.split(/\s+/).filter((line) => line !== ''),
});

const number = (name: 'maxUpload' | 'maxDownload' | 'monthlyUpload' | 'uploadSlots' | 'storeBytes' | 'deadline', unit: number): Field => ({
  name,
  show: (settings) => (settings[name] === null ? '' : String(settings[name] / unit)),
  read: (text) => {
    const trimmed = text.trim().replace(',', '.');
    if (trimmed === '') return null;
    return unit === 1 ? Number(trimmed) : Math.round(Number(trimmed) * unit);
  },
});

const fields: Field[] = [
  { name: 'node', show: ({ node }) => node, read: (text) => text.trim() },
  lines('rendezvous'),
  lines('gateways'),
  { name: 'iceServers', show: ({ iceServers }) => (iceServers.length > 0 ? iceServersText(iceServers) : ''), read: readJson },
  number('maxUpload', 1e3),
  number('maxDownload', 1e3),
  number('monthlyUpload', 1e9),
  number('uploadSlots', 1),
  number('storeBytes', 1e6),
  number('deadline', 1),
];
const switches = ['share', 'gatewayLinks', 'namedPages'] as const;
const maxImport = 1_000_000;

function readJson(text: string): unknown {
  if (text.trim() === '') return [];
  try {
    return JSON.parse(text);
  } catch {
    return 'no JSON';
  }
}

/** A server a line. */
function iceServersText(servers: RTCIceServer[]): string {
  return `[${servers.map((server) => JSON.stringify(server)).join(',\n')}]`;
}

async function keep(name: keyof Settings, value: unknown): Promise<boolean> {
  const problems = await changeSettings({ [name]: value });
  showProblems(problems, [name]);
  setText(byId('saved'), problems.length > 0 ? '' : 'Saved');
  return problems.length === 0;
}

function showProblems(problems: Problem[], of: (keyof Settings)[]): void {
  for (const name of of) {
    const message = problems.find(({ field }) => field === name)?.message;
    const target = document.getElementById(`${name}-problem`);
    if (target) setText(target, message === undefined ? '' : `Not kept: ${message}.`);
    document.getElementById(name)?.setAttribute('aria-invalid', String(message !== undefined));
  }
}

function show(settings: Settings): void {
  for (const { name, show: text } of fields) byId<HTMLInputElement>(name).value = text(settings);
  for (const name of switches) byId<HTMLInputElement>(name).checked = settings[name];
  for (const radio of document.querySelectorAll<HTMLInputElement>('[name=privacy]')) radio.checked = radio.value === settings.privacy;
  showSites(settings.sites);
}

function showSites(sites: Settings['sites']): void {
  const entries = Object.entries(sites);
  byId('sites').hidden = entries.length === 0;
  byId('no-sites').hidden = entries.length > 0;
  byId('sites').querySelector('tbody')?.replaceChildren(
    ...entries.map(([origin, rule]) => {
      const box = (key: 'node' | 'off', label: string) => {
        const made = element('input', { type: 'checkbox', checked: rule[key] ?? false, ariaLabel: `${label}: ${origin}` });
        made.onchange = () => void changeSite(origin, { [key]: made.checked });
        return element('td', {}, made);
      };
      const remove = element('button', { type: 'button', ariaLabel: `Remove the rules of ${origin}` }, 'Remove');
      remove.onclick = () => void changeSite(origin, { node: false, off: false });
      return element('tr', {}, element('th', { scope: 'row' }, origin), box('node', 'May use the node'), box('off', 'Left alone'), element('td', {}, remove));
    }),
  );
}

for (const { name, read } of fields) {
  const control = byId<HTMLInputElement>(name);
  control.onchange = () => void keep(name, read(control.value));
}
for (const radio of document.querySelectorAll<HTMLInputElement>('[name=privacy]')) {
  radio.onchange = () => void keep('privacy', radio.value);
}
for (const name of switches) {
  const control = byId<HTMLInputElement>(name);
  control.onchange = async () => {
    if (name === 'namedPages' && control.checked && !(await requestPermissions(namedPermissions))) {
      control.checked = false;
      setText(byId('namedPages-problem'), 'The browser did not allow it.');
      return;
    }
    setText(byId('namedPages-problem'), '');
    await keep(name, control.checked);
    if (name === 'namedPages' && !control.checked) await chrome.permissions.remove(namedPermissions).catch(() => {});
  };
}

byId('export').onclick = async () => {
  const blob = new Blob([`${JSON.stringify(await loadSettings(), undefined, 2)}\n`], { type: 'application/json' });
  element('a', { href: URL.createObjectURL(blob), download: 'codio-settings.json' }).click();
};
byId('import').onclick = () => byId('import-file').click();
byId<HTMLInputElement>('import-file').onchange = async ({ target }) => {
  const input = target as HTMLInputElement;
  const [file] = input.files ?? [];
  input.value = '';
  if (!file) return;
  const read = file.size < maxImport ? readJson(await file.text()) : undefined;
  const { problems } = check(read);
  if (!isRecord(read)) {
    setText(byId('import-problem'), `Not imported: ${file.name} is no file of settings.`);
  } else if (problems.length > 0) {
    const [{ field, message } = { field: '', message: '' }] = problems;
    setText(byId('import-problem'), `Not imported: ${field} in ${file.name} must be ${message}.`);
  } else {
    setText(byId('import-problem'), '');
    await changeSettings({ ...defaults, ...read });
    setText(byId('saved'), `Imported ${file.name}`);
  }
};
byId('reset').onclick = async () => {
  await changeSettings(defaults);
  setText(byId('saved'), 'Reset');
};

chrome.storage.onChanged.addListener(({ settings }, area) => {
  if (area === 'local' && settings) void loadSettings().then(show);
});
show(await loadSettings());
const { month } = await chrome.storage.local.get('month');
const { name = '', uploaded = 0 } = (month as Month | undefined) ?? {};
setText(byId('monthlyUpload-hint'), `${formatBytes(name === monthOf(new Date()) ? uploaded : 0)} so far this month`);
