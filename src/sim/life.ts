/**
 * One run of a node's process, and the wall around all it does. After a crash nothing it waited for ever comes, so that
 * its unfinished work has no further effect; during a pause everything comes late.
 *
 * States: alive → paused (until an instant) → alive, and from both → dead.
 */
import type { VirtualTime } from './virtual-time.ts';

export class Life {
  readonly run: string;
  readonly #time: VirtualTime;
  readonly #onEnd = new Set<() => void>();
  #isAlive = true;
  #pausedUntil = 0;

  constructor(run: string, time: VirtualTime) {
    this.run = run;
    this.#time = time;
  }

  get isAlive(): boolean {
    return this.#isAlive;
  }

  get isPaused(): boolean {
    return this.#time.now() < this.#pausedUntil;
  }

  get pausedUntil(): number {
    return this.#pausedUntil;
  }

  end(): void {
    this.#isAlive = false;
    for (const tell of this.#onEnd) tell();
    this.#onEnd.clear();
  }

  pause(ms: number): void {
    this.#pausedUntil = Math.max(this.#pausedUntil, this.#time.now() + ms);
  }

  /** For those outside who wait for its answer: calls this when the run ends. Gives what takes that back. */
  onEnd(tell: () => void): () => void {
    if (this.#isAlive) this.#onEnd.add(tell);
    else tell();
    return () => this.#onEnd.delete(tell);
  }

  /** Whatever the world answers reaches this run only while it lives, and after its pauses. */
  async through<T>(work: () => Promise<T>): Promise<T> {
    if (!this.#isAlive) return forever();
    try {
      return await work();
    } finally {
      if (this.isAway) await this.back();
    }
  }

  /** Dead or paused. */
  get isAway(): boolean {
    return !this.#isAlive || this.isPaused;
  }

  /** Resolves now, after the pause, or never. */
  back(): Promise<void> {
    return new Promise((resolve) => this.awake(resolve));
  }

  /** Calls it now, after the pause, or never. */
  awake(go: () => void): void {
    if (!this.#isAlive) return;
    if (this.isPaused) this.#time.at(this.#pausedUntil, () => this.awake(go));
    else go();
  }
}

/** A fresh one each time: one for all would remember everybody who ever waited. */
export function forever<T>(): Promise<T> {
  return new Promise(() => undefined);
}
