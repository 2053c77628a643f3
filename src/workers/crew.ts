/**
 * The workers of a parent: started, watched, replaced when they end or hang, and ended with it.
 *
 * States of a place in the crew: starting (the worker has its order and does not listen yet) → serving → ended → (after
 * a pause that grows while workers end soon after they began) starting. Stopping: what ends is not replaced.
 */
import cluster, { type Worker } from 'node:cluster';
import { once } from 'node:events';
import { getCompileCacheDir } from 'node:module';
import { dirname } from 'node:path';
import type { FromParent, FromWorker } from './messages.ts';
import { type Common, ParentEnd } from './parent-end.ts';
import { fromWire, toWire } from './wire.ts';

export interface CrewParts {
  readonly size: number;
  /** The file that a worker runs. */
  readonly file: string;
  /** What a worker must know to start; sent to it alone, over its channel. */
  readonly order: (worker: number) => unknown;
  readonly common: Common;
}

/** A worker pings five times a second. One that was not heard in so many looks in a row hangs. */
const LOOK_EVERY_MS = 1_000;
const MOST_LOOKS_UNHEARD = 15;
/** Before it is heard for the first time, it reads its own code. */
const MOST_LOOKS_STARTING = 120;
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 10_000;
/** Who lived for so long did not end for a reason that is there at once again. */
const STEADY_MS = 60_000;
/** For the last answers, once nothing can become of them any more. */
const LAST_WORDS_MS = 4_000;

export class Crew {
  readonly #parts: CrewParts;
  readonly #stopping = new AbortController();
  readonly #workers = new Map<Worker, Promise<unknown>>();

  constructor(parts: CrewParts) {
    this.#parts = parts;
  }

  /** Resolves once all of them listen; rejects where one cannot. */
  async start(): Promise<void> {
    cluster.setupPrimary({ exec: this.#parts.file, args: [], serialization: 'advanced' });
    const places = Array.from({ length: this.#parts.size }, (_, i) => this.#keepPlace(i + 1));
    try {
      await Promise.all(places);
    } catch (cause) {
      await this.stop(Promise.resolve());
      throw cause;
    }
  }

  /**
   * Resolves when all are gone: each answers what it has under way. `over` resolves when nothing can come any more of
   * what it waits for.
   */
  async stop(over: Promise<unknown>): Promise<void> {
    this.#stopping.abort();
    const gone = Promise.all(this.#workers.values());
    for (const worker of this.#workers.keys()) tell(worker, { is: 'stop' });
    const late = over.then(() => this.#parts.common.clock.sleep(LAST_WORDS_MS));
    await Promise.race([gone, late]);
    for (const worker of this.#workers.keys()) worker.process.kill('SIGKILL');
    await gone;
  }

  /** Resolves when the first worker in this place serves. */
  async #keepPlace(number: number): Promise<void> {
    const first = Promise.withResolvers<void>();
    void this.#replaceForEver(number, first);
    await first.promise;
  }

  async #replaceForEver(number: number, first: PromiseWithResolvers<void>): Promise<void> {
    const { clock, log } = this.#parts.common;
    const { signal } = this.#stopping;
    for (let soon = 0; !signal.aborted; ) {
      const startedAtMs = clock.moment().uptimeMs;
      const { ended, pid } = await this.#run(number, first);
      first.reject(new Error(`A worker ended before it served: ${ended}`));
      if (signal.aborted) return;
      soon = clock.moment().uptimeMs - startedAtMs > STEADY_MS ? 0 : soon + 1;
      const pauseMs = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (soon - 1));
      log.error('A worker ended; another one takes its place.', { worker: number, pid, ended, pauseMs });
      await clock.sleep(pauseMs, signal);
    }
  }

  /** Resolves when it is gone. */
  async #run(
    number: number,
    first: PromiseWithResolvers<void>,
  ): Promise<{ readonly ended: string; readonly pid: number }> {
    const { common, order } = this.#parts;
    const worker = cluster.fork(environment());
    const pid = worker.process.pid ?? 0;
    const end = new ParentEnd(common, (message) => tell(worker, message));
    const gone = once(worker, 'exit');
    this.#workers.set(worker, gone);
    // That it could not be told something: that it is gone is heard by itself.
    worker.on('error', () => undefined);
    worker.on('message', (message: FromWorker) => {
      if (message.is === 'failed') first.reject(fromWire(message.error));
      if (message.is === 'ready') {
        first.resolve();
        common.log.info('A worker serves.', { worker: number, pid });
      }
      end.hear(message);
    });
    tell(worker, { is: 'order', order: toWire(order(number)) });
    const over = new AbortController();
    void this.#endIfHung(number, worker, end, over.signal);
    try {
      const [code, signal] = (await gone) as [number | null, string | null];
      return { ended: signal ?? `exit code ${code}`, pid };
    } finally {
      over.abort();
      end.close();
      this.#workers.delete(worker);
    }
  }

  async #endIfHung(number: number, worker: Worker, end: ParentEnd, over: AbortSignal): Promise<void> {
    for (let unheard = 0, most = MOST_LOOKS_STARTING; unheard < most; ) {
      await this.#parts.common.clock.sleep(LOOK_EVERY_MS, over);
      if (over.aborted) return;
      const isHeard = end.wasHeardSince();
      if (isHeard) most = MOST_LOOKS_UNHEARD;
      unheard = isHeard ? 0 : unheard + 1;
    }
    this.#parts.common.log.error('A worker hangs, and is ended.', { worker: number, pid: worker.process.pid ?? 0 });
    worker.process.kill('SIGKILL');
  }
}

/** A worker that is gone is not there to be told; that it is gone is heard by itself. */
function tell(worker: Worker, message: FromParent): void {
  if (worker.isConnected()) worker.send(message, () => undefined);
}

/** Settings, secrets among them, come with the order. What the parent compiled, a worker need not compile again. */
function environment(): Readonly<Record<string, string | undefined>> {
  const names = Object.keys(process.env).filter((name) => name.startsWith('EVERGRANT_'));
  const compiled = getCompileCacheDir();
  return {
    ...Object.fromEntries(names.map((name) => [name, undefined])),
    ...(compiled === undefined ? {} : { NODE_COMPILE_CACHE: dirname(compiled) }),
  };
}
