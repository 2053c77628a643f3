/**
 * The authorization server's end of rotation: which refresh tokens of a family are alive, and what presenting one
 * gives. `chain` is the other end; both read one `RotationPolicy`, and no server has rules of its own in here.
 *
 * A family is one authorization of one (user, client). Each token is a row, so that siblings of one parent (forks) can
 * be told apart. Ids and time are passed in; nothing here reads a clock or draws chance.
 *
 * States of a token (they follow from the row):
 *
 *   unspent ──presented, rotated──▶ spent: alive while the policy's overlap holds, then dead
 *      │ └──presented, not rotated──▶ unspent
 *      ├──a sibling was issued, answer `replace`──▶ displaced: dead, although it was never presented
 *      ├──a cap was exceeded──▶ evicted
 *      └──idle, absolute or consent end passed──▶ expired
 *
 * A family is live until it is revoked: by reuse, by a cap, by a newer authorization, or from outside. A revoked
 * family stays dead. A refused presentation changes nothing but, on reuse, that revocation.
 */
import type { Instant } from './instant.ts';
import type { RotationPolicy } from './rotation-policy.ts';

export interface FamilyToken {
  readonly id: string;
  readonly parent: string | null;
  /** Counts links from the authorization on, which is 0. Siblings share it. */
  readonly generation: number;
  readonly issuedAt: Instant;
  /** When it was first exchanged for a successor; null while unspent. */
  readonly firstUsedAt: Instant | null;
  /** When it was last presented with success. */
  readonly lastUsedAt: Instant | null;
  /** Presentations that succeeded. */
  readonly uses: number;
  /** When it first counted as used in the sense of `overlap.successorUse`: its predecessor may die of that. */
  readonly activatedAt: Instant | null;
  readonly displacedAt: Instant | null;
  readonly evictedAt: Instant | null;
}

export interface FamilyAccessToken {
  readonly id: string;
  /** The refresh token issued in the same answer. */
  readonly refreshToken: string;
  /** The refresh token that was presented for it; null for the answer to a code. */
  readonly presented: string | null;
  readonly issuedAt: Instant;
  readonly revokedAt: Instant | null;
}

export type RevocationReason = 'reuse' | 'revoked' | 'reauthorized' | 'chain-reset';

export interface Family {
  readonly id: string;
  readonly user: string;
  readonly client: string;
  readonly startedAt: Instant;
  /** When the resource owner's consent ends, where it has an end of its own. */
  readonly consentEndsAt: Instant | null;
  /**
   * Oldest first. A caller may leave out old rows to keep this short, as long as the token presented, its successors
   * and the newest one are here.
   */
  readonly tokens: readonly FamilyToken[];
  readonly accessTokens: readonly FamilyAccessToken[];
  /** The highest generation of any of its tokens. */
  readonly latestGeneration: number;
  /** When tokens were last issued, the authorization included; spacing counts from here. */
  readonly lastIssuedAt: Instant;
  readonly lastRefreshedAt: Instant | null;
  readonly lastRotatedAt: Instant | null;
  readonly revoked: { readonly at: Instant; readonly reason: RevocationReason } | null;
}

/** The true reason of a refusal, however little of it the wire shows. */
export type RefusalReason =
  | 'unknown'
  | 'revoked'
  | 'evicted'
  | 'expired-idle'
  | 'expired-absolute'
  | 'consent-ended'
  /** Its successor was used, or it lies too far back, or was presented too often. */
  | 'superseded'
  /** Spent, and the window since its use is over. */
  | 'expired-in-use'
  /** A sibling took its place before it was used. */
  | 'displaced'
  | 'too-early'
  | 'quota';

export type Presentation =
  | {
      readonly outcome: 'accepted';
      /** new: rotated. same: this token goes on. The others answer a repeated presentation. */
      readonly answer: 'new' | 'same' | 'fork' | 'replace' | 'same-successor';
      readonly family: Family;
      readonly refreshToken: string;
      readonly accessToken: string;
    }
  | {
      readonly outcome: 'refused';
      readonly reason: RefusalReason;
      readonly family: Family;
      /** What reuse costs beyond this refusal; `client-user` reaches other families, which the caller revokes. */
      readonly revokes: 'nothing' | 'family' | 'client-user';
    };

/** Read only where the answer needs them, so that they may be made on demand. */
export interface NewIds {
  readonly refreshToken: string;
  readonly accessToken: string;
}

