/** Grants as people and programs see them: made, found, listed, changed, ended. Their chains are minded elsewhere. */
import type { Scheme } from '../catalogue/provider.ts';
import { type ChainEvent, publishedLink, stateOf } from '../core/chain.ts';
import { EvergrantError } from '../core/errors.ts';
import { explainLiving } from '../core/doubt.ts';
import { forecast } from '../core/forecast.ts';
import { ALIAS, type GrantId, isId } from '../core/id.ts';
import { after, type Instant } from '../core/instant.ts';
import { type RotationPolicy, UNKNOWN_POLICY } from '../core/rotation-policy.ts';
import type { Page, StoredChain, Term } from '../ports/store.ts';
import { journalEnd, journalEnds } from './journaling.ts';
import type { Grant, GrantQuery, Grants, NewGrant } from './keeper.ts';
import type { Minders } from './minders.ts';
import { freshId, type KeeperParts } from './parts.ts';
import { type GrantRecord, grantTerms, type JoinedGrant, namesOf, parseRecord, type Versioned } from './records.ts';
import type { Upstreams } from './upstream.ts';
import { checkFreshness, ON_DEMAND } from './freshness.ts';
import { importChain } from './import.ts';
import { changeCredentials, checkFresh, createWithCredentials } from './schemes/create.ts';
import { inScheme } from './schemes/scheme.ts';

export interface GrantRegistry extends Grants {
  /** The record behind a name; rejects with `not_found`. */
  record(idOrAlias: string): Promise<Versioned<GrantRecord>>;
  /** Replaces a record as `change` says, again and again until nobody else was faster. */
  change(id: GrantId, change: (grant: GrantRecord) => GrantRecord): Promise<GrantRecord>;
  view(record: GrantRecord): Promise<Grant>;
  /** The grant that holds this account of this app registration, if any. */
  byAccount(accountKey: string): Promise<GrantRecord | null>;
  /** Takes a pending grant away that turned out to be another one. */
  discard(id: GrantId): Promise<void>;
  /** This grant answers to the names of another one too, as far as nobody else has them. */
  takeIn(id: GrantId, joined: JoinedGrant): Promise<void>;
  /** The other one is a grant of its own again. */
  letGo(id: GrantId, joined: GrantId): Promise<void>;
}

