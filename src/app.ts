/**
 * Composition of the server: the only file that knows storage, keeper, http and the machine at once. Started from the
 * inside out, so that nothing is served before everything the last run left is taken up; closed the other way round.
 */
import { createServer } from 'node:net';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { apiKeys } from './access/api-keys.ts';
import { catalogue } from './catalogue/catalogue.ts';
import { loadProvider } from './catalogue/dated.ts';
import { againInWords } from './catalogue/in-words.ts';
import { EvergrantError } from './core/errors.ts';
import { toRfc3339 } from './core/instant.ts';
import type { HttpParts } from './http/parts.ts';
import { buildServer } from './http/server.ts';
import { sharedState } from './http/shared.ts';
import { createIssuer } from './issuer/issuer.ts';
import { createKeeper } from './keeper/create-keeper.ts';
import type { ExportedGrant } from './keeper/export.ts';
import type { Grant, Keeper } from './keeper/keeper.ts';
import type { KeeperParts } from './keeper/parts.ts';
import type { Clock } from './ports/clock.ts';
import type { Log } from './ports/log.ts';
import type { Page } from './ports/store.ts';
import type { Store } from './ports/store.ts';
import { compareKeyChecks, readKeyCheck } from './storage/postgres/key-check.ts';
import { connectPostgres, openPostgresStore } from './storage/postgres/store.ts';
import { compareKeyCheck, peekKeyCheck, verifyKeyCheck } from './storage/sqlite/key-check.ts';
import { openSqliteStore } from './storage/sqlite/store.ts';
import { withToldFailures } from './storage/told-failures.ts';
import { announcing } from './workers/announcing.ts';
import type { Crew } from './workers/crew.ts';
import type { Order } from './workers/order.ts';
import { loadAdminKey } from './world/admin-key.ts';
import { type AesSealer, createAesSealer } from './world/aes-sealer.ts';
import { openDataFolder, loadNodeId } from './world/data-folder.ts';
import { endOfTurn } from './world/event-loop.ts';
import { openFileJournal } from './world/file-journal.ts';
import { compareJournalKey, hasJournalKey } from './world/file-journal-key.ts';
import { openJournalFolder } from './world/journal-folder.ts';
import { network } from './world/network.ts';
import { createLog } from './world/pino-log.ts';
import { readProviderFile, readProviderFiles } from './world/provider-files.ts';
import { relay } from './world/relay.ts';
import { loadRootKey, type RootKey } from './world/root-key.ts';
import { systemClock } from './world/system-clock.ts';
import { systemRandom } from './world/system-random.ts';
import { refuseUnsetClock } from './world/unset-clock.ts';
import { VERSION } from './world/version.ts';

/** For a server, before it starts. */
export { giveBackMemory } from './world/spare-memory.ts';

/** Every setting of `serve`, parsed and checked. Times in milliseconds. */
export interface Settings {
  readonly listen: { readonly host: string; readonly port: number };
  readonly dataFolder: string;
  /** Null: SQLite in the data folder. */
  readonly databaseUrl: string | null;
  /** Leads past a pooler, for LISTEN; null: `databaseUrl` is tried. */
  readonly databaseListenUrl: string | null;
  /** Most connections to a shared database. */
  readonly databaseConnections: number;
  /** Null: made once in the data folder. */
  readonly nodeId: string | null;
  /** Without a slash at its end. */
  readonly publicUrl: string;
  /** base64 or hex of 32 bytes; null: the file in the data folder. */
  readonly rootKey: string | null;
  readonly adminKey: string | null;
  readonly providersFolder: string | null;
  /** CIDR ranges that names of providers may resolve to although they are private. */
  readonly allowPrivateUpstream: readonly string[];
  readonly insecureHttp: boolean;
  readonly trustedProxies: readonly string[];
  /** Where the proxy listens; null: where everything else does. */
  readonly proxyListen: { readonly host: string; readonly port: number } | null;
  /** Memory for answers to GET that providers allow to be kept. */
  readonly proxyCacheBytes: number;
  /** Processes that answer requests; 1: the one that does everything else. */
  readonly workers: number;
  readonly drainMs: number;
  readonly log: 'debug' | 'info' | 'warn' | 'error' | 'silent';
}

