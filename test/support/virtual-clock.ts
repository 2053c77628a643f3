/**
 * A clock that stands still until it is told to go on. Sleepers wake in the order of their time, and everything that
 * one of them causes is done before the next one wakes.
 */
import type { Instant, Moment } from '../../src/core/instant.ts';
import type { Clock, Interrupt } from '../../src/ports/clock.ts';

interface Sleeper {
  readonly at: number;
  readonly wake: () => void;
}

const START = Date.parse('2026-01-01T00:00:00Z');

export class VirtualClock implements Clock {
  #nowMs = START;
  #sleepers: Sleeper[] = [];

  now(): Instant {
    return this.#nowMs as Instant;
  }

  moment(): Moment {
    return { at: this.now(), boot: 'virtual', uptimeMs: this.#nowMs - START };
  }

  sleep(ms: number, signal?: Interrupt): Promise<void> {
    if (signal?.aborted) return Promise.resolve();
    return new Promise((wake) => {
      const sleeper = { at: this.#nowMs + Math.max(0, ms), wake };
      this.#sleepers.push(sleeper);
      signal?.addEventListener('abort', () => {
        this.#sleepers = this.#sleepers.filter((one) => one !== sleeper);
        wake();
      });
    });
  }

  /** Lets so much time pass, with everything that falls into it. */
  async advance(ms: number): Promise<void> {
    const end = this.#nowMs + ms;
    await settled();
    for (;;) {
      const next = this.#sleepers.filter((one) => one.at <= end).toSorted((a, b) => a.at - b.at)[0];
      if (!next) break;
      this.#sleepers = this.#sleepers.filter((one) => one !== next);
      this.#nowMs = Math.max(this.#nowMs, next.at);
      next.wake();
      await settled();
    }
    this.#nowMs = end;
    await settled();
  }

  /** So much time has passed at once, as when the machine was asleep: who should have woken meanwhile wakes now. */
  async leap(ms: number): Promise<void> {
    this.#nowMs += ms;
    await this.advance(0);
  }

  /** Lets time pass, from one sleeper to the next, until the promise is settled or nothing is left to wait for. */
  async until<T>(promise: Promise<T>, longestMs = 3_600_000): Promise<T> {
    let isSettled = false;
    const watched = promise.finally(() => {
      isSettled = true;
    });
    watched.catch(() => undefined);
    await settled();
    const end = this.#nowMs + longestMs;
    while (!isSettled) {
      const next = Math.min(...this.#sleepers.map((one) => one.at));
      if (next > end) break;
      await this.advance(Math.max(0, next - this.#nowMs));
    }
    return watched;
  }
}

/** Whatever is due without time passing: promises, callbacks of the event loop, and what other threads compute. */
async function settled(): Promise<void> {
  for (let turns = 0; turns < 4; turns = threads.working > 0 ? 0 : turns + 1) {
    await new Promise((done) => {
      setImmediate(done);
    });
  }
}

/** Signatures of JSON Web Tokens are computed on threads, which take as long as they take: no time passes for them. */
const threads = { working: 0 };

for (const name of ['sign', 'verify', 'digest', 'importKey', 'exportKey', 'generateKey'] as const) {
  const compute = SubtleCrypto.prototype[name] as (...words: unknown[]) => Promise<unknown>;
  Object.defineProperty(SubtleCrypto.prototype, name, {
    value(this: typeof crypto.subtle, ...words: unknown[]) {
      threads.working++;
      return compute.apply(this, words).finally(() => {
        threads.working--;
      });
    },
  });
}