export function grantRegistry(parts: KeeperParts, minders: Minders, upstreams: Upstreams): GrantRegistry {
  const { store, clock } = parts;

  const registry: GrantRegistry = {
    async create(wish) {
      const record = await newRecord(parts, upstreams, wish);
      await assertAuthorizable(upstreams, record);
      return registry.view(await insert(parts, registry, record));
    },

    async createWithCredentials(wish) {
      return registry.view(await createWithCredentials(parts, registry, minders, upstreams, wish));
    },

    async import(wish) {
      return registry.view(await importChain(parts, registry, minders, upstreams, wish));
    },

    async get(idOrAlias) {
      return registry.view((await registry.record(idOrAlias)).value);
    },

    async list(query) {
      return listGrants(parts, registry, upstreams, query);
    },

    async update(idOrAlias, wish) {
      const { value: before } = await registry.record(idOrAlias);
      checkFresh(before.scheme, wish.freshness);
      if (wish.alias !== undefined && !namesOf(before).includes(wish.alias)) {
        await releaseAlias(registry, wish.alias, store);
      }
      const record = await registry.change(before.id, (grant) => ({
        ...grant,
        ...(wish.alias === undefined ? {} : { alias: checkedAlias(wish.alias) }),
        ...(wish.owner === undefined ? {} : { owner: wish.owner }),
        ...(wish.labels === undefined ? {} : { labels: wish.labels }),
        ...(wish.freshness === undefined ? {} : { freshness: checkFreshness(wish.freshness) }),
      }));
      if (wish.freshness !== undefined) await keepFresh(parts, minders, record);
      if (wish.credentials !== undefined) {
        await changeCredentials(parts, minders, upstreams, record, wish.credentials);
      }
      return registry.view(record);
    },

    async end(idOrAlias) {
      const minder = await minders.of(idOrAlias);
      const settled = await journalEnds(parts, (await registry.record(minder.grant)).value);
      const ended: ChainEvent = { type: 'ended', at: clock.moment() };
      await minder.change(() => store.chains.append(minder.grant, 'any', ended, () => null));
      minder.drop();
      const record = await registry.change(minder.grant, (grant) => ({ ...grant, accountKey: null }));
      settled();
      return registry.view(record);
    },

    async history(idOrAlias, page) {
      const { value } = await registry.record(idOrAlias);
      return store.chains.history(value.id, page);
    },

    async record(idOrAlias) {
      const stored = isId('grt', idOrAlias)
        ? ((await store.records.get('grant', idOrAlias)) ?? (await store.records.find('grant', 'joined', idOrAlias)))
        : await store.records.find('grant', 'alias', idOrAlias);
      if (stored) return parseRecord<GrantRecord>(stored);
      throw new EvergrantError('not_found', 'There is no grant with this id or alias.', {
        remedy: 'See which there are: evergrant grants list',
      });
    },

    async change(id, change) {
      for (;;) {
        const { version, value } = await registry.record(id);
        const next = change(value);
        const written = await store.records.update('grant', value.id, version, JSON.stringify(next), grantTerms(next));
        if (written.outcome === 'written') {
          // Whoever asks for the name from now on means the grant that has it next.
          const names = namesOf(next);
          for (const name of namesOf(value)) if (!names.includes(name)) minders.forgetName(name);
          return next;
        }
        if (written.outcome === 'taken') throw taken(written.term, written.by);
      }
    },

    async view(record) {
      const stored = await store.chains.read(record.id);
      return viewOf(parts, record, stored, await policyOf(upstreams, record));
    },

    async byAccount(accountKey) {
      const stored = await store.records.find('grant', 'account', accountKey);
      return stored ? parseRecord<GrantRecord>(stored).value : null;
    },

    async discard(id) {
      minders.forget(id);
      const told = await journalEnd(parts, id, 'removed');
      await store.records.remove('grant', id);
      parts.journal.settled(told, 'nothing');
    },

    async takeIn(id, joined) {
      const takeIn = (one: JoinedGrant) => {
        return registry.change(id, (grant) => ({
          ...grant,
          joined: [
            ...(grant.joined ?? []).filter(({ grant: other }) => other !== one.grant),
            one.alias === grant.alias ? { ...one, alias: null } : one,
          ],
        }));
      };
      await takeIn(joined).catch((cause: unknown) => {
        if (codeOf(cause) !== 'alias_taken') throw cause;
        return takeIn({ ...joined, alias: null });
      });
      // Somebody may have asked for it before the store went back.
      minders.forget(joined.grant);
      minders.known(id)?.changed();
    },

    async letGo(id, joined) {
      await registry.change(id, (grant) => ({
        ...grant,
        joined: (grant.joined ?? []).filter((one) => one.grant !== joined),
      }));
    },
  };
  return registry;
}

function codeOf(cause: unknown): string | null {
  return cause instanceof EvergrantError ? cause.code : null;
}

/** The chain is due at another time now; what is due at once is done in the background. */
async function keepFresh(parts: KeeperParts, minders: Minders, { id, freshness }: GrantRecord): Promise<void> {
  const minder = await minders.of(id);
  minder.freshness = freshness ?? ON_DEMAND;
  minder.tend(FRESHEN_AGAIN_MS).catch((cause: unknown) => {
    parts.log.warn('A grant could not be kept fresh yet.', { grant: id, why: String(cause) });
  });
}

const FRESHEN_AGAIN_MS = 30_000;

