/**
 * The access token of one chain that is served from memory, and what is thought of it.
 *
 * States: none ──take──▶ held ──take, drop──▶ none; ──reject──▶ none, and the same one is not taken again.
 * Beside it: trusted → doubted (whoever says that the provider refuses it; looked into once for all who say so at the same
 * time) → trusted, and for a while no doubt is looked into.
 */
import { accessTokenLeftMs, type Link } from '../core/chain.ts';
import type { LinkId } from '../core/id.ts';
import { after } from '../core/instant.ts';
import type { AccessToken } from '../core/secret.ts';
import type { Clock } from '../ports/clock.ts';
import type { LiveAccessToken } from './keeper.ts';

/** An access token in memory, with the link that gave it. */
export interface Held {
  readonly link: Link;
  readonly accessToken: AccessToken;
}

const DOUBT_PAUSE_MS = 10_000;
/** While somebody asks, a token is exchanged this share of its life before its end, where the provider allows it. */
const AHEAD_SHARE = 0.05;
const AHEAD_MOST_MS = 60_000;

export class Served {
  readonly #clock: Clock;
  readonly #onEnding: () => void;
  #held: Held | null = null;
  /** The link whose access token the provider was found to refuse; not served again. */
  #rejected: LinkId | null = null;
  #doubting: Promise<void> | null = null;
  /** By the clock that nobody sets. */
  #noDoubtBeforeMs = 0;
  /** The link whose access token somebody doubted, and for which an exchange was tried. */
  #tried: LinkId | null = null;

  /** `onEnding`: somebody is served a token whose end is near. */
  constructor(clock: Clock, onEnding: () => void) {
    this.#clock = clock;
    this.#onEnding = onEnding;
  }

  /** The token, where it has so much life left. */
  live(minTtlMs: number): LiveAccessToken | null {
    const held = this.#held;
    if (!held) return null;
    const leftMs = accessTokenLeftMs(held.link, this.#clock.moment());
    if (leftMs <= 0 || leftMs < minTtlMs) return null;
    if (leftMs < aheadMs(held.link)) this.#onEnding();
    const expiresAt = after(this.#clock.now(), leftMs);
    return { accessToken: held.accessToken, expiresAt, leftMs, scope: held.link.scope };
  }

  get isDoubted(): boolean {
    return this.#doubting !== null;
  }

  isOf(link: Link): boolean {
    return this.#held?.link.id === link.id;
  }

  isRejected(link: Link): boolean {
    return link.id === this.#rejected;
  }

  take(held: Held | null): void {
    this.#held = held;
  }

  drop(): void {
    this.#held = null;
  }

  /** The provider refuses this access token although it should live: it is not served any more. */
  reject(accessToken: AccessToken): void {
    if (this.#held?.accessToken !== accessToken) return;
    this.#rejected = this.#held.link.id;
    this.#held = null;
  }

  /**
   * Looks into a doubt about the access token: once for all who raise it at the same time, and not again for a while.
   * An API that refuses everything would otherwise turn each new token into the next exchange.
   */
  doubt(look: () => Promise<void>): Promise<void> {
    if (this.#doubting) return this.#doubting;
    if (this.#uptimeMs() < this.#noDoubtBeforeMs) return Promise.resolve();
    this.#doubting = look().finally(() => {
      this.#doubting = null;
      this.#noDoubtBeforeMs = this.#uptimeMs() + DOUBT_PAUSE_MS;
    });
    return this.#doubting;
  }

  /** Whether an exchange is to be tried because of a doubt about this access token: once for each. */
  isFirstDoubtOf(accessToken: AccessToken): boolean {
    const link = this.#held?.link.id;
    if (!link || this.#held?.accessToken !== accessToken || this.#tried === link) return false;
    this.#tried = link;
    return true;
  }

  #uptimeMs(): number {
    return this.#clock.moment().uptimeMs;
  }
}

function aheadMs(link: Link): number {
  return Math.min(AHEAD_MOST_MS, (link.accessTokenLifeMs ?? 0) * AHEAD_SHARE);
}
