/**
 * Time in the explored world. It is always `NOW`, and what lies behind is told by its age: so two histories that differ
 * only in when they happened are one state. Where a class knows no time, nothing has an age.
 */
import type { Instant, Moment } from '../../core/instant.ts';
import type { Subject } from './classes.ts';

export const NOW = 1_000_000_000_000;

const known = new Map<number, Moment>();

export function momentOfAge(ageMs: number): Moment {
  let moment = known.get(ageMs);
  if (!moment) {
    const at = NOW - ageMs;
    moment = { at: at as Instant, boot: 'one', uptimeMs: at };
    known.set(ageMs, moment);
  }
  return moment;
}

export function ageOf(moment: Moment): number {
  return NOW - moment.at;
}

/**
 * The moment at which a decision is taken: now; and without time, when every wait is over. Long before a year, so that
 * nothing has expired meanwhile.
 */
export function decisionMoment({ timing }: Subject): Moment {
  return momentOfAge(timing ? 0 : -100_000_000);
}

/** Ages a moment by `byMs`, up to the age from which on no rule tells ages apart. */
export function agedMoment(moment: Moment, byMs: number, mostMs: number): Moment {
  return momentOfAge(Math.min(mostMs, ageOf(moment) + byMs));
}
