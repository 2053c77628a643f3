/**
 * Counters that a server keeps per app and user, or app and company: calls in a day or minute, and errors in an hour.
 * Each is a fixed window of the emulator's time; at speed N the windows are N times shorter.
 */
import { after, type Instant } from '../core/instant.ts';
import { DAY_MS } from './speed.ts';

export type Window = 'day' | 'minute' | 'hour';

const LENGTH_MS: Record<Window, number> = { day: DAY_MS, hour: 3_600_000, minute: 60_000 };

/** Who is counted: an app, and for whom it asks. */
export interface Counted {
  readonly app: string;
  readonly of: string;
}

/** By app, then by whom it asks for: a key of both would be made and hashed at each request. */
type Counts = Map<string, Map<string, number>>;

export class Limits {
  readonly #speed: number;
  /** Of the present window alone; those of windows that are over are dropped. */
  readonly #counts = new Map<Window, { number: number; counts: Counts }>();
  readonly #blocks = new Map<string, { until: Instant; times: number }>();

  constructor(speed: number) {
    this.#speed = speed;
  }

  lengthMs(window: Window): number {
    return LENGTH_MS[window] / this.#speed;
  }

  count(window: Window, { app, of }: Counted, now: Instant): number {
    return this.#present(window, now).get(app)?.get(of) ?? 0;
  }

  add(window: Window, { app, of }: Counted, now: Instant): number {
    const byApp = this.#present(window, now);
    const counts = byApp.get(app) ?? new Map<string, number>();
    if (counts.size === 0) byApp.set(app, counts);
    const count = (counts.get(of) ?? 0) + 1;
    counts.set(of, count);
    return count;
  }

  /** When the present window ends. */
  resetsAt(window: Window, now: Instant): Instant {
    const length = this.lengthMs(window);
    return ((Math.floor(now / length) + 1) * length) as Instant;
  }

  isBlocked(counted: Counted, now: Instant): boolean {
    return this.#blocks.size > 0 && now < (this.#blocks.get(pair(counted))?.until ?? 0);
  }

  /** One more error. Beyond `most` in an hour it is blocked for an hour, then two, then four. */
  error(counted: Counted, most: number, now: Instant): void {
    if (this.add('hour', counted, now) <= most) return;
    const key = pair(counted);
    const times = (this.#blocks.get(key)?.times ?? 0) + 1;
    this.#blocks.set(key, { until: after(now, this.lengthMs('hour') * 2 ** (times - 1)), times });
  }

  #present(window: Window, now: Instant): Counts {
    const number = Math.floor(now / this.lengthMs(window));
    const known = this.#counts.get(window);
    if (known?.number === number) return known.counts;
    const counts: Counts = new Map();
    this.#counts.set(window, { number, counts });
    return counts;
  }
}

const pair = ({ app, of }: Counted) => `${app}|${of}`;
