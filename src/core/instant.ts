/**
 * Time, as plain values. Nothing here reads a clock: an instant is always passed in.
 *
 * Two clocks are recorded wherever elapsed time decides something that cannot be undone: the wall clock, which may be
 * set back or forth, and the time since the machine started, which only restarts with it.
 */

/** A point in time: milliseconds since the Unix epoch, by the wall clock. */
export type Instant = number & { readonly __brand: 'Instant' };

/** One instant on both clocks. */
export interface Moment {
  /** By the wall clock. */
  readonly at: Instant;
  /** Identifies one start of one machine; within it `uptimeMs` only grows. */
  readonly boot: string;
  /** Milliseconds since that start, time asleep included. */
  readonly uptimeMs: number;
}

/** How much time lies between two moments: at least this, at most that, in milliseconds. */
export interface Elapsed {
  readonly atLeastMs: number;
  readonly atMostMs: number;
}

/**
 * The time from one moment to a later one, bounded from both sides. Spacing and horizons need `atLeastMs`, the ends of
 * windows and lives need `atMostMs`. Unknown (0 to Infinity) when the machine was restarted and its clock set back.
 */
export function elapsed(from: Moment, to: Moment): Elapsed {
  const byWall = to.at - from.at;
  if (from.boot === to.boot) {
    const byUptime = Math.max(0, to.uptimeMs - from.uptimeMs);
    return { atLeastMs: byUptime, atMostMs: Math.max(byUptime, byWall) };
  }
  return byWall >= 0 ? { atLeastMs: byWall, atMostMs: byWall } : { atLeastMs: 0, atMostMs: Number.POSITIVE_INFINITY };
}

/** Whether one moment came before another: by the clock that is never set, where both know it. */
export function isBefore(a: Moment, b: Moment): boolean {
  return a.boot === b.boot ? a.uptimeMs < b.uptimeMs : a.at < b.at;
}

/** The instant so many milliseconds later. */
export function after(instant: Instant, ms: number): Instant {
  return (instant + ms) as Instant;
}

/** RFC 3339 in UTC, as every answer of the API spells an instant. */
export function toRfc3339(instant: Instant): string {
  return new Date(instant).toISOString();
}
