/**
 * The memory of one emulated server: apps, users, codes and families, and what happens to them. It decides nothing that
 * `core/family` decides; it finds the family, asks, and keeps the answer.
 *
 * State: a code is unused, used or expired; the states of families and their tokens are in `core/family`. Everything is
 * in memory and dies with the server.
 */
import { accessUsed, type Family, type FamilyToken, present, revoke, startFamily } from '../core/family.ts';
import { admit } from '../core/family-caps.ts';
import { after, type Instant } from '../core/instant.ts';
import type { RotationPolicy } from '../core/rotation-policy.ts';
import { toBase32 } from '../core/totp.ts';
import { Chance } from './chance.ts';
import type { Form, Identity, Switches, TokenRefusal } from './form.ts';
import { atSpeed } from './speed.ts';

export interface App {
  readonly clientId: string;
  clientSecret: string;
  readonly name: string;
  readonly redirectUris: readonly string[];
}

export interface User extends Identity {
  password: string;
  /** base32 */
  totpSecret: string;
  /** The last step whose code was used: a code works once. */
  lastTotpStep: number;
}

export interface Code {
  readonly text: string;
  readonly client: string;
  readonly user: string;
  readonly redirectUri: string;
  /** S256 challenge (RFC 7636), where the request had one. */
  readonly challenge: string | null;
  issuedAt: Instant;
  usedAt: Instant | null;
}

export interface Issued {
  readonly accessToken: string;
  readonly refreshToken: string;
  readonly user: string;
  readonly family: string;
}

export type Outcome =
  | { readonly ok: true; readonly issued: Issued; readonly answer: string }
  | { readonly ok: false; readonly reason: TokenRefusal; readonly endedAt: Instant | null };

export interface UpstreamOptions {
  readonly form: Form;
  readonly seed: number | string;
  readonly speed: number;
  readonly switches: Partial<Switches>;
  readonly redirectUris: readonly string[];
}

const refused = (reason: TokenRefusal, endedAt: Instant | null = null): Outcome => ({ ok: false, reason, endedAt });

export class Upstream {
  readonly form: Form;
  readonly chance: Chance;
  readonly speed: number;
  readonly apps = new Map<string, App>();
  readonly users = new Map<string, User>();
  readonly codes = new Map<string, Code>();
  readonly #families = new Map<string, Family>();
  /** Texts of refresh and access tokens, by id and the other way round. */
  readonly #texts = new Map<string, string>();
  readonly #refreshTokens = new Map<string, { readonly family: string; readonly id: string }>();
  readonly #accessTokens = new Map<string, { readonly family: string; readonly id: string }>();
  #switches: Switches;
  #count = 0;

  constructor(options: UpstreamOptions) {
    this.form = options.form;
    this.chance = new Chance(options.seed);
    this.speed = options.speed;
    this.#switches = { ...options.form.switches, ...options.switches };
    this.addApp('Evergrant test app', options.redirectUris);
    this.addUser({ username: 'emma.devries@example.com', fullName: 'Emma de Vries' });
  }

  get switches(): Switches {
    return this.#switches;
  }

  /** Applies to tokens that were issued already. */
  change(switches: Partial<Switches>): void {
    this.#switches = { ...this.#switches, ...switches };
  }