export function startFamily(start: {
  readonly id: string;
  readonly user: string;
  readonly client: string;
  readonly now: Instant;
  readonly ids: NewIds;
  readonly consentEndsAt?: Instant | null;
}): Family {
  const { id, user, client, now, ids } = start;
  return {
    id,
    user,
    client,
    startedAt: now,
    consentEndsAt: start.consentEndsAt ?? null,
    tokens: [newToken(ids.refreshToken, null, now)],
    accessTokens: [newAccessToken(ids, null, now)],
    latestGeneration: 0,
    lastIssuedAt: now,
    lastRefreshedAt: null,
    lastRotatedAt: null,
    revoked: null,
  };
}

export interface PresentOptions {
  readonly policy: RotationPolicy;
  readonly now: Instant;
  /** Used where the answer issues tokens. */
  readonly ids: NewIds;
  /** Token calls of this user and client in the present day, this one not counted. */
  readonly callsToday?: number;
  /** Whether spacing and quota are judged before the token itself. */
  readonly pacingFirst?: boolean;
}

/** What presenting a refresh token gives, and the family after it. */
export function present(family: Family, tokenId: string, options: PresentOptions): Presentation {
  const { policy, now } = options;
  const token = family.tokens.find((one) => one.id === tokenId);
  if (!token || isForgotten(token, policy, now)) return refuse(family, 'unknown');
  const pacing = paced(family, options);
  if (options.pacingFirst && pacing) return refuse(family, pacing);
  const end = expiry(family, token, policy, now);
  if (end) return refuse(family, end);
  if (family.revoked) return refuse(family, 'revoked');
  if (token.evictedAt !== null) return refuse(family, 'evicted');
  // A displaced token was never presented, so presenting it proves no theft: it is refused and costs nothing more.
  if (token.displacedAt !== null) return refuse(family, 'displaced');
  const dead = token.firstUsedAt === null ? null : overlapEnd(family, token, policy, now);
  if (dead) return punish(family, dead, policy, now);
  if (pacing) return refuse(family, pacing);
  return token.firstUsedAt === null ? exchangeUnspent(family, token, options) : exchangeSpent(family, token, options);
}

function refuse(family: Family, reason: RefusalReason): Presentation {
  return { outcome: 'refused', reason, family, revokes: 'nothing' };
}

/** A spent token outside its overlap: what that costs is the policy's `onReuse`. */
function punish(family: Family, reason: RefusalReason, policy: RotationPolicy, now: Instant): Presentation {
  const { refresh, access } = policy.onReuse;
  if (refresh === 'reject') return refuse(family, reason);
  const revoked = revoke(family, { reason: 'reuse', now, accessTokens: access });
  return {
    outcome: 'refused',
    reason,
    family: revoked,
    revokes: refresh === 'revoke-family' ? 'family' : 'client-user',
  };
}

function paced(family: Family, { policy, now, callsToday = 0 }: PresentOptions): RefusalReason | null {
  if (now - family.lastIssuedAt < policy.pacing.minSpacingMs) return 'too-early';
  return callsToday >= policy.pacing.perDay ? 'quota' : null;
}

function isForgotten(token: FamilyToken, policy: RotationPolicy, now: Instant): boolean {
  return token.firstUsedAt !== null && now - (token.lastUsedAt ?? now) > policy.reuseMemoryMs;
}

/** Why a token's life is over, overlap apart; null while it is not. The first end counts. */
function expiry(family: Family, token: FamilyToken, policy: RotationPolicy, now: Instant): RefusalReason | null {
  const idleFrom = policy.life.idleFrom === 'issue' ? token.issuedAt : (token.lastUsedAt ?? token.issuedAt);
  const idleEnd = idleFrom + policy.life.idleMs;
  const absoluteEnd = family.startedAt + policy.life.absoluteMs;
  const consentEnd = family.consentEndsAt ?? Number.POSITIVE_INFINITY;
  const end = Math.min(idleEnd, absoluteEnd, consentEnd);
  if (now <= end) return null;
  if (end === idleEnd) return 'expired-idle';
  return end === absoluteEnd ? 'expired-absolute' : 'consent-ended';
}

