/** The machine's clock, shifted by an offset that grows when a test says so. Sleepers notice when it does. */
import type { Instant, Moment } from '../../src/core/instant.ts';
import { Bell } from '../../src/keeper/bell.ts';
import type { Clock, Interrupt } from '../../src/ports/clock.ts';
import { systemClock } from '../../src/world/system-clock.ts';

export class ShiftedClock implements Clock {
  #offsetMs: number;
  #advanced = new AbortController();

  constructor(offsetMs = 0) {
    this.#offsetMs = offsetMs;
  }

  get offsetMs(): number {
    return this.#offsetMs;
  }

  now(): Instant {
    return (systemClock.now() + this.#offsetMs) as Instant;
  }

  moment(): Moment {
    const { at, boot, uptimeMs } = systemClock.moment();
    return { at: (at + this.#offsetMs) as Instant, boot, uptimeMs: uptimeMs + this.#offsetMs };
  }

  async sleep(ms: number, signal?: Interrupt): Promise<void> {
    const end = this.now() + ms;
    while (this.now() < end && !signal?.aborted) {
      const wake = new Bell();
      const ring = (): void => wake.ring();
      const ends = signal ? [signal, this.#advanced.signal] : [this.#advanced.signal];
      for (const one of ends) one.addEventListener('abort', ring);
      await systemClock.sleep(end - this.now(), wake);
      for (const one of ends) one.removeEventListener('abort', ring);
    }
  }

  advance(ms: number): void {
    this.#offsetMs += ms;
    const before = this.#advanced;
    this.#advanced = new AbortController();
    before.abort();
  }
}
