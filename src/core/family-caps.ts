/** Caps over the families of one (user, client): what a new authorization costs the older ones. Pure, like `family`. */
import { type Family, type FamilyToken, revoke } from './family.ts';
import type { Instant } from './instant.ts';
import type { RotationPolicy } from './rotation-policy.ts';

/**
 * A new family of a (user, client) joins the others of the same pair, oldest first. Caps are kept by ending the oldest,
 * silently: whole families first, then single tokens. Gives all of them, the new one last.
 */
export function admit(others: readonly Family[], joining: Family, policy: RotationPolicy, now: Instant): Family[] {
  const { familiesPerUserClient, tokensPerUserClient } = policy.caps;
  const live = others.filter((one) => !one.revoked);
  const surplus = new Set(live.slice(0, Math.max(0, live.length + 1 - familiesPerUserClient)));
  const kept = others.map((one) =>
    surplus.has(one) ? revoke(one, { reason: 'reauthorized', now, accessTokens: 'keep' }) : one,
  );
  return evictTokens([...kept, joining], tokensPerUserClient, now);
}

/** Ends the oldest unspent tokens of these families until no more than `cap` are left. */
export function evictTokens(families: readonly Family[], cap: number, now: Instant): Family[] {
  if (cap === Number.POSITIVE_INFINITY) return [...families];
  const isLive = (one: FamilyToken) => one.firstUsedAt === null && !one.displacedAt && one.evictedAt === null;
  const live = families.filter((one) => !one.revoked).flatMap((one) => one.tokens.filter(isLive));
  const byAge = live.toSorted((a, b) => a.issuedAt - b.issuedAt);
  const surplus = new Set(byAge.slice(0, Math.max(0, live.length - cap)).map((one) => one.id));
  if (surplus.size === 0) return [...families];
  return families.map((family) => ({
    ...family,
    tokens: family.tokens.map((one) => (surplus.has(one.id) ? { ...one, evictedAt: now } : one)),
  }));
}
