/**
 * The time of a world: the machine's, and ahead of it by jumps. Everything in a world jumps together, so what lies
 * between two instants is real time and the jumps between them.
 */
import type { ShiftedClock } from '../support/shifted-clock.ts';

export interface Span {
  readonly from: number;
  readonly to: number;
}

export class Jumps {
  readonly #clock: ShiftedClock;
  readonly #made: { readonly at: number; readonly ms: number }[] = [];

  constructor(clock: ShiftedClock) {
    this.#clock = clock;
  }

  get nowMs(): number {
    return this.#clock.now();
  }

  get offsetMs(): number {
    return this.#clock.offsetMs;
  }

  make(ms: number): void {
    this.#clock.advance(ms);
    this.#made.push({ at: this.nowMs, ms });
  }

  /** Real time between two instants. */
  realMs(from: number, to: number): number {
    const jumped = this.#made.filter(({ at }) => at > from && at <= to).reduce((sum, { ms }) => sum + ms, 0);
    return to - from - jumped;
  }
}

/** The longest time within a span that none of these cover. */
export function longestGap(from: number, to: number, covered: readonly Span[]): number {
  let [longest, until] = [0, from];
  const inside = covered.filter((one) => one.to >= from && one.from <= to).toSorted((a, b) => a.from - b.from);
  for (const one of [...inside, { from: to, to }]) {
    longest = Math.max(longest, one.from - until);
    until = Math.max(until, one.to);
  }
  return longest;
}
