/**
 * For tests only: a keeper in memory that does what it is told, and the other parts a server needs. Nothing here is
 * sealed or rotated; it stands where the keeper stands, so that this room can be tested alone.
 */
import { createHash } from 'node:crypto';
import { apiKeys } from '../access/api-keys.ts';
import type { Catalogue, Provider } from '../catalogue/provider.ts';
import { standardProvider } from '../catalogue/standard.ts';
import type { RecordedEvent } from '../core/chain.ts';
import { type ErrorCode, EvergrantError } from '../core/errors.ts';
import { type AuthorizationId, newId } from '../core/id.ts';
import { after, type Instant } from '../core/instant.ts';
import { type Sealed, Secret } from '../core/secret.ts';
import { createIssuer } from '../issuer/issuer.ts';
import type {
  App,
  AuthorizationOutcome,
  CallbackParameters,
  Grant,
  ImportedGrant,
  Keeper,
  LiveAccessToken,
  NewApp,
  NewGrant,
  NewGrantWithCredentials,
  TokenWish,
} from '../keeper/keeper.ts';
import type { Log, LogFields } from '../ports/log.ts';
import type { Network } from '../ports/network.ts';
import type { Sealer } from '../ports/sealer.ts';
import type { Change, Page, RecordKind, Records, Store, StoredRecord, Term } from '../ports/store.ts';
import type { HttpParts, HttpSettings } from './parts.ts';
import { sharedState } from './shared.ts';

export const ADMIN_KEY = 'admin-key-of-the-tests-0123456789abcdef';
export const NOW = Date.parse('2026-11-21T12:00:00Z') as Instant;

/** What a test sees of the fake, and may change. */
export interface FakeKeeper extends Keeper {
  readonly calls: { readonly name: string; readonly input: unknown }[];
  /** Tokens by alias; what is missing is not in memory. */
  readonly live: Map<string, LiveAccessToken>;
  /** What every cold token request does; by default it is pending. */
  onGet: (name: string, wish: TokenWish) => Promise<LiveAccessToken>;
  onFinish: (callback: CallbackParameters, cookie: string | null) => Promise<AuthorizationOutcome>;
  onCreate: () => Promise<void>;
  ready: () => Promise<boolean>;
  history: readonly RecordedEvent[];
  addGrant(alias: string, change?: Partial<Grant>): Grant;
}

export function fail(code: ErrorCode, message = 'As the test wants it.'): EvergrantError {
  return new EvergrantError(code, message, { remedy: 'None is needed.' });
}

export function fakeGrant(alias: string, change: Partial<Grant> = {}): Grant {
  const id = newId('grt', NOW, createHash('sha256').update(alias).digest());
  return {
    id,
    alias,
    app: newId('app', NOW, new Uint8Array(16)),
    provider: 'exact-online',
    scheme: null,
    owner: null,
    labels: {},
    freshness: { mode: 'on_demand' },
    account: null,
    scope: { requested: [], granted: null, missing: [] },
    state: 'pending',
    stateSince: NOW,
    accessTokenExpiresAt: null,
    nextExchangeAt: null,
    expires: {
      idleAt: null,
      absoluteAt: null,
      earliestAt: null,
      earliestReason: null,
      announcedAt: null,
      nextAnnouncementAt: null,
      warnings: [],
    },
    generation: 0,
    exchanges: 0,
    diagnosis: null,
    createdAt: NOW,
    ...change,
  };
}

export function liveToken(text: string, leftMs: number, scope: string | null = null): LiveAccessToken {
  return { accessToken: new Secret('access token', text), expiresAt: after(NOW, leftMs), leftMs, scope };
}

