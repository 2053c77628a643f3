/**
 * Counters that a server keeps per app and user: calls in a day or minute, and errors in an hour. Each is a fixed
 * window of the emulator's time; at speed N the windows are N times shorter.
 */
import { after, type Instant } from '../core/instant.ts';
import { DAY_MS } from './speed.ts';

export type Window = 'day' | 'minute' | 'hour';

const LENGTH_MS: Record<Window, number> = { day: DAY_MS, hour: 3_600_000, minute: 60_000 };

export class Limits {
  readonly #speed: number;
  /** Of the present window alone; those of windows that are over are dropped. */
  readonly #counts = new Map<Window, { number: number; counts: Map<string, number> }>();
  readonly #blocks = new Map<string, { until: Instant; times: number }>();

  constructor(speed: number) {
    this.#speed = speed;
  }

  lengthMs(window: Window): number {
    return LENGTH_MS[window] / this.#speed;
  }

  count(window: Window, key: string, now: Instant): number {
    return this.#present(window, now).get(key) ?? 0;
  }

  add(window: Window, key: string, now: Instant): number {
    const counts = this.#present(window, now);
    const count = (counts.get(key) ?? 0) + 1;
    counts.set(key, count);
    return count;
  }

  /** When the present window ends. */
  resetsAt(window: Window, now: Instant): Instant {
    const length = this.lengthMs(window);
    return ((Math.floor(now / length) + 1) * length) as Instant;
  }

  isBlocked(key: string, now: Instant): boolean {
    return this.#blocks.size > 0 && now < (this.#blocks.get(key)?.until ?? 0);
  }

  /** One more error. Beyond `most` in an hour the key is blocked for an hour, then two, then four. */
  error(key: string, most: number, now: Instant): void {
    if (this.add('hour', `error|${key}`, now) <= most) return;
    const times = (this.#blocks.get(key)?.times ?? 0) + 1;
    this.#blocks.set(key, { until: after(now, this.lengthMs('hour') * 2 ** (times - 1)), times });
  }

  #present(window: Window, now: Instant): Map<string, number> {
    const number = Math.floor(now / this.lengthMs(window));
    const known = this.#counts.get(window);
    if (known?.number === number) return known.counts;
    const counts = new Map<string, number>();
    this.#counts.set(window, { number, counts });
    return counts;
  }
}
