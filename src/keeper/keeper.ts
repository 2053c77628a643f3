/**
 * What the keeper offers to those around it (HTTP, command line, issuer). Implementations lie beside this file.
 * Everything rejects with `EvergrantError` and nothing else, unless a programmer slipped.
 */
import type { ApiLimits, Scheme } from '../catalogue/provider.ts';
import type { ChainState, RecordedEvent } from '../core/chain.ts';
import type { Diagnosis } from '../core/diagnosis.ts';
import type { Forecast } from '../core/forecast.ts';
import type { AppId, AuthorizationId, GrantId, NodeId } from '../core/id.ts';
import type { Instant } from '../core/instant.ts';
import type { AccessToken, ClientSecret, PrivateKey, RefreshToken, Secret } from '../core/secret.ts';
import type { Figures } from './figures.ts';
import type { Freshness } from './freshness.ts';
import type { Credentials } from './schemes/credential.ts';
import type { Reach } from '../ports/network.ts';
import type { JournalFigures, JournalRecord } from '../ports/journal.ts';
import type { Page } from '../ports/store.ts';

export interface Keeper {
  readonly apps: Apps;
  readonly grants: Grants;
  readonly tokens: Tokens;
  readonly authorizations: Authorizations;
  readonly apis: Apis;
  readonly journals: Journals;
  /** Whether the store can be written to and chains in doubt were taken up. */
  isReady(): Promise<boolean>;
  /** How many grants are in each state. */
  countStates(): Promise<Readonly<Partial<Record<ChainState, number>>>>;
  /** What happened to chains on this node since it started. */
  figures(): Figures;
  /** No new work from now on; who waits for a time to come is told to ask again. */
  stop(): void;
  /** Stops; resolves once every exchange on the wire is kept, or after `drainMs`. Never rejects. */
  drain(drainMs: number): Promise<void>;
}

/** What those who answer requests have of it: it may run in another process. */
export type ServingKeeper = Omit<Keeper, 'figures' | 'stop' | 'drain'>;

export interface App {
  readonly id: AppId;
  readonly provider: string;
  readonly clientId: string;
  readonly name: string;
  readonly variables: Readonly<Record<string, string>>;
  /** Also where it has a private key. */
  readonly hasSecret: boolean;
  readonly createdAt: Instant;
}

export interface NewApp {
  readonly provider: string;
  /** Left out: the app registers itself, where the provider offers that (RFC 7591). */
  readonly clientId?: string;
  readonly clientSecret: ClientSecret | null;
  /** Instead of a secret, where the provider takes `private_key_jwt`. */
  readonly privateKey?: PrivateKey;
  readonly name?: string;
  readonly variables?: Readonly<Record<string, string>>;
}

export interface Apps {
  create(app: NewApp): Promise<App>;
  get(id: string): Promise<App>;
  list(page: PageQuery): Promise<Page<App>>;
  update(
    id: string,
    change: { readonly name?: string; readonly clientSecret?: ClientSecret; readonly privateKey?: PrivateKey },
  ): Promise<App>;
  /** Refused with `in_use` while grants belong to it. */
  remove(id: string): Promise<void>;
}

export interface PageQuery {
  readonly limit: number;
  readonly after: string | null;
}

export interface Account {
  /** The account's lasting id at the provider. */
  readonly subject: string;
  readonly label: string | null;
}

export interface Grant {
  readonly id: GrantId;
  readonly alias: string;
  readonly app: AppId;
  readonly provider: string;
  /** How it gets access tokens without a refresh token; null: by its chain of refresh tokens. */
  readonly scheme: Scheme | null;
  readonly owner: string | null;
  readonly labels: Readonly<Record<string, string>>;
  readonly account: Account | null;
  readonly scope: {
    readonly requested: readonly string[];
    readonly granted: readonly string[] | null;
    readonly missing: readonly string[];
  };
  readonly state: ChainState;
  readonly stateSince: Instant;
  readonly accessTokenExpiresAt: Instant | null;
  /** When the provider's spacing or a back-off allows the next exchange; null where nothing is waited for. */
  readonly nextExchangeAt: Instant | null;
  /** When it ends if nothing is done, of what, and what makes its margin small. */
  readonly expires: Omit<Forecast, 'nextExchangeAt'>;
  readonly generation: number;
  readonly exchanges: number;
  readonly diagnosis: Diagnosis | null;
  readonly freshness: Freshness;
  readonly createdAt: Instant;
}

