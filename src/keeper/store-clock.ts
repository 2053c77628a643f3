/**
 * The clock of a store that several nodes share, as this node reads it: where they compare times, they must mean the
 * same. Between two looks at it, it goes on with this machine's own monotonic clock, so a wall clock that is set has no
 * effect. What is left of an error is half the time that a question to the store takes.
 *
 * State: how far the store's clock is ahead of the time since this machine's start; null while nobody asked it.
 */
import type { Instant, Moment } from '../core/instant.ts';
import type { Clock } from '../ports/clock.ts';

export interface StoreClock extends Clock {
  /** The store said `now` to a question that was asked at this moment of this clock, and has just been answered. */
  learn(now: Instant, asked: Moment): void;
}

/** `isShared` false: there is nobody to agree with, and the machine's own clocks are the better ones. */
export function storeClock(clock: Clock, isShared: boolean): StoreClock {
  let aheadMs: number | null = null;
  /** How long the question took by which `aheadMs` was learnt: a quicker one tells better. */
  let errorMs = Number.POSITIVE_INFINITY;

  const moment = (): Moment => {
    const own = clock.moment();
    return aheadMs === null ? own : { ...own, at: Math.round(own.uptimeMs + aheadMs) as Instant };
  };

  return {
    now: () => (aheadMs === null ? clock.now() : moment().at),
    moment,
    sleep: (ms, signal) => clock.sleep(ms, signal),
    learn(now, asked) {
      if (!isShared) return;
      const answeredMs = clock.moment().uptimeMs;
      const tookMs = answeredMs - asked.uptimeMs;
      const learnt = now - (asked.uptimeMs + answeredMs) / 2;
      const isFarOff = aheadMs === null || Math.abs(learnt - aheadMs) > tookMs / 2 + errorMs / 2;
      if (!isFarOff && tookMs > errorMs) return;
      aheadMs = learnt;
      errorMs = tookMs;
    },
  };
}
