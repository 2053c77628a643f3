/**
 * What the proxy has under way, and for whom: whoever loses the right meanwhile loses the rest of the answer too.
 *
 * State: the requests that are under way. While there are some, each caller's right is looked at once a second, from
 * memory where the node hears of others in time.
 */
import type { Clock } from '../ports/clock.ts';

export interface Underway {
  /** The same for requests with the same right, of which one is asked. */
  readonly right: string;
  /** Whether the caller still has it; rejects where nobody can tell. */
  stillMay(): Promise<boolean>;
  end(): void;
}

const EVERY_MS = 1_000;

export class UnderwayRequests {
  readonly #clock: Clock;
  readonly #requests = new Set<Underway>();
  readonly #stop = new AbortController();
  #isWatching = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Gives what is to be called when it is over. */
  add(request: Underway): () => void {
    this.#requests.add(request);
    if (!this.#isWatching) void this.#watch();
    return () => void this.#requests.delete(request);
  }

  /** What is under way is left to end by itself. */
  stop(): void {
    this.#stop.abort();
  }

  async #watch(): Promise<void> {
    this.#isWatching = true;
    while (this.#requests.size > 0 && !this.#stop.signal.aborted) {
      await this.#clock.sleep(EVERY_MS, this.#stop.signal);
      await this.#look();
    }
    this.#isWatching = false;
  }

  async #look(): Promise<void> {
    const asked = new Map<string, Promise<boolean>>();
    for (const request of this.#requests) {
      if (!asked.has(request.right)) asked.set(request.right, request.stillMay());
    }
    for (const request of this.#requests) {
      // Who cannot be asked about keeps what it has.
      const isAllowed = await asked.get(request.right)?.catch(() => true);
      if (isAllowed === false) request.end();
    }
  }
}
