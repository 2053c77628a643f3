/**
 * The clocks of this machine. The time since its start comes from the system (`os.uptime()`, which counts sleep) once a
 * second, and in between from the process's own monotonic clock, which is ten times cheaper.
 *
 * State: how far the system's uptime is ahead of the monotonic clock. It only grows, so time never goes backwards.
 */
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { uptime } from 'node:os';
import type { Instant, Moment } from '../core/instant.ts';
import type { Clock, Interrupt } from '../ports/clock.ts';

const RESYNC_MS = 1_000;
/** The wall clock moved against the monotonic one by more than this: the machine slept, or its clock was set. */
const JUMP_MS = 100;
/** Longest single wait: a timer stands still while the machine sleeps, so look again after this. */
const LONGEST_WAIT_MS = 60_000;

/** What the machine tells; a test gives another one. */
export interface Machine {
  wallMs(): number;
  monotonicMs(): number;
  uptimeMs(): number;
  boot(): string;
}

const thisMachine: Machine = {
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  uptimeMs: () => uptime() * 1000,
  boot: bootId,
};

export function createClock(machine: Machine = thisMachine): Clock {
  const boot = machine.boot();
  let aheadMs = Number.NEGATIVE_INFINITY;
  let syncedAt = Number.NEGATIVE_INFINITY;
  let wallAheadMs = 0;

  function moment(): Moment {
    const at = machine.wallMs();
    const monotonic = machine.monotonicMs();
    if (monotonic - syncedAt > RESYNC_MS || Math.abs(at - monotonic - wallAheadMs) > JUMP_MS) {
      aheadMs = Math.max(aheadMs, machine.uptimeMs() - monotonic);
      syncedAt = monotonic;
      wallAheadMs = at - monotonic;
    }
    return { at: at as Instant, boot, uptimeMs: monotonic + aheadMs };
  }

  async function sleep(ms: number, signal?: Interrupt): Promise<void> {
    const until = moment().uptimeMs + ms;
    for (let left = ms; left > 0; left = until - moment().uptimeMs) {
      if (signal?.aborted) return;
      const wait = Math.min(Math.ceil(left), LONGEST_WAIT_MS);
      await pause(wait, signal);
    }
  }

  return { now: () => machine.wallMs() as Instant, moment, sleep };
}

export const systemClock: Clock = createClock();

/** The kernel's name for this start of the machine. Where it has none, a process counts as a machine of its own. */
function bootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  } catch {
    return `process-${randomUUID()}`;
  }
}

/** Ends early when the signal says so, without an error made for it: most waits are for what comes much sooner. */
function pause(ms: number, signal: Interrupt | undefined): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal?.addEventListener('abort', end);
  });
}