export function fakeKeeper(): FakeKeeper {
  const apps = new Map<string, App>();
  const grants = new Map<string, Grant>();
  const tickets = new Map<string, { readonly grant: Grant; readonly returnUrl: string | null; isUsed: boolean }>();
  const calls: { name: string; input: unknown }[] = [];
  const note = (name: string, input: unknown) => calls.push({ name, input });

  function find(name: string): Grant {
    const grant = grants.get(name) ?? [...grants.values()].find((one) => one.alias === name);
    if (!grant) throw fail('not_found', 'There is no such grant.');
    return grant;
  }

  function add(grant: Grant): Grant {
    if ([...grants.values()].some((one) => one.alias === grant.alias && one.id !== grant.id)) throw fail('alias_taken');
    grants.set(grant.id, grant);
    return grant;
  }

  function unusedTicket(ticket: string) {
    const entry = tickets.get(ticket);
    if (!entry) throw fail('not_found', 'There is no such link.');
    if (entry.isUsed) throw fail('link_used');
    return entry;
  }

  const keeper: FakeKeeper = {
    calls,
    live: new Map(),
    onGet: async () => {
      throw fail('authorization_pending');
    },
    onFinish: async () => ({ outcome: 'failed', reason: 'Not set.', remedy: 'Set it.', returnUrl: null }),
    onCreate: async () => undefined,
    ready: async () => true,
    history: [],
    addGrant: (alias, change) => add(fakeGrant(alias, change)),

    apps: {
      async create(app: NewApp) {
        note('apps.create', app);
        const { provider, clientId = 'registered', name = clientId, variables = {}, clientSecret } = app;
        if (provider === 'nowhere') throw fail('unknown_provider');
        const id = newId('app', NOW, createHash('sha256').update(`${apps.size}`).digest());
        const made = { id, provider, clientId, name, variables, hasSecret: clientSecret !== null, createdAt: NOW };
        apps.set(id, made);
        return made;
      },
      async get(id) {
        const app = apps.get(id);
        if (!app) throw fail('not_found', 'There is no such app.');
        return app;
      },
      list: async ({ limit }) => ({ items: [...apps.values()].slice(0, limit), next: null }),
      async update(id, change) {
        note('apps.update', change);
        const app = { ...(await keeper.apps.get(id)), ...(change.name === undefined ? {} : { name: change.name }) };
        apps.set(id, app);
        return app;
      },
      async remove(id) {
        await keeper.apps.get(id);
        if ([...grants.values()].some((grant) => grant.app === id)) throw fail('in_use');
        apps.delete(id);
      },
    },

    grants: {
      async create(grant: NewGrant) {
        note('grants.create', grant);
        await keeper.onCreate();
        const { alias, owner = null, labels = {} } = grant;
        const scope = { requested: grant.scope ?? [], granted: null, missing: [] };
        return add(fakeGrant(alias, { owner, labels, scope, id: newId('grt', NOW, chance(grants.size)) }));
      },
      async createWithCredentials(grant: NewGrantWithCredentials) {
        note('grants.createWithCredentials', grant);
        return add(fakeGrant(grant.alias, { scheme: grant.scheme, state: 'active' }));
      },
      async import(grant: ImportedGrant) {
        note('grants.import', grant);
        return add(fakeGrant(grant.alias, { state: 'active', generation: 1 }));
      },
      get: async (name) => find(name),
      async list(query) {
        note('grants.list', query);
        const items = [...grants.values()].filter((grant) => !query.state || grant.state === query.state);
        const from = query.after === null ? 0 : Number(query.after);
        const end = from + query.limit;
        return { items: items.slice(from, end), next: end < items.length ? String(end) : null };
      },
      async update(name, change) {
        note('grants.update', change);
        const grant = { ...find(name), ...change };
        grants.set(grant.id, grant);
        return grant;
      },
      async end(name) {
        const grant: Grant = { ...find(name), state: 'revoked' };
        grants.set(grant.id, grant);
        return grant;
      },
      async discard(id) {
        grants.delete(id);
      },
      async history(name, { limit, after: cursor }) {
        find(name);
        const from = cursor === null ? 0 : Number(cursor);
        const end = from + limit;
        return { items: keeper.history.slice(from, end), next: end < keeper.history.length ? String(end) : null };
      },
    },

    tokens: {
      peek(name, minTtlMs) {
        const live = keeper.live.get(name);
        return live && live.leftMs >= minTtlMs ? live : null;
      },
      async get(name, wish) {
        note('tokens.get', { name, wish });
        return keeper.onGet(name, wish);
      },
      look: async (name) => keeper.live.get(name) ?? null,
      async refresh(name) {
        note('tokens.refresh', name);
        const live = keeper.live.get(name);
        if (!live) throw new EvergrantError('too_early', 'Not yet.', { remedy: 'Wait.', retryAfterMs: 1_200 });
        return live;
      },
    },

    journals: {
      status: () => Promise.reject(fail('not_found')),
      merge: () => Promise.reject(fail('not_found')),
      abandon: () => Promise.reject(fail('not_found')),
    },
    authorizations: {
      async begin(name, options) {
        note('authorizations.begin', options);
        const ticket = `ticket-${tickets.size + 1}`;
        tickets.set(ticket, { grant: find(name), returnUrl: options.returnUrl ?? null, isUsed: false });
        return { id: authorizationId(tickets.size), ticket, expiresAt: after(NOW, 600_000) };
      },
      async view(ticket) {
        const { grant, returnUrl } = unusedTicket(ticket);
        const { requested: scope } = grant.scope;
        const names = { appName: 'Acme Books', providerName: 'Exact Online' };
        const isRenewal = grant.generation > 0;
        return { id: authorizationId(1), grant, ...names, scope, isRenewal, returnUrl, expiresAt: after(NOW, 540_000) };
      },
      async open(ticket) {
        note('authorizations.open', ticket);
        unusedTicket(ticket).isUsed = true;
        const location = `https://start.exactonline.nl/api/oauth2/auth?client_id=c&state=state-of-${ticket}`;
        return { location, browserCookie: `cookie-of-${ticket}`, maxAgeMs: 600_000 };
      },
      async finish(callback, cookie) {
        note('authorizations.finish', { callback, cookie });
        return keeper.onFinish(callback, cookie);
      },
      openWithoutBrowser: async (_, ticket) => ({ location: `https://start.exactonline.nl/?state=state-of-${ticket}` }),
      async finishPasted(_, ticket, callback) {
        note('authorizations.finishPasted', { ticket, callback });
        return keeper.onFinish(callback, null);
      },
    },

    apis: {
      of: async (name) => ({
        grant: find(name).id,
        providerName: 'Exact Online',
        baseUrls: ['https://start.exactonline.nl/api'],
        reach: 'public',
        registration: 'one',
        limits: null,
        credential: null,
      }),
    },

    isReady: () => keeper.ready(),
    figures: () => ({
      authorizations: 3,
      exchanges: { tokens: 7 },
      breaks: { revoked: 1 },
      repairs: { count: 1, tookMs: 500 },
      announcements: { truelayer: 4 },
      renewals: { truelayer: { announced: 2, unannounced: 1 } },
    }),
    countStates: async () => Object.fromEntries([...grants.values()].map((grant) => [grant.state, 1])),
    stop: () => undefined,
    drain: async () => undefined,
  };
  return keeper;
}

