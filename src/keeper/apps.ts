/**
 * Apps: registrations at providers, and what follows from one for every request to it. Endpoints that a provider does
 * not name are discovered when the app is first used, and again after a restart; what was discovered is remembered, so
 * that an issuer that does not answer keeps nobody from a token that lives, nor the keeper from starting.
 */
import { canBeAuthorized, givesRefreshTokens } from '../catalogue/in-words.ts';
import { resolve, withMetadata } from '../catalogue/resolve.ts';
import type { Provider, ResolvedProvider } from '../catalogue/provider.ts';
import { EvergrantError } from '../core/errors.ts';
import { type AppId, isId } from '../core/id.ts';
import { after, type Instant } from '../core/instant.ts';
import type { ClientSecret, PrivateKey } from '../core/secret.ts';
import type { Sealed } from '../core/secret.ts';
import { type Metadata, metadataUrls, readMetadata } from '../oauth/metadata.ts';
import { signingKeyOf } from './client-assertion.ts';
import type { App, Apps, NewApp } from './keeper.ts';
import type { KeeperParts } from './parts.ts';
import { freshId } from './parts.ts';
import { register, withIssuers } from './registration.ts';
import { type AppRecord, appTerms, parseRecord, type Versioned } from './records.ts';
import type { Upstream, Upstreams } from './upstream.ts';

export interface AppRegistry extends Apps {
  readonly upstreams: Upstreams;
  /** Another node may have changed this app; null: any of them. It is read again when it is next needed. */
  forget(app: AppId | null): void;
}

/** `onChanged`: a new secret may be what grants of this app have been waiting for. */
export function appRegistry(parts: KeeperParts, onChanged: (app: AppId) => Promise<void>): AppRegistry {
  const { records } = parts.store;
  const known = new Map<AppId, Promise<Upstream>>();
  /** Until when an upstream from remembered metadata is used before its issuer is asked again. */
  const askAgainAt = new Map<AppId, Instant>();

  const upstreams: Upstreams = {
    of(app) {
      const kept = known.get(app);
      if (kept) {
        const isOld = (askAgainAt.get(app) ?? Number.POSITIVE_INFINITY) <= parts.clock.now();
        // What the issuer said before goes on to be used until it answers.
        if (isOld) void again(app, kept);
        return kept;
      }
      const upstream = load(app);
      known.set(app, upstream);
      // A failed discovery is tried again by the next who asks.
      upstream.catch(() => known.delete(app));
      return upstream;
    },
  };

  /** Never rejects. Whoever changed the app meanwhile goes first. */
  async function again(app: AppId, kept: Promise<Upstream>): Promise<void> {
    const upstream = load(app);
    const isThere = await upstream.then(
      () => true,
      () => false,
    );
    if (!isThere) askAgainAt.set(app, after(parts.clock.now(), ASK_AGAIN_MS));
    else if (known.get(app) === kept) known.set(app, upstream);
  }

  async function load(app: AppId): Promise<Upstream> {
    askAgainAt.delete(app);
    const { value, version } = await read(app);
    const provider = providerOf(parts, value);
    const metadata = await discovered(parts, provider, value.metadata ?? null);
    const isNew = JSON.stringify(metadata.said) !== JSON.stringify(value.metadata ?? null);
    if (metadata.isRemembered) askAgainAt.set(app, after(parts.clock.now(), ASK_AGAIN_MS));
    else if (metadata.said && isNew) await remember(value, version, metadata.said);
    return upstreamOf(parts, value, provider, metadata.said);
  }

  /** Whoever changed the app meanwhile goes first: it is discovered anew for them. */
  async function remember(app: AppRecord, version: number, metadata: Metadata): Promise<void> {
    const next: AppRecord = { ...app, metadata };
    await records.update('app', app.id, version, JSON.stringify(next), appTerms(next));
  }

  async function read(id: string): Promise<Versioned<AppRecord>> {
    const found = isId('app', id) ? await records.get('app', id) : null;
    if (found) return parseRecord<AppRecord>(found);
    throw new EvergrantError('not_found', 'There is no app with this id.', {
      remedy: 'See which there are: evergrant apps list',
    });
  }

  return {
    upstreams,

    forget(app) {
      if (app === null) known.clear();
      else known.delete(app);
    },

    async create(wish) {
      const draft = newRecord(parts, await withIssuer(parts, wish));
      // Finds out now whether variables and issuer are right, rather than at the first authorization.
      const provider = providerOf(parts, draft);
      const { said } = await discovered(parts, provider, null);
      const hasNoClients = provider.tokenEndpoint === null && provider.issuer === null;
      const wished =
        wish.clientId === undefined && !hasNoClients ? await registered(parts, draft, provider, said) : draft;
      upstreamOf(parts, wished, provider, said);
      const record: AppRecord = said ? { ...wished, metadata: said } : wished;
      await records.insert('app', record.id, JSON.stringify(record), appTerms(record));
      return viewOf(record);
    },

    async get(id) {
      return viewOf((await read(id)).value);
    },

    async list(page) {
      const { items, next } = await records.list('app', page);
      return { items: items.map((item) => viewOf(parseRecord<AppRecord>(item).value)), next };
    },

    async update(id, change) {
      for (;;) {
        const { version, value } = await read(id);
        const next: AppRecord = {
          ...value,
          ...(change.name === undefined ? {} : { name: change.name }),
          ...(change.clientSecret === undefined
            ? {}
            : { clientSecret: sealSecret(parts, value.id, change.clientSecret) }),
          ...(change.privateKey === undefined ? {} : { privateKey: sealKey(parts, value.id, change.privateKey) }),
        };
        const written = await records.update('app', id, version, JSON.stringify(next), appTerms(next));
        if (written.outcome !== 'written') continue;
        known.delete(value.id);
        if (change.clientSecret !== undefined || change.privateKey !== undefined) await onChanged(value.id);
        return viewOf(next);
      }
    },

    async remove(id) {
      const { value } = await read(id);
      const users = await records.list('grant', { terms: [{ name: 'app', value: id }], limit: 1, after: null });
      if (users.items.length > 0) throw stillUsed(id, users.items[0]?.id ?? '');
      known.delete(value.id);
      await records.remove('app', id);
    },
  };
}