export interface NewGrant {
  readonly app: string;
  readonly alias: string;
  readonly owner?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly scope?: readonly string[];
  /** Left out: on demand. */
  readonly freshness?: Freshness;
}

/** A grant that no person authorizes, and that has no refresh token. */
export interface NewGrantWithCredentials extends NewGrant {
  readonly scheme: Scheme;
  readonly credentials: Credentials;
}

export interface ImportedGrant extends NewGrant {
  readonly refreshToken: RefreshToken;
  readonly accessToken?: AccessToken;
  readonly expiresInMs?: number;
  readonly obtainedAt?: Instant;
  /** True (the default): exchanged at once, so that whatever held the token before cannot use it any more. */
  readonly takeover: boolean;
}

export interface Grants {
  /** A pending grant; `authorizations.begin` gives the link for a person. */
  create(grant: NewGrant): Promise<Grant>;
  /** A grant that needs no person. Its first token is asked for at once, so that its state tells whether that works. */
  createWithCredentials(grant: NewGrantWithCredentials): Promise<Grant>;
  /** A grant from a refresh token that was obtained elsewhere. Compared with every token ever held first. */
  import(grant: ImportedGrant): Promise<Grant>;
  /** By id or alias. */
  get(idOrAlias: string): Promise<Grant>;
  list(query: GrantQuery): Promise<Page<Grant>>;
  update(
    idOrAlias: string,
    change: {
      readonly alias?: string;
      readonly owner?: string | null;
      readonly labels?: Readonly<Record<string, string>>;
      readonly freshness?: Freshness;
      /** Of a grant that has some: new ones. */
      readonly credentials?: Credentials;
    },
  ): Promise<Grant>;
  /** Ends it here: no token any more, state `revoked`. */
  end(idOrAlias: string): Promise<Grant>;
  /** Takes away a grant that nobody authorized, and that nobody can any more. */
  discard(id: GrantId): Promise<void>;
  history(idOrAlias: string, page: PageQuery): Promise<Page<RecordedEvent>>;
}

export interface GrantQuery extends PageQuery {
  readonly state?: ChainState;
  readonly provider?: string;
  readonly app?: string;
  readonly owner?: string;
  /** `key=value` */
  readonly label?: string;
  /** Part of alias, owner or account label. */
  readonly q?: string;
  /** Only those whose authorization ends before then, however much it is used. */
  readonly endsBefore?: Instant;
}

export interface LiveAccessToken {
  readonly accessToken: AccessToken;
  readonly expiresAt: Instant;
  /** What is left of it right now. Infinity where the provider names no life. */
  readonly leftMs: number;
  readonly scope: string | null;
}

export interface TokenWish {
  /**
   * It must live at least this long. Null: five seconds, or half the life of a token where that is less, so that asking
   * for nothing special never asks for the impossible.
   */
  readonly minTtlMs: number | null;
  /** How long to wait for one, at most. */
  readonly waitMs: number;
  /** base64url of the SHA-256 of an access token that the provider refused. */
  readonly rejected?: string;
}

export interface Tokens {
  /**
   * A token served from memory: no write, no lock, no query. Null when there is none that lives long enough, or the
   * grant is not in memory; then `get` does what is needed.
   */
  peek(idOrAlias: string, minTtlMs: number): LiveAccessToken | null;
  get(idOrAlias: string, wish: TokenWish): Promise<LiveAccessToken>;
  /** The token that lives, from memory or the store; null where there is none. Never exchanges. */
  look(idOrAlias: string): Promise<LiveAccessToken | null>;
  /** Exchanges now, where the provider's spacing allows it. */
  refresh(idOrAlias: string): Promise<LiveAccessToken>;
}

/** The provider's API that the access tokens of a grant are for. */
export interface GrantApi {
  readonly grant: GrantId;
  readonly providerName: string;
  /** Beneath these, and nowhere else, tokens may be sent. The first is meant where nobody says which. */
  readonly baseUrls: readonly string[];
  readonly reach: Reach;
  /** The same for grants whose apps are one registration at the provider. */
  readonly registration: string;
  readonly limits: ApiLimits | null;
  /** What requests carry in the place of an access token; null: they carry one. */
  readonly credential: HeaderCredential | null;
}

