/**
 * Assertions (RFC 7523 section 3) and proofs (RFC 9449 section 11.1) that were used: each works once, on whichever node it
 * comes, and after a restart. They lie in the store, by their end and under a unique digest, until they are over.
 *
 * State: when it was last looked for those that are over.
 */
import { digestOf } from './clients.ts';
import type { IssuerParts } from './parts.ts';

const SWEEP_EVERY_MS = 60_000;
const SWEPT_AT_ONCE = 200;
/** Ids sort by it. */
const DIGITS_OF_MS = 15;

export class UsedAssertions {
  readonly #parts: IssuerParts;
  #sweptAtMs = Number.NEGATIVE_INFINITY;

  constructor(parts: IssuerParts) {
    this.#parts = parts;
  }

  /**
   * False where it was used before. `whose`: who made it, a client or a key. `endsAtMs`: nobody takes it any more from
   * then on.
   */
  async use(whose: string, jti: string, endsAtMs: number): Promise<boolean> {
    const digest = digestOf(`${whose} ${jti}`);
    const id = `${String(Math.ceil(endsAtMs)).padStart(DIGITS_OF_MS, '0')}-${digest}`;
    const terms = [{ name: 'jti', value: digest, unique: true }];
    const written = await this.#parts.records.insert('client-assertion', id, '{}', terms);
    this.#sweepNowAndThen();
    return written.outcome === 'written';
  }

  #sweepNowAndThen(): void {
    const { clock, log } = this.#parts;
    const { uptimeMs } = clock.moment();
    if (uptimeMs - this.#sweptAtMs < SWEEP_EVERY_MS) return;
    this.#sweptAtMs = uptimeMs;
    this.#sweep().catch((cause: unknown) => log.warn('Used assertions were not removed.', { reason: String(cause) }));
  }

  async #sweep(): Promise<void> {
    const { records, clock } = this.#parts;
    for (;;) {
      const { items } = await records.list('client-assertion', { limit: SWEPT_AT_ONCE, after: null });
      const over = items.filter(({ id }) => Number(id.slice(0, DIGITS_OF_MS)) < clock.now());
      // Together, so that they may share a commit.
      await Promise.all(over.map(({ id }) => records.remove('client-assertion', id)));
      if (over.length < SWEPT_AT_ONCE) return;
    }
  }
}
