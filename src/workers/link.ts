/**
 * A worker's end of what connects it with its parent: asks it, and hears what changed.
 *
 * It pings several times a second, and each answer proves that all changes made before that ping was sent have been
 * heard, for they come in order on one channel. So it needs no clock but its own.
 *
 * States: heard (a ping was answered lately) → silent (one was not for a while: whatever is asked is refused at once) →
 * heard, when the answer comes after all. A parent that is gone takes the worker with it.
 */
import { EvergrantError } from '../core/errors.ts';
import type { Clock } from '../ports/clock.ts';
import type { Change } from '../ports/store.ts';
import type { FromParent, FromWorker } from './messages.ts';
import { fromWire, toWire } from './wire.ts';

const PING_EVERY_MS = 200;
/** As long as a statement of a database may take. */
const SILENT_AFTER_MS = 5_000;
const RETRY_MS = 2_000;

export class Link {
  readonly #clock: Clock;
  readonly #send: (message: FromWorker) => void;
  readonly #asked = new Map<number, PromiseWithResolvers<unknown>>();
  readonly #listeners = new Set<(change: Change) => void>();
  readonly #onOutdated = new Set<(key: string) => void>();
  #lastId = 0;
  /** The ping that was not answered yet. */
  #ping: { readonly id: number; readonly atMs: number } | null = null;
  /** When all that had changed was heard. */
  #heardAtMs = Number.NEGATIVE_INFINITY;

  constructor(clock: Clock, send: (message: FromWorker) => void) {
    this.#clock = clock;
    this.#send = send;
  }

  async ask(name: string, given: readonly unknown[]): Promise<unknown> {
    if (this.isSilent) throw noAnswer();
    const id = ++this.#lastId;
    const asked = Promise.withResolvers<unknown>();
    this.#asked.set(id, asked);
    this.#send({ is: 'ask', id, name, given: toWire(given) });
    return asked.promise;
  }

  /** Orders and stops are for who starts the worker. */
  hear(message: FromParent): void {
    switch (message.is) {
      case 'answer':
        this.#taken(message.id)?.resolve(fromWire(message.value));
        break;
      case 'refusal':
        this.#taken(message.id)?.reject(fromWire(message.error));
        break;
      case 'change':
        for (const listener of this.#listeners) listener(message.change);
        break;
      case 'outdated':
        for (const listener of this.#onOutdated) listener(message.key);
        break;
      case 'pong':
        if (message.id !== this.#ping?.id) break;
        this.#heardAtMs = this.#ping.atMs - message.heardAgoMs;
        this.#ping = null;
        break;
      default:
    }
  }

  watch(listener: (change: Change) => void): () => void {
    // One of its own for every call, so that ending one ends no other.
    const own = (change: Change): void => listener(change);
    this.#listeners.add(own);
    return () => this.#listeners.delete(own);
  }

  watchOutdated(listener: (key: string) => void): () => void {
    this.#onOutdated.add(listener);
    return () => this.#onOutdated.delete(listener);
  }

  heardAgoMs(): number {
    return this.#uptimeMs() - this.#heardAtMs;
  }

  get isSilent(): boolean {
    return this.#ping !== null && this.#uptimeMs() - this.#ping.atMs > SILENT_AFTER_MS;
  }

  async keepPinging(stop: AbortSignal): Promise<void> {
    while (!stop.aborted) {
      // One at a time: a parent that hangs must not find a heap of them.
      if (this.#ping === null) {
        this.#ping = { id: ++this.#lastId, atMs: this.#uptimeMs() };
        this.#send({ is: 'ping', id: this.#ping.id });
      } else if (this.isSilent) this.#refuseAll();
      await this.#clock.sleep(PING_EVERY_MS, stop);
    }
  }

  #taken(id: number): PromiseWithResolvers<unknown> | undefined {
    const asked = this.#asked.get(id);
    this.#asked.delete(id);
    return asked;
  }

  #refuseAll(): void {
    for (const asked of this.#asked.values()) asked.reject(noAnswer());
    this.#asked.clear();
  }

  #uptimeMs(): number {
    return this.#clock.moment().uptimeMs;
  }
}

function noAnswer(): EvergrantError {
  return new EvergrantError('server_unavailable', 'The process that keeps the grants does not answer.', {
    remedy: 'Ask again after the time in Retry-After.',
    retryAfterMs: RETRY_MS,
  });
}
