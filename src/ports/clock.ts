/** The time, and waiting for it. */
import type { Instant, Moment } from '../core/instant.ts';

/** What may end a wait early, as an `AbortSignal` does. */
export interface Interrupt {
  readonly aborted: boolean;
  addEventListener(type: 'abort', wake: () => void): void;
  removeEventListener(type: 'abort', wake: () => void): void;
}

export interface Clock {
  now(): Instant;
  /** Now on both clocks; cheap enough for every request. */
  moment(): Moment;
  /** Resolves after so many milliseconds, or at once when `signal` is aborted. Never rejects. */
  sleep(ms: number, signal?: Interrupt): Promise<void>;
}
