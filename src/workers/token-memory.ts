/**
 * The access tokens that a worker serves without asking: what its parent gave it, until it ends or the parent tells that
 * something happened to its chain.
 *
 * State: tokens by grant, and the names under which they were asked for. A grant of which anything is told is forgotten
 * whole; who asks next makes it known again.
 */
import type { GrantId } from '../core/id.ts';
import { after } from '../core/instant.ts';
import type { AccessToken } from '../core/secret.ts';
import type { LiveAccessToken } from '../keeper/keeper.ts';
import type { Clock } from '../ports/clock.ts';
import type { Change } from '../ports/store.ts';
import type { OfferedToken } from './offer.ts';

interface Held {
  readonly grant: GrantId;
  readonly accessToken: AccessToken;
  readonly scope: string | null;
  /** On the clock that nobody sets; Infinity: never. */
  readonly endsAtMs: number;
  readonly names: Set<string>;
  /** With so much life left, the parent is told that the token is in use. */
  nudgeAtMs: number;
}

const MOST_HELD = 100_000;
/**
 * The parent exchanges in time for a token's end when it is asked for near it, and it alone knows what is near. So it is
 * told when this much is left, and each time that half of what was left then is gone.
 */
const NUDGE_FROM_MS = 60_000;

export class TokenMemory {
  readonly #clock: Clock;
  readonly #nudge: (grant: GrantId) => void;
  readonly #byName = new Map<string, Held>();
  readonly #byGrant = new Map<GrantId, Held>();

  constructor(clock: Clock, nudge: (grant: GrantId) => void) {
    this.#clock = clock;
    this.#nudge = nudge;
  }

  peek(name: string, minTtlMs: number): LiveAccessToken | null {
    const held = this.#byName.get(name);
    if (!held) return null;
    const leftMs = held.endsAtMs - this.#clock.moment().uptimeMs;
    if (leftMs <= 0 || leftMs < minTtlMs) return null;
    if (leftMs <= held.nudgeAtMs) {
      held.nudgeAtMs = leftMs / 2;
      this.#nudge(held.grant);
    }
    const expiresAt = after(this.#clock.now(), leftMs);
    return { accessToken: held.accessToken, expiresAt, leftMs, scope: held.scope };
  }

  /** Remembers what was asked for at this moment under this name. */
  keep(name: string, offered: OfferedToken, askedAtMs: number): LiveAccessToken {
    const { grant, live, isCurrent } = offered;
    if (!isCurrent) return live;
    // A worker that slept while the answer waited must not take it for fresh; clocks of processes differ by a hair.
    const reckonedAtMs = Math.max(askedAtMs, Math.min(offered.atMs, this.#clock.moment().uptimeMs));
    const known = this.#byGrant.get(grant);
    const isSame = known?.accessToken.reveal() === live.accessToken.reveal();
    const names = known?.names ?? new Set();
    const held: Held = {
      grant,
      // The very same one: answers that were made of it are kept by it.
      accessToken: known && isSame ? known.accessToken : live.accessToken,
      scope: live.scope,
      endsAtMs: reckonedAtMs + live.leftMs,
      names: names.add(grant).add(name),
      nudgeAtMs: known && isSame ? known.nudgeAtMs : NUDGE_FROM_MS,
    };
    this.#byGrant.delete(grant);
    this.#byGrant.set(grant, held);
    for (const one of names) this.#byName.set(one, held);
    const oldest = this.#byGrant.keys().next().value;
    if (this.#byGrant.size > MOST_HELD && oldest !== undefined) this.#forget(oldest);
    return this.peek(name, 0) ?? live;
  }

  hear(change: Change): void {
    if (change.kind === 'chain' || change.kind === 'grant') this.#forget(change.id as GrantId);
    if (change.kind !== 'unsure') return;
    this.#byName.clear();
    this.#byGrant.clear();
  }

  #forget(grant: GrantId): void {
    for (const name of this.#byGrant.get(grant)?.names ?? []) {
      if (this.#byName.get(name)?.grant === grant) this.#byName.delete(name);
    }
    this.#byGrant.delete(grant);
  }
}