export interface HeaderCredential {
  /** In lower case. */
  readonly header: string;
  readonly value: Secret<'credential'>;
}

export interface Apis {
  /** By id or alias; from memory after the first time. */
  of(idOrAlias: string): Promise<GrantApi>;
}

/** What the page behind an authorization link shows before anything happens. */
export interface AuthorizationView {
  readonly id: AuthorizationId;
  readonly grant: Grant;
  readonly appName: string;
  readonly providerName: string;
  readonly scope: readonly string[];
  readonly isRenewal: boolean;
  /** Where the browser goes in the end; null: it stays here. */
  readonly returnUrl: string | null;
  readonly expiresAt: Instant;
}

export type AuthorizationOutcome =
  | { readonly outcome: 'done'; readonly grant: Grant; readonly returnUrl: string | null; readonly joined: boolean }
  | { readonly outcome: 'failed'; readonly reason: string; readonly remedy: string; readonly returnUrl: string | null };

/** What a provider sent back through the browser. */
export interface CallbackParameters {
  readonly state: string | null;
  readonly code: Secret<'authorization code'> | null;
  readonly error: string | null;
  readonly errorDescription: string | null;
  readonly iss: string | null;
}

export interface Authorizations {
  /** A link of Evergrant's own for a pending grant or a renewal: one use, ten minutes. `ticket` is its secret part. */
  begin(
    idOrAlias: string,
    options: { readonly returnUrl?: string; readonly scope?: readonly string[] },
  ): Promise<{ readonly id: AuthorizationId; readonly ticket: string; readonly expiresAt: Instant }>;
  /** What to show for a ticket. */
  view(ticket: string): Promise<AuthorizationView>;
  /** The person clicked: uses up the ticket, binds the browser, and gives the provider's address to go to. */
  open(
    ticket: string,
  ): Promise<{ readonly location: string; readonly browserCookie: string; readonly maxAgeMs: number }>;
  /**
   * The browser came back. Works only with the cookie of the browser that opened it; `null` for `--paste`, where the
   * API key of the caller stands in for it and `ticket` names the authorization.
   */
  finish(callback: CallbackParameters, browserCookie: string | null): Promise<AuthorizationOutcome>;
  /** Without a browser: the provider's address, and later the whole return URL. The ticket must be one of this grant. */
  openWithoutBrowser(idOrAlias: string, ticket: string): Promise<{ readonly location: string }>;
  finishPasted(idOrAlias: string, ticket: string, callback: CallbackParameters): Promise<AuthorizationOutcome>;
}

export interface JournalNode {
  readonly id: NodeId;
  readonly isHere: boolean;
  /** The number of the last record of its journal up to which all are in the store. */
  readonly merged: number;
  readonly isGivenUp: boolean;
  /** The store was restored, and nothing that would revoke a chain is presented before this node has merged. */
  readonly isAwaited: boolean;
  /** How many grants wait for what its journal may hold. */
  readonly grants: number;
}

export interface JournalStatus {
  /** This node, and its own journal. */
  readonly node: NodeId;
  readonly journal: JournalFigures & { readonly settledUpTo: number; readonly told: number };
  readonly isRestoring: boolean;
  readonly nodes: readonly JournalNode[];
}

export interface MergedRecords {
  readonly brought: number;
  /** They come after records that are in the journal of another node, which has not been merged yet. */
  readonly waiting: number;
  /** The app or provider of their grant is not here; try again when it is. */
  readonly failed: number;
  /** Damaged, or sealed with another root key. */
  readonly unreadable: number;
  /** Grants that had waited for this journal. */
  readonly grants: readonly GrantId[];
}

export interface Journals {
  status(): Promise<JournalStatus>;
  /**
   * Brings in records of the journal of a node that is not here, in their order; in parts, if they are many. `of` comes
   * with the last part: the nodes whose journal was read to its end.
   */
  merge(records: readonly JournalRecord[], of: readonly NodeId[]): Promise<MergedRecords>;
  /**
   * Nobody waits for the journal of this node any more. Gives the grants that it concerns: those that waited for it, or,
   * after a restore, all that are alive. Refused with `in_use` while the node is here.
   */
  abandon(node: NodeId): Promise<{ readonly grants: readonly GrantId[]; readonly isAfterRestore: boolean }>;
}
