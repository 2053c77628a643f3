/**
 * Every setting of this version, once: this table makes the flags, the variables, the keys of `evergrant.yaml`, the
 * help text and docs/settings.md. A setting `x-y` is the flag `--x-y`, the variable `EVERGRANT_X_Y` and the key `x-y`.
 */
import type { Settings } from '../app.ts';
import { isIP, resolve } from './builtin.ts';

export interface Setting<V> {
  readonly name: string;
  /** What follows the flag; null for a switch, which stands for `true`, and for what has no flag. */
  readonly argument: string | null;
  /** Never shown, and also taken from a file of its own. Without an argument it has no flag and no plain key either. */
  readonly secret: boolean;
  /** May be given several times, or as a list separated by commas. */
  readonly list: boolean;
  readonly about: string;
  /** In words, for help and docs. */
  readonly byDefault: string;
  /** What a right value looks like; ends the sentence "expected …". */
  readonly expects: string;
  /** The value, or undefined when the text is not one. */
  readonly parse: (text: string) => V | undefined;
}

export type SettingTable = { readonly [F in keyof Settings]: Setting<Settings[F]> };

const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'silent'] as const;
const ROOT_KEY_BYTES = 32;
const ADMIN_KEY_LEAST = 32;
const POSTGRES_URL = 'the URL of a PostgreSQL database, as in postgres://user:password@host:5432/evergrant';
/** One may be busy with a batch of appends while another one reads. */
const CONNECTIONS_LEAST = 2;
const CONNECTIONS_MOST = 500;
const WORKERS_MOST = 64;

const plain = { secret: false, list: false };
const list = { secret: false, list: true };
const secret = { argument: null, secret: true, list: false };

