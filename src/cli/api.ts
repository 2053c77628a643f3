/**
 * How commands reach the API: the server that was named, else the one that listens where the settings say, else the
 * same server started inside this process for as long as the command runs.
 */
import type { Settings } from '../app.ts';
import { type ApiAnswer, type ApiRequest, NoAnswer } from '../client/request.ts';
import { EvergrantError } from '../core/errors.ts';
import { existsSync, join, readFileSync } from './builtin.ts';
import { httpRequest } from './http-request.ts';
import { asObject, type Json, text } from './json.ts';
import { type Problem, Refused } from './problem.ts';
import { hostAndPort, isLoopback } from './setting-table.ts';
import { type Configuration, type Flags, readConfiguration, settingError } from './settings.ts';

export interface Api {
  /** Rejects with `Refused` when the answer is a problem. */
  call(method: ApiRequest['method'], path: string, body?: Json): Promise<unknown>;
  /** The whole answer to a GET, whatever its status. */
  look(path: string): Promise<ApiAnswer>;
  /** The server that answers; null where it runs inside this process. */
  readonly origin: string | null;
}

type Send = (request: Omit<ApiRequest, 'origin'>) => Promise<ApiAnswer>;

/** Longer than any wait that the API itself offers (120 s), so that it is the server who says "later". */
const ANSWER_TIMEOUT_MS = 180_000;

/** `inProcess`: what the server opens if it has to be started here; `callback` lets a browser come back. */
export async function withApi<T>(
  flags: Flags,
  inProcess: 'none' | 'callback',
  use: (api: Api) => Promise<T>,
): Promise<T> {
  const configuration = await readConfiguration(flags, process.env);
  if (configuration.server !== null || (await listens(configuration.settings))) {
    return use(remoteApi(configuration));
  }
  return withOwnServer(configuration, inProcess, use);
}

function remoteApi(configuration: Configuration): Api {
  const origin = configuration.server ?? ownOrigin(configuration.settings);
  const key = keyFor(origin, configuration);
  return apiOver(origin, key, async (wanted) => {
    try {
      return await httpRequest({ ...wanted, origin, timeoutMs: ANSWER_TIMEOUT_MS });
    } catch (cause) {
      throw new EvergrantError('server_unavailable', `${cause instanceof NoAnswer ? cause.message : origin}.`, {
        remedy: `Start it (evergrant serve), or name another one: --server or EVERGRANT_SERVER.`,
        cause,
      });
    }
  });
}

/** Asks the cheapest question there is, without the key: whoever listens there might not be Evergrant. */
async function listens(settings: Settings): Promise<boolean> {
  if (settings.listen.port === 0) return false;
  try {
    await httpRequest({ origin: ownOrigin(settings), method: 'GET', path: '/livez', headers: {}, timeoutMs: 5_000 });
    return true;
  } catch (error) {
    return !(error instanceof NoAnswer && error.refused);
  }
}

/** Where this machine reaches its own server: a wildcard address is listened on, not connected to. */
function ownOrigin(settings: Settings): string {
  const { host, port } = settings.listen;
  const reachable = { '0.0.0.0': '127.0.0.1', '::': '::1' }[host] ?? host;
  return `http://${hostAndPort({ host: reachable, port })}`;
}

function keyFor(origin: string, { apiKey, settings }: Configuration): string {
  const host = new URL(origin).hostname.replace(/^\[|\]$/g, '');
  if (origin.startsWith('http:') && !isLoopback(host) && !settings.insecureHttp) {
    throw settingError(
      `The API key would travel to ${origin} in clear text.`,
      'Name the server by its https address, or set EVERGRANT_INSECURE_HTTP=true.',
    );
  }
  if (apiKey !== null) return apiKey;
  // The key of this machine's server goes to no other machine.
  if (!isLoopback(host) && origin !== settings.publicUrl && origin !== ownOrigin(settings)) {
    throw settingError(`No API key is set for ${origin}.`, 'Set EVERGRANT_API_KEY or EVERGRANT_API_KEY_FILE.');
  }
  return settings.adminKey ?? keyInDataFolder(settings.dataFolder);
}