/** A record for a wish, checked. */
export async function newRecord(
  parts: KeeperParts,
  upstreams: Upstreams,
  wish: NewGrant,
  scheme?: Scheme,
): Promise<GrantRecord> {
  const alias = checkedAlias(wish.alias);
  if (!isId('app', wish.app)) throw noSuchApp();
  const { provider, app } = await upstreams.of(wish.app);
  const { default: usual, forRefreshToken } = provider.scope;
  // What the provider file has is for authorizations.
  const wished = wish.scope ?? (scheme ? [] : usual);
  const scope = !scheme && forRefreshToken && !wished.includes(forRefreshToken) ? [...wished, forRefreshToken] : wished;
  return {
    id: freshId(parts, 'grt'),
    app,
    provider: provider.id,
    alias,
    owner: wish.owner ?? null,
    labels: wish.labels ?? {},
    ...(wish.freshness === undefined ? {} : { freshness: checkFreshness(wish.freshness) }),
    scope,
    account: null,
    accountKey: null,
    ...(scheme === undefined ? {} : { scheme }),
    createdAt: parts.clock.now(),
  };
}

/** Inserts a record; a grant that has ended gives up its alias for it. */
export async function insert(
  parts: KeeperParts,
  registry: GrantRegistry,
  record: GrantRecord,
  terms: readonly Term[] = [],
): Promise<GrantRecord> {
  const { records } = parts.store;
  for (let isSecondTry = false; ; isSecondTry = true) {
    const written = await records.insert('grant', record.id, JSON.stringify(record), [...grantTerms(record), ...terms]);
    if (written.outcome === 'written') return record;
    if (isSecondTry || written.term.name !== 'alias') throw taken(written.term, written.by);
    await releaseAlias(registry, record.alias ?? '', parts.store);
  }
}

async function releaseAlias(registry: GrantRegistry, alias: string, store: KeeperParts['store']): Promise<void> {
  const holder = await store.records.find('grant', 'alias', alias);
  if (!holder) return;
  const { value } = parseRecord<GrantRecord>(holder);
  const { chain } = await store.chains.read(value.id);
  if (stateOf(chain) !== 'revoked') throw taken({ name: 'alias', value: alias }, value.id);
  await registry.change(value.id, (grant) => withoutAlias(grant, alias));
}

function withoutAlias(grant: GrantRecord, alias: string): GrantRecord {
  const { joined } = grant;
  return {
    ...grant,
    alias: grant.alias === alias ? null : grant.alias,
    ...(joined && { joined: joined.map((one) => (one.alias === alias ? { ...one, alias: null } : one)) }),
  };
}

export function checkedAlias(alias: string): string {
  if (ALIAS.test(alias) && !alias.startsWith('grt_')) return alias;
  throw new EvergrantError('invalid_request', 'The alias has a form that is not allowed.', {
    remedy:
      'Use 1 to 63 lower-case letters, digits, dots, hyphens or underscores, a letter or digit first, not "grt_…".',
  });
}

/** Some providers have no page on which a person could allow anything. */
async function assertAuthorizable(upstreams: Upstreams, { app }: GrantRecord): Promise<void> {
  const { name, authorizationEndpoint } = (await upstreams.of(app)).provider;
  if (authorizationEndpoint !== '') return;
  throw new EvergrantError('invalid_request', `${name} has no page on which a person could allow access.`, {
    remedy: 'Say how the grant gets its tokens: scheme, and credentials where it needs some.',
  });
}

function noSuchApp(): EvergrantError {
  return new EvergrantError('not_found', 'There is no app with this id.', {
    remedy: 'See which there are: evergrant apps list',
  });
}

function taken(term: Pick<Term, 'name' | 'value'>, by: string): EvergrantError {
  switch (term.name) {
    case 'alias':
      return new EvergrantError('alias_taken', `The alias "${term.value}" belongs to grant ${by}.`, {
        remedy: 'Choose another alias, or remove that grant first.',
      });
    case 'account':
      return new EvergrantError('account_taken', `Grant ${by} holds this account of this app already.`, {
        remedy: 'Share that grant, or use another account or another app registration.',
      });
    default:
      return new EvergrantError('already_held', `Grant ${by} holds this refresh token already.`, {
        remedy: 'Nothing to do: use that grant.',
      });
  }
}

