/**
 * Reads the settings: a flag beats an environment variable beats `evergrant.yaml` beats the default. Whatever is
 * unknown or wrong stops the command with exit code 78, the name of the setting and what is expected.
 */
import type { Settings } from '../app.ts';
import { EvergrantError } from '../core/errors.ts';
import { existsSync, readFileSync, statSync } from './builtin.ts';
import {
  FIELDS,
  flagOf,
  hasFlag,
  hostAndPort,
  isLoopback,
  OTHER_VARIABLES,
  parseOrigin,
  SETTINGS,
  type Setting,
  variableOf,
} from './setting-table.ts';

const DEFAULT_FILE = 'evergrant.yaml';

/** Flags as commander gives them, by their camel-cased name. */
export type Flags = Readonly<Record<string, unknown>>;
export type Environment = Readonly<Record<string, string | undefined>>;

/** A value as somebody wrote it, and where. */
interface Found {
  readonly text: string;
  readonly from: string;
}

export interface Configuration {
  readonly settings: Settings;
  /** Where each setting came from, as in `EVERGRANT_LISTEN`; what is left out has its default. */
  readonly sources: Readonly<Partial<Record<keyof Settings, string>>>;
  /** The server that commands talk to; null when none was named. */
  readonly server: string | null;
  readonly apiKey: string | null;
}

/** An error that names a setting: exit code 78. */
export function settingError(message: string, remedy: string): EvergrantError {
  return new EvergrantError('setting', message, { remedy });
}

export async function readConfiguration(flags: Flags, environment: Environment): Promise<Configuration> {
  await refuseUnknownVariables(environment);
  const file = await readSettingsFile(flags, environment);
  const sources: Partial<Record<keyof Settings, string>> = {};
  const take = <F extends keyof Settings>(field: F, otherwise: Settings[F]): Settings[F] => {
    const setting = SETTINGS[field];
    const found = find(setting, flags, environment, file);
    if (found) sources[field] = found.from;
    return found ? parse(setting, found) : otherwise;
  };
  const listen = take('listen', { host: '127.0.0.1', port: 8787 });
  const settings: Settings = {
    listen,
    dataFolder: take('dataFolder', SETTINGS.dataFolder.parse('data') ?? 'data'),
    databaseUrl: take('databaseUrl', null),
    databaseListenUrl: take('databaseListenUrl', null),
    databaseConnections: take('databaseConnections', 10),
    nodeId: take('nodeId', null),
    publicUrl: take('publicUrl', `http://${hostAndPort(listen)}`),
    rootKey: take('rootKey', null),
    adminKey: take('adminKey', null),
    providersFolder: take('providersFolder', null),
    allowPrivateUpstream: take('allowPrivateUpstream', []),
    insecureHttp: take('insecureHttp', false),
    trustedProxies: take('trustedProxies', []),
    proxyListen: take('proxyListen', null),
    proxyCacheBytes: take('proxyCacheBytes', 0),
    workers: take('workers', 1),
    drainMs: take('drainMs', 125_000),
    log: take('log', 'info'),
  };
  refuseClearText(settings, sources);
  refuseMissingFolder(settings, sources);
  const server = readServer(flags, environment);
  return { settings, sources, server, apiKey: readSecret('API_KEY', environment) };
}

/** A secret from `EVERGRANT_{name}` or the file that `EVERGRANT_{name}_FILE` names; null when neither is set. */
export function readSecret(name: string, environment: Environment): string | null {
  return secretFrom(`EVERGRANT_${name}`, environment)?.text ?? null;
}

function find(setting: Setting<unknown>, flags: Flags, environment: Environment, file: SettingsFile): Found | null {
  const flag = flags[camelCase(setting.name)];
  if (flag !== undefined) return { text: asText(flag, flagOf(setting)), from: flagOf(setting) };
  const variable = variableOf(setting);
  const fromEnvironment = setting.secret ? secretFrom(variable, environment) : plainFrom(variable, environment);
  return fromEnvironment ?? file.plain(setting.name) ?? (setting.secret ? file.secret(setting.name) : null);
}

