/**
 * The time of a world: the machine's, and ahead of it by jumps. Everything in a world jumps together, so what lies
 * between two instants is real time and the jumps between them.
 */
import type { ShiftedClock } from '../support/shifted-clock.ts';

export interface Span {
  readonly from: number;
  readonly to: number;
}

/** Tells real time from time that was jumped over. */
export interface RealTime {
  /** Real time between two instants. */
  realMs(from: number, to: number): number;
}

export class Jumps implements RealTime {
  readonly #clock: ShiftedClock;
  readonly #made: { readonly at: number; readonly ms: number }[] = [];
  #heldAt: number | null = null;

  constructor(clock: ShiftedClock) {
    this.#clock = clock;
  }

  get nowMs(): number {
    return this.#clock.now();
  }

  /** The time that everybody has heard of: during a jump, the one before it. */
  get heardMs(): number {
    return this.#heldAt ?? this.nowMs;
  }

  get offsetMs(): number {
    return this.#clock.offsetMs;
  }

  /** `meanwhile`: until everybody has heard of it. */
  async make(ms: number, meanwhile: () => Promise<void>): Promise<void> {
    this.#heldAt ??= this.nowMs;
    try {
      this.#clock.advance(ms);
      this.#made.push({ at: this.nowMs, ms });
      await meanwhile();
    } finally {
      this.#heldAt = null;
    }
  }

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
