/**
 * The provider of the explored world: the real `core/family`, its states numbered and its answers remembered. Refresh
 * tokens are small numbers in the order of issue. What no rule of the policy looks at is left out of a state.
 */
import {
  accessUsed,
  type Family,
  type FamilyToken,
  type Presentation,
  present,
  startFamily,
} from '../../core/family.ts';
import { evictTokens } from '../../core/family-caps.ts';
import type { Instant } from '../../core/instant.ts';
import type { Subject } from './classes.ts';
import { createInterner, remembered, rememberedOfTwo } from './interner.ts';
import { NOW } from './moments.ts';

/** An answer of the token endpoint: a refresh token, or (below 0) why there is none. */
export type Answer = number;
export const DEAD = -1;
export const TOO_EARLY = -2;

export interface Presented {
  readonly family: number;
  readonly answer: Answer;
  /** Presenting it ends other tokens too. */
  readonly isRevoking: boolean;
}

export interface Provider {
  readonly first: number;
  present(family: number, token: number): Presented;
  /** The access token that came with this refresh token reaches the API. */
  use(family: number, token: number): number;
  /** Whether that has happened, and counts as a use of the refresh token. */
  isActivated(family: number, token: number): boolean;
  aged(family: number, byMs: number): number;
  /** The tokens that it accepts, as bits: now, or as soon as its spacing allows. */
  accepted(family: number): number;
  /** Time since this token was first exchanged; null: never, or so long ago that nobody asks. */
  firstUsedAgoMs(family: number, token: number): number | null;
  /** Whether the spacing after its last exchange is over. */
  isSpacingOver(family: number): boolean;
  /** Whether its newest token is the second one that was made of the same predecessor. */
  newestHasSibling(family: number): boolean;
}

export const bit = (token: number): number => 1 << token;

export function createProvider(subject: Subject): Provider {
  const { policy, timing } = subject;
  const families = createInterner<Family>();
  const answers: Presented[] = [];
  const hasWindow = Number.isFinite(policy.overlap.windowMs) && policy.overlap.windowMs > 0 && timing !== null;
  const hasSpacing = policy.pacing.minSpacingMs > 0;
  const countsUse = policy.overlap.successorUnused;
  const windowPastMs = policy.overlap.windowMs + 1_000;
  const lifeMs = policy.life.accessTokenMs;

  function idOf(family: Family): number {
    const kept = essence(family);
    return families.id(JSON.stringify(kept), () => kept);
  }

  /** What of a family decides anything under this policy. Everything else is set to one value. */
  function essence(family: Family): Family {
    const at = NOW as Instant;
    const tokens = family.tokens.map((one) => essenceOfToken(one));
    const open = new Set(
      tokens.filter((one) => one.activatedAt === null && one.displacedAt === null).map((one) => one.id),
    );
    // Of several that came with one refresh token, the newest lives longest, and either counts.
    const newest = new Map(family.accessTokens.map((one) => [one.refreshToken, one]));
    const accessTokens = countsUse ? [...newest.values()].filter((one) => open.has(one.refreshToken)) : [];
    return {
      ...family,
      startedAt: at,
      tokens,
      accessTokens: accessTokens.map((one) => ({
        ...one,
        id: `a${one.refreshToken}`,
        presented: null,
        issuedAt: lifeMs === null || !timing ? at : capped(one.issuedAt, lifeMs + 1_000),
      })),
      lastIssuedAt: hasSpacing ? capped(family.lastIssuedAt, policy.pacing.minSpacingMs) : at,
      lastRefreshedAt: null,
      lastRotatedAt: null,
      revoked: family.revoked && { at, reason: family.revoked.reason },
    };
  }

  function essenceOfToken(one: FamilyToken): FamilyToken {
    const at = NOW as Instant;
    return {
      ...one,
      issuedAt: at,
      firstUsedAt: one.firstUsedAt === null ? null : hasWindow ? capped(one.firstUsedAt, windowPastMs) : at,
      lastUsedAt: null,
      uses: 0,
      activatedAt: one.activatedAt === null || !countsUse ? null : at,
      displacedAt: one.displacedAt === null ? null : at,
      evictedAt: one.evictedAt === null ? null : at,
    };
  }

  function presentAt(family: Family, token: number, now: number): Presentation {
    const number = family.tokens.length;
    const ids = { refreshToken: `t${number}`, accessToken: 'new' };
    return present(family, `t${token}`, { policy, now: now as Instant, ids });
  }

  function presented(id: number, token: number): Presented {
    const result = presentAt(families.get(id), token, NOW);
    if (result.outcome === 'refused') {
      const answer = result.reason === 'too-early' ? TOO_EARLY : DEAD;
      return { family: idOf(result.family), answer, isRevoking: result.revokes !== 'nothing' };
    }
    const [family = result.family] = evictTokens([result.family], policy.caps.tokensPerUserClient, NOW as Instant);
    return { family: idOf(family), answer: Number(result.refreshToken.slice(1)), isRevoking: false };
  }

  const accepted = remembered((id: number) => {
    const family = families.get(id);
    const at = Math.max(NOW, family.lastIssuedAt + policy.pacing.minSpacingMs);
    let tokens = 0;
    for (let token = 0; token < family.tokens.length; token++) {
      if (presentAt(family, token, hasSpacing ? at : NOW).outcome === 'accepted') tokens |= bit(token);
    }
    return tokens;
  });

  function use(id: number, token: number): number {
    const before = families.get(id);
    const access = before.accessTokens.findLast((one) => one.refreshToken === `t${token}`);
    return access ? idOf(accessUsed(before, access.id, policy, NOW as Instant).family) : id;
  }

  function aged(family: Family, byMs: number): Family {
    const older = (at: Instant): Instant => (at - byMs) as Instant;
    return {
      ...family,
      lastIssuedAt: older(family.lastIssuedAt),
      tokens: family.tokens.map((one) => ({ ...one, firstUsedAt: one.firstUsedAt && older(one.firstUsedAt) })),
      accessTokens: family.accessTokens.map((one) => ({ ...one, issuedAt: older(one.issuedAt) })),
    };
  }

  const answerTo = rememberedOfTwo((family, token) => answers.push(presented(family, token)) - 1);
  const used = rememberedOfTwo(use);
  const older = rememberedOfTwo((family, byMs) => idOf(aged(families.get(family), byMs)));

  const start = startFamily({
    id: 'family',
    user: 'user',
    client: 'client',
    now: NOW as Instant,
    ids: { refreshToken: 't0', accessToken: 'a0' },
  });
  const first = idOf(timing ? aged(start, timing.oldMs) : start);

  return {
    first,
    present(family, token) {
      const answer = answers[answerTo(family, token)];
      if (!answer) throw new Error(`nothing is known of token ${token}`);
      return answer;
    },
    use: used,
    isActivated: (family, token) => families.get(family).tokens[token]?.activatedAt !== null,
    aged: older,
    accepted,
    firstUsedAgoMs(family, token) {
      const firstUsedAt = families.get(family).tokens[token]?.firstUsedAt ?? null;
      return firstUsedAt === null ? null : NOW - firstUsedAt;
    },
    isSpacingOver: (family) => NOW - families.get(family).lastIssuedAt >= policy.pacing.minSpacingMs,
    newestHasSibling(family) {
      const { tokens } = families.get(family);
      const newest = tokens.at(-1);
      return tokens.some((one) => one !== newest && one.parent === newest?.parent && one.parent !== null);
    },
  };
}

function capped(at: Instant, mostMs: number): Instant {
  return Math.max(at, NOW - mostMs) as Instant;
}
