/**
 * The store that the nodes of a simulation share: the memory store, with outages, failures and latency in front of it,
 * and backups to which it goes back.
 *
 * State: the store, its last backup, until when it is down, and which calls are to fail.
 */
import type { GrantId } from '../core/id.ts';
import type { Instant } from '../core/instant.ts';
import type { ChainEvent } from '../core/chain.ts';
import { type Store, StoreFailure, type Term } from '../ports/store.ts';
import { createMemoryStore, type MemoryStore } from '../storage/memory/store.ts';
import type { Chance } from './chance.ts';
import { forever, type Life } from './life.ts';
import type { VirtualTime } from './virtual-time.ts';

type Half = 'chains' | 'records' | 'nodes' | 'store';
type Work = (...words: never[]) => Promise<unknown>;

/** How many answers of a slow store come late, and how late at most. */
const LATE_SHARE = 0.25;
const LATE_MS = 5_000;

/** A call that will fail: the n-th from now on. */
export interface PlannedFailure {
  skip: number;
  times: number;
  readonly effect: 'before' | 'after';
}

export interface StoreOptions {
  readonly isShared: boolean;
  /** Longest time a call takes. */
  readonly latencyMs: number;
  /** Keeps what `restore` needs. */
  readonly isBackedUp: boolean;
  /** An event was appended; judges look at it. Also when the caller never hears of it. */
  readonly onAppended: (grant: GrantId, event: ChainEvent) => void;
  /** A grant was made, also when nobody hears of it. */
  readonly onGranted: (grant: GrantId, terms: readonly Term[]) => void;
}

export class StoreOfAll {
  readonly #time: VirtualTime;
  readonly #chance: Chance;
  readonly #options: StoreOptions;
  readonly #failures: PlannedFailure[] = [];
  #inner: MemoryStore;
  #backup: MemoryStore;
  #downUntil = 0;
  #slowUntil = 0;
  calls = 0;

  constructor(time: VirtualTime, chance: Chance, options: StoreOptions) {
    this.#time = time;
    this.#chance = chance;
    this.#options = options;
    const now = (): Instant => time.now();
    this.#inner = options.isShared ? createMemoryStore({ now }) : createMemoryStore();
    this.#backup = this.#inner.copy();
  }

  /** As it truly is, for judges. */
  get inner(): MemoryStore {
    return this.#inner;
  }

  get isDown(): boolean {
    return this.#time.now() < this.#downUntil;
  }

  goDown(ms: number): void {
    this.#downUntil = Math.max(this.#downUntil, this.#time.now() + ms);
  }

  /** For so long some of its answers come late: each is what was true when it was asked. */
  goSlow(ms: number): void {
    this.#slowUntil = Math.max(this.#slowUntil, this.#time.now() + ms);
  }

  fail(failure: PlannedFailure): void {
    this.#failures.push(failure);
  }

  healAll(): void {
    this.#downUntil = 0;
    this.#slowUntil = 0;
    this.#failures.length = 0;
  }

  backUp(): void {
    if (this.#options.isBackedUp) this.#backup = this.#inner.copy();
  }

  /** Goes back to the last backup. The nodes must be down meanwhile, as with any database. */
  restore(): void {
    this.#inner = this.#backup.copy();
  }

  /** The store as one run of one node reaches it. */
  of(life: Life): Store {
    const half = <T extends object>(which: Half, methods: T): T => {
      const entries = Object.keys(methods).map((name) => [
        name,
        (...words: unknown[]) => this.#call(life, which, name, words),
      ]);
      return Object.fromEntries(entries) as T;
    };
    return {
      chains: half('chains', this.#inner.chains),
      records: half('records', this.#inner.records),
      nodes: half('nodes', this.#inner.nodes),
      isShared: this.#inner.isShared,
      watch: (listener) => this.#inner.watch((change) => life.awake(() => listener(change))),
      heardAgoMs: () => this.#inner.heardAgoMs(),
      check: async () => void (await this.#call(life, 'store', 'check', [])),
      close: async () => undefined,
    };
  }

  /** Behind the wall of a run, as `Life.through`. A call that nothing hinders goes straight through: most do. */
  #call(life: Life, half: Half, name: string, words: readonly unknown[]): Promise<unknown> {
    if (!life.isAlive) return forever();
    this.calls++;
    const isHindered = this.#options.latencyMs > 0 || this.#failures.length > 0 || this.isDown || life.isPaused;
    return isHindered || this.#isSlow ? this.#hindered(life, half, name, words) : this.#work(half, name, words);
  }

  /** What was on its way to a store that was replaced meanwhile by a backup of itself does not reach the backup. */
  async #hindered(life: Life, half: Half, name: string, words: readonly unknown[]): Promise<unknown> {
    const asked = this.#inner;
    const failure = this.#failures.length > 0 ? this.#strike() : null;
    const { latencyMs } = this.#options;
    try {
      if (latencyMs > 0) await this.#time.sleep(this.#chance.share() * latencyMs);
      if (this.isDown || asked !== this.#inner) throw failed('the store is down');
      if (failure?.effect === 'before') throw failed(`${half}.${name} failed before it took effect`);
      const result = await this.#work(half, name, words);
      if (this.#isSlow && this.#chance.occurs(LATE_SHARE)) await this.#time.sleep(this.#chance.share() * LATE_MS);
      if (failure) throw failed(`${half}.${name} failed after it took effect`);
      return result;
    } finally {
      if (life.isAway) await life.back();
    }
  }

  get #isSlow(): boolean {
    return this.#time.now() < this.#slowUntil;
  }

  /** Does it, and tells of what came of it. */
  #work(half: Half, name: string, words: readonly unknown[]): Promise<unknown> {
    const methods = half === 'store' ? this.#inner : this.#inner[half];
    const work = (methods as unknown as Record<string, Work>)[name] as Work;
    const done = work(...(words as never[]));
    return name === 'append' || name === 'insert' ? done.then((result) => this.#told(half, name, words, result)) : done;
  }

  #told(half: Half, name: string, words: readonly unknown[], result: unknown): unknown {
    if (name === 'append' && hasOutcome(result, 'appended')) {
      this.#options.onAppended(words[0] as GrantId, words[2] as ChainEvent);
    } else if (half === 'records' && name === 'insert' && words[0] === 'grant' && hasOutcome(result, 'written')) {
      this.#options.onGranted(words[1] as GrantId, words[3] as readonly Term[]);
    }
    return result;
  }

  #strike(): PlannedFailure | null {
    let struck: PlannedFailure | null = null;
    for (const failure of this.#failures) {
      if (failure.skip > 0) failure.skip--;
      else if (failure.times > 0) {
        failure.times--;
        struck ??= failure;
      }
    }
    if (struck) this.#failures.splice(0, this.#failures.length, ...this.#failures.filter((one) => one.times > 0));
    return struck;
  }
}

/** As a store fails in life. */
function failed(why: string): StoreFailure {
  return new StoreFailure(new Error(`Injected: ${why}`));
}

function hasOutcome(result: unknown, outcome: string): boolean {
  return typeof result === 'object' && result !== null && 'outcome' in result && result.outcome === outcome;
}