function keyInDataFolder(folder: string): string {
  const path = join(folder, 'admin.key');
  try {
    if (existsSync(path)) return readFileSync(path, 'utf8').trim();
  } catch (cause) {
    const remedy = 'Run this as the user of the server, or set EVERGRANT_API_KEY_FILE.';
    throw new EvergrantError('setting', `The key in ${path} cannot be read.`, { remedy, cause });
  }
  throw settingError(
    `No API key: EVERGRANT_API_KEY is not set, and ${path} is not there.`,
    'Set EVERGRANT_API_KEY_FILE, or name the data folder of the server: --data or EVERGRANT_DATA.',
  );
}

async function withOwnServer<T>(
  configuration: Configuration,
  listen: 'none' | 'callback',
  use: (api: Api) => Promise<T>,
): Promise<T> {
  const { settings, sources, apiKey } = configuration;
  const [{ startApp }, { closeOnSignals }] = await Promise.all([import('../app.ts'), import('./stop.ts')]);
  // A command's stderr is for its own messages, unless somebody asked for the server's.
  const app = await startApp({ ...settings, log: sources.log === undefined ? 'warn' : settings.log }, listen);
  // Ctrl-C must not cut an exchange off: the process ends once its answer is kept.
  closeOnSignals(app, 'command');
  try {
    return await use(apiOver(null, apiKey ?? app.adminKey.text, (wanted) => app.request(wanted)));
  } finally {
    await app.close();
  }
}

function apiOver(origin: string | null, key: string, send: Send): Api {
  return {
    origin,
    look: (path) => send({ method: 'GET', path, headers: { authorization: `Bearer ${key}` } }),
    call: async (method, path, body) => {
      const headers: Record<string, string> = { authorization: `Bearer ${key}`, accept: 'application/json' };
      if (body !== undefined) headers['content-type'] = 'application/json';
      if (method === 'POST') headers['idempotency-key'] = crypto.randomUUID();
      return read(await send({ method, path, headers, ...(body ? { body: JSON.stringify(body) } : {}) }));
    },
  };
}

function read(answer: ApiAnswer): unknown {
  if (answer.status === 204) return null;
  const value = parse(answer.body);
  if (answer.status < 300 && value !== undefined) return value;
  throw new Refused(problemIn(answer, asObject(value)));
}

function parse(body: string): unknown {
  try {
    return JSON.parse(body) as unknown;
  } catch {
    return undefined;
  }
}

function problemIn(answer: ApiAnswer, said: Json): Problem {
  const retryAfter = Number(answer.headers['retry-after']);
  if (text(said, 'code') === '') {
    return {
      status: answer.status,
      code: answer.status >= 500 ? 'server_unavailable' : 'not_evergrant',
      title: 'Not an answer of Evergrant',
      detail: `The answer (HTTP ${answer.status}) is not one of Evergrant's API.`,
      remedy: 'Check the address in --server or EVERGRANT_SERVER, and what stands in front of it.',
    };
  }
  return {
    retry_after: Number.isFinite(retryAfter) && retryAfter > 0 ? retryAfter : undefined,
    ...said,
    status: answer.status,
    code: text(said, 'code'),
    title: text(said, 'title'),
    detail: text(said, 'detail') || text(said, 'title'),
    remedy: text(said, 'remedy') || 'See docs/errors.md.',
  };
}

/** Every item of a list, page by page. */
export async function* items(
  api: Api,
  path: string,
  query: Readonly<Record<string, string>> = {},
): AsyncGenerator<Json> {
  for (let after = ''; ; ) {
    const parameters = new URLSearchParams({ ...query, limit: '100', ...(after === '' ? {} : { after }) });
    const page = asObject(await api.call('GET', `${path}?${parameters.toString()}`));
    if (Array.isArray(page.items)) yield* page.items.map(asObject);
    after = text(page, 'next');
    if (after === '') return;
  }
}
