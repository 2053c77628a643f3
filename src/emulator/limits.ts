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
  readonly #counts = new Map<string, number>();
  readonly #blocks = new Map<string, { until: Instant; times: number }>();

  constructor(speed: number) {
    this.#speed = speed;
  }

  lengthMs(window: Window): number {
    return LENGTH_MS[window] / this.#speed;
  }

  count(window: Window, key: string, now: Instant): number {
    return this.#counts.get(this.#key(window, key, now)) ?? 0;
  }

  add(window: Window, key: string, now: Instant): number {
    const count = this.count(window, key, now) + 1;
    this.#counts.set(this.#key(window, key, now), count);
    return count;
  }

  /** When the present window ends. */
  resetsAt(window: Window, now: Instant): Instant {
    const length = this.lengthMs(window);
    return ((Math.floor(now / length) + 1) * length) as Instant;
  }

  isBlocked(key: string, now: Instant): boolean {
    return now < (this.#blocks.get(key)?.until ?? 0);
  }

  /** One more error. Beyond `most` in an hour the key is blocked for an hour, then two, then four. */
  error(key: string, most: number, now: Instant): void {
    if (this.add('hour', `error|${key}`, now) <= most) return;
    const times = (this.#blocks.get(key)?.times ?? 0) + 1;
    this.#blocks.set(key, { until: after(now, this.lengthMs('hour') * 2 ** (times - 1)), times });
  }

  #key(window: Window, key: string, now: Instant): string {
    return `${window}|${Math.floor(now / this.lengthMs(window))}|${key}`;
  }
}
