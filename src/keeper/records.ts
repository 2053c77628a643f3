/** The keeper's records as JSON, with the terms by which they are found. The only place that knows their shape. */
import type { AppId, AuthorizationId, GrantId, LinkId, NodeId } from '../core/id.ts';
import type { Instant, Moment } from '../core/instant.ts';
import type { Sealed } from '../core/secret.ts';
import type { Metadata } from '../oauth/metadata.ts';
import type { Page, Store, StoredRecord, Term } from '../ports/store.ts';
import type { Scheme } from '../catalogue/provider.ts';
import type { Freshness } from './freshness.ts';
import type { Account } from './keeper.ts';

export interface AppRecord {
  readonly id: AppId;
  readonly provider: string;
  readonly clientId: string;
  readonly clientSecret: Sealed | null;
  /** Instead of a secret; not there: it has none. */
  readonly privateKey?: Sealed;
  readonly name: string;
  readonly variables: Readonly<Record<string, string>>;
  /** What the issuer last said of itself, for times in which it does not answer; absent where nothing is discovered. */
  readonly metadata?: Metadata;
  readonly createdAt: Instant;
}

export interface GrantRecord {
  readonly id: GrantId;
  readonly app: AppId;
  readonly provider: string;
  /** Null once another grant took the alias of this one, which had ended. */
  readonly alias: string | null;
  readonly owner: string | null;
  readonly labels: Readonly<Record<string, string>>;
  readonly scope: readonly string[];
  readonly account: Account | null;
  /** Identifies app registration and account together: at most one grant may hold it. */
  readonly accountKey: string | null;
  /** Not there: it has refresh tokens. */
  readonly scheme?: Scheme;
  /** Not there: only when asked for. */
  readonly freshness?: Freshness;
  /** Not there: none. */
  readonly joined?: readonly JoinedGrant[];
  readonly createdAt: Instant;
}

/** Another grant that had the same token, and is part of this one since; see `join`. */
export interface JoinedGrant {
  readonly grant: GrantId;
  /** Which link had the token there. */
  readonly link: LinkId;
  /** Which link has it here. */
  readonly as: LinkId;
  /** Null where it has none, or somebody else has it by now. */
  readonly alias: string | null;
}

/**
 * An authorization on its way. issued: a link exists. opened: a browser took it. coded: the provider's code is here
 * and recorded. exchanging: the code was sent. answered: the tokens are here and recorded. done, failed: over.
 */
export type AuthorizationStatus = 'issued' | 'opened' | 'coded' | 'exchanging' | 'answered' | 'done' | 'failed';

export interface AuthorizationRecord {
  readonly id: AuthorizationId;
  readonly grant: GrantId;
  readonly status: AuthorizationStatus;
  /** SHA-256 of the ticket, the state and the browser's cookie: the texts themselves are not kept. */
  readonly ticketHash: string;
  readonly stateHash: string | null;
  readonly browserHash: string | null;
  readonly codeVerifier: Sealed | null;
  readonly code: Sealed | null;
  readonly codeAt: Instant | null;
  readonly link: LinkId | null;
  /** Which node sent the code; not there: none did yet, or an older version. */
  readonly node?: NodeId;
  readonly requestedAt: Moment | null;
  readonly receivedAt: Moment | null;
  readonly answer: Sealed | null;
  readonly returnUrl: string | null;
  readonly scope: readonly string[];
  readonly isRenewal: boolean;
  readonly expiresAt: Instant;
  /** Where it ended: the grant that got the chain, or why none did. */
  readonly result:
    | { readonly grant: GrantId; readonly joined: boolean }
    | { readonly reason: string; readonly remedy: string }
    | null;
}

/** A record with its version, for compare-and-set. */
export interface Versioned<T> {
  readonly version: number;
  readonly value: T;
}

export function parseRecord<T>(record: StoredRecord): Versioned<T> {
  return { version: record.version, value: JSON.parse(record.body) as T };
}

export function appTerms(app: AppRecord): readonly Term[] {
  return [{ name: 'provider', value: app.provider }];
}

/** All names by which a grant is asked for, its id first. */
export function namesOf({ id, alias, joined = [] }: GrantRecord): readonly string[] {
  return [id, ...aliasesOf({ alias, joined }), ...joined.map(({ grant }) => grant)];
}

function aliasesOf({ alias, joined = [] }: Pick<GrantRecord, 'alias' | 'joined'>): readonly string[] {
  const all = [alias, ...joined.map((one) => one.alias)];
  return [...new Set(all.filter((one) => one !== null))];
}

export function grantTerms(grant: GrantRecord): readonly Term[] {
  return [
    { name: 'app', value: grant.app },
    { name: 'provider', value: grant.provider },
    ...aliasesOf(grant).map((value) => ({ name: 'alias', value, unique: true })),
    ...(grant.joined ?? []).map((one) => ({ name: 'joined', value: one.grant, unique: true })),
    ...(grant.owner === null ? [] : [{ name: 'owner', value: grant.owner }]),
    ...(grant.accountKey === null ? [] : [{ name: 'account', value: grant.accountKey, unique: true }]),
    ...Object.entries(grant.labels).map(([key, value]) => ({ name: 'label', value: `${key}=${value}` })),
  ];
}

const PAGE = 100;

/** Every grant with these terms, by id. */
export async function* grantsWith(
  { records }: Store,
  terms: readonly Pick<Term, 'name' | 'value'>[],
): AsyncGenerator<GrantId> {
  let after: string | null = null;
  do {
    const page: Page<StoredRecord> = await records.list('grant', { terms, limit: PAGE, after });
    for (const { id } of page.items) yield id as GrantId;
    after = page.next;
  } while (after !== null);
}

export function authorizationTerms(authorization: AuthorizationRecord): readonly Term[] {
  return [
    { name: 'grant', value: authorization.grant },
    { name: 'status', value: authorization.status },
    { name: 'ticket', value: authorization.ticketHash, unique: true },
    ...(authorization.stateHash === null ? [] : [{ name: 'state', value: authorization.stateHash, unique: true }]),
  ];
}