/** A plain request and answer, for callers in the same process. */
export interface LocalRequest {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'PUT' | 'DELETE';
  /** Path and query, as in `/v1/grants?limit=10`. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
}

export interface LocalAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export interface RunningApp {
  /** Where it listens; null when it does not. */
  readonly origin: string | null;
  /** Where the proxy listens, if it has an origin of its own. */
  readonly proxyOrigin: string | null;
  readonly publicUrl: string;
  /** The admin API key, and whether this start made it. */
  readonly adminKey: { readonly text: string; readonly isNew: boolean };
  /** The same as over HTTP, without a socket. */
  request(request: LocalRequest): Promise<LocalAnswer>;
  /** Grants for another owner. There is no way to these over HTTP. */
  readonly exports: {
    /** These grants, or all that are alive; with those that cannot be handed over, and why. */
    read(aliases: readonly string[] | null): Promise<{
      readonly grants: readonly Exported[];
      readonly failures: readonly { readonly alias: string; readonly error: unknown }[];
    }>;
    /** Ends it here; false where it has moved on since it was read. */
    end(exported: Exported): Promise<boolean>;
  };
  /** Drains and closes everything; resolves when it is safe to exit. */
  close(): Promise<void>;
}

/** A grant that was read for an export. */
export interface Exported {
  readonly alias: string;
  readonly grant: ExportedGrant;
  /** As a line of an import, with every secret. */
  line(): string;
}

/** What tests may put in the place of the real thing. */
export interface Overrides {
  readonly onStep?: NonNullable<KeeperParts['onStep']>;
  readonly clock?: Clock;
}

/**
 * Starts a server. `all` listens on the configured address; `callback` answers only the browser's part of an
 * authorization there; `none` opens no socket.
 */
