/**
 * The memory of one emulated server: accounts, codes and families, and what happens to them. It decides nothing that
 * `core/family` decides; it finds the family, asks, and keeps the answer.
 *
 * State: a code is unused, used or expired; the states of families and their tokens are in `core/family`. Everything is
 * in memory and dies with the server. Tokens are never forgotten, however long they are dead, because "used before" and
 * "never seen" are different answers: about 1 KB for each exchange, outside of the heap that is collected.
 */
import {
  accessUsed,
  type Family,
  type FamilyAccessToken,
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
import { Families, type Owner } from './families.ts';
import type { ApiRefusal, Form, Switches, TokenRefusal } from './form.ts';
import { isRefreshToken, type Presented, Register, type Token, type TokenId } from './register.ts';
import { atSpeed, divided } from './speed.ts';

export interface Issued {
  readonly accessToken: Token;
  /** Null where the authorization brings none. */
  readonly refreshToken: Token | null;
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
  readonly #tokens = new Register();
  #switches: Switches;
  #policy: RotationPolicy;

  constructor(options: UpstreamOptions) {
    this.form = options.form;
    this.chance = new Chance(options.seed);
    this.speed = options.speed;
    this.#switches = { ...options.form.switches, ...options.switches };
    this.#policy = atSpeed(this.form.policy(this.#switches), this.speed);
    const { access, caps } = this.#policy;
    const isCapped = Number.isFinite(caps.liveAccessTokens);
    this.families = new Families(isCapped ? 3 * caps.liveAccessTokens : access === 'keep' ? 0 : 1);
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

  /** Whoever keeps what it gives keeps no part of a request, where the text was issued here. */
  presented(text: string): Presented {
    return this.#tokens.find(text) ?? this.codes.get(text)?.text ?? text;
  }

  textOf(presented: Presented): string {
    return typeof presented === 'string' ? presented : this.#tokens.textOf(presented);
  }

  /** The owner of a token or code, whatever its state; for faults and the ledger. */
  ownerOf(presented: Presented): Pick<Owner, 'user' | 'username' | 'client'> | null {
    if (typeof presented === 'number') return this.families.ownerOf(presented);
    const code = this.codes.get(presented);
    return code ? { ...code, username: this.#nameOf(code.user) } : null;
  }

  #nameOf(user: string): string | null {
    return this.accounts.userById(user)?.username ?? null;
  }

  /** What the family of a token was allowed. */
  allowedTo(token: Presented): Allowed | null {
    return typeof token === 'number' ? (this.families.ownerOf(token)?.allowed ?? null) : null;
  }

  /** The family of a refresh or access token, with the rows that concern it. */
  familyOf(presented: Presented): Family | null {
    return typeof presented === 'string' ? null : this.families.forToken(presented);
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
    const id = this.families.nextId;
    const consentMs = divided(this.#switches.consentMs, this.speed);
    const consentEndsAt = Number.isFinite(consentMs) ? after(now, consentMs) : null;
    const made = new NewTokens(this.#tokens, this.form, this.chance, realm);
    const started = startFamily({ id, user, client, now, ids: made, consentEndsAt });
    const family = isOffline ? started : { ...started, tokens: [] };
    const others = isOffline ? this.#othersUnderCaps(family) : [];
    this.families.add({ id, user, username: this.#nameOf(user), client, allowed }, family);
    const all = [...others, family];
    const evicted = isOffline ? this.#keep(all, admit(others, family, this.#policy, now)) : NOTHING_EVICTED;
    const refreshToken = isOffline ? made.newRefreshToken() : null;
    const issued = { family, allowed, accessToken: made.newAccessToken(), refreshToken };
    return { ok: true, issued, answer: 'authorized', evicted };
  }

  #othersUnderCaps({ user, client }: Family): readonly Family[] {
    const { familiesPerUserClient, tokensPerUserClient } = this.#policy.caps;
    const isCapped = Number.isFinite(Math.min(familiesPerUserClient, tokensPerUserClient));
    return isCapped ? this.families.liveOf(user, client) : [];
  }

  /** A second successor of one token may be one token too many. */
  #capForks({ user, client }: Family, now: Instant): { from: number; removed: number } {
    const cap = this.#policy.caps.tokensPerUserClient;
    if (!Number.isFinite(cap)) return NOTHING_EVICTED;
    const before = this.families.liveOf(user, client);
    return this.#keep(before, evictTokens(before, cap, now));
  }

  #keep(before: readonly Family[], kept: readonly Family[]): { from: number; removed: number } {
    for (const [i, one] of before.entries()) this.families.replace(one, kept[i] ?? one);
    const removed = evicted(kept) - evicted(before);
    return { from: removed === 0 ? 0 : this.#policy.caps.tokensPerUserClient + removed, removed };
  }

  /** Presents a refresh token. `callsToday` does not count this one. */
  refresh(
    presented: Presented,
    asks: { readonly client: string; readonly realm: string; readonly callsToday: number; readonly now: Instant },
  ): Outcome {
    const isKnown = typeof presented === 'number' && isRefreshToken(presented);
    const family = isKnown ? this.families.forToken(presented) : null;
    if (!isKnown || !family || this.allowedTo(presented)?.realm !== asks.realm) {
      return refused(this.form.looksLikeRefreshToken(this.textOf(presented)) ? 'unknown' : 'malformed');
    }
    if (family.client !== asks.client) return refused('token-of-another-client', { family });
    const pacingFirst = this.#switches.errorOrder === 'spacing-first';
    return this.#present(family, presented, { policy: this.#policy, pacingFirst, ...asks });
  }

  #present(
    family: Family,
    token: TokenId,
    how: { policy: RotationPolicy; now: Instant; realm: string; callsToday: number; pacingFirst: boolean },
  ): Outcome {
    const { policy, now, callsToday, pacingFirst } = how;
    const made = new NewTokens(this.#tokens, this.form, this.chance, how.realm);
    const options = { policy, now, callsToday, pacingFirst, ids: made };
    let read = family;
    let result = present(read, String(token), options);
    if (result.outcome === 'refused' && result.revokes !== 'nothing') {
      // What it costs reaches all rows, the old ones too.
      read = this.families.whole(family.id);
      result = present(read, String(token), options);
    }
    this.families.replace(read, result.family);
    if (result.outcome === 'accepted') {
      const isFork = result.answer === 'fork';
      const evicted = isFork ? this.#capForks(result.family, how.now) : NOTHING_EVICTED;
      const issued = this.#issued(
        result.family,
        made.refreshTokenOf(Number(result.refreshToken)),
        made.newAccessToken(),
      );
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
  #early(family: Family, token: TokenId, how: { policy: RotationPolicy; now: Instant; realm: string }): Outcome {
    const { earlyRefresh } = this.#switches;
    if (earlyRefresh === 'error') return refused('too-early', { family });
    const pacing = { minSpacingMs: 0, perDay: Number.POSITIVE_INFINITY };
    const result = this.#present(family, token, {
      ...how,
      policy: { ...how.policy, pacing },
      callsToday: 0,
      pacingFirst: false,
    });
    if (result.ok && earlyRefresh === 'dead-token') this.kill(result.issued.refreshToken, how.now);
    return earlyRefresh === 'error-and-advance' ? refused('too-early', { family }) : result;
  }

  #endOf(family: Family, id: TokenId, reason: TokenRefusal): Instant | null {
    const token = family.tokens.find((one) => one.id === String(id));
    const { life } = this.#policy;
    if (reason === 'expired-absolute') return after(family.startedAt, life.absoluteMs);
    if (reason !== 'expired-idle' || !token) return null;
    return after(life.idleFrom === 'issue' ? token.issuedAt : (token.lastUsedAt ?? token.issuedAt), life.idleMs);
  }

  /** An access token reaches the API. */
  useAccessToken(
    presented: Presented,
    realm: string,
    now: Instant,
  ):
    | { readonly ok: true; readonly user: User; readonly allowed: Allowed; readonly activated: boolean }
    | { readonly ok: false; readonly reason: Exclude<ApiRefusal, 'missing'> } {
    if (typeof presented === 'string' || isRefreshToken(presented)) return { ok: false, reason: 'unknown' };
    const family = this.families.forToken(presented);
    const user = family && this.accounts.userById(family.user);
    const allowed = this.allowedTo(presented);
    if (!family || !user || allowed?.realm !== realm) return { ok: false, reason: 'unknown' };
    const use = accessUsed(family, String(presented), this.#policy, now);
    this.families.replace(family, use.family);
    if (use.outcome === 'refused') return { ok: false, reason: use.reason };
    const isConsentOver = family.revoked !== null || now > (family.consentEndsAt ?? Number.POSITIVE_INFINITY);
    if (this.form.accessEndsWithConsent && isConsentOver) return { ok: false, reason: 'consent-gone' };
    return { ok: true, user, allowed, activated: use.activated };
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
    this.families.replace(before, revoke(before, { reason, now, accessTokens: 'keep' }));
  }

  /** Makes an issued refresh token dead, as if a sibling had displaced it. */
  kill(token: Token | null, now: Instant): void {
    if (token) this.#changeToken(token.id, { displacedAt: now });
  }

  /** A refresh token that was revoked alone. */
  evict(token: TokenId, now: Instant): void {
    this.#changeToken(token, { evictedAt: now });
  }

  /** An access token that was revoked alone. */
  endAccess(token: TokenId, now: Instant): void {
    const before = this.families.forToken(token);
    if (!before) return;
    const isIt = (one: FamilyAccessToken) => one.id === String(token);
    const accessTokens = before.accessTokens.map((one) => (isIt(one) ? { ...one, revokedAt: now } : one));
    this.families.replace(before, { ...before, accessTokens });
  }

  /** The last issue of this family does not count for spacing, since its answer was not delivered. */
  forgetIssue(familyId: string, lastIssuedAt: Instant): void {
    const family = this.families.whole(familyId);
    this.families.replace(family, { ...family, lastIssuedAt });
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

  #changeToken(token: TokenId, how: Partial<FamilyToken>): void {
    const before = this.families.forToken(token);
    if (!before) return;
    const tokens = before.tokens.map((one) => (one.id === String(token) ? { ...one, ...how } : one));
    this.families.replace(before, { ...before, tokens });
  }

  #issued(family: Family, refreshToken: Token, accessToken: Token): Issued {
    const allowed = this.allowedTo(accessToken.id);
    if (!allowed) throw new Error(`${family.id} was allowed nothing`);
    return { family, allowed, accessToken, refreshToken: allowed.isOffline ? refreshToken : null };
  }
}

/** Tokens of one answer: each is made when it is needed, and once. */
class NewTokens implements NewIds {
  readonly #tokens: Register;
  readonly #form: Form;
  readonly #chance: Chance;
  readonly #realm: string;
  #refreshToken: Token | null = null;
  #accessToken: Token | null = null;

  constructor(tokens: Register, form: Form, chance: Chance, realm: string) {
    this.#tokens = tokens;
    this.#form = form;
    this.#chance = chance;
    this.#realm = realm;
  }

  get refreshToken(): string {
    return String(this.newRefreshToken().id);
  }

  get accessToken(): string {
    return String(this.newAccessToken().id);
  }

  newRefreshToken(): Token {
    this.#refreshToken ??= this.#tokens.addRefreshToken(this.#form.refreshTokenText(this.#chance, this.#realm));
    return this.#refreshToken;
  }

  newAccessToken(): Token {
    this.#accessToken ??= this.#tokens.addAccessToken(this.#form.accessTokenText(this.#chance, this.#realm));
    return this.#accessToken;
  }

  /** The new one, or one that was issued before. */
  refreshTokenOf(id: TokenId): Token {
    return this.#refreshToken?.id === id ? this.#refreshToken : { id, text: this.#tokens.textOf(id) };
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
