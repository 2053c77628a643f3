/**
 * A node's journal as its disk holds it: it outlives the process, and may be full or lost. Each run of the process opens
 * it anew. What is only marked, not synced, may be gone after a crash, and comes up again.
 *
 * State: the records by number; which of them are settled; what the store was told; until when the disk is full.
 */
import type { GrantId, LinkId } from '../core/id.ts';
import type { Journal, JournalRecord, NoteRecord, NumberedRecord } from '../ports/journal.ts';
import type { Life } from './life.ts';
import type { VirtualTime } from './virtual-time.ts';

/** What gave no tokens is kept this long, and so is what newer tokens followed. */
const KEPT_MS = 86_400_000;
const SYNC_MS = 1;

/** What is too old goes this often. */
const COMPACT_MS = 3_600_000;

interface Row extends NumberedRecord {
  readonly writtenAt: number;
}

/** Of one grant, the numbers of the newest records that gave tokens, that it began with, and of any kind. */
interface Newest {
  tokens: number;
  begun: number;
  any: number;
}

export class JournalDisk {
  readonly #time: VirtualTime;
  readonly #rows = new Map<number, Row>();
  readonly #numbersOf = new Map<LinkId, number[]>();
  readonly #open = new Set<number>();
  readonly #newest = new Map<GrantId, Newest>();
  #compactAt = 0;
  #last = 0;
  #told = 0;
  #fullUntil = 0;
  /** Fails the next append, before or after its effect. */
  failNext: 'before' | 'after' | null = null;
  calls = 0;

  constructor(time: VirtualTime) {
    this.#time = time;
  }

  get isFull(): boolean {
    return this.#time.now() < this.#fullUntil;
  }

  fill(ms: number): void {
    this.#fullUntil = this.#time.now() + ms;
  }

  /** The disk is gone: a new one is empty. */
  lose(): void {
    this.#rows.clear();
    this.#numbersOf.clear();
    this.#open.clear();
    this.#newest.clear();
    this.#last = 0;
    this.#told = 0;
  }

  holds(link: LinkId): boolean {
    return this.#numbersOf.has(link);
  }

  records(): readonly JournalRecord[] {
    return [...this.#rows.values()].map((row) => row.record);
  }

  unsettled(): readonly JournalRecord[] {
    return [...this.#open].flatMap((number) => this.#rows.get(number)?.record ?? []);
  }

  openOf(life: Life): Journal {
    const atOpen = this.unsettled();
    const told = (): number => this.#told;
    return {
      append: (record) => life.through(() => this.#append(record)),
      note: (record) => life.through(async () => this.#note(record)),
      settled: (link, gave) => {
        if (life.isAlive) this.#settle(link, gave);
      },
      pending: ({ number }) => {
        if (life.isAlive && this.#rows.has(number)) this.#open.add(number);
      },
      unsettled: () => atOpen,
      since: (number) => this.#since(life, number),
      find: (grant, link) => life.through(async () => this.#find(grant, link)),
      settledUpTo: () => this.#settledUpTo(),
      told: (number) => {
        if (life.isAlive) this.#told = number;
      },
      get lastTold() {
        return told();
      },
      continueAfter: (number) => {
        this.#last = Math.max(this.#last, number);
      },
      figures: async () => ({ last: this.#last, unsettled: this.#open.size, segments: 1, bytes: 0 }),
      close: async () => undefined,
    };
  }

  async *#since(life: Life, number: number): AsyncGenerator<NumberedRecord> {
    for (const row of this.#rows.values()) {
      if (row.number <= number) continue;
      if (life.isAway) await life.back();
      yield row;
    }
  }

  async #append(record: JournalRecord): Promise<number> {
    this.calls++;
    const fails = this.failNext;
    this.failNext = null;
    if (this.isFull || fails === 'before') throw new Error('Injected: no space left on device');
    const number = ++this.#last;
    await this.#time.sleep(SYNC_MS);
    this.#write(number, record);
    this.#open.add(number);
    if (fails === 'after') throw new Error('Injected: the disk did not confirm');
    return number;
  }

  /** Handed to the system: it outlives the process, and is counted as settled. */
  #note(record: NoteRecord): void {
    if (this.isFull) throw new Error('Injected: no space left on device');
    this.#write(++this.#last, record);
  }

  #write(number: number, record: JournalRecord): void {
    this.#rows.set(number, { number, record, writtenAt: this.#time.now() });
    const numbers = this.#numbersOf.get(record.link);
    if (numbers) numbers.push(number);
    else this.#numbersOf.set(record.link, [number]);
    const newest = this.#newestOf(record.grant);
    newest.any = Math.max(newest.any, number);
    if (record.purpose !== 'begun' && record.purpose !== 'ended') return;
    newest.begun = Math.max(newest.begun, number);
    newest.tokens = Math.max(newest.tokens, number);
  }

  #newestOf(grant: GrantId): Newest {
    const known = this.#newest.get(grant);
    if (known) return known;
    const newest = { tokens: 0, begun: 0, any: 0 };
    this.#newest.set(grant, newest);
    return newest;
  }

  #settle(link: LinkId, gave: 'tokens' | 'nothing'): void {
    for (const number of this.#numbersOf.get(link) ?? []) {
      this.#open.delete(number);
      const grant = this.#rows.get(number)?.record.grant;
      if (!grant || gave === 'nothing') continue;
      const newest = this.#newestOf(grant);
      newest.tokens = Math.max(newest.tokens, number);
    }
    if (this.#time.now() >= this.#compactAt) this.#compact();
  }

  #compact(): void {
    this.#compactAt = this.#time.now() + COMPACT_MS;
    const limit = this.#time.now() - KEPT_MS;
    for (const row of this.#rows.values()) {
      if (row.writtenAt >= limit) return;
      if (this.#isNeeded(row)) continue;
      this.#rows.delete(row.number);
      this.#numbersOf.delete(row.record.link);
    }
  }

  /** The rules of `world/file-journal-kept`. */
  #isNeeded({ number, record }: Row): boolean {
    if (this.#open.has(number)) return true;
    const newest = this.#newestOf(record.grant);
    switch (record.purpose) {
      case 'ended':
      case 'removed':
        return true;
      case 'begun':
        return newest.begun <= number;
      case 'intent':
        return newest.any <= number;
      case 'exchange':
        return newest.tokens === number;
      case 'authorization':
      case 'unsent':
        return false;
    }
  }

  #find(grant: GrantId, link: LinkId) {
    for (const number of this.#numbersOf.get(link) ?? []) {
      const record = this.#rows.get(number)?.record;
      if (record?.grant === grant && 'answer' in record) return record;
    }
    return null;
  }

  #settledUpTo(): number {
    let least = this.#last + 1;
    for (const number of this.#open) least = Math.min(least, number);
    return least - 1;
  }
}