export async function startApp(
  settings: Settings,
  listen: 'all' | 'callback' | 'none',
  overrides: Overrides = {},
): Promise<RunningApp> {
  await using opened = new AsyncDisposableStack();
  const clock = overrides.clock ?? systemClock;
  refuseUnsetClock(clock.now());
  const log = createLog({ level: settings.log });
  const held = listen === 'none' ? null : opened.adopt(await holdAddress(settings.listen), (one) => one.release());
  const address = held?.address ?? settings.listen;
  const publicUrl = settings.publicUrl.replace(/:0$/, `:${address.port}`);
  const folder = opened.adopt(openDataFolder(settings.dataFolder), (one) => one.close());
  const { databaseUrl } = settings;
  const {
    store: raw,
    sealer,
    key,
  } = databaseUrl === null
    ? openOwnStore(settings, folder.path)
    : await openSharedStore({ ...settings, databaseUrl }, folder.path, { clock, log });
  // Workers are told of what this process changes, too.
  const announced = listen === 'all' && settings.workers > 1 ? announcing(withToldFailures(raw)) : null;
  const store = announced?.store ?? withToldFailures(raw);
  opened.defer(() => store.close());
  const journal = opened.adopt(
    await openFileJournal({ dataFolder: folder.path, clock, log, keyCheck: sealer.keyCheck }),
    (one) => one.close(),
  );
  const files = providerFiles(settings);
  const providers = catalogue({ ...files, now: () => clock.now() });
  const folderId = loadNodeId(folder.path, systemRandom);
  const keeper = await createKeeper({
    store,
    journal,
    sealer,
    network: network({ allowPrivate: settings.allowPrivateUpstream }),
    clock,
    random: systemRandom,
    log,
    catalogue: providers,
    node: settings.nodeId ?? folderId,
    folder: folderId,
    run: Buffer.from(systemRandom.bytes(RUN_BYTES)).toString('hex'),
    publicUrl,
    ...overrides,
  });
  let drained: Promise<void> | null = null;
  const drainOnce = () => (drained ??= drain(keeper, settings.drainMs, log));
  opened.defer(drainOnce);
  const adminKey = loadAdminKey({ text: settings.adminKey, dataFolder: folder.path, random: systemRandom });
  const told = announced ? { records: store.records, ...announced.changes } : store;
  const issuer = createIssuer({
    keeper,
    records: store.records,
    changes: told,
    sealer,
    network: network({ allowPrivate: settings.allowPrivateUpstream }),
    clock,
    random: systemRandom,
    log,
    publicUrl,
  });
  opened.defer(() => issuer.drain());
  const http: Omit<HttpParts, 'surface'> = {
    keeper,
    issuer,
    catalogue: providers,
    apiKeys: apiKeys({ store: told, random: systemRandom, clock, adminKey: adminKey.key }),
    records: store.records,
    sealer,
    clock,
    random: systemRandom,
    log,
    settings: {
      publicUrl,
      listensBeyondLoopback: !isLoopback(settings.listen.host),
      trustedProxies: settings.trustedProxies,
      version: VERSION,
      proxyCacheBytes: settings.proxyCacheBytes,
    },
    shared: sharedState({ keeper, issuer, log }),
    relay: opened.adopt(relay({ allowPrivate: settings.allowPrivateUpstream }), (one) => one.close()),
  };
  // Calls within this process reach everything; what the socket offers may be less.
  const surface = settings.proxyListen === null ? 'all' : 'no-proxy';
  const server = opened.adopt(await buildServer({ ...http, surface }), (one) => one.close());
  const heldProxy = listen === 'all' && settings.proxyListen ? await holdAddress(settings.proxyListen) : null;
  const proxyAddress = heldProxy?.address ?? null;
  await Promise.all([held?.release(), heldProxy?.release()]);
  if (announced) {
    const shared = { keeper, issuer, shared: http.shared, announcing: announced, clock, log };
    const secrets = { rootKey: key.reveal(), adminKey: adminKey.key, providers: files };
    const addresses = { listen: address, proxyListen: proxyAddress };
    const crew = await crewOf(settings, shared, { ...secrets, ...addresses, http: http.settings });
    await crew.start();
    opened.defer(() => crew.stop(drainOnce()));
  } else if (listen === 'all') await server.listen(address);
  if (proxyAddress && !announced) {
    const proxy = opened.adopt(await buildServer({ ...http, surface: 'proxy' }), (one) => one.close());
    await proxy.listen(proxyAddress);
  }
  if (listen === 'callback') {
    const browser = opened.adopt(await buildServer({ ...http, surface: 'callback' }), (one) => one.close());
    await browser.listen(address);
  }
  const closing = opened.move();
  let closed: Promise<void> | null = null;
  return {
    origin: listen === 'none' ? null : originOf(address),
    proxyOrigin: proxyAddress && originOf(proxyAddress),
    publicUrl,
    adminKey: { text: adminKey.key.reveal(), isNew: adminKey.isNew },
    request: (request) => inProcess(server, request),
    exports: {
      read: (wanted) => readExports(keeper, wanted),
      end: ({ grant }) => keeper.exports.end(grant),
    },
    close() {
      keeper.stop();
      // From now on, not only once the last caller has its answer: some wait for what the drain gives up.
      void drainOnce();
      closed ??= closing.disposeAsync();
      return closed;
    },
  };
}

/** Beside this file, and in the same language. */
const WORKER = fileURLToPath(new URL(`worker${extname(import.meta.filename)}`, import.meta.url));
const RUN_BYTES = 8;
const DATABASE = 'evergrant.db';
const BUILT_IN_PROVIDERS = fileURLToPath(new URL('../providers', import.meta.url));

type Common = ConstructorParameters<typeof Crew>[0]['common'];