function newRecord(parts: KeeperParts, wish: NewApp): AppRecord {
  const provider = parts.catalogue.get(wish.provider);
  if (!provider) throw unknownProvider(parts, wish.provider);
  if (!givesRefreshTokens(provider) && !takesOther(provider)) throw nothingToKeep(provider);
  const id = freshId(parts, 'app');
  return {
    id,
    provider: provider.id,
    clientId: wish.clientId ?? '',
    clientSecret: wish.clientSecret && sealSecret(parts, id, wish.clientSecret),
    ...(wish.privateKey === undefined ? {} : { privateKey: sealKey(parts, id, wish.privateKey) }),
    name: wish.name ?? provider.name,
    variables: wish.variables ?? {},
    createdAt: parts.clock.now(),
  };
}

/** Whether it is told how else grants come by access tokens, or do without. */
function takesOther({ credentials, grantTypes }: Provider): boolean {
  if (grantTypes?.includes('client_credentials')) return true;
  return Object.keys({ ...credentials?.requests, ...credentials?.headers }).length > 0;
}

async function withIssuer(parts: KeeperParts, wish: NewApp): Promise<NewApp> {
  const provider = parts.catalogue.get(wish.provider);
  return provider ? { ...wish, variables: await withIssuers(parts, provider, wish.variables ?? {}) } : wish;
}

/** The record with the client id and secret that the provider gives to who asks for them. */
async function registered(
  parts: KeeperParts,
  record: AppRecord,
  provider: Provider,
  metadata: Metadata | null,
): Promise<AppRecord> {
  const { clientId, clientSecret } = await register(parts, provider, metadata);
  return { ...record, clientId, clientSecret: clientSecret && sealSecret(parts, record.id, clientSecret) };
}

function sealSecret(parts: KeeperParts, app: AppId, secret: ClientSecret): Sealed {
  return parts.sealer.seal(secret, { table: 'apps', row: app, field: 'client_secret' });
}

/** Throws `invalid_request` where it is no key. */
function sealKey(parts: KeeperParts, app: AppId, key: PrivateKey): Sealed {
  signingKeyOf(key);
  return parts.sealer.seal(key, { table: 'apps', row: app, field: 'private_key' });
}

/** Null: it has none. */
export function privateKeyOf(parts: Pick<KeeperParts, 'sealer'>, { id, privateKey }: AppRecord): PrivateKey | null {
  return privateKey
    ? parts.sealer.open(privateKey, 'private key', { table: 'apps', row: id, field: 'private_key' })
    : null;
}

function viewOf(record: AppRecord): App {
  const { id, provider, clientId, name, variables, createdAt } = record;
  const hasSecret = record.clientSecret !== null || record.privateKey !== undefined;
  return { id, provider, clientId, name, variables, createdAt, hasSecret };
}

/** The provider of an app with its variables filled in. */
function providerOf(parts: KeeperParts, record: AppRecord): Provider {
  const provider = parts.catalogue.get(record.provider);
  if (!provider) throw unknownProvider(parts, record.provider);
  return resolve(provider, record.variables);
}

