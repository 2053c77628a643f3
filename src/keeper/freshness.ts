/** When a grant's access token is exchanged without anybody asking for it, beyond what keeps its chain alive. */
import { Cron } from 'croner';
import { dueAt } from '../core/due.ts';
import { EvergrantError } from '../core/errors.ts';
import type { GrantId } from '../core/id.ts';
import type { Instant } from '../core/instant.ts';
import type { RotationPolicy } from '../core/rotation-policy.ts';
import type { Clock } from '../ports/clock.ts';
import type { DueOf } from '../ports/store.ts';

/**
 * on_demand: when somebody asks. always: so that one always lives, whoever asks when. before: so that one is fresh when
 * a job begins, at the times of a cron expression (five fields) in a time zone.
 */
export type Freshness =
  | { readonly mode: 'on_demand' }
  | { readonly mode: 'always' }
  | { readonly mode: 'before'; readonly cron: string; readonly timezone: string };

export const ON_DEMAND: Freshness = { mode: 'on_demand' };

/** Throws `invalid_request` where the expression or the time zone is none. */
export function checkFreshness(freshness: Freshness): Freshness {
  if (freshness.mode !== 'before') return freshness;
  try {
    cronOf(freshness).nextRun();
    return freshness;
  } catch (cause) {
    throw new EvergrantError('invalid_request', `freshness: ${cause instanceof Error ? cause.message : 'is wrong'}`, {
      remedy:
        'Give a cron expression of five fields and an IANA time zone: {"mode": "before", "cron": "0 6 * * 1-5", "timezone": "Europe/Amsterdam"}',
      cause,
    });
  }
}

/** When the chain of this grant is due, for the store. */
export function dueOf(clock: Clock, grant: GrantId, policy: RotationPolicy, freshness: Freshness): DueOf {
  const spread = spreadOf(grant);
  const isAlwaysFresh = freshness.mode === 'always';
  const cron = freshness.mode === 'before' ? cronOf(freshness) : null;
  const jobAfter = (from: Instant) => (cron?.nextRun(new Date(from))?.getTime() ?? null) as Instant | null;
  return (chain) => dueAt(chain, policy, clock.moment(), { isAlwaysFresh, jobAfter, spread });
}

function cronOf({ cron, timezone }: Extract<Freshness, { mode: 'before' }>): Cron {
  return new Cron(cron, { timezone, paused: true, mode: '5-part' });
}

/** From 0 to 1, the same for a grant on every node: FNV-1a, for it is asked at every event of every chain. */
function spreadOf(grant: GrantId): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < grant.length; i++) hash = Math.imul(hash ^ grant.charCodeAt(i), 0x01000193);
  return (hash >>> 0) / 2 ** 32;
}
