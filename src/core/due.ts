/**
 * When a chain wants something done although nobody asks for a token: at once where it is undecided, long before its
 * idle limit, ahead of time where somebody wished for that, and when its end is to be announced. Everything else waits
 * until it is asked for.
 */
import { announceAt } from './announcement.ts';
import { type Chain, isInDoubt, type Link, newestLink } from './chain.ts';
import { after, type Instant, type Moment } from './instant.ts';
import { idleSince } from './lifetime.ts';
import { earlyRequests, nextStep } from './next-step.ts';
import type { RotationPolicy } from './rotation-policy.ts';

/** What is wished for one grant. */
export interface DueWish {
  /** Always keep an access token that lives, whether anybody asks or not. */
  readonly isAlwaysFresh: boolean;
  /** The first job after then that wants a fresh access token; null: none is known. */
  readonly jobAfter: (from: Instant) => Instant | null;
  /** From 0 to 1, another one for each grant: chains that were authorized together are not exchanged together. */
  readonly spread: number;
}

const DAY_MS = 86_400_000;
/** Idle chains are exchanged between these shares of the time that the provider lets them lie. */
const IDLE_FROM = 0.5;
const IDLE_TO = 0.7;
/** Before its end, an access token that is to be always fresh is exchanged this share of its life ahead. */
const AHEAD_SHARE = 0.1;
const AHEAD_MOST_MS = 60_000;
/** A job finds a token that was exchanged for this long before it begins, at most. */
const JOB_AHEAD_MS = 30_000;

/** In whole milliseconds, as stores keep it. Null: never. */
export function dueAt(chain: Chain, policy: RotationPolicy, now: Moment, wish: DueWish): Instant | null {
  const due = [stepDueAt(chain, policy, now, wish), announceAt(chain, policy, now.at)].filter((at) => at !== null);
  return due.length === 0 ? null : earliest(due);
}

function stepDueAt(chain: Chain, policy: RotationPolicy, now: Moment, wish: DueWish): Instant | null {
  const step = nextStep(chain, policy, now);
  switch (step.step) {
    case 'none':
    case 'await':
    case 'hold':
      return null;
    case 'publish':
    case 'give_up':
      return now.at;
    case 'exchange': {
      const soonest = after(now.at, Math.ceil(step.waitMs));
      if (isUndecided(chain)) return soonest;
      const wanted = wantedAt(chain, policy, now, wish);
      return wanted === null ? null : latest(soonest, wanted);
    }
  }
}

/** The answer to the last exchange did not come, or the newest token was refused and nothing followed from that yet. */
export function isUndecided(chain: Chain): boolean {
  if (chain.end) return false;
  // Too early although the spacing was kept: it may have been our own request, doubled on its way, and a window is closing.
  if (chain.deferral && (chain.deferral.why === 'too_early' || earlyRequests(chain))) return true;
  return isInDoubt(chain) || chain.links.findLast((link) => link.tokenOf === link.id)?.refusal != null;
}

function wantedAt(chain: Chain, policy: RotationPolicy, now: Moment, wish: DueWish): Instant | null {
  const newest = newestLink(chain);
  if (!newest) return null;
  const wanted = [
    keepAliveAt(chain, policy, newest, wish.spread),
    wish.isAlwaysFresh ? aheadAt(policy, newest) : null,
    beforeJobAt(newest, now, wish),
  ].filter((at) => at !== null);
  return wanted.length === 0 ? null : earliest(wanted);
}

function keepAliveAt(chain: Chain, policy: RotationPolicy, newest: Link, spread: number): Instant | null {
  const { idleMs } = policy.life;
  if (!Number.isFinite(idleMs)) return null;
  const share = IDLE_FROM + (IDLE_TO - IDLE_FROM) * spread;
  return after(idleSince(chain, policy, newest).at, Math.floor(idleMs * share));
}

/** A job finds a fresh token if the newest answer came just before it; one that began a while ago is not waited for. */
function beforeJobAt(newest: Link, now: Moment, { jobAfter }: DueWish): Instant | null {
  const jobAt = jobAfter(latest(after(newest.receivedAt.at, JOB_AHEAD_MS), after(now.at, -JOB_AHEAD_MS)));
  return jobAt === null ? null : after(jobAt, -JOB_AHEAD_MS);
}

/** Not more often than what the provider allows in a day lasts for. */
function aheadAt({ pacing }: RotationPolicy, newest: Link): Instant | null {
  const lifeMs = newest.accessTokenLifeMs;
  if (lifeMs === null || !Number.isFinite(lifeMs)) return null;
  const end = after(newest.requestedAt.at, Math.floor(lifeMs - Math.min(AHEAD_MOST_MS, lifeMs * AHEAD_SHARE)));
  const budget = Number.isFinite(pacing.perDay) ? DAY_MS / pacing.perDay : 0;
  return latest(end, after(newest.receivedAt.at, Math.ceil(budget)));
}

function earliest(instants: readonly Instant[]): Instant {
  return Math.min(...instants) as Instant;
}

function latest(a: Instant, b: Instant): Instant {
  return a > b ? a : b;
}
