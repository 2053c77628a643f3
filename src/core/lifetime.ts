/**
 * Since when a token counts as unused, how old an authorization may become, how long a window is surely open, and what a
 * lost answer may have ended: one reading of the policy for all.
 */
import { type Attempt, type Chain, type Link, rowOf } from './chain.ts';
import { elapsed, type Moment } from './instant.ts';
import { classOf, type RotationPolicy } from './rotation-policy.ts';

const MOST_WINDOW_MARGIN_MS = 1_000;

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

/** Whether it is surely still inside a window that opened then; null: it has not opened. */
export function isWithin(windowMs: number, from: Moment | null, now: Moment): boolean {
  const margin = Math.min(MOST_WINDOW_MARGIN_MS, windowMs / 10);
  return from === null || elapsed(from, now).atMostMs + margin < windowMs;
}

/**
 * Whether the exchange of an attempt without an answer may be why its token is dead. Not where the token would have stayed
 * good for longer than until it was refused, if that exchange had been made.
 */
export function mayHaveEnded(chain: Chain, policy: RotationPolicy, attempt: Attempt): boolean {
  const token = chain.links.find((link) => link.id === attempt.presented);
  const rule = classOf(policy);
  switch (rule.class) {
    case 'durable':
    case 'until-successor-used':
      return false;
    case 'until-successor-used-within':
    case 'window':
      return mayHaveClosed(rule.windowMs, chain, attempt, token);
    case 'last-n':
      return chain.attempts.length >= rule.depth;
    case 'one-time':
    case 'one-time-revoking':
      return true;
  }
}

/** Of several requests with one token, also of those that came too early, the first may have opened the window. */
function mayHaveClosed(windowMs: number, chain: Chain, { startedAt }: Attempt, token: Link | undefined): boolean {
  if (!token?.refusal) return true;
  const early = rowOf(chain, 'too_early', token.counter);
  const firsts = early ? [startedAt, early.sentAt ?? early.since] : [startedAt];
  const { at } = token.refusal;
  return firsts.some((from) => !isWithin(windowMs, from, at));
}