/** Why a spent token may not be presented again; null while it may. */
function overlapEnd(family: Family, token: FamilyToken, policy: RotationPolicy, now: Instant): RefusalReason | null {
  const { overlap } = policy;
  if (token.uses >= overlap.maxUses) return 'superseded';
  if (generationsBack(family, token) > overlap.depth) return 'superseded';
  const isInWindow = overlap.windowMs > 0 && now - windowStart(family, token, policy) <= overlap.windowMs;
  if (!overlap.successorUnused) return isInWindow ? null : 'expired-in-use';
  const isSuccessorUsed = family.tokens.some((one) => one.parent === token.id && one.activatedAt !== null);
  if (overlap.join === 'or') return isInWindow || !isSuccessorUsed ? null : 'superseded';
  if (isSuccessorUsed) return 'superseded';
  return isInWindow ? null : 'expired-in-use';
}

function generationsBack(family: Family, token: FamilyToken): number {
  return family.latestGeneration - token.generation;
}

function windowStart(family: Family, token: FamilyToken, policy: RotationPolicy): Instant {
  switch (policy.overlap.from) {
    case 'first-use':
      return token.firstUsedAt ?? token.issuedAt;
    case 'last-use':
      return token.lastUsedAt ?? token.issuedAt;
    case 'family-refresh':
      return family.lastRefreshedAt ?? family.startedAt;
  }
}

function exchangeUnspent(family: Family, token: FamilyToken, options: PresentOptions): Presentation {
  const { policy, now, ids } = options;
  if (!rotates(family, token, policy, now)) return accept(touch(family, token, now), 'same', token, token.id, options);
  const spent = touch(family, token, now, { firstUsedAt: now });
  const rotated = { ...withSuccessor(spent, token, ids, now), lastRotatedAt: now };
  return accept(rotated, 'new', token, ids.refreshToken, options);
}

function exchangeSpent(family: Family, token: FamilyToken, options: PresentOptions): Presentation {
  const { policy, now, ids } = options;
  const used = touch(family, token, now);
  const { answer } = policy.overlap;
  if (answer === 'same') {
    const successor = newestAlive(used);
    // Only trouble inside the server leaves a chain without its newest token.
    return successor ? accept(used, 'same-successor', token, successor.id, options) : refuse(family, 'superseded');
  }
  const kept = answer === 'replace' ? displaceUnusedSuccessors(used, token, now) : used;
  return accept(withSuccessor(kept, token, ids, now), answer, token, ids.refreshToken, options);
}

function rotates(family: Family, token: FamilyToken, policy: RotationPolicy, now: Instant): boolean {
  const { mode, agedPercent, notWithinMs, untilFamilyAgeMs } = policy.rotate;
  if (mode === 'never' || now - family.startedAt >= untilFamilyAgeMs) return false;
  if (family.lastRotatedAt !== null && now - family.lastRotatedAt < notWithinMs) return false;
  return mode === 'always' || now - token.issuedAt >= (policy.life.idleMs * agedPercent) / 100;
}

function touch(family: Family, token: FamilyToken, now: Instant, more: Partial<FamilyToken> = {}): Family {
  const used = { lastUsedAt: now, uses: token.uses + 1, activatedAt: token.activatedAt ?? now, ...more };
  return { ...family, lastRefreshedAt: now, tokens: change(family.tokens, token.id, used) };
}

function withSuccessor(family: Family, parent: FamilyToken, ids: NewIds, now: Instant): Family {
  const successor = newToken(ids.refreshToken, parent, now);
  const latestGeneration = Math.max(family.latestGeneration, successor.generation);
  return { ...family, latestGeneration, tokens: [...family.tokens, successor] };
}

function displaceUnusedSuccessors(family: Family, token: FamilyToken, now: Instant): Family {
  const isDisplaced = (one: FamilyToken) => one.parent === token.id && one.activatedAt === null && !one.displacedAt;
  return { ...family, tokens: family.tokens.map((one) => (isDisplaced(one) ? { ...one, displacedAt: now } : one)) };
}

function newestAlive(family: Family): FamilyToken | undefined {
  return family.tokens.findLast((one) => one.firstUsedAt === null && !one.displacedAt && !one.evictedAt);
}

