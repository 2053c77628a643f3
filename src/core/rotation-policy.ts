/**
 * What an authorization server does with refresh tokens, as parameters. One policy has two readers: `chain` (the
 * client's end: what may be presented next) and the emulator's `family` (the server's end: what presenting gives).
 *
 * Times are in milliseconds; `Infinity` means that there is no limit. What a provider file leaves out is read the
 * safest way for a client: the predecessor is dead at once and presenting it again revokes the whole family.
 */

export interface RotationPolicy {
  /** When an exchange returns a new refresh token. */
  readonly rotate: {
    readonly mode: 'never' | 'always' | 'aged';
    /** `aged`: rotates once this share of the token's life has passed, in percent. */
    readonly agedPercent: number;
    /** No second rotation within this time of the last one; the same token comes back. */
    readonly notWithinMs: number;
    /** No rotation any more once the family is this old. */
    readonly untilFamilyAgeMs: number;
  };
  /** Whether, and until when, a predecessor may be presented again. */
  readonly overlap: {
    /** 0: not at all. */
    readonly windowMs: number;
    /** From which instant the window counts. */
    readonly from: 'first-use' | 'last-use' | 'family-refresh';
    /** How many links back a token may lie. */
    readonly depth: number;
    /** Only while no successor has been used. */
    readonly successorUnused: boolean;
    /** Whether window and `successorUnused` must both hold, or either. */
    readonly join: 'and' | 'or';
    /** What counts as using the successor: presenting it, or also calling the API with its access token. */
    readonly successorUse: 'refresh' | 'refresh-or-access';
    /** How often one token may be presented in all. */
    readonly maxUses: number;
    /** What a repeated presentation gives: another live sibling, the same successor, or one that displaces it. */
    readonly answer: 'fork' | 'same' | 'replace';
  };
  /** What presenting a dead token costs. */
  readonly onReuse: {
    readonly refresh: 'reject' | 'revoke-family' | 'revoke-client-user';
    readonly access: 'keep' | 'revoke';
  };
  /** How long a used token is still recognised as used, rather than unknown. */
  readonly reuseMemoryMs: number;
  readonly life: {
    readonly idleMs: number;
    readonly idleFrom: 'issue' | 'last-use';
    readonly absoluteMs: number;
    /** Used where an answer names no `expires_in`; null where the provider says nothing either. */
    readonly accessTokenMs: number | null;
    readonly codeMs: number | null;
  };
  readonly caps: {
    readonly tokensPerUserClient: number;
    readonly familiesPerUserClient: number;
    readonly liveAccessTokens: number;
  };
  readonly pacing: {
    /**
     * Least time between two exchanges on one chain; 0 where the provider sets none.
     * Exact Online: 570_000 (9.5 minutes). Source: Invantive, itgeneor361, October 2021.
     */
    readonly minSpacingMs: number;
    readonly perDay: number;
  };
  /** What a successful exchange does to earlier access tokens. */
  readonly access: 'keep' | 'revoke-previous' | 'revoke-all';
}

/** A policy of which nothing is known: every question is answered the way that is safest for a client. */
export const UNKNOWN_POLICY: RotationPolicy = {
  rotate: { mode: 'always', agedPercent: 100, notWithinMs: 0, untilFamilyAgeMs: Number.POSITIVE_INFINITY },
  overlap: {
    windowMs: 0,
    from: 'first-use',
    depth: 1,
    successorUnused: false,
    join: 'and',
    successorUse: 'refresh-or-access',
    maxUses: Number.POSITIVE_INFINITY,
    answer: 'fork',
  },
  onReuse: { refresh: 'revoke-family', access: 'revoke' },
  reuseMemoryMs: Number.POSITIVE_INFINITY,
  life: {
    idleMs: Number.POSITIVE_INFINITY,
    idleFrom: 'issue',
    absoluteMs: Number.POSITIVE_INFINITY,
    accessTokenMs: null,
    codeMs: null,
  },
  caps: {
    tokensPerUserClient: Number.POSITIVE_INFINITY,
    familiesPerUserClient: Number.POSITIVE_INFINITY,
    liveAccessTokens: Number.POSITIVE_INFINITY,
  },
  pacing: { minSpacingMs: 0, perDay: Number.POSITIVE_INFINITY },
  access: 'keep',
};

/**
 * What a policy means for one question: after an exchange whose answer is lost, may the same token be presented again?
 *
 * - `durable`: always; the token does not change, or old ones live on.
 * - `window`: until `windowMs` after its first use.
 * - `until-successor-used`: until a successor is used, however late.
 * - `until-successor-used-within`: the same, and at most `windowMs` after its own first use (Exact Online).
 * - `last-n`: while fewer than `depth` newer tokens exist.
 * - `one-time`: never again; a second presentation is merely refused.
 * - `one-time-revoking`: never again; a second presentation revokes the family.
 */
export type PolicyClass =
  | { readonly class: 'durable' }
  | { readonly class: 'window'; readonly windowMs: number }
  | { readonly class: 'until-successor-used' }
  | { readonly class: 'until-successor-used-within'; readonly windowMs: number }
  | { readonly class: 'last-n'; readonly depth: number }
  | { readonly class: 'one-time' }
  | { readonly class: 'one-time-revoking' };

/** The class of a policy. It is derived here and written nowhere else. */
export function classOf(policy: RotationPolicy): PolicyClass {
  const { windowMs, depth, successorUnused, join, maxUses } = policy.overlap;
  if (policy.rotate.mode === 'never') return { class: 'durable' };
  const withoutOverlap: PolicyClass = { class: rejectsReuse(policy) ? 'one-time' : 'one-time-revoking' };
  if (windowMs === 0 && !(successorUnused && join === 'or')) return withoutOverlap;
  if (maxUses <= 1 || depth < 1) return withoutOverlap;
  const unlimited = windowMs === Number.POSITIVE_INFINITY;
  if (successorUnused) {
    if (unlimited || join === 'or') return { class: 'until-successor-used' };
    return { class: 'until-successor-used-within', windowMs };
  }
  if (!unlimited) return { class: 'window', windowMs };
  const kept = Math.min(depth, policy.caps.tokensPerUserClient);
  return kept === Number.POSITIVE_INFINITY ? { class: 'durable' } : { class: 'last-n', depth: kept };
}

/** Whether presenting a dead token does no more harm than an error. */
export function rejectsReuse(policy: RotationPolicy): boolean {
  return policy.onReuse.refresh === 'reject';
}