export const SETTINGS: SettingTable = {
  listen: {
    ...plain,
    name: 'listen',
    argument: 'HOST:PORT',
    about: 'The address to listen on. Port 0 takes a free one.',
    byDefault: '`127.0.0.1:8787`',
    expects: 'host:port, as in 127.0.0.1:8787 or [::1]:8787',
    parse: parseListen,
  },
  dataFolder: {
    ...plain,
    name: 'data',
    argument: 'FOLDER',
    about: 'The folder for database, journal and keys. One server a folder; it must outlive restarts.',
    byDefault: '`./data`',
    expects: 'the path of a folder',
    parse: (text) => resolve(text),
  },
  databaseUrl: {
    ...plain,
    name: 'database-url',
    argument: 'URL',
    secret: true,
    about: 'A PostgreSQL database that several nodes share; docs/operating/cluster.md says how.',
    byDefault: 'SQLite in the data folder',
    expects: POSTGRES_URL,
    parse: parsePostgresUrl,
  },
  databaseListenUrl: {
    ...plain,
    name: 'database-listen-url',
    argument: 'URL',
    secret: true,
    about: 'The same database past a pooler, to hear of changes by other nodes at once.',
    byDefault: 'the database URL; where that hears nothing, changes are looked for every second',
    expects: POSTGRES_URL,
    parse: parsePostgresUrl,
  },
  databaseConnections: {
    ...plain,
    name: 'database-connections',
    argument: 'NUMBER',
    about: 'How many connections this node opens to the PostgreSQL database at most, besides one to listen.',
    byDefault: '`10`',
    expects: 'a number from 2 to 500',
    parse: (text) => parseNumber(text, CONNECTIONS_LEAST, CONNECTIONS_MOST),
  },
  nodeId: {
    ...plain,
    name: 'node-id',
    argument: 'NAME',
    about: 'The name of this node in histories and journals.',
    byDefault: 'made once in the data folder',
    expects: 'up to 63 letters, digits, dots and dashes, starting with a letter or digit',
    parse: (text) => (/^[a-z0-9][a-z0-9.-]{0,62}$/i.test(text) ? text : undefined),
  },
  publicUrl: {
    ...plain,
    name: 'public-url',
    argument: 'URL',
    about:
      'Where browsers and clients reach the server; the callback is `/callback` under it. Never taken from a request.',
    byDefault: '`http://` and the listen address',
    expects: 'an http or https address without path, query or credentials, as in https://grants.example.com',
    parse: parseOrigin,
  },
  rootKey: {
    ...secret,
    name: 'root-key',
    about: 'The key that everything secret is sealed with.',
    byDefault: 'made in the data folder (0600) on the first start',
    expects: `${ROOT_KEY_BYTES} bytes as base64 or hex`,
    parse: (text) => (isRootKey(text) ? text : undefined),
  },
  adminKey: {
    ...secret,
    name: 'admin-key',
    about: 'An API key that may do everything.',
    byDefault: 'made on the first start, kept in `admin.key` in the data folder (0600)',
    expects: `at least ${ADMIN_KEY_LEAST} characters without spaces`,
    parse: (text) => (text.length >= ADMIN_KEY_LEAST && /^[\x21-\x7e]+$/.test(text) ? text : undefined),
  },
  providersFolder: {
    ...plain,
    name: 'providers',
    argument: 'FOLDER',
    about:
      'A folder of provider files that win over the built-in ones. Only these and emulators may use http and loopback.',
    byDefault: 'none',
    expects: 'the path of a folder of provider files',
    parse: (text) => resolve(text),
  },
  allowPrivateUpstream: {
    ...list,
    name: 'allow-private-upstream',
    argument: 'CIDR',
    about: 'Private addresses that names of providers may resolve to.',
    byDefault: 'none',
    expects: 'address ranges, as in 10.1.0.0/16',
    parse: parseRanges,
  },
  insecureHttp: {
    ...plain,
    name: 'insecure-http',
    argument: null,
    about: 'Allows to listen beyond loopback with an http public URL: for networks that nobody else is in.',
    byDefault: 'such a start is refused',
    expects: 'true or false',
    parse: parseSwitch,
  },
  trustedProxies: {
    ...list,
    name: 'trusted-proxies',
    argument: 'CIDR',
    about: 'Reverse proxies whose `X-Forwarded-For` is believed.',
    byDefault: 'none',
    expects: 'address ranges, as in 10.1.2.3/32',
    parse: parseRanges,
  },
  proxyListen: {
    ...plain,
    name: 'proxy-listen',
    argument: 'HOST:PORT',
    about: 'An address of its own for the proxy, so that what providers answer has another origin than the API.',
    byDefault: 'the same as `listen`',
    expects: 'host:port, as in 127.0.0.1:8788',
    parse: parseListen,
  },
  proxyCacheBytes: {
    ...plain,
    name: 'proxy-cache',
    argument: 'SIZE',
    about: 'Memory for answers to GET that providers allow to be kept, for the grant that they belong to.',
    byDefault: '`0`: none are kept',
    expects: 'a size in megabytes, as in 64',
    parse: parseMegabytes,
  },
  workers: {
    ...plain,
    name: 'workers',
    argument: 'NUMBER',
    about:
      'Processes that answer requests, to use more processors; with more than one, the parent answers none itself.',
    byDefault: '`1`: the one that does everything else',
    expects: 'a number from 1 to 64',
    parse: (text) => parseNumber(text, 1, WORKERS_MOST),
  },
  drainMs: {
    ...plain,
    name: 'drain',
    argument: 'DURATION',
    about: 'How long a stop may take at most while an exchange is on the wire.',
    byDefault: '`125s`',
    expects: 'a duration, as in 125s or 2m',
    parse: parseDuration,
  },
  log: {
    ...plain,
    name: 'log',
    argument: 'LEVEL',
    about: 'What is logged to stderr: JSON lines, readable ones on a terminal.',
    byDefault: '`info`',
    expects: LOG_LEVELS.join(', '),
    parse: (text) => LOG_LEVELS.find((level) => level === text),
  },
};

export const FIELDS = Object.keys(SETTINGS) as (keyof Settings)[];

