import { isTextList, policies, type Configuration } from './configuration';
import { CodioError } from './error';

type OfPage = Pick<Configuration, 'policy' | 'gateways' | 'gatewayTimeout' | 'persist' | 'storeBytes'>;

/** What the service worker goes by when no page can help it, and which requests are its own. */
export interface WorkerConfiguration extends OfPage {
  /** URL of codio_wasm.wasm. */
  core: string;
  /** URL prefixes, a CID follows: requests that the worker answers. */
  intercept: string[];
  /** Root CIDs whose files may act as the site. */
  trusted: string[];
}

const parameter = 'codio';

/**
 * The script's URL with the configuration in its query. There, because a worker is started by a request, and has to know
 * before it returns from the event whether the request is its own: nothing that is read from a database comes in time.
 */
export function writeConfiguration(script: URL, configuration: WorkerConfiguration): URL {
  const url = new URL(script);
  url.searchParams.set(parameter, JSON.stringify(configuration));
  return url;
}

/** As writeConfiguration() wrote it; without one, a worker that only knows its pages. */
export function readConfiguration(script: URL): WorkerConfiguration {
  const text = script.searchParams.get(parameter);
  const standard: WorkerConfiguration = {
    core: new URL('codio_wasm.wasm', script).href,
    policy: 'p2p-first',
    gateways: [],
    gatewayTimeout: 10_000,
    persist: true,
    storeBytes: 512 * 1024 * 1024,
    intercept: [],
    trusted: [],
  };
  if (text === null) return standard;
  let given: unknown;
  try {
    given = JSON.parse(text);
  } catch (cause) {
    throw new CodioError('malformed', `the query of ${script.pathname} is no configuration`, { cause });
  }
  const read = { ...standard, ...(given as Partial<WorkerConfiguration>) };
  const { core, policy, gateways, gatewayTimeout, persist, storeBytes, intercept, trusted } = read;
  const isRight =
    typeof core === 'string' &&
    policies.includes(policy) &&
    [gateways, intercept, trusted].every(isTextList) &&
    [gatewayTimeout, storeBytes].every((value) => Number.isFinite(value) && value >= 0) &&
    typeof persist === 'boolean';
  if (!isRight) throw new CodioError('malformed', `the query of ${script.pathname} is no configuration: ${text}`);
  return { core, policy, gateways, gatewayTimeout, persist, storeBytes, intercept, trusted };
}