function parse<V>(setting: Setting<V>, found: Found): V {
  const value = setting.parse(found.text);
  if (value !== undefined) return value;
  const shown = setting.secret ? 'set to something else' : `"${found.text}"`;
  throw settingError(`${found.from} is ${shown}; expected ${setting.expects}.`, `Correct ${found.from}.`);
}

/** An empty variable is one that is not set: compose files and charts pass them on that way. */
function plainFrom(variable: string, environment: Environment): Found | null {
  const text = environment[variable];
  return text === undefined || text === '' ? null : { text, from: variable };
}

function secretFrom(variable: string, environment: Environment): Found | null {
  const plain = plainFrom(variable, environment);
  const path = plainFrom(`${variable}_FILE`, environment);
  if (plain && path) {
    throw settingError(`Both ${variable} and ${variable}_FILE are set.`, 'Keep one of the two.');
  }
  return path ? { text: readSecretFile(path.text, path.from), from: path.from } : plain;
}

/** A secret file holds the secret on its first line, and only its owner may read it. */
export function readSecretFile(path: string, from: string): string {
  const status = statSync(path, { throwIfNoEntry: false });
  if (!status?.isFile()) throw settingError(`${from} names ${path}, which is no file.`, `Correct ${from}.`);
  if (process.platform !== 'win32' && (status.mode & 0o077) !== 0) {
    throw settingError(
      `${from} names ${path}, which others than its owner may read (mode ${(status.mode & 0o777).toString(8)}).`,
      `Make it private: chmod 600 ${path}`,
    );
  }
  try {
    return readFileSync(path, 'utf8').trim();
  } catch (cause) {
    throw new EvergrantError('setting', `${from} names ${path}, which cannot be read.`, {
      remedy: 'Give the file to the user that Evergrant runs as.',
      cause,
    });
  }
}

interface SettingsFile {
  plain(name: string): Found | null;
  /** As `{name}-file`: a settings file is shared and committed, a secret is not. */
  secret(name: string): Found | null;
}

async function readSettingsFile(flags: Flags, environment: Environment): Promise<SettingsFile> {
  const named = flags.config ?? (environment.EVERGRANT_CONFIG || undefined);
  const path = named === undefined ? DEFAULT_FILE : asText(named, '--config');
  if (named === undefined && !existsSync(path)) return { plain: () => null, secret: () => null };
  const values = await parseYaml(path);
  await refuseUnknownKeys(path, values);
  const plain = (name: string): Found | null => {
    const value = values.get(name);
    const from = `${name} in ${path}`;
    return value === undefined || value === null ? null : { text: asText(value, from), from };
  };
  const secret = (name: string): Found | null => {
    const found = plain(`${name}-file`);
    return found && { text: readSecretFile(found.text, found.from), from: found.from };
  };
  return { plain, secret };
}

async function parseYaml(path: string): Promise<ReadonlyMap<string, unknown>> {
  if (!statSync(path, { throwIfNoEntry: false })?.isFile()) {
    throw settingError(`The settings file ${path} is not there.`, 'Correct --config (or EVERGRANT_CONFIG).');
  }
  const { parseDocument } = await import('yaml');
  const document = parseDocument(readFileSync(path, 'utf8'));
  const [fault] = document.errors;
  // Only the place of the fault: the text around it might be a secret.
  const place = fault?.linePos?.[0];
  if (fault) throw settingError(`${path} is no YAML (line ${place?.line ?? '?'}).`, 'Correct that line.');
  const value: unknown = document.toJS();
  if (value === null || value === undefined) return new Map();
  if (typeof value !== 'object' || Array.isArray(value)) {
    throw settingError(`${path} is not a list of settings.`, 'Write one `name: value` a line.');
  }
  return new Map(Object.entries(value));
}

