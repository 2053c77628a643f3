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
  readonly #onEnd: (() => void)[] = [];
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
    for (const tell of this.#onEnd.splice(0)) tell();
  }

  pause(ms: number): void {
    this.#pausedUntil = Math.max(this.#pausedUntil, this.#time.now() + ms);
  }

  /** Resolves when this run has ended: for those outside who wait for its answer. */
  ended(): Promise<'ended'> {
    return new Promise((resolve) => {
      if (!this.#isAlive) resolve('ended');
      else this.#onEnd.push(() => resolve('ended'));
    });
  }

  /** Whatever the world answers reaches this run only while it lives, and after its pauses. */
  through<T>(work: () => Promise<T>): Promise<T> {
    if (!this.#isAlive) return forever();
    return new Promise((resolve, reject) => {
      work().then(
        (value) => this.awake(() => resolve(value)),
        (cause: unknown) => this.awake(() => reject(cause)),
      );
    });
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
