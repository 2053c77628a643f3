/**
 * The provider of a simulation: a thin token endpoint over `core/family`, with any policy, and a ledger of what it truly
 * did. One account has one family.
 *
 * State: families by account, a copy of them from the last backup, and per account the newest entries of the ledger.
 */
import { accessUsed, type Family, type Presentation, present, revoke, startFamily } from '../core/family.ts';
import type { Instant } from '../core/instant.ts';
import type { RotationPolicy } from '../core/rotation-policy.ts';
import type { Chance } from './chance.ts';

/** Stands in every token, so that a scan for it finds any of them. */
export const CANARY = 'canary';
/** Whether a token stands anywhere in these. */
export function showsCanary(all: readonly unknown[]): boolean {
  return all.some((one) => JSON.stringify(one)?.includes(CANARY));
}

/** Rows that a family remembers; older tokens are unknown to it. */
const TOKENS_KEPT = 16;
const ACCESS_TOKENS_KEPT = 6;
const ENTRIES_KEPT = 64;
const USUAL_LIFE_MS = 300_000;

export type Presenter = 'keeper' | 'duplicate' | 'other';

export interface Entry {
  readonly at: Instant;
  readonly account: string;
  readonly by: Presenter;
  readonly presented: string;
  readonly outcome: 'accepted' | 'refused';
  /** What was answered, or why not. */
  readonly reason: string;
  /** The refresh token of the answer. */
  readonly issued: string | null;
  readonly accessToken: string | null;
  readonly endedFamily: boolean;
}

export interface Reply {
  readonly status: number;
  readonly body: string;
  readonly headers: Readonly<Record<string, string>>;
}

export class SimulatedUpstream {
  readonly policy: RotationPolicy;
  readonly accessTokenLifeMs: number;
  readonly #chance: Chance;
  readonly #now: () => Instant;
  readonly #onEntry: (entry: Entry) => void;
  #families = new Map<string, Family>();
  #backup: ReadonlyMap<string, Family> = new Map();
  readonly #entries = new Map<string, Entry[]>();
  #made = 0;
  exchanges = 0;

  constructor(policy: RotationPolicy, chance: Chance, now: () => Instant, onEntry: (entry: Entry) => void) {
    this.policy = policy;
    this.accessTokenLifeMs = policy.life.accessTokenMs ?? USUAL_LIFE_MS;
    this.#chance = chance;
    this.#now = now;
    this.#onEntry = onEntry;
  }

  begin(account: string): { readonly refreshToken: string; readonly accessToken: string } {
    const ids = this.#ids(account);
    this.#families.set(account, startFamily({ id: account, user: account, client: 'client', now: this.#now(), ids }));
    return ids;
  }

