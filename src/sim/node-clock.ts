/** A node's view of time: its wall clock may be wrong, its uptime counts from the start of its machine. */
import type { Instant, Moment } from '../core/instant.ts';
import type { Clock } from '../ports/clock.ts';
import type { Life } from './life.ts';
import type { VirtualTime, Wake } from './virtual-time.ts';

/** Outlives the process. */
export interface Machine {
  boot: string;
  bootedAt: number;
  /** What its wall clock shows beyond the true time. */
  skewMs: number;
  /** Until when it is, or was, wrong. */
  wrongUntil: number;
}

export function nodeClock(time: VirtualTime, machine: Machine, life: Life): Clock {
  const now = (): Instant => (time.now() + machine.skewMs) as Instant;
  return {
    now,
    moment: (): Moment => ({ at: now(), boot: machine.boot, uptimeMs: time.now() - machine.bootedAt }),
    sleep(ms, signal) {
      if (signal?.aborted) return Promise.resolve();
      return new Promise((resolve) => {
        const giveUp = (): void => {
          signal?.removeEventListener('abort', giveUp);
          wake.run = null;
          resolve();
        };
        const wake: Wake = time.after(ms, () => {
          signal?.removeEventListener('abort', giveUp);
          life.awake(resolve);
        });
        signal?.addEventListener('abort', giveUp);
      });
    },
  };
}
