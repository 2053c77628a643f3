/**
 * What came of authorizations whose browser is back. A reload shows the same page and goes on to the same place: what
 * came of it is remembered, and the code of the provider is not used again.
 *
 * State: the newest outcomes, by a digest of what the browser brought and its cookie.
 */
import { createHash } from 'node:crypto';
import type { Issuer } from '../issuer/issuer.ts';
import type { AuthorizationOutcome, CallbackParameters, Keeper } from '../keeper/keeper.ts';

export interface Returned {
  readonly outcome: AuthorizationOutcome;
  /** Where a client that asked for it is told; null: no client did. */
  readonly onward: { readonly location: string | null } | null;
}

export interface Returning {
  /** The browser is back. Works only with the cookie of the browser that began. */
  finish(callback: CallbackParameters, cookie: string): Promise<Returned>;
}

const KEPT = 500;

interface Known {
  readonly outcome: Promise<AuthorizationOutcome>;
  onward: Promise<Returned['onward']> | null;
}

export class Returns implements Returning {
  readonly #keeper: Pick<Keeper, 'authorizations'>;
  readonly #issuer: Pick<Issuer, 'authorize'>;
  readonly #known = new Map<string, Known>();

  constructor({ keeper, issuer }: { readonly keeper: Pick<Keeper, 'authorizations'>; readonly issuer: Issuer }) {
    this.#keeper = keeper;
    this.#issuer = issuer;
  }

  async finish(callback: CallbackParameters, cookie: string): Promise<Returned> {
    const known = this.#finishOnce(callback, cookie);
    const outcome = await known.outcome;
    known.onward ??= this.#issuer.authorize.finished(outcome);
    try {
      return { outcome, onward: await known.onward };
    } catch (cause) {
      known.onward = null;
      throw cause;
    }
  }

  #finishOnce(callback: CallbackParameters, cookie: string): Known {
    const key = createHash('sha256').update(`${callback.state}\n${cookie}`).digest('base64url');
    const earlier = this.#known.get(key);
    if (earlier) return earlier;
    const known: Known = { outcome: this.#keeper.authorizations.finish(callback, cookie), onward: null };
    this.#known.set(key, known);
    known.outcome.catch(() => this.#known.delete(key));
    const oldest = this.#known.keys().next().value;
    if (this.#known.size > KEPT && oldest !== undefined) this.#known.delete(oldest);
    return known;
  }
}
