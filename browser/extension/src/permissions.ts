import type { Settings } from './settings';
import { patternOf } from './site-scripts';

/** To see headers and pages that name their content. */
export const namedPermissions: chrome.permissions.Permissions = { permissions: ['webRequest'], origins: ['https://*/*', 'http://*/*'] };

/** Within a click. A browser that cannot even ask refuses. */
export function requestPermissions(wanted: chrome.permissions.Permissions): Promise<boolean> {
  return chrome.permissions.request(wanted).catch(() => false);
}

/** What of the settings holds with the permissions that are left: the user can take them back in the browser's own settings. */
export async function permittedSettings({ namedPages, sites }: Settings): Promise<Pick<Settings, 'namedPages' | 'sites'>> {
  const rules = Object.entries(sites).map(async ([origin, rule]) => {
    const may = !rule.node || (await chrome.permissions.contains({ origins: [patternOf(origin)] }));
    return [origin, may ? rule : { ...rule, node: false }] as const;
  });
  return {
    namedPages: namedPages && (await chrome.permissions.contains(namedPermissions)),
    sites: Object.fromEntries(await Promise.all(rules)),
  };
}