const MOST_SCANNED = 1_000;

async function listGrants(
  parts: KeeperParts,
  registry: GrantRegistry,
  upstreams: Upstreams,
  query: GrantQuery,
): Promise<Page<Grant>> {
  const terms = (['state', 'provider', 'app', 'owner', 'label'] as const).flatMap((name) => {
    const value = query[name];
    return value === undefined ? [] : [{ name, value }];
  });
  const items: Grant[] = [];
  let from = query.after;
  for (let scanned = 0; scanned < MOST_SCANNED; ) {
    const page = await parts.store.records.list('grant', { terms, limit: query.limit - items.length, after: from });
    scanned += page.items.length;
    const records = page.items.map((item) => parseRecord<GrantRecord>(item).value);
    for (const record of records.filter((one) => matches(one, query.q))) {
      // The chains of most need not be read: their provider sets no such end.
      if (query.endsBefore !== undefined && !(await hasEnd(upstreams, record))) continue;
      const grant = await registry.view(record);
      if (endsInTime(grant, query.endsBefore)) items.push(grant);
    }
    from = page.next;
    if (from === null || items.length >= query.limit) break;
  }
  return { items, next: from };
}

async function hasEnd(upstreams: Upstreams, record: GrantRecord): Promise<boolean> {
  return Number.isFinite((await policyOf(upstreams, record)).life.absoluteMs);
}

function endsInTime({ expires }: Grant, before: Instant | undefined): boolean {
  return before === undefined || (expires.absoluteAt !== null && expires.absoluteAt < before);
}

function matches(record: GrantRecord, q: string | undefined): boolean {
  if (!q) return true;
  const searched = [record.alias, record.owner, record.account?.label].join('\n').toLowerCase();
  return searched.includes(q.toLowerCase());
}

/** The rules of a grant's provider; of one whose file is not here any more nothing is known, and the grant is still shown. */
async function policyOf(upstreams: Upstreams, { app, scheme }: GrantRecord): Promise<RotationPolicy> {
  try {
    return inScheme(await upstreams.of(app), scheme).provider.policy;
  } catch (cause) {
    if (cause instanceof EvergrantError) return UNKNOWN_POLICY;
    throw cause;
  }
}

function viewOf(parts: KeeperParts, record: GrantRecord, stored: StoredChain, policy: RotationPolicy): Grant {
  const { chain } = stored;
  const now = parts.clock.moment();
  const published = publishedLink(chain);
  const { nextExchangeAt, ...expires } = forecast(chain, policy, now);
  const granted = published?.scope?.split(/[ ,]+/).filter(Boolean) ?? null;
  return {
    id: record.id,
    alias: record.alias ?? record.id,
    app: record.app,
    provider: record.provider,
    scheme: record.scheme ?? null,
    owner: record.owner,
    labels: record.labels,
    account: record.account,
    scope: {
      requested: record.scope,
      granted,
      missing: granted ? record.scope.filter((scope) => !granted.includes(scope)) : [],
    },
    state: stateOf(chain),
    stateSince: chain.generation === 0 && !chain.end ? record.createdAt : chain.stateSince,
    accessTokenExpiresAt:
      published?.accessTokenLifeMs == null ? null : after(published.requestedAt.at, published.accessTokenLifeMs),
    nextExchangeAt,
    expires,
    generation: chain.generation,
    exchanges: chain.exchanges,
    freshness: record.freshness ?? ON_DEMAND,
    diagnosis: chain.end?.kind === 'broken' ? chain.end.diagnosis : explainLiving(chain, policy, now),
    createdAt: record.createdAt,
  };
}
