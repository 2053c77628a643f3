/** What a report is written from: answers that did not reach the client as they were meant, and refusals that ended hope. */
import type { Instant } from '../core/instant.ts';
import type { FaultName } from './faults.ts';
import type { TokenRefusal } from './form.ts';
import type { Presented, TokenId } from './register.ts';

export interface Incident {
  readonly at: Instant;
  /** The refresh token that was presented. */
  readonly token: Presented;
  readonly reason: TokenRefusal;
}

/** Of each family the newest so many are kept. */
const MOST = 20;

export class Incidents {
  readonly #byFamily = new Map<string, Incident[]>();
  /** Which fault struck the answer that brought a refresh token. */
  readonly #struck = new Map<TokenId, FaultName>();
  readonly #unknown: Incident[] = [];

  add(family: string | null, incident: Incident): void {
    const list = family === null ? this.#unknown : (this.#byFamily.get(family) ?? []);
    list.push(incident);
    if (list.length > MOST) list.shift();
    if (family !== null) this.#byFamily.set(family, list);
  }

  /** The chain went on: what was refused before did no harm. */
  forget(family: string): void {
    if (this.#byFamily.size > 0) this.#byFamily.delete(family);
  }

  strike(refreshToken: TokenId, fault: FaultName): void {
    this.#struck.set(refreshToken, fault);
  }

  of(family: string): readonly Incident[] {
    return this.#byFamily.get(family) ?? [];
  }

  /** Presentations of texts that were never issued. */
  unknown(): readonly Incident[] {
    return this.#unknown;
  }

  faultOf(refreshToken: TokenId): FaultName | null {
    return this.#struck.get(refreshToken) ?? null;
  }
}
