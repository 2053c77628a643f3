/**
 * Time that passes only when nothing is left to do: wake-ups in the order of their time (then of their making), and
 * everything that one of them causes is done before the next.
 *
 * State: the present instant, and a binary heap of what is still to wake.
 */
import type { Instant } from '../core/instant.ts';

export interface Wake {
  readonly at: number;
  readonly order: number;
  /** Null once it was called off. */
  run: (() => void) | null;
}

/** Steps between two breaths of the machine's own event loop. */
const STEPS_A_BREATH = 20_000;

export class VirtualTime {
  #now: number;
  #order = 0;
  #steps = 0;
  readonly #heap: Wake[] = [];
  readonly #breathe: () => Promise<void>;

  /** `breathe` lets the machine's event loop turn; what it does is not part of the simulation. */
  constructor(start: number, breathe: () => Promise<void> = async () => undefined) {
    this.#now = start;
    this.#breathe = breathe;
  }

  now(): Instant {
    return this.#now as Instant;
  }

  at(instant: number, run: () => void): Wake {
    const wake: Wake = { at: Math.max(instant, this.#now), order: this.#order++, run };
    this.#push(wake);
    return wake;
  }

  after(ms: number, run: () => void): Wake {
    return this.at(this.#now + Math.max(0, ms), run);
  }

  sleep(ms: number): Promise<void> {
    return new Promise((wake) => this.after(ms, wake));
  }

  /** Lets time pass up to this instant. */
  runTo(end: number): Promise<void> {
    return new Promise((done, failed) => {
      const goOn = (): void => {
        try {
          if (!this.#wakeNext(end)) done();
          else if (++this.#steps % STEPS_A_BREATH === 0) this.#breathe().then(() => onceDrained(goOn), failed);
          else onceDrained(goOn);
        } catch (cause) {
          failed(cause);
        }
      };
      onceDrained(goOn);
    });
  }

  /** False where nothing is left up to this instant, and that is the time now. */
  #wakeNext(end: number): boolean {
    for (let next = this.#heap[0]; next && next.at <= end; next = this.#heap[0]) {
      this.#pop();
      if (!next.run) continue;
      this.#now = next.at;
      next.run();
      return true;
    }
    this.#now = Math.max(this.#now, end);
    return false;
  }

  /** Lets time pass until the promise is settled. */
  async until<T>(promise: Promise<T>, mostMs = 86_400_000): Promise<T> {
    const state = { isSettled: false };
    const watched = promise.finally(() => {
      state.isSettled = true;
    });
    watched.catch(() => undefined);
    const end = this.#now + mostMs;
    await this.runTo(this.#now);
    while (!state.isSettled) {
      const next = this.#heap[0];
      if (!next || next.at > end) throw new Error('Nothing is left that could settle this promise.');
      await this.runTo(next.at);
    }
    return watched;
  }

  #push(wake: Wake): void {
    const heap = this.#heap;
    let i = heap.length;
    heap.push(wake);
    while (i > 0) {
      const up = (i - 1) >> 1;
      const parent = heap[up] as Wake;
      if (isBefore(parent, wake)) break;
      heap[i] = parent;
      i = up;
    }
    heap[i] = wake;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (!last || heap.length === 0) return;
    let i = 0;
    for (;;) {
      let down = 2 * i + 1;
      if (down >= heap.length) break;
      const right = heap[down + 1];
      if (right && isBefore(right, heap[down] as Wake)) down++;
      const child = heap[down] as Wake;
      if (isBefore(last, child)) break;
      heap[i] = child;
      i = down;
    }
    heap[i] = last;
  }
}

function isBefore(a: Wake, b: Wake): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}

/** Calls it when every microtask has run: a tick that is asked for in a microtask comes only then. */
function onceDrained(go: () => void): void {
  void SETTLED.then(() => process.nextTick(go));
}

const SETTLED = Promise.resolve();