/** Issues the access token of an exchange and applies what the policy does to earlier ones. */
function accept(
  family: Family,
  answer: (Presentation & { outcome: 'accepted' })['answer'],
  presented: FamilyToken,
  refreshToken: string,
  { policy, now, ids }: PresentOptions,
): Presentation {
  const kept =
    policy.access === 'keep'
      ? family.accessTokens
      : family.accessTokens.map((one) =>
          one.revokedAt === null && isEndedByExchange(one, presented, policy) ? { ...one, revokedAt: now } : one,
        );
  const issued = newAccessToken({ refreshToken, accessToken: ids.accessToken }, presented.id, now);
  const accessTokens = capAccessTokens([...kept, issued], policy, now);
  const after = { ...family, accessTokens, lastIssuedAt: now };
  return { outcome: 'accepted', answer, family: after, refreshToken, accessToken: ids.accessToken };
}

function isEndedByExchange(one: FamilyAccessToken, presented: FamilyToken, policy: RotationPolicy): boolean {
  return policy.access === 'revoke-all' || one.refreshToken === presented.id || one.presented === presented.id;
}

function capAccessTokens(
  all: readonly FamilyAccessToken[],
  policy: RotationPolicy,
  now: Instant,
): readonly FamilyAccessToken[] {
  if (policy.caps.liveAccessTokens === Number.POSITIVE_INFINITY) return all;
  const live = all.filter((one) => !accessTokenEnd(one, policy, now));
  const surplus = new Set(live.slice(0, Math.max(0, live.length - policy.caps.liveAccessTokens)));
  return all.map((one) => (surplus.has(one) ? { ...one, revokedAt: now } : one));
}

function accessTokenEnd(one: FamilyAccessToken, policy: RotationPolicy, now: Instant): 'expired' | 'revoked' | null {
  if (one.revokedAt !== null) return 'revoked';
  return now - one.issuedAt > (policy.life.accessTokenMs ?? Number.POSITIVE_INFINITY) ? 'expired' : null;
}

export type AccessUse =
  | { readonly outcome: 'accepted'; readonly family: Family; readonly activated: boolean }
  | { readonly outcome: 'refused'; readonly reason: 'unknown' | 'expired' | 'revoked'; readonly family: Family };

/** An access token reaches the API. Where the policy says so, its refresh token counts as used from here on. */
export function accessUsed(family: Family, accessTokenId: string, policy: RotationPolicy, now: Instant): AccessUse {
  const access = family.accessTokens.find((one) => one.id === accessTokenId);
  if (!access) return { outcome: 'refused', reason: 'unknown', family };
  const end = accessTokenEnd(access, policy, now);
  if (end) return { outcome: 'refused', reason: end, family };
  const token = family.tokens.find((one) => one.id === access.refreshToken);
  const activates = policy.overlap.successorUse === 'refresh-or-access';
  if (!activates || !token || token.activatedAt !== null || token.displacedAt !== null) {
    return { outcome: 'accepted', family, activated: false };
  }
  const tokens = change(family.tokens, token.id, { activatedAt: now });
  return { outcome: 'accepted', family: { ...family, tokens }, activated: true };
}

/** Ends a family, from outside or by a rule. A family that is revoked already keeps its first reason. */
export function revoke(
  family: Family,
  how: { readonly reason: RevocationReason; readonly now: Instant; readonly accessTokens: 'keep' | 'revoke' },
): Family {
  const end = (one: FamilyAccessToken) => (one.revokedAt === null ? { ...one, revokedAt: how.now } : one);
  const accessTokens = how.accessTokens === 'revoke' ? family.accessTokens.map(end) : family.accessTokens;
  return { ...family, accessTokens, revoked: family.revoked ?? { at: how.now, reason: how.reason } };
}

function newToken(id: string, parent: FamilyToken | null, now: Instant): FamilyToken {
  return {
    id,
    parent: parent?.id ?? null,
    generation: parent ? parent.generation + 1 : 0,
    issuedAt: now,
    firstUsedAt: null,
    lastUsedAt: null,
    uses: 0,
    activatedAt: null,
    displacedAt: null,
    evictedAt: null,
  };
}

function newAccessToken(ids: NewIds, presented: string | null, now: Instant): FamilyAccessToken {
  return { id: ids.accessToken, refreshToken: ids.refreshToken, presented, issuedAt: now, revokedAt: null };
}

function change(tokens: readonly FamilyToken[], id: string, how: Partial<FamilyToken>): readonly FamilyToken[] {
  const at = tokens.findIndex((one) => one.id === id);
  const token = tokens[at];
  return token ? tokens.with(at, { ...token, ...how }) : tokens;
}