/** Processes of their own that answer requests, over the keeper and the store of this one. */
async function crewOf(
  settings: Settings,
  common: Omit<Common, 'endOfTurn' | 'doubted'>,
  order: Pick<Order, 'rootKey' | 'adminKey' | 'providers' | 'listen' | 'proxyListen' | 'http'>,
): Promise<Crew> {
  const { workers: size, allowPrivateUpstream, log } = settings;
  // Together they may keep what one would.
  const http = { ...order.http, proxyCacheBytes: Math.floor(order.http.proxyCacheBytes / size) };
  const metricsType = common.shared.metrics.contentType;
  // One process has no use for it.
  const crews = await import('./workers/crew.ts');
  return new crews.Crew({
    size,
    file: WORKER,
    order: (worker): Order => ({ ...order, http, worker, allowPrivateUpstream, metricsType, log }),
    common: { ...common, endOfTurn, doubted: new Map() },
  });
}

interface OpenStore {
  readonly store: Store;
  readonly sealer: AesSealer;
  readonly key: RootKey;
}

/** Database and root key belong together: neither is made or changed where they do not match. */
function openOwnStore(settings: Settings, folder: string): OpenStore {
  const file = join(folder, DATABASE);
  const kept = peekKeyCheck(file);
  const { key } = loadRootKey({
    text: settings.rootKey,
    dataFolder: folder,
    mayMake: kept === null && !hasJournalKey(folder),
    random: systemRandom,
  });
  const sealer = createAesSealer(key, systemRandom);
  compareJournalKey(folder, sealer.keyCheck);
  if (kept !== null) compareKeyCheck(kept, sealer.keyCheck);
  const store = openSqliteStore(file, endOfTurn);
  verifyKeyCheck(store.meta, sealer.keyCheck);
  return { store, sealer, key };
}

/** As `openOwnStore`, where other nodes may be starting on the same database. */
async function openSharedStore(
  settings: Settings & { readonly databaseUrl: string },
  folder: string,
  { clock, log }: { readonly clock: Clock; readonly log: Log },
): Promise<OpenStore> {
  const { databaseUrl, databaseListenUrl, databaseConnections, rootKey } = settings;
  await using opened = new AsyncDisposableStack();
  const db = await connectPostgres({ url: databaseUrl, connections: databaseConnections, clock });
  opened.defer(() => db.close());
  const kept = await readKeyCheck(db);
  const { key } = loadRootKey({
    text: rootKey,
    dataFolder: folder,
    mayMake: kept === null && !hasJournalKey(folder),
    random: systemRandom,
  });
  const sealer = createAesSealer(key, systemRandom);
  compareJournalKey(folder, sealer.keyCheck);
  compareKeyChecks(kept, sealer.keyCheck);
  const store = await openPostgresStore({ db, keyCheck: sealer.keyCheck, listenUrl: databaseListenUrl, clock, log });
  opened.move();
  return { store, sealer, key };
}

/** The journal in the folder of another node, sealed as it is; `tell` hears of what cannot be read. */
export async function readJournalFolder(path: string, tell: (line: string) => void) {
  const silent = () => undefined;
  const folder = await openJournalFolder(path, { debug: silent, info: silent, warn: tell, error: tell });
  async function* records() {
    for await (const { record } of folder.records()) yield record;
  }
  return { node: folder.node, records: records() };
}

/** A file as the folder of `--providers` may hold it, right at each of its dates. Throws `setting` where it is not. */
export function checkProviderFile(path: string) {
  const provider = loadProvider(readProviderFile(path), 'local').at(systemClock.now());
  return { file: path, id: provider.id, name: provider.name, again: againInWords(provider) };
}

function providerFiles({ providersFolder }: Settings): Order['providers'] {
  const extra = providersFolder === null ? [] : readProviderFiles(providersFolder);
  return { builtIn: readProviderFiles(BUILT_IN_PROVIDERS), extra };
}

async function drain(keeper: Keeper, drainMs: number, log: Log): Promise<void> {
  log.info('Stopping: exchanges on the wire are finished, nothing new begins.');
  await keeper.drain(drainMs);
}

