/**
 * Writes that can wait, gathered: the first thing noted starts the time, and what came meanwhile is written with it.
 *
 * States: idle (nothing waits, no timer) → waiting → writing → waiting again if something is left, else idle. After
 * `drain` nothing waits any more: it is for the caller to write the rest.
 */
import type { IssuerParts } from './parts.ts';

/** Writes what is due; gives whether something is left. */
export type BatchWrite = () => Promise<boolean>;

const EVERY_MS = 10_000;

export class Batch {
  readonly #parts: IssuerParts;
  readonly #write: BatchWrite;
  readonly #stop = new AbortController();
  #running: Promise<void> | null = null;

  constructor(parts: IssuerParts, write: BatchWrite) {
    this.#parts = parts;
    this.#write = write;
  }

  /** Something waits to be written. Cheap enough for every request. */
  note(): void {
    if (this.#running || this.#stop.signal.aborted) return;
    this.#running = this.#run().finally(() => {
      this.#running = null;
    });
  }

  async drain(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    for (let isLeft = true; isLeft; ) {
      await this.#parts.clock.sleep(EVERY_MS, this.#stop.signal);
      if (this.#stop.signal.aborted) return;
      isLeft = await this.#write().catch((cause: unknown) => {
        this.#parts.log.warn('What happened to clients could not be written; trying again.', { reason: String(cause) });
        return true;
      });
    }
  }
}
