/**
 * A server in a process of its own, as `real-node.ts` starts it: it loads everything, and then waits for the word to
 * start. At a step of an exchange that it was told of, it kills itself (SIGKILL, no goodbye).
 */
import { appendFileSync } from 'node:fs';
import { flushCompileCache } from 'node:module';
import { type RunningApp, type Settings, startApp } from '../../src/app.ts';
import type { Instant } from '../../src/core/instant.ts';
import type { Clock } from '../../src/ports/clock.ts';
import { ShiftedClock } from '../support/shifted-clock.ts';

/** The machine that the server believes it runs on. */
export interface Machine {
  /** How far its wall clock is off. */
  readonly skewMs: number;
  /** Names a start of it; null: the real one. */
  readonly boot: string | null;
}

export type Order =
  | {
      readonly kind: 'start';
      readonly settings: Settings;
      readonly offsetMs: number;
      readonly machine: Machine;
      /** A file that is told each answer that was received and that was written down: a grant, the step and a time. */
      readonly marks: string;
    }
  | { readonly kind: 'advance'; readonly ms: number }
  /** When a step is reached for the n-th time from now on. */
  | { readonly kind: 'die'; readonly at: string; readonly nth: number };

/** Each order is answered once, by its number. */
export type Numbered = Order & { readonly number: number };

export type Report =
  | { readonly kind: 'loaded' }
  | ({ readonly kind: 'started'; readonly origin: string } & To)
  | ({ readonly kind: 'failed'; readonly why: string } & To)
  | ({ readonly kind: 'done' } & To);
interface To {
  readonly to: number;
}

let time: ShiftedClock | null = null;
let death: { readonly at: string; left: number } | null = null;

let marks = '';

function onStep(step: string, grant: string): void {
  if (step === 'received' || step === 'journaled') appendFileSync(marks, `${grant} ${step} ${time?.now()}\n`);
  if (death?.at !== step || --death.left > 0) return;
  process.kill(process.pid, 'SIGKILL');
  // The signal may take a moment to arrive; nothing may happen in it.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
}

/**
 * Limits of minutes that are counted by the machine's timers go by the clock of the world as well: a provider that is
 * slow for a minute there must find them as long as they are.
 */
const LONG_MS = 20_000;
const NEVER_MS = 2_000_000_000;
const limits = new Map<object, { readonly due: number; readonly work: () => void; timer: object }>();

function worldTimers(): void {
  const { setTimeout: begin, clearTimeout: end } = globalThis;
  const later = (work: (...words: unknown[]) => void, ms = 0, ...words: unknown[]) => {
    if (!time || ms < LONG_MS) return begin(work, ms, ...words);
    // What is handed out never ends by itself.
    const handle = begin(() => undefined, NEVER_MS).unref();
    const done = (): void => {
      never(handle);
      work(...words);
    };
    limits.set(handle, { due: time.now() + ms, work: done, timer: begin(done, ms) });
    return handle;
  };
  const never = (handle?: Parameters<typeof end>[0]): void => {
    const limit = typeof handle === 'object' && handle !== null ? limits.get(handle) : undefined;
    if (limit) {
      end(limit.timer as NodeJS.Timeout);
      limits.delete(handle as object);
    }
    end(handle);
  };
  Object.assign(globalThis, { setTimeout: later, clearTimeout: never });
  timersJumped = (now) => {
    for (const limit of limits.values()) {
      end(limit.timer as NodeJS.Timeout);
      limit.timer = begin(limit.work, Math.max(0, limit.due - now));
    }
  };
}

let timersJumped = (_now: number): void => undefined;

function clockOf(shifted: ShiftedClock, { skewMs, boot }: Machine): Clock {
  return {
    now: () => (shifted.now() + skewMs) as Instant,
    moment() {
      const moment = shifted.moment();
      return { at: (moment.at + skewMs) as Instant, boot: boot ?? moment.boot, uptimeMs: moment.uptimeMs };
    },
    sleep: (ms, signal) => shifted.sleep(ms, signal),
  };
}

async function start(order: Extract<Order, { kind: 'start' }>): Promise<RunningApp> {
  const { settings, machine } = order;
  time = new ShiftedClock(order.offsetMs);
  marks = order.marks;
  worldTimers();
  const app = await startApp(settings, 'all', { onStep, clock: clockOf(time, machine) });
  process.on('SIGTERM', () => {
    void app.close().then(() => process.exit(0));
  });
  return app;
}

const tell = (report: Report) => process.send?.(report);

process.on('message', (order: Numbered) => {
  const to = order.number;
  switch (order.kind) {
    case 'start':
      start(order).then(
        ({ origin }) => tell({ kind: 'started', origin: origin ?? '', to }),
        (cause: unknown) => tell({ kind: 'failed', why: String(cause), to }),
      );
      return;
    case 'advance':
      time?.advance(order.ms);
      timersJumped(time?.now() ?? 0);
      break;
    case 'die':
      death = { at: order.at, left: order.nth };
  }
  tell({ kind: 'done', to });
});
// Whoever started it is gone.
process.on('disconnect', () => process.exit(1));

// A process that is killed writes no cache at its end, and the next one would translate everything again.
flushCompileCache();
tell({ kind: 'loaded' });