  /** The policy as it is played: every duration divided by the speed. */
  get policy(): RotationPolicy {
    return atSpeed(this.form.policy(this.#switches), this.speed);
  }

  families(): readonly Family[] {
    return [...this.#families.values()];
  }

  textOf(id: string): string {
    return this.#texts.get(id) ?? '';
  }

  addApp(name: string, redirectUris: readonly string[]): App {
    const { chance } = this;
    const app = {
      clientId: chance.guid('client id'),
      clientSecret: chance.text('client secret', 16),
      name,
      redirectUris,
    };
    this.apps.set(app.clientId, app);
    return app;
  }

  addUser(wish: { readonly username: string; readonly password?: string; readonly fullName?: string }): User {
    const { chance } = this;
    const user: User = {
      id: chance.guid('user id'),
      username: wish.username,
      fullName: wish.fullName ?? wish.username,
      division: 100_000 + Math.floor(chance.fraction('division') * 900_000),
      password: wish.password ?? chance.text('password', 16),
      totpSecret: toBase32(chance.bytes('totp secret', 20)),
      lastTotpStep: -1,
    };
    this.users.set(user.username.toLowerCase(), user);
    return user;
  }

  /** A new secret, as after losing the phone: codes of the old one are wrong from now on. */
  resetTotp(user: User): void {
    user.totpSecret = toBase32(this.chance.bytes('totp secret', 20));
    user.lastTotpStep = -1;
  }

  userById(id: string): User | undefined {
    return [...this.users.values()].find((user) => user.id === id);
  }

  /** The owner of a token or code, whatever its state; for faults and the ledger. */
  ownerOf(text: string): { readonly user: string; readonly client: string } | null {
    const token = this.#refreshTokens.get(text) ?? this.#accessTokens.get(text);
    return (token && this.#families.get(token.family)) ?? this.codes.get(text) ?? null;
  }

  issueCode(code: Pick<Code, 'client' | 'user' | 'redirectUri' | 'challenge'>, now: Instant): Code {
    const text = this.form.codeText(this.chance, this.#switches, now);
    const issued = { ...code, text, issuedAt: now, usedAt: null };
    this.codes.set(text, issued);
    return issued;
  }

  /** A code whose client, address and verifier were checked starts a family, and ends older ones as caps demand. */
  redeem(code: Code, now: Instant): Outcome {
    if (code.usedAt !== null) return refused('code-replayed');
    const endsAt = after(code.issuedAt, this.policy.life.codeMs ?? Number.POSITIVE_INFINITY);
    if (now > endsAt) return refused('code-expired', endsAt);
    const codes = [...this.codes.values()];
    const later = codes.slice(codes.indexOf(code) + 1);
    const isOlder = later.some((one) => one.user === code.user && one.client === code.client && one.usedAt !== null);
    if (isOlder) return refused('code-of-older-authorization');
    code.usedAt = now;
    return this.#start(code.user, code.client, now);
  }

  #start(user: string, client: string, now: Instant): Outcome {
    const id = `family-${++this.#count}`;
    const ids = this.#newTokens(id);
    const joining = startFamily({ id, user, client, now, ids });
    const others = this.families().filter((one) => one.user === user && one.client === client);
    for (const family of admit(others, joining, this.policy, now)) this.#families.set(family.id, family);
    return { ok: true, issued: this.#issued(joining, ids.refreshToken, ids.accessToken), answer: 'authorized' };
  }

  /** Presents a refresh token. `callsToday` does not count this one. */
  refresh(text: string, client: string, callsToday: number, now: Instant): Outcome {
    const known = this.#refreshTokens.get(text);
    const family = known && this.#families.get(known.family);
    if (!known || !family) return refused(this.form.looksLikeRefreshToken(text) ? 'unknown' : 'malformed');
    if (family.client !== client) return refused('token-of-another-client');
    const pacingFirst = this.#switches.errorOrder === 'spacing-first';
    return this.#present(family, known.id, { policy: this.policy, now, callsToday, pacingFirst });
  }

  #present(
    family: Family,
    token: string,
    how: { policy: RotationPolicy; now: Instant; callsToday: number; pacingFirst: boolean },
  ): Outcome {
    const ids = { refreshToken: `rt-${this.#count + 1}`, accessToken: `at-${this.#count + 1}` };
    const result = present(family, token, { ...how, ids });
    this.#families.set(family.id, result.family);
    if (result.outcome === 'accepted') {
      this.#newTokens(family.id);
      const issued = this.#issued(result.family, result.refreshToken, result.accessToken);
      return { ok: true, issued, answer: result.answer };
    }
    if (result.revokes === 'client-user') this.revoke(family, 'revoked', how.now);
    if (result.reason === 'too-early') return this.#early(family, token, how);
    return refused(result.reason, this.#endOf(family, token, result.reason));
  }

  /** Too early: what a server with a fault of its own does beside, or instead of, saying so. */
  #early(family: Family, token: string, how: { policy: RotationPolicy; now: Instant }): Outcome {
    const { earlyRefresh } = this.#switches;
    if (earlyRefresh === 'error') return refused('too-early');
    const pacing = { minSpacingMs: 0, perDay: Number.POSITIVE_INFINITY };
    const policy = { ...how.policy, pacing };
    const result = this.#present(family, token, { policy, now: how.now, callsToday: 0, pacingFirst: false });
    if (result.ok && earlyRefresh === 'dead-token') this.kill(result.issued.refreshToken, how.now);
    return earlyRefresh === 'error-and-advance' ? refused('too-early') : result;
  }

  #endOf(family: Family, id: string, reason: TokenRefusal): Instant | null {
    const token = family.tokens.find((one) => one.id === id);
    const { life } = this.policy;
    if (reason === 'expired-absolute') return after(family.startedAt, life.absoluteMs);
    if (reason !== 'expired-idle' || !token) return null;
    return after(life.idleFrom === 'issue' ? token.issuedAt : (token.lastUsedAt ?? token.issuedAt), life.idleMs);
  }

  /** An access token reaches the API. */
  useAccessToken(
    text: string,
    now: Instant,
  ):
    | { readonly ok: true; readonly user: User; readonly client: string; readonly activated: boolean }
    | { readonly ok: false; readonly reason: 'unknown' | 'expired' | 'revoked' } {
    const known = this.#accessTokens.get(text);
    const family = known && this.#families.get(known.family);
    const user = family && this.userById(family.user);
    if (!known || !family || !user) return { ok: false, reason: 'unknown' };
    const use = accessUsed(family, known.id, this.policy, now);
    this.#families.set(family.id, use.family);
    if (use.outcome === 'refused') return { ok: false, reason: use.reason };
    return { ok: true, user, client: family.client, activated: use.activated };
  }

  /** Ends the live families of a (user, client). Access tokens that are out live to their end. */
  revoke(
    whose: { readonly user: string; readonly client: string },
    reason: 'revoked' | 'chain-reset',
    now: Instant,
  ): number {
    const hit = this.families().filter((one) => one.user === whose.user && one.client === whose.client && !one.revoked);
    for (const family of hit) this.#families.set(family.id, revoke(family, { reason, now, accessTokens: 'keep' }));
    return hit.length;
  }

  /** Makes an issued refresh token dead, as if a sibling had displaced it. */
  kill(text: string, now: Instant): void {
    this.#changeToken(text, { displacedAt: now });
  }

  /** The last issue of this family does not count for spacing, since its answer was not delivered. */
  forgetIssue(familyId: string, lastIssuedAt: Instant): void {
    const family = this.#families.get(familyId);
    if (family) this.#families.set(familyId, { ...family, lastIssuedAt });
  }

  family(id: string): Family | undefined {
    return this.#families.get(id);
  }

  familyOf(refreshToken: string): Family | undefined {
    return this.#families.get(this.#refreshTokens.get(refreshToken)?.family ?? '');
  }

  /** Lets everything of a kind that is alive run out at once. */
  expire(what: 'refresh' | 'access' | 'code', user: string | null): void {
    const { life } = this.policy;
    const isHit = (one: { readonly user: string }) => user === null || one.user === user;
    if (what === 'code') {
      const byMs = (life.codeMs ?? 0) + 1000;
      for (const code of this.codes.values()) if (isHit(code)) code.issuedAt = after(code.issuedAt, -byMs);
    }
    for (const family of this.families().filter(isHit)) {
      if (what === 'refresh') this.#families.set(family.id, aged(family, life.idleMs + 1000));
      if (what === 'access') this.#families.set(family.id, agedAccess(family, (life.accessTokenMs ?? 0) + 1000));
    }
  }

  #changeToken(text: string, how: Partial<FamilyToken>): void {
    const known = this.#refreshTokens.get(text);
    const family = known && this.#families.get(known.family);
    if (!known || !family) return;
    const tokens = family.tokens.map((one) => (one.id === known.id ? { ...one, ...how } : one));
    this.#families.set(family.id, { ...family, tokens });
  }

  #newTokens(family: string): { refreshToken: string; accessToken: string } {
    const count = ++this.#count;
    const ids = { refreshToken: `rt-${count}`, accessToken: `at-${count}` };
    const refresh = this.form.refreshTokenText(this.chance);
    const access = this.form.accessTokenText(this.chance);
    this.#texts.set(ids.refreshToken, refresh).set(ids.accessToken, access);
    this.#refreshTokens.set(refresh, { family, id: ids.refreshToken });
    this.#accessTokens.set(access, { family, id: ids.accessToken });
    return ids;
  }

  #issued(family: Family, refreshToken: string, accessToken: string): Issued {
    const { user, id } = family;
    return { user, family: id, accessToken: this.textOf(accessToken), refreshToken: this.textOf(refreshToken) };
  }
}

function aged(family: Family, byMs: number): Family {
  const back = (instant: Instant | null) => (instant === null ? null : after(instant, -byMs));
  const tokens = family.tokens.map((one) => ({
    ...one,
    issuedAt: after(one.issuedAt, -byMs),
    lastUsedAt: back(one.lastUsedAt),
  }));
  return { ...family, tokens };
}

function agedAccess(family: Family, byMs: number): Family {
  const accessTokens = family.accessTokens.map((one) => ({ ...one, issuedAt: after(one.issuedAt, -byMs) }));
  return { ...family, accessTokens };
}
