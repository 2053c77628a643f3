/**
 * The memory of one emulated server: accounts, codes and families, and what happens to them. It decides nothing that
 * `core/family` decides; it finds the family, asks, and keeps the answer.
 *
 * State: a code is unused, used or expired; the states of families and their tokens are in `core/family`. Everything is
 * in memory and dies with the server. Tokens are never forgotten, however long they are dead, because "used before" and
 * "never seen" are different answers: about 1 KB for each exchange.
 */
import {
  accessUsed,
  type Family,
  type FamilyToken,
  type NewIds,
  present,
  revoke,
  startFamily,
} from '../core/family.ts';
import { admit, evictTokens } from '../core/family-caps.ts';
import { after, type Instant } from '../core/instant.ts';
import type { RotationPolicy } from '../core/rotation-policy.ts';
import { Accounts, type User } from './accounts.ts';
import { Chance } from './chance.ts';
import { type Allowed, type Code, Codes } from './codes.ts';
import { Families } from './families.ts';
import type { ApiRefusal, Form, Switches, TokenRefusal } from './form.ts';
import { Register } from './register.ts';
import { atSpeed, divided } from './speed.ts';

export interface Issued {
  readonly accessToken: string;
  /** Null where the authorization brings none. */
  readonly refreshToken: string | null;
  readonly family: Family;
  readonly allowed: Allowed;
}

export type Outcome =
  | {
      readonly ok: true;
      readonly issued: Issued;
      readonly answer: string;
      /** How many refresh tokens a cap ended, out of how many. */
      readonly evicted: { readonly from: number; readonly removed: number };
    }
  | {
      readonly ok: false;
      readonly reason: TokenRefusal;
      readonly endedAt: Instant | null;
      /** Of the refresh token, where there is one. */
      readonly family: Family | null;
      /** Whether this presentation ended the family. */
      readonly isBreach: boolean;
    };

export interface UpstreamOptions {
  readonly form: Form;
  readonly seed: number | string;
  readonly speed: number;
  readonly switches: Partial<Switches>;
  readonly redirectUris: readonly string[];
  readonly jwks: unknown;
}

export const refused = (reason: TokenRefusal, more: Partial<Outcome & { ok: false }> = {}): Outcome => ({
  ok: false,
  reason,
  endedAt: null,
  family: null,
  isBreach: false,
  ...more,
});

const NOTHING_EVICTED = { from: 0, removed: 0 };

export class Upstream {
  readonly form: Form;
  readonly chance: Chance;
  readonly speed: number;
  readonly accounts: Accounts;
  readonly codes = new Codes();
  readonly families: Families;
  readonly #refreshTokens = new Register();
  readonly #accessTokens = new Register();
  /** What each family was allowed. */
  readonly #allowed = new Map<string, Allowed>();
  #switches: Switches;
  #policy: RotationPolicy;

  constructor(options: UpstreamOptions) {
    this.form = options.form;
    this.chance = new Chance(options.seed);
    this.speed = options.speed;
    this.#switches = { ...options.form.switches, ...options.switches };
    this.#policy = atSpeed(this.form.policy(this.#switches), this.speed);
    const { liveAccessTokens } = this.#policy.caps;
    this.families = new Families(Number.isFinite(liveAccessTokens) ? liveAccessTokens : 0);
    this.accounts = new Accounts(this.chance);
    this.accounts.addApp('Evergrant test app', options.redirectUris, options.jwks);
    this.accounts.addUser({ username: 'emma.devries@example.com', fullName: 'Emma de Vries' });
  }

  get switches(): Switches {
    return this.#switches;
  }

  /** The policy as it is played: every duration divided by the speed. */
  get policy(): RotationPolicy {
    return this.#policy;
  }

  /** Applies to tokens that were issued already. */
  change(switches: Partial<Switches>, now: Instant): void {
    const stopsRotating = this.#switches.rotation && switches.rotation === false;
    this.#switches = { ...this.#switches, ...switches };
    this.#policy = atSpeed(this.form.policy(this.#switches), this.speed);
    if (!stopsRotating) return;
    // Auth0: switching rotation off ends the chains that were rotated. Source: docs of refresh token rotation.
    for (const family of this.families.all()) if (family.latestGeneration > 0) this.end(family, 'revoked', now);
  }

