/**
 * Ends waits early: an `AbortController` for where one is made at every request, at a tenth of its cost.
 *
 * States: silent ──ring──▶ rung, for good.
 */
import type { Interrupt } from '../ports/clock.ts';

export class Bell implements Interrupt {
  readonly #waiting = new Set<() => void>();
  #isRung = false;

  get aborted(): boolean {
    return this.#isRung;
  }

  ring(): void {
    if (this.#isRung) return;
    this.#isRung = true;
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
  }

  addEventListener(_: 'abort', wake: () => void): void {
    this.#waiting.add(wake);
  }

  removeEventListener(_: 'abort', wake: () => void): void {
    this.#waiting.delete(wake);
  }
}
