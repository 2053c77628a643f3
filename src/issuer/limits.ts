/**
 * How much of something is let in within a time, on the clock that nobody sets, so that a stranger who takes all there
 * is takes it from those at the same address and from nobody else.
 *
 * State: what happened lately, in this process.
 */
import { OAuthError } from '../oauth/oauth-error.ts';
import type { IssuerParts } from './parts.ts';

const ASK_AGAIN_MS = 60_000;

export function tooMuch(): OAuthError {
  return new OAuthError('temporarily_unavailable', { retryAfterMs: ASK_AGAIN_MS });
}

/** Of one client. */
const MANY = 1_000;
/** Of one client and network, whoever is behind that. */
const MANY_OF_A_NETWORK = 250;
/** What each network may have also where there are many already. */
const FEW = 3;
/** Of one client: whoever has thousands of networks does not fill the store either. */
const MOST = 10 * MANY;

interface Place {
  /** Null: its client has proved itself. */
  readonly network: string | null;
  readonly atMs: number;
}

/**
 * What was begun lately for each client. Where there are many, a network with few of them still gets in; what was begun
 * need not go for it.
 */
export class Crowds {
  readonly #clock: IssuerParts['clock'];
  readonly #forMs: number;
  /** The one to which somebody came last stands last; in each, the oldest first. */
  readonly #ofClients = new Map<string, Map<string, Place>>();

  constructor(clock: IssuerParts['clock'], forMs: number) {
    this.#clock = clock;
    this.#forMs = forMs;
  }

  /** Refuses what is too much. `network`: null for a client that has proved itself, all of it is that client's. */
  enter(client: string, network: string | null, what: string): void {
    const places = this.#lately(client);
    if (!hasRoom(places, network)) throw tooMuch();
    places.set(what, { network, atMs: this.#clock.moment().uptimeMs });
    this.#ofClients.delete(client);
    this.#ofClients.set(client, places);
    for (const oldest of this.#ofClients.keys()) {
      if (this.#lately(oldest).size > 0) break;
      this.#ofClients.delete(oldest);
    }
  }

  /** It came to what it was begun for. */
  leave(client: string, what: string): void {
    this.#ofClients.get(client)?.delete(what);
  }

  #lately(client: string): Map<string, Place> {
    const places = this.#ofClients.get(client) ?? new Map<string, Place>();
    const from = this.#clock.moment().uptimeMs - this.#forMs;
    for (const [what, { atMs }] of places) {
      if (atMs > from) break;
      places.delete(what);
    }
    return places;
  }
}

function hasRoom(places: ReadonlyMap<string, Place>, network: string | null): boolean {
  const isCrowded = places.size >= MANY;
  if (network === null) return !isCrowded;
  let own = 0;
  for (const place of places.values()) if (place.network === network) own++;
  return places.size < MOST && own < (isCrowded ? FEW : MANY_OF_A_NETWORK);
}

/** Counts for each network what happened lately, and refuses what is too much. */
export class RecentOfEach {
  readonly #clock: IssuerParts['clock'];
  readonly #forMs: number;
  readonly #most: number;
  readonly #all = new Map<string, Recent>();

  constructor(clock: IssuerParts['clock'], forMs: number, most: number) {
    this.#clock = clock;
    this.#forMs = forMs;
    this.#most = most;
  }

  assertRoom(whose: string): void {
    if ((this.#all.get(whose)?.count ?? 0) >= this.#most) throw tooMuch();
  }

  note(whose: string): void {
    const recent = this.#all.get(whose) ?? new Recent(this.#clock, this.#forMs);
    recent.note();
    // The one that asked last stands last.
    this.#all.delete(whose);
    this.#all.set(whose, recent);
    for (const [oldest, { count }] of this.#all) {
      if (count > 0) break;
      this.#all.delete(oldest);
    }
  }
}

/** Counts what happened lately. */
export class Recent {
  readonly #clock: IssuerParts['clock'];
  readonly #forMs: number;
  #times: number[] = [];

  constructor(clock: IssuerParts['clock'], forMs: number) {
    this.#clock = clock;
    this.#forMs = forMs;
  }

  note(): void {
    this.#times.push(this.#clock.moment().uptimeMs);
  }

  get count(): number {
    const from = this.#clock.moment().uptimeMs - this.#forMs;
    this.#times = this.#times.filter((time) => time > from);
    return this.#times.length;
  }
}