interface HeldAddress {
  readonly address: Settings['listen'];
  /** The moment before somebody listens there; may be called again. */
  release(): Promise<void>;
}

/**
 * Finds out whether the port is free before anything else is touched. Port 0 becomes a free one, which nobody else is
 * given until it is released.
 */
async function holdAddress(listen: Settings['listen']): Promise<HeldAddress> {
  const probe = createServer();
  const release = () =>
    new Promise<void>((done) => {
      probe.close(() => done());
    });
  try {
    await new Promise<void>((done, fail) => {
      probe.once('error', fail).listen(listen.port, listen.host, done);
    });
  } catch (cause) {
    throw new EvergrantError('setting', `Cannot listen on ${listen.host}:${listen.port}: ${reasonOf(cause)}.`, {
      remedy: 'Stop what listens there, or choose another address: --listen 127.0.0.1:8788',
      cause,
    });
  }
  const found = probe.address();
  if (listen.port !== 0) await release();
  return {
    address: { host: listen.host, port: typeof found === 'object' && found ? found.port : listen.port },
    release,
  };
}

function reasonOf(cause: unknown): string {
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown';
  switch (code) {
    case 'EADDRINUSE':
      return 'another program listens there already';
    case 'EACCES':
      return 'this user may not use that port';
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return 'this machine has no such address';
    default:
      return code;
  }
}

type Exporting = Awaited<ReturnType<typeof createKeeper>>;

const ALIVE = ['active', 'waiting', 'in_doubt', 'recovering', 'held'] as const;

async function readExports(keeper: Exporting, wanted: readonly string[] | null) {
  const grants: Exported[] = [];
  const failures: { alias: string; error: unknown }[] = [];
  for (const alias of wanted ?? (await aliases(keeper))) {
    try {
      const grant = await keeper.exports.read(alias);
      grants.push({ alias, grant, line: () => lineOf(grant) });
    } catch (error) {
      failures.push({ alias, error });
    }
  }
  return { grants, failures };
}

async function aliases(keeper: Exporting): Promise<readonly string[]> {
  const found: string[] = [];
  for (const state of ALIVE) {
    for (let after: string | null = null, isFirst = true; isFirst || after !== null; isFirst = false) {
      const page: Page<Grant> = await keeper.grants.list({ state, limit: 100, after });
      found.push(...page.items.map(({ alias }) => alias));
      after = page.next;
    }
  }
  return found;
}

function lineOf(grant: ExportedGrant): string {
  const { accessToken, accessTokenLifeMs } = grant;
  return JSON.stringify({
    alias: grant.alias,
    provider: grant.provider,
    client_id: grant.clientId,
    ...(grant.clientSecret ? { client_secret: grant.clientSecret.reveal() } : {}),
    ...(grant.privateKey ? { private_key: grant.privateKey.reveal() } : {}),
    variables: grant.variables,
    refresh_token: grant.refreshToken.reveal(),
    ...(accessToken && accessTokenLifeMs !== null
      ? { access_token: accessToken.reveal(), expires_in: Math.floor(accessTokenLifeMs / 1000) }
      : {}),
    obtained_at: toRfc3339(grant.obtainedAt),
    ...(grant.owner === null ? {} : { owner: grant.owner }),
    labels: grant.labels,
    scope: grant.scope,
  });
}

async function inProcess(server: Awaited<ReturnType<typeof buildServer>>, request: LocalRequest): Promise<LocalAnswer> {
  const { method, path, headers, body } = request;
  const answer = await server.inject({ method, url: path, headers, ...(body === undefined ? {} : { payload: body }) });
  const flat = Object.entries(answer.headers).map(([name, value]) => [name, String(value)]);
  return { status: answer.statusCode, headers: Object.fromEntries(flat), body: answer.body };
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || host.startsWith('127.');
}

function originOf({ host, port }: Settings['listen']): string {
  return `http://${host.includes(':') ? `[${host}]` : host}:${port}`;
}
