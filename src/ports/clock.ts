/** The time, and waiting for it. */
import type { Instant, Moment } from '../core/instant.ts';

export interface Clock {
  now(): Instant;
  /** Now on both clocks; cheap enough for every request. */
  moment(): Moment;
  /** Resolves after so many milliseconds, or at once when `signal` is aborted. Never rejects. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}