async function refuseUnknownKeys(path: string, values: ReadonlyMap<string, unknown>): Promise<void> {
  const settings = FIELDS.map((field) => SETTINGS[field]);
  const known = settings.flatMap(keysOf);
  for (const key of values.keys()) {
    if (known.includes(key)) continue;
    const isSecret = settings.some((setting) => setting.secret && setting.name === key);
    const remedy = isSecret
      ? `Put it into a file of its own and name that as ${key}-file.`
      : 'docs/settings.md names every setting.';
    const why = isSecret ? 'is a secret and does not belong there' : 'is no setting';
    throw settingError(`"${key}" in ${path} ${why}.${isSecret ? '' : await meant(key, known)}`, remedy);
  }
}

/** The keys of a setting in the settings file. */
export function keysOf(setting: Setting<unknown>): readonly string[] {
  if (!setting.secret) return [setting.name];
  return hasFlag(setting) ? [setting.name, `${setting.name}-file`] : [`${setting.name}-file`];
}

/** What Kubernetes puts into every container of a namespace that has a service called `evergrant`. */
const SERVICE_LINK = /^EVERGRANT_(SERVICE_(HOST|PORT)|PORT_\d+_(TCP|UDP))(_|$)/;

async function refuseUnknownVariables(environment: Environment): Promise<void> {
  const known = new Set(Object.keys(OTHER_VARIABLES));
  for (const field of FIELDS) {
    const setting = SETTINGS[field];
    known.add(variableOf(setting));
    if (setting.secret) known.add(`${variableOf(setting)}_FILE`);
  }
  for (const [name, value] of Object.entries(environment)) {
    if (!name.startsWith('EVERGRANT_') || known.has(name) || SERVICE_LINK.test(name)) continue;
    if (name === 'EVERGRANT_PORT' && value?.startsWith('tcp://')) continue;
    throw settingError(`${name} is no setting.${await meant(name, known)}`, 'docs/settings.md names every setting.');
  }
}

/** Loaded for mistakes alone. */
async function meant(typed: string, known: Iterable<string>): Promise<string> {
  return (await import('./did-you-mean.ts')).didYouMean(typed, known);
}

function refuseClearText(settings: Settings, sources: Configuration['sources']): void {
  const { publicUrl, insecureHttp, proxyListen } = settings;
  const listen = proxyListen && isLoopback(settings.listen.host) ? proxyListen : settings.listen;
  if (isLoopback(listen.host) || publicUrl.startsWith('https:') || insecureHttp) return;
  const named = sources.publicUrl === undefined ? 'no public URL is set' : `the public URL is ${publicUrl}`;
  throw settingError(
    `Listening on ${hostAndPort(listen)} goes beyond this machine, and ${named}: tokens would travel in clear text.`,
    'Set --public-url to the https address of the reverse proxy in front, or give --insecure-http.',
  );
}

function refuseMissingFolder(settings: Settings, sources: Configuration['sources']): void {
  const folder = settings.providersFolder;
  if (folder === null || statSync(folder, { throwIfNoEntry: false })?.isDirectory()) return;
  throw settingError(
    `${sources.providersFolder} is "${folder}", which is no folder; expected ${SETTINGS.providersFolder.expects}.`,
    'Make the folder, or correct the path.',
  );
}

function readServer(flags: Flags, environment: Environment): string | null {
  const flag = flags.server;
  const found =
    typeof flag === 'string' ? { text: flag, from: '--server' } : plainFrom('EVERGRANT_SERVER', environment);
  if (!found) return null;
  const origin = parseOrigin(found.text);
  if (origin) return origin;
  throw settingError(
    `${found.from} is "${found.text}"; expected ${SETTINGS.publicUrl.expects}.`,
    `Correct ${found.from}.`,
  );
}

function asText(value: unknown, from: string): string {
  if (Array.isArray(value)) return value.map((item) => asText(item, from)).join(',');
  if (typeof value === 'string') return value;
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  throw settingError(`${from} is not a plain value.`, `Give ${from} a text, a number or true/false.`);
}

function camelCase(name: string): string {
  return name.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase());
}