/** Variables of the `EVERGRANT_` family that are no settings of the server. */
export const OTHER_VARIABLES: Readonly<Record<string, string>> = {
  EVERGRANT_CONFIG: 'The settings file, as `--config`.',
  EVERGRANT_SERVER: 'The server that commands talk to, as `--server`.',
  EVERGRANT_API_KEY: 'The API key that commands use; else the one in `admin.key` in the data folder.',
  EVERGRANT_API_KEY_FILE: 'A file that holds that API key.',
  EVERGRANT_EXPORT_PASSPHRASE: 'The passphrase of the file that `export` writes and `import` reads, instead of asking.',
  EVERGRANT_EXPORT_PASSPHRASE_FILE: 'A file that holds that passphrase.',
  EVERGRANT_CLIENT_SECRET: 'The client secret that `connect` and `apps add` use instead of asking.',
  EVERGRANT_CLIENT_SECRET_FILE: 'A file that holds that client secret.',
  EVERGRANT_CREDENTIAL:
    'The password or API key of a grant that `connect --scheme` and `grants renew` use instead of asking.',
  EVERGRANT_CREDENTIAL_FILE: 'A file that holds that password or API key.',
};

export const hasFlag = (setting: Setting<unknown>): boolean => !setting.secret || setting.argument !== null;
export const flagOf = (setting: Setting<unknown>): string => `--${setting.name}`;
export const variableOf = (setting: Setting<unknown>): string =>
  `EVERGRANT_${setting.name.replaceAll('-', '_').toUpperCase()}`;

/** Whether an address can be reached from this machine only. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
}

/** `host:port` as it stands in a URL. */
export function hostAndPort(listen: Settings['listen']): string {
  return `${listen.host.includes(':') ? `[${listen.host}]` : listen.host}:${listen.port}`;
}

function parseListen(text: string): Settings['listen'] | undefined {
  const [, host = '', digits = ''] = /^(\[[0-9a-f:.]+\]|[a-z0-9.-]+):(\d{1,5})$/i.exec(text) ?? [];
  if (host === '' || Number(digits) > 65_535) return undefined;
  return { host: host.replace(/^\[|\]$/g, ''), port: Number(digits) };
}

/** The origin of a URL that is nothing more than one; undefined otherwise. */
export function parseOrigin(text: string): string | undefined {
  if (!URL.canParse(text)) return undefined;
  const url = new URL(text);
  const isPlain = url.pathname === '/' && !/[?#@]/.test(text);
  return isPlain && ['http:', 'https:'].includes(url.protocol) ? url.origin : undefined;
}

function isRootKey(text: string): boolean {
  if (/^[0-9a-f]{64}$/i.test(text)) return true;
  return /^[A-Za-z0-9+/_-]{43}=?$/.test(text) && Buffer.from(text, 'base64').length === ROOT_KEY_BYTES;
}

function parsePostgresUrl(text: string): string | undefined {
  return URL.canParse(text) && ['postgres:', 'postgresql:'].includes(new URL(text).protocol) ? text : undefined;
}

function parseNumber(text: string, least: number, most: number): number | undefined {
  const number = /^\d{1,3}$/.test(text) ? Number(text) : Number.NaN;
  return number >= least && number <= most ? number : undefined;
}

function parseRanges(text: string): readonly string[] | undefined {
  const items = text
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '');
  const ranges = items.map(parseRange);
  return ranges.every((range) => range !== undefined) ? ranges : undefined;
}

function parseRange(text: string): string | undefined {
  const [address = '', prefix] = text.split('/');
  const family = isIP(address);
  if (family === 0) return undefined;
  const bits = family === 4 ? 32 : 128;
  if (prefix === undefined) return `${address}/${bits}`;
  return /^\d{1,3}$/.test(prefix) && Number(prefix) <= bits ? text : undefined;
}

function parseSwitch(text: string): boolean | undefined {
  if (['true', '1', 'yes', 'on'].includes(text.toLowerCase())) return true;
  return ['false', '0', 'no', 'off'].includes(text.toLowerCase()) ? false : undefined;
}

function parseMegabytes(text: string): number | undefined {
  return /^\d{1,5}$/.test(text) ? Number(text) * 1_000_000 : undefined;
}

function parseDuration(text: string): number | undefined {
  const [, digits, unit = 's'] = /^(\d{1,7})\s?(ms|s|m|h)?$/.exec(text) ?? [];
  const perUnit = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 }[unit];
  return digits === undefined || perUnit === undefined ? undefined : Number(digits) * perUnit;
}
