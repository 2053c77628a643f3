/**
 * What the proxy has under way, and for whom: whoever loses the right meanwhile loses the rest of the answer too.
 *
 * State: the requests that are under way, and the rights that are being asked about. While there are some, each caller's
 * right is looked at once a second, from memory where the node hears of others in time.
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
  /** Rights that are being asked about. */
  readonly #asked = new Set<string>();
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
      if (this.#stop.signal.aborted) break;
      for (const request of this.#requests) if (!this.#asked.has(request.right)) void this.#ask(request);
    }
    this.#isWatching = false;
  }

  /** Not waited for: where one answer is long in coming, the others are heard. */
  async #ask(asking: Underway): Promise<void> {
    const { right } = asking;
    this.#asked.add(right);
    // Who cannot be asked about keeps what it has.
    const isAllowed = await asking.stillMay().catch(() => true);
    this.#asked.delete(right);
    if (isAllowed) return;
    for (const request of this.#requests) if (request.right === right) request.end();
  }
}
