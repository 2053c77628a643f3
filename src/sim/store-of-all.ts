/**
 * The store that the nodes of a simulation share: the memory store, with outages, failures and latency in front of it,
 * and a log of what was written, so that it can be restored as it was.
 *
 * State: the store, until when it is down, which calls are to fail, and the log of writes.
 */
import type { GrantId } from '../core/id.ts';
import type { Instant } from '../core/instant.ts';
import type { ChainEvent } from '../core/chain.ts';
import type { Store } from '../ports/store.ts';
import { createMemoryStore } from '../storage/memory/store.ts';
import type { Chance } from './chance.ts';
import type { Life } from './life.ts';
import type { VirtualTime } from './virtual-time.ts';

type Half = 'chains' | 'records' | 'nodes' | 'store';
type Work = (...words: never[]) => Promise<unknown>;

interface Write {
  readonly at: Instant;
  readonly half: Half;
  readonly name: string;
  readonly words: readonly unknown[];
}

/** A call that will fail: the n-th from now on. */
export interface StoreFailure {
  skip: number;
  times: number;
  readonly effect: 'before' | 'after';
}

export interface StoreOptions {
  readonly isShared: boolean;
  /** Longest time a call takes. */
  readonly latencyMs: number;
  /** Keeps the log that `restore` needs. */
  readonly isBackedUp: boolean;
  /** An event was appended; judges look at it. Also when the caller never hears of it. */
  readonly onAppended: (grant: GrantId, event: ChainEvent) => void;
}

const READS = new Set([
  'read',
  'answer',
  'holders',
  'history',
  'unsettled',
  'due',
  'count',
  'get',
  'find',
  'list',
  'view',
]);

export class StoreOfAll {
  readonly #time: VirtualTime;
  readonly #chance: Chance;
  readonly #options: StoreOptions;
  readonly #failures: StoreFailure[] = [];
  #inner: Store;
  #log: Write[] = [];
  #backup = 0;
  #downUntil = 0;
  #replayedAt: Instant | null = null;
  calls = 0;

  constructor(time: VirtualTime, chance: Chance, options: StoreOptions) {
    this.#time = time;
    this.#chance = chance;
    this.#options = options;
    this.#inner = this.#fresh();
  }

  /** As it truly is, for judges. */
  get inner(): Store {
    return this.#inner;
  }

  get isDown(): boolean {
    return this.#time.now() < this.#downUntil;
  }

  goDown(ms: number): void {
    this.#downUntil = Math.max(this.#downUntil, this.#time.now() + ms);
  }

  fail(failure: StoreFailure): void {
    this.#failures.push(failure);
  }

  healAll(): void {
    this.#downUntil = 0;
    this.#failures.length = 0;
  }

  backUp(): void {
    this.#backup = this.#log.length;
  }

  /** Goes back to the last backup. The nodes must be down meanwhile, as with any database. */
  async restore(): Promise<void> {
    this.#log = this.#log.slice(0, this.#backup);
    this.#inner = this.#fresh();
    for (const { at, half, name, words } of this.#log) {
      this.#replayedAt = at;
      await this.#work(half, name)(...(words as never[]));
    }
    this.#replayedAt = null;
  }

  /** The store as one run of one node reaches it. */
  of(life: Life): Store {
    const half = <T extends object>(which: Half, methods: T): T => {
      const entries = Object.keys(methods).map((name) => [
        name,
        (...words: unknown[]) => life.through(() => this.#call(which, name, words)),
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
      check: () => life.through(async () => void (await this.#call('store', 'check', []))),
      close: async () => undefined,
    };
  }

  async #call(half: Half, name: string, words: readonly unknown[]): Promise<unknown> {
    this.calls++;
    const failure = this.#strike();
    const { latencyMs } = this.#options;
    if (latencyMs > 0) await this.#time.sleep(this.#chance.share() * latencyMs);
    if (this.isDown) throw new Error('Injected: the store is down');
    if (failure?.effect === 'before') throw new Error(`Injected: ${half}.${name} failed before it took effect`);
    const result = await this.#effect(half, name, words);
    if (failure) throw new Error(`Injected: ${half}.${name} failed after it took effect`);
    return result;
  }

  async #effect(half: Half, name: string, words: readonly unknown[]): Promise<unknown> {
    const result = await this.#work(half, name)(...(words as never[]));
    if (READS.has(name)) return result;
    if (this.#options.isBackedUp) this.#log.push({ at: this.#time.now(), half, name, words });
    if (name === 'append' && isAppended(result)) this.#options.onAppended(words[0] as GrantId, words[2] as ChainEvent);
    return result;
  }

  #work(half: Half, name: string): Work {
    const methods = half === 'store' ? this.#inner : this.#inner[half];
    return (methods as unknown as Record<string, Work>)[name] as Work;
  }

  #strike(): StoreFailure | null {
    let struck: StoreFailure | null = null;
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

  #fresh(): Store {
    const now = (): Instant => this.#replayedAt ?? this.#time.now();
    return this.#options.isShared ? createMemoryStore({ now }) : createMemoryStore();
  }
}

function isAppended(result: unknown): boolean {
  return typeof result === 'object' && result !== null && 'outcome' in result && result.outcome === 'appended';
}
