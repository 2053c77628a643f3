/** Since when a token counts as unused, and how old an authorization may become: one reading of the policy for all. */
import type { Chain, Link } from './chain.ts';
import type { Moment } from './instant.ts';
import type { RotationPolicy } from './rotation-policy.ts';

/**
 * From when on the provider counts the idle life of a link's refresh token. It may have counted a little earlier, from
 * its own issue, so the time of the request is the safe side.
 */
export function idleSince(chain: Chain, policy: RotationPolicy, link: Link): Moment {
  const sameToken = chain.links.filter((one) => one.tokenOf === link.tokenOf);
  const issued = sameToken.find((one) => one.id === link.tokenOf) ?? link;
  if (policy.life.idleFrom === 'issue') return issued.requestedAt;
  return (sameToken.at(-1) ?? issued).requestedAt;
}

/** The clocks of the two ends differ, and the provider's began before the answer arrived. */
const AGE_MARGIN_MS = 120_000;

/** Age of an authorization from which on its end explains a refusal. */
export function ageLimitMs({ life }: RotationPolicy): number {
  return life.absoluteMs - Math.min(AGE_MARGIN_MS, life.absoluteMs / 100);
}
