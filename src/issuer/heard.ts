/**
 * What other nodes did to clients and their refresh tokens, as far as it concerns what was checked here before. Nothing
 * is looked up: whoever remembers a check asks whether that still stands.
 *
 * State: a count of all that was heard, and for each id (a client's, a refresh token's) its value when that was changed.
 */
import { type Standing, standingOf } from '../core/standing.ts';
import type { IssuerParts } from './parts.ts';

/** When something was checked: taken before the store is asked, so that what changes meanwhile is not missed. */
export interface CheckedAt {
  readonly count: number;
  readonly atMs: number;
}

const MOST_CHANGED = 20_000;

export class Heard {
  readonly #parts: IssuerParts;
  readonly #changed = new Map<string, number>();
  #count = 0;
  /** What was checked at or before this count does not stand, whatever it was. */
  #allBefore = -1;

  constructor(parts: IssuerParts) {
    this.#parts = parts;
    parts.changes.watch((change) => {
      if (change.kind === 'unsure') this.all();
      else if (change.kind === 'client' || change.kind === 'client-token') this.#note(change.id);
    });
  }

  now(): CheckedAt {
    return { count: this.#count, atMs: this.#uptimeMs() };
  }

  /** Everything that was checked so far is to be checked again. */
  all(): void {
    this.#allBefore = this.#count++;
    this.#changed.clear();
  }

  /** How far a check may be relied upon that rests on these ids. */
  standing({ count, atMs }: CheckedAt, client: string, token: string | null): Standing {
    if (count <= this.#allBefore || this.#isChanged(client, count)) return 'old';
    if (token !== null && this.#isChanged(token, count)) return 'old';
    return standingOf(this.#uptimeMs() - atMs, this.#parts.changes.heardAgoMs());
  }

  #isChanged(id: string, since: number): boolean {
    const changed = this.#changed.get(id);
    return changed !== undefined && changed >= since;
  }

  #note(id: string): void {
    if (this.#changed.size >= MOST_CHANGED) this.all();
    this.#changed.set(id, this.#count++);
  }

  #uptimeMs(): number {
    return this.#parts.clock.moment().uptimeMs;
  }
}