function chance(seed: number): Uint8Array {
  return createHash('sha256').update(`chance ${seed}`).digest();
}

function authorizationId(seed: number): AuthorizationId {
  return newId('aut', NOW, chance(seed));
}

export const FAKE_PROVIDER: Provider = standardProvider({
  id: 'exact-online',
  name: 'Exact Online',
  variables: { host: { choices: { nl: 'start.exactonline.nl' }, default: 'nl', isIssuer: false } },
  authorizationEndpoint: 'https://{host}/api/oauth2/auth',
  tokenEndpoint: 'https://{host}/api/oauth2/token',
  apiBaseUrls: ['https://{host}/api'],
  codeChallengeMethods: [],
});

const catalogue: Catalogue = {
  ids: () => [FAKE_PROVIDER.id],
  get: (id) => (id === FAKE_PROVIDER.id ? FAKE_PROVIDER : null),
  list: () => [FAKE_PROVIDER],
};

export interface FakeRecords extends Records {
  /** Every query so far. */
  readonly queries: string[];
  readonly rows: ReadonlyMap<string, StoredRecord>;
}

/** Records in memory, that count what is asked of them. */
export function fakeRecords(): FakeRecords {
  const rows = new Map<string, StoredRecord & { readonly terms: readonly Term[] }>();
  const queries: string[] = [];
  const at = (kind: RecordKind, id: string) => `${kind}/${id}`;
  const holderOf = (kind: RecordKind, name: string, value: string) =>
    [...rows].find(
      ([key, row]) =>
        key.startsWith(`${kind}/`) && row.terms.some((term) => term.name === name && term.value === value),
    )?.[1] ?? null;
  const takenBy = (kind: RecordKind, id: string, terms: readonly Term[]) => {
    for (const term of terms.filter((one) => one.unique)) {
      const holder = holderOf(kind, term.name, term.value);
      if (holder && holder.id !== id) return { outcome: 'taken', term, by: holder.id } as const;
    }
    return null;
  };
  return {
    queries,
    rows,
    async insert(kind, id, body, terms) {
      queries.push(`insert ${kind}`);
      const taken = takenBy(kind, id, terms);
      if (taken) return taken;
      rows.set(at(kind, id), { id, version: 1, body, terms });
      return { outcome: 'written', version: 1 };
    },
    async update(kind, id, version, body, terms) {
      queries.push(`update ${kind}`);
      if (rows.get(at(kind, id))?.version !== version) return { outcome: 'stale' };
      rows.set(at(kind, id), { id, version: version + 1, body, terms });
      return takenBy(kind, id, terms) ?? { outcome: 'written', version: version + 1 };
    },
    async remove(kind, id) {
      queries.push(`remove ${kind}`);
      return rows.delete(at(kind, id));
    },
    async get(kind, id) {
      queries.push(`get ${kind}`);
      return rows.get(at(kind, id)) ?? null;
    },
    async find(kind, name, value) {
      queries.push(`find ${kind}`);
      return holderOf(kind, name, value);
    },
    async list(kind, { limit, terms = [] }): Promise<Page<StoredRecord>> {
      queries.push(`list ${kind}`);
      const ofKind = [...rows].filter(([key]) => key.startsWith(`${kind}/`)).map(([, row]) => row);
      const has = (row: (typeof ofKind)[number]) => (wanted: Omit<Term, 'unique'>) =>
        row.terms.some(({ name, value }) => name === wanted.name && value === wanted.value);
      const items = ofKind.filter((row) => terms.every(has(row)));
      return { items: items.toSorted((a, b) => (a.id < b.id ? -1 : 1)).slice(0, limit), next: null };
    },
  };
}