  /** Presents a refresh token, with its effect; the reply is how the wire would show it. */
  exchange(token: string, by: Presenter): { readonly entry: Entry; readonly reply: Reply } {
    const account = accountOf(token);
    const family = this.#families.get(account);
    const ids = this.#ids(account);
    const result: Presentation | null = family
      ? present(family, token, { policy: this.policy, now: this.#now(), ids })
      : null;
    if (result) this.#families.set(account, shortened(result.family));
    const entry = this.#record(token, account, by, result, family?.revoked != null);
    return { entry, reply: replyOf(entry, this.accessTokenLifeMs) };
  }

  /** A call of the provider's API; it may activate the refresh token of the same answer. */
  useAccessToken(accessToken: string): boolean {
    const account = accountOf(accessToken);
    const family = this.#families.get(account);
    if (!family) return false;
    const use = accessUsed(family, accessToken, this.policy, this.#now());
    this.#families.set(account, use.family);
    return use.outcome === 'accepted';
  }

  /** Whether it would take this refresh token, now or once its spacing has passed. Changes nothing. */
  takes(token: string): boolean {
    const family = this.#families.get(accountOf(token));
    if (!family) return false;
    const unhurried = { ...this.policy, pacing: { minSpacingMs: 0, perDay: Number.POSITIVE_INFINITY } };
    const ids = { refreshToken: 'not made', accessToken: 'not made' };
    return present(family, token, { policy: unhurried, now: this.#now(), ids }).outcome === 'accepted';
  }

  /** Time left of an access token, revoked or not; null where it is none that is remembered. */
  leftOf(accessToken: string): number | null {
    const family = this.#families.get(accountOf(accessToken));
    const found = family?.accessTokens.find((one) => one.id === accessToken);
    return found ? found.issuedAt + this.accessTokenLifeMs - this.#now() : null;
  }

  issuedAt(accessToken: string): number | null {
    const left = this.leftOf(accessToken);
    return left === null ? null : this.#now() + left - this.accessTokenLifeMs;
  }

  entries(account: string): readonly Entry[] {
    return this.#entries.get(account) ?? [];
  }

  revoke(account: string): void {
    const family = this.#families.get(account);
    if (family) {
      const how = { reason: 'revoked', now: this.#now(), accessTokens: 'revoke' } as const;
      this.#families.set(account, revoke(family, how));
    }
  }

  backUp(): void {
    this.#backup = new Map(this.#families);
  }

  /** The provider goes back to its last backup; accounts that began since stay as they are. */
  restore(): readonly string[] {
    const changed: string[] = [];
    for (const [account, family] of this.#backup) {
      if (this.#families.get(account) !== family) changed.push(account);
      this.#families.set(account, family);
    }
    return changed;
  }

  forget(account: string): void {
    this.#families.delete(account);
    this.#entries.delete(account);
  }

  #ids(account: string): { readonly refreshToken: string; readonly accessToken: string } {
    const name = `${account}~${this.#made++}~${this.#chance.word().toString(36)}~${CANARY}`;
    return { refreshToken: `rt~${name}`, accessToken: `at~${name}` };
  }

  #record(presented: string, account: string, by: Presenter, result: Presentation | null, wasRevoked: boolean): Entry {
    const accepted = result?.outcome === 'accepted' ? result : null;
    const refused = result?.outcome === 'refused' ? result.reason : 'unknown';
    const entry: Entry = {
      at: this.#now(),
      account,
      by,
      presented,
      outcome: accepted ? 'accepted' : 'refused',
      reason: accepted?.answer ?? refused,
      issued: accepted?.refreshToken ?? null,
      accessToken: accepted?.accessToken ?? null,
      endedFamily: !wasRevoked && result?.family.revoked != null,
    };
    const entries = this.#entries.get(account) ?? [];
    entries.push(entry);
    if (entries.length > 2 * ENTRIES_KEPT) entries.splice(0, ENTRIES_KEPT);
    this.#entries.set(account, entries);
    if (accepted && by !== 'other') this.exchanges++;
    this.#onEntry(entry);
    return entry;
  }
}

/** Tokens carry the account that they are of. */
export function accountOf(token: string): string {
  const from = token.indexOf('~') + 1;
  const to = token.indexOf('~', from);
  return from === 0 ? '' : token.slice(from, to === -1 ? undefined : to);
}

function shortened(family: Family): Family {
  if (family.tokens.length <= 2 * TOKENS_KEPT && family.accessTokens.length <= 2 * ACCESS_TOKENS_KEPT) return family;
  return {
    ...family,
    tokens: family.tokens.slice(-TOKENS_KEPT),
    accessTokens: family.accessTokens.slice(-ACCESS_TOKENS_KEPT),
  };
}

function replyOf(entry: Entry, lifeMs: number): Reply {
  const headers = { 'content-type': 'application/json' };
  if (entry.outcome === 'accepted') {
    const body = `{"access_token":"${entry.accessToken}","token_type":"bearer","expires_in":${Math.floor(lifeMs / 1000)},"refresh_token":"${entry.issued}"}`;
    return { status: 200, headers, body };
  }
  const { status, error, description } = wordsOf(entry.reason);
  return { status, headers, body: JSON.stringify({ error, error_description: description }) };
}

export const TOO_EARLY = 'Rate limit exceeded: access_token not expired';

function wordsOf(reason: string): { readonly status: number; readonly error: string; readonly description: string } {
  if (reason === 'too-early') return { status: 400, error: 'access_denied', description: TOO_EARLY };
  return { status: 400, error: 'invalid_grant', description: 'The refresh token is not valid.' };
}