  /** The owner of a token or code, whatever its state; for faults and the ledger. */
  ownerOf(text: string): { readonly user: string; readonly client: string } | null {
    return this.familyOf(text) ?? this.codes.get(text) ?? null;
  }

  /** The same text, as it was issued: whoever keeps it keeps no part of a request. */
  asIssued(text: string): string {
    return this.#refreshTokens.own(text) ?? this.#accessTokens.own(text) ?? this.codes.get(text)?.text ?? text;
  }

  /** The family of a refresh or access token, with its newest rows. */
  familyOf(text: string): Family | null {
    const id = this.#refreshTokens.familyOf(text) ?? this.#accessTokens.familyOf(text);
    return (id !== undefined && this.families.recent(id)) || null;
  }

  issueCode(wish: Allowed & { readonly redirectUri: string; readonly challenge: string | null }, now: Instant): Code {
    const text = this.form.codeText(this.chance, wish.realm, this.#switches, now);
    return this.codes.add({ ...wish, text, issuedAt: now });
  }

  /** A code whose client, address and verifier were checked starts a family, and ends older ones as caps demand. */
  redeem(code: Code, now: Instant): Outcome {
    if (code.usedAt !== null) return refused('code-replayed');
    const endsAt = after(code.issuedAt, this.#policy.life.codeMs ?? Number.POSITIVE_INFINITY);
    if (now > endsAt) return refused('code-expired', { endedAt: endsAt });
    const isSole = this.#policy.caps.familiesPerUserClient === 1;
    if (isSole && this.codes.isOvertaken(code)) return refused('code-of-older-authorization');
    this.codes.use(code, now);
    return this.start(code, now);
  }

  /** A new family: an authorization that was given. */
  start(allowed: Allowed, now: Instant): Outcome {
    const { user, client, realm, isOffline } = allowed;
    const id = `family-${this.families.size + 1}`;
    const consentMs = divided(this.#switches.consentMs, this.speed);
    const consentEndsAt = Number.isFinite(consentMs) ? after(now, consentMs) : null;
    const started = startFamily({ id, user, client, now, ids: this.#ids(id, realm), consentEndsAt });
    this.#allowed.set(id, allowed);
    const joining = isOffline ? started : { ...started, tokens: [] };
    const evicted = isOffline ? this.#admit(joining, now) : NOTHING_EVICTED;
    if (!isOffline) this.families.replace(undefined, joining);
    const issued = this.#issued(joining, started.tokens[0]?.id ?? '', started.accessTokens[0]?.id ?? '');
    return { ok: true, issued, answer: 'authorized', evicted };
  }

  #admit(joining: Family, now: Instant): { from: number; removed: number } {
    const { caps } = this.#policy;
    const isCapped = Number.isFinite(Math.min(caps.familiesPerUserClient, caps.tokensPerUserClient));
    const others = isCapped ? this.families.liveOf(joining.user, joining.client) : [];
    return this.#keep([...others, joining], admit(others, joining, this.#policy, now));
  }

  /** A second successor of one token may be one token too many. */
  #capForks({ user, client }: Family, now: Instant): { from: number; removed: number } {
    const cap = this.#policy.caps.tokensPerUserClient;
    if (!Number.isFinite(cap)) return NOTHING_EVICTED;
    const before = this.families.liveOf(user, client);
    return this.#keep(before, evictTokens(before, cap, now));
  }

  #keep(before: readonly Family[], kept: readonly Family[]): { from: number; removed: number } {
    kept.forEach((one, i) => {
      if (one !== before[i] || !this.families.recent(one.id)) this.families.replace(before[i], one);
    });
    const removed = evicted(kept) - evicted(before);
    return { from: removed === 0 ? 0 : this.#policy.caps.tokensPerUserClient + removed, removed };
  }

  /** Presents a refresh token. `callsToday` does not count this one. */
  refresh(
    text: string,
    asks: { readonly client: string; readonly realm: string; readonly callsToday: number; readonly now: Instant },
  ): Outcome {
    const id = this.#refreshTokens.familyOf(text);
    const family = id === undefined ? undefined : this.families.forToken(id, text);
    if (!family || this.allowedOf(family.id)?.realm !== asks.realm) {
      return refused(this.form.looksLikeRefreshToken(text) ? 'unknown' : 'malformed');
    }
    if (family.client !== asks.client) return refused('token-of-another-client', { family });
    const pacingFirst = this.#switches.errorOrder === 'spacing-first';
    return this.#present(family, text, { policy: this.#policy, pacingFirst, ...asks });
  }

  #present(
    family: Family,
    token: string,
    how: { policy: RotationPolicy; now: Instant; realm: string; callsToday: number; pacingFirst: boolean },
  ): Outcome {
    const ids = this.#ids(family.id, how.realm);
    let read = family;
    let result = present(read, token, { ...how, ids });
    if (result.outcome === 'refused' && result.revokes !== 'nothing') {
      // What it costs reaches all rows, the old ones too.
      read = this.families.whole(family.id) ?? family;
      result = present(read, token, { ...how, ids });
    }
    this.families.replace(read, result.family);
    if (result.outcome === 'accepted') {
      const isFork = result.answer === 'fork';
      const evicted = isFork ? this.#capForks(result.family, how.now) : NOTHING_EVICTED;
      const issued = this.#issued(result.family, result.refreshToken, result.accessToken);
      return { ok: true, issued, answer: result.answer, evicted };
    }
    const isBreach = result.revokes !== 'nothing';
    if (result.revokes === 'client-user') this.revoke(family, 'revoked', how.now);
    if (result.reason === 'too-early') return this.#early(family, token, how);
    return refused(result.reason, {
      endedAt: this.#endOf(family, token, result.reason),
      family: result.family,
      isBreach,
    });
  }

  /** Too early: what a server with a fault of its own does beside, or instead of, saying so. */
  #early(family: Family, token: string, how: { policy: RotationPolicy; now: Instant; realm: string }): Outcome {
    const { earlyRefresh } = this.#switches;
    if (earlyRefresh === 'error') return refused('too-early', { family });
    const pacing = { minSpacingMs: 0, perDay: Number.POSITIVE_INFINITY };
    const result = this.#present(family, token, {
      ...how,
      policy: { ...how.policy, pacing },
      callsToday: 0,
      pacingFirst: false,
    });
    if (result.ok && earlyRefresh === 'dead-token') this.kill(result.issued.refreshToken ?? '', how.now);
    return earlyRefresh === 'error-and-advance' ? refused('too-early', { family }) : result;
  }

  #endOf(family: Family, id: string, reason: TokenRefusal): Instant | null {
    const token = family.tokens.find((one) => one.id === id);
    const { life } = this.#policy;
    if (reason === 'expired-absolute') return after(family.startedAt, life.absoluteMs);
    if (reason !== 'expired-idle' || !token) return null;
    return after(life.idleFrom === 'issue' ? token.issuedAt : (token.lastUsedAt ?? token.issuedAt), life.idleMs);
  }

  /** An access token reaches the API. */
  useAccessToken(
    text: string,
    realm: string,
    now: Instant,
  ):
    | { readonly ok: true; readonly user: User; readonly allowed: Allowed; readonly activated: boolean }
    | { readonly ok: false; readonly reason: Exclude<ApiRefusal, 'missing'> } {
    const id = this.#accessTokens.familyOf(text);
    const family = id === undefined ? undefined : this.families.forAccessToken(id, text);
    const user = family && this.accounts.userById(family.user);
    const allowed = family && this.allowedOf(family.id);
    if (!family || !user || allowed?.realm !== realm) return { ok: false, reason: 'unknown' };
    const use = accessUsed(family, text, this.#policy, now);
    if (use.family !== family) this.families.replace(family, use.family);
    if (use.outcome === 'refused') return { ok: false, reason: use.reason };
    const isConsentOver = family.revoked !== null || now > (family.consentEndsAt ?? Number.POSITIVE_INFINITY);
    if (this.form.accessEndsWithConsent && isConsentOver) return { ok: false, reason: 'consent-gone' };
    return { ok: true, user, allowed, activated: use.activated };
  }

  allowedOf(family: string): Allowed | undefined {
    return this.#allowed.get(family);
  }

  /** Ends the live families of a (user, client). Access tokens that are out live to their end. */
  revoke(
    whose: { readonly user: string; readonly client: string },
    reason: 'revoked' | 'chain-reset',
    now: Instant,
  ): number {
    const hit = this.families.liveOf(whose.user, whose.client);
    for (const family of hit) this.end(family, reason, now);
    return hit.length;
  }

  end(family: Family, reason: 'revoked' | 'chain-reset', now: Instant): void {
    const before = this.families.whole(family.id);
    if (before) this.families.replace(before, revoke(before, { reason, now, accessTokens: 'keep' }));
  }

  /** Makes an issued refresh token dead, as if a sibling had displaced it. */
  kill(text: string, now: Instant): void {
    this.#changeToken(text, { displacedAt: now });
  }

  /** A refresh token that was revoked alone. */
  evict(text: string, now: Instant): void {
    this.#changeToken(text, { evictedAt: now });
  }

  /** An access token that was revoked alone. */
  endAccess(text: string, now: Instant): void {
    const before = this.families.whole(this.#accessTokens.familyOf(text) ?? '');
    if (!before) return;
    const accessTokens = before.accessTokens.map((one) => (one.id === text ? { ...one, revokedAt: now } : one));
    this.families.replace(before, { ...before, accessTokens });
  }

  isRefreshToken(text: string): boolean {
    return this.#refreshTokens.familyOf(text) !== undefined;
  }

  /** The last issue of this family does not count for spacing, since its answer was not delivered. */
  forgetIssue(familyId: string, lastIssuedAt: Instant): void {
    const family = this.families.recent(familyId);
    if (family) this.families.replace(family, { ...family, lastIssuedAt });
  }

  /** Lets everything of a kind that is alive run out at once. */
  expire(what: 'refresh' | 'access' | 'code', user: string | null): void {
    const { life } = this.#policy;
    if (what === 'code') {
      this.codes.age(user, (life.codeMs ?? 0) + 1000);
      return;
    }
    for (const family of [...this.families.all()].filter((one) => user === null || one.user === user)) {
      if (what === 'access') this.families.replace(family, agedAccess(family, (life.accessTokenMs ?? 0) + 1000));
      else this.#expireChain(family);
    }
  }

  /** A chain that nothing but its user ends ends by that. */
  #expireChain(family: Family): void {
    const { idleMs, absoluteMs } = this.#policy.life;
    const lifeMs = Math.min(idleMs, absoluteMs);
    if (Number.isFinite(lifeMs)) this.families.replace(family, aged(family, lifeMs + 1000));
    else this.end(family, 'revoked', family.lastIssuedAt);
  }

  #changeToken(text: string, how: Partial<FamilyToken>): void {
    const before = this.families.whole(this.#refreshTokens.familyOf(text) ?? '');
    if (!before) return;
    const tokens = before.tokens.map((one) => (one.id === text ? { ...one, ...how } : one));
    this.families.replace(before, { ...before, tokens });
  }

  /** The texts are the ids; each is made when it is needed, and once. */
  #ids(family: string, realm: string): NewIds {
    const make = {
      refreshToken: () => this.#refreshTokens.add(this.form.refreshTokenText(this.chance, realm), family),
      accessToken: () => this.#accessTokens.add(this.form.accessTokenText(this.chance, realm), family),
    };
    let refreshToken: string | undefined;
    let accessToken: string | undefined;
    return {
      get refreshToken() {
        refreshToken ??= make.refreshToken();
        return refreshToken;
      },
      get accessToken() {
        accessToken ??= make.accessToken();
        return accessToken;
      },
    };
  }

  #issued(family: Family, refreshToken: string, accessToken: string): Issued {
    const allowed = this.#allowed.get(family.id);
    if (!allowed) throw new Error(`${family.id} was allowed nothing`);
    return { family, allowed, accessToken, refreshToken: allowed.isOffline ? refreshToken : null };
  }
}

const evicted = (families: readonly Family[]) =>
  families.flatMap((one) => one.tokens).filter((one) => one.evictedAt !== null).length;

function aged(family: Family, byMs: number): Family {
  const back = (instant: Instant | null) => (instant === null ? null : after(instant, -byMs));
  const tokens = family.tokens.map((one) => ({
    ...one,
    issuedAt: after(one.issuedAt, -byMs),
    lastUsedAt: back(one.lastUsedAt),
  }));
  return { ...family, tokens, startedAt: after(family.startedAt, -byMs) };
}

function agedAccess(family: Family, byMs: number): Family {
  const accessTokens = family.accessTokens.map((one) => ({ ...one, issuedAt: after(one.issuedAt, -byMs) }));
  return { ...family, accessTokens };
}
