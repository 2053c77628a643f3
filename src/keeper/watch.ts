/**
 * Does what is due although nobody asks: chains in doubt whose token may be presented again, idle ones before their
 * limit, those that are to be fresh, and those whose end is to be announced. What is due is found by an index, so a look
 * costs the same for ten grants and for a million.
 *
 * State: asleep until the next is due (or `expect` says that one is due sooner) → looking → asleep; and the grants that
 * are being tended now, at most so many at once, and so many of one app.
 */
import type { AppId, GrantId } from '../core/id.ts';
import { after, type Instant } from '../core/instant.ts';
import { announceEnd } from './announce.ts';
import { Bell } from './bell.ts';
import type { ChainMinder } from './minder.ts';
import type { Minders } from './minders.ts';
import type { KeeperParts } from './parts.ts';

/** Looks are never further apart: alone, when nothing of this process says otherwise; and beside other nodes. */
const ALONE_MS = 60_000;
const SHARED_MS = 5_000;
/** What another node is to do first is due already. */
const LEAST_MS = 250;
const FAR = Number.MAX_SAFE_INTEGER as Instant;
/** Most grants that one look takes. */
const MOST_FOUND = 256;
const MOST_AT_ONCE = 1_024;
/** One provider is never flooded, however many of its grants are due. */
const MOST_OF_ONE_APP = 128;
/** Where one of those takes longer, nobody else waits behind the app. */
const SLOW_MS = 5_000;
/** What could not be done is looked at again after this long. */
const AGAIN_MS = 30_000;
/** Each node of a cluster leaves the others this much time for what is theirs first. */
const TURN_MS = 4_000;

export interface WatchParts {
  readonly parts: KeeperParts;
  readonly minders: Minders;
  /** This node's turn for a grant: 0 for the one that goes first. */
  readonly turnOf: (grant: GrantId) => number;
  readonly stop: AbortSignal;
}

interface Tended {
  readonly app: AppId;
  readonly sinceMs: number;
}

export class Watch {
  readonly #with: WatchParts;
  #wakeAt = FAR;
  #asleep = new Bell();
  /** Those that were begun first come first. */
  readonly #tending = new Map<GrantId, Tended>();

  constructor(parts: WatchParts) {
    this.#with = parts;
  }

  /** Looks until it is stopped. Never rejects. */
  async run(): Promise<void> {
    const { parts, stop } = this.#with;
    stop.addEventListener('abort', () => this.#asleep.ring(), { once: true });
    while (!stop.aborted) {
      await this.#look().catch((cause: unknown) => {
        parts.log.warn('The store could not say what is due.', { why: String(cause) });
      });
      await this.#sleep();
    }
    this.#asleep.ring();
  }

  /** A chain is due then: the next look is not later. */
  expect(at: Instant): void {
    if (at < this.#wakeAt) this.#asleep.ring();
  }

  async #sleep(): Promise<void> {
    const { parts, stop } = this.#with;
    this.#asleep = new Bell();
    if (stop.aborted) return;
    const mostMs = parts.store.isShared ? SHARED_MS : ALONE_MS;
    this.#wakeAt = after(parts.clock.now(), mostMs);
    const next = await parts.store.chains.due(FAR, this.#tending.size + 1).catch(() => []);
    const at = next.find(({ grant }) => !this.#tending.has(grant))?.at ?? FAR;
    this.#wakeAt = Math.min(this.#wakeAt, at) as Instant;
    const ms = Math.max(LEAST_MS, this.#wakeAt - parts.clock.now());
    await parts.clock.sleep(ms, this.#asleep);
  }

  async #look(): Promise<void> {
    const { parts, stop } = this.#with;
    const due = await parts.store.chains.due(parts.clock.now(), MOST_FOUND + this.#tending.size);
    for (const { grant, at } of due) {
      if (stop.aborted || this.#tending.size >= MOST_AT_ONCE) return;
      const isOthers = parts.clock.now() < after(at, TURN_MS * this.#with.turnOf(grant));
      if (!this.#tending.has(grant) && !isOthers) await this.#begin(grant);
    }
  }

  async #begin(grant: GrantId): Promise<void> {
    const { parts, minders } = this.#with;
    const isKnown = minders.known(grant) !== undefined;
    const minder = await minders.of(grant).catch((cause: unknown) => {
      parts.log.warn('A grant that is due cannot be minded.', { grant, why: String(cause) });
      return null;
    });
    if (!minder) return this.#putOff(grant);
    const { app } = minder;
    const sinceMs = parts.clock.moment().uptimeMs;
    const ofApp = [...this.#tending.values()].filter((one) => one.app === app);
    if (ofApp.length < MOST_OF_ONE_APP) {
      this.#tending.set(grant, { app, sinceMs });
      void this.#tend(minder, isKnown);
      return;
    }
    // It goes as soon as another one of its app is done. Where that takes long, those behind it must not wait as well.
    const [oldest] = ofApp;
    if (oldest && sinceMs - oldest.sinceMs >= SLOW_MS) await this.#putOff(grant);
    this.#letGo(minder, isKnown);
  }

  async #tend(minder: ChainMinder, isKnown: boolean): Promise<void> {
    const { parts } = this.#with;
    try {
      await announceEnd(parts, minder);
      await minder.tend(AGAIN_MS);
    } catch (cause) {
      parts.log.warn('What is due for a grant could not be done.', { grant: minder.grant, why: String(cause) });
      await this.#putOff(minder.grant);
    } finally {
      this.#tending.delete(minder.grant);
      this.expect(parts.clock.now());
      this.#letGo(minder, isKnown);
    }
  }

  /** A million grants that are exchanged twice a month are not all kept in memory for it. */
  #letGo(minder: ChainMinder, wasKnown: boolean): void {
    if (!wasKnown && minder.isUnused) this.#with.minders.forget(minder.grant);
  }

  /** One grant that cannot be helped now must not be in the way of those behind it. */
  async #putOff(grant: GrantId): Promise<void> {
    const { parts } = this.#with;
    try {
      const { version } = await parts.store.chains.read(grant);
      await parts.store.chains.reschedule(grant, version, after(parts.clock.now(), AGAIN_MS));
    } catch (cause) {
      parts.log.debug('A grant could not be put off.', { grant, why: String(cause) });
    }
  }
}