export interface FakeParts extends HttpParts {
  readonly keeper: FakeKeeper;
  readonly records: FakeRecords;
  readonly logged: string[];
  readonly store: Pick<Store, 'records' | 'watch' | 'heardAgoMs'>;
  /** What other nodes do, and how long ago it was certain that all of it was heard. */
  readonly changes: { heardAgoMs: number; tell(change: Change): void };
  /** Moves the clock. */
  pass(ms: number): void;
}

export function fakeParts(
  change: { readonly settings?: Partial<HttpSettings>; readonly surface?: 'all' | 'callback' } = {},
): FakeParts {
  let now = NOW;
  let drawn = 0;
  const logged: string[] = [];
  const write = (level: string) => (message: string, fields?: LogFields, cause?: unknown) => {
    logged.push(`${level} ${message} ${JSON.stringify(fields ?? {})} ${cause instanceof Error ? cause.stack : ''}`);
  };
  const log: Log = { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') };
  const clock = {
    now: () => now,
    moment: () => ({ at: now, boot: 'test', uptimeMs: now - NOW }),
    sleep: async () => undefined,
  };
  const random = {
    bytes: (count: number) => Buffer.concat([chance(drawn++), chance(drawn)]).subarray(0, count),
  };
  const records = fakeRecords();
  const settings = { publicUrl: 'http://127.0.0.1:8787', listensBeyondLoopback: false, trustedProxies: [] };
  const keeper = fakeKeeper();
  const listeners: ((told: Change) => void)[] = [];
  const changes = {
    heardAgoMs: 0,
    tell(told: Change) {
      for (const listener of listeners) listener(told);
    },
  };
  const others = {
    watch: (listener: (told: Change) => void) => {
      listeners.push(listener);
      return () => undefined;
    },
    heardAgoMs: () => changes.heardAgoMs,
  };
  const store = { records, ...others };
  const sealer: Sealer = {
    seal: (secret, place) => Buffer.from(`${place.row} ${secret.reveal()}`).toString('base64') as Sealed,
    open: (sealed, kind, place) =>
      new Secret(
        kind,
        Buffer.from(sealed, 'base64')
          .toString()
          .slice(place.row.length + 1),
      ),
    fingerprint: (secret) => createHash('sha256').update(secret.reveal()).digest('base64url').slice(0, 22) as never,
  };
  // Nothing happens in the background here.
  const still = { ...clock, sleep: () => new Promise<void>(() => undefined) };
  const network: Network = { open: async () => ({ kind: 'not_sent', reason: 'there is no network here' }) };
  const { publicUrl } = { ...settings, ...change.settings };
  const issuer = createIssuer({
    keeper,
    records,
    changes: others,
    sealer,
    network,
    clock: still,
    random,
    log,
    publicUrl,
  });
  return {
    keeper,
    issuer,
    shared: sharedState({ keeper, issuer, log }),
    catalogue,
    store,
    apiKeys: apiKeys({ store, random, clock, adminKey: new Secret('api key', ADMIN_KEY) }),
    records,
    sealer,
    clock,
    random,
    log,
    logged,
    changes,
    settings: { ...settings, version: '0.1.0', proxyCacheBytes: 0, ...change.settings },
    relay: {
      send: async () => ({ kind: 'not_sent', reason: 'there is no network here' }),
      close: async () => undefined,
    },
    surface: change.surface ?? 'all',
    pass: (ms) => {
      now = after(now, ms);
    },
  };
}