function upstreamOf(parts: KeeperParts, record: AppRecord, provider: Provider, metadata: Metadata | null): Upstream {
  const place = { table: 'apps', row: record.id, field: 'client_secret' } as const;
  const privateKey = privateKeyOf(parts, record);
  const variables = Object.entries(record.variables).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return {
    app: record.id,
    appName: record.name,
    provider: completed(provider, metadata),
    clientId: record.clientId,
    clientSecret: record.clientSecret && parts.sealer.open(record.clientSecret, 'client secret', place),
    signingKey: privateKey && signingKeyOf(privateKey),
    scheme: null,
    redirectUri: `${parts.publicUrl}/callback`,
    registration: JSON.stringify([provider.id, variables, record.clientId]),
  };
}

function completed(provider: Provider, metadata: Metadata | null): ResolvedProvider {
  const complete = metadata ? withMetadata(provider, metadata) : provider;
  const { authorizationEndpoint, tokenEndpoint } = complete;
  if (authorizationEndpoint && tokenEndpoint) return { ...complete, authorizationEndpoint, tokenEndpoint };
  // Without a person there is no page: then nobody is ever sent to one.
  if (!canBeAuthorized(complete)) {
    return { ...complete, authorizationEndpoint: '', tokenEndpoint: tokenEndpoint ?? '' };
  }
  throw new EvergrantError(
    'invalid_request',
    `${provider.name} names no authorization endpoint or no token endpoint.`,
    {
      remedy: `Complete the provider file of "${provider.id}", or give it an issuer to ask.`,
    },
  );
}

const DISCOVERY_TIMEOUT_MS = 10_000;
/** Where an earlier answer of the issuer can stand in. */
const REDISCOVERY_TIMEOUT_MS = 3_000;
const ASK_AGAIN_MS = 60_000;

/** What the issuer says of itself, or said last; null where the provider's file says all. */
async function discovered(
  parts: KeeperParts,
  provider: Provider,
  remembered: Metadata | null,
): Promise<{ readonly said: Metadata | null; readonly isRemembered: boolean }> {
  if (!provider.issuer || provider.tokenEndpoint) return { said: null, isRemembered: false };
  if (remembered?.issuer !== provider.issuer) {
    return { said: await discover(parts, provider, DISCOVERY_TIMEOUT_MS), isRemembered: false };
  }
  try {
    return { said: await discover(parts, provider, REDISCOVERY_TIMEOUT_MS), isRemembered: false };
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : 'unknown';
    parts.log.warn('The issuer does not answer; what it said last goes on to be used.', { reason });
    return { said: remembered, isRemembered: true };
  }
}

/** The issuer's own document, from the first place that has one (RFC 8414, OpenID Connect Discovery). */
async function discover(parts: KeeperParts, provider: Provider, timeoutMs: number): Promise<Metadata> {
  const issuer = provider.issuer ?? '';
  const reasons: string[] = [];
  for (const url of metadataUrls(issuer)) {
    const connection = await parts.network.open(url, provider.reach, timeoutMs);
    if (connection.kind === 'not_sent') {
      reasons.push(connection.reason);
      continue;
    }
    const answer = await connection.send({ method: 'GET', url, headers: { accept: 'application/json' } }, timeoutMs);
    connection.close();
    if (answer.kind === 'answer' && answer.status === 200 && answer.complete) return readMetadata(answer.body, issuer);
    reasons.push(answer.kind === 'answer' ? `${url} answered ${answer.status}` : answer.reason);
  }
  throw new EvergrantError(
    'upstream_unavailable',
    `The issuer ${issuer} could not be discovered: ${[...new Set(reasons)].join('; ')}.`,
    {
      remedy: 'Check the issuer URL, and that it can be reached from here.',
      retryAfterMs: DISCOVERY_TIMEOUT_MS,
    },
  );
}

function nothingToKeep({ id, name }: Provider): EvergrantError {
  return new EvergrantError('invalid_request', `${name} gives no refresh tokens: its access tokens do not expire.`, {
    remedy: `There is nothing to keep alive, so use its access token as it is. See docs/providers/${id}.md`,
  });
}

function unknownProvider(parts: KeeperParts, id: string): EvergrantError {
  const alike = parts.catalogue.ids().filter((known) => id.length > 1 && (known.includes(id) || id.includes(known)));
  const meant = alike.length > 0 ? `Perhaps you mean ${alike.slice(0, 5).join(', ')}. ` : '';
  return new EvergrantError('unknown_provider', `There is no provider "${id.slice(0, 64)}".`, {
    remedy: `${meant}See which there are: evergrant providers list. Add your own with --providers FOLDER.`,
  });
}

function stillUsed(app: string, grant: string): EvergrantError {
  return new EvergrantError('in_use', `Grants still belong to app ${app}, such as ${grant}.`, {
    remedy: 'Remove those grants first.',
  });
}
