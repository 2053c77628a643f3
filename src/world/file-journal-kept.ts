/**
 * Which records of a journal must stay: those that are not settled, and of every chain the newest that gave tokens, the
 * newest with which it began, and the intent that nothing has followed; the ends of grants for ever. What is known for that is built up by reading the journal
 * once, and then with every frame; the order in which it is learnt does not matter.
 *
 * Memory: 32 bytes for each grant (a digest of its id and three numbers), in tables that are half full at the worst; 60 MB
 * were measured for a million grants; and one byte for each record of the segments that were not rewritten yet.
 */
import { hash } from 'node:crypto';
import type { GrantId } from '../core/id.ts';
import type { JournalRecord } from '../ports/journal.ts';
import type { NumberedFrame } from './file-journal-segments.ts';
import type { Gave } from './journal-frame.ts';

const PAGE_BYTES = 4096;
const FIRST_SIZE = 1024;
const GROWTH = 1.6;
const MOST_FULL = 0.8;

/** What a mark says of a record. `settled`: an older version marked it. */
const MARKS = { nothing: 1, tokens: 2, settled: 3 } as const;

export class Kept {
  readonly #newest = new NumberTable();
  readonly #pages = new Map<number, Uint8Array>();
  /** Grants of exchanges of which it is not known yet whether they gave tokens, by number. */
  readonly #unknown = new Map<number, GrantId>();

  note(frame: NumberedFrame): void {
    if (frame.type === 'record') this.#noteRecord(frame.number, frame.record, frame.gave ?? null);
    if (frame.type === 'done') this.#noteMark(frame.number, frame.gave);
  }

  /** Whether a record of an old segment must be copied before that segment goes. */
  mustStay(number: number, record: JournalRecord, gave: Gave | null, isSettled: boolean): boolean {
    const newest = this.#newest.get(record.grant);
    switch (record.purpose) {
      case 'ended':
      case 'removed':
        return true;
      case 'begun':
        return !isSettled || newest.begun <= number;
      case 'authorization':
        return !isSettled;
      case 'intent':
        return !isSettled || newest.any <= number;
      case 'unsent':
        return !isSettled;
      case 'exchange':
        return !isSettled || ((gave ?? this.gave(number)) !== 'nothing' && newest.tokens <= number);
    }
  }

  gave(number: number): Gave | null {
    const mark = this.#pages.get(Math.floor(number / PAGE_BYTES))?.[number % PAGE_BYTES] ?? 0;
    if (mark === MARKS.tokens) return 'tokens';
    return mark === MARKS.nothing ? 'nothing' : null;
  }

  /** The marks of these numbers are not needed any more. */
  forget(from: number, until: number): void {
    for (let page = Math.ceil(from / PAGE_BYTES); (page + 1) * PAGE_BYTES <= until; page++) this.#pages.delete(page);
  }

  #noteRecord(number: number, record: JournalRecord, gave: Gave | null): void {
    const { grant, purpose } = record;
    this.#newest.raise(grant, { any: number });
    switch (purpose) {
      case 'begun':
      case 'ended':
        this.#newest.raise(grant, { tokens: number, begun: number });
        break;
      case 'exchange': {
        const known = gave ?? this.gave(number);
        if (known === 'tokens') this.#newest.raise(grant, { tokens: number });
        else if (known === null) this.#unknown.set(number, grant);
        break;
      }
      case 'authorization':
      case 'removed':
      case 'intent':
      case 'unsent':
    }
  }

  #noteMark(number: number, gave: Gave | null): void {
    const page = this.#pages.get(Math.floor(number / PAGE_BYTES)) ?? new Uint8Array(PAGE_BYTES);
    this.#pages.set(Math.floor(number / PAGE_BYTES), page);
    page[number % PAGE_BYTES] = MARKS[gave ?? 'settled'];
    const grant = this.#unknown.get(number);
    if (gave === null || grant === undefined) return;
    this.#unknown.delete(number);
    if (gave === 'tokens') this.#newest.raise(grant, { tokens: number });
  }
}

interface Newest {
  /** The number of the newest record of a grant that gave tokens. */
  readonly tokens: number;
  /** That of the newest with which it began. */
  readonly begun: number;
  /** That of the newest of all. */
  readonly any: number;
}

/** These three numbers of every grant: open addressing over 64 bits of the SHA-256 of its id. */
const NONE: Newest = { tokens: 0, begun: 0, any: 0 };

class NumberTable {
  #size = FIRST_SIZE;
  #used = 0;
  #lows = new Uint32Array(FIRST_SIZE);
  #highs = new Uint32Array(FIRST_SIZE);
  #tokens = new Float64Array(FIRST_SIZE);
  #begun = new Float64Array(FIRST_SIZE);
  #any = new Float64Array(FIRST_SIZE);

  get(grant: GrantId): Newest {
    return this.#at(this.#slotOf(keyOf(grant)));
  }

  #at(slot: number): Newest {
    return { tokens: this.#tokens[slot] ?? 0, begun: this.#begun[slot] ?? 0, any: this.#any[slot] ?? 0 };
  }

  raise(grant: GrantId, { tokens = 0, begun = 0, any = 0 }: Partial<Newest>): void {
    const key = keyOf(grant);
    let slot = this.#slotOf(key);
    if (this.#highs[slot] === 0) {
      if (this.#used + 1 > this.#size * MOST_FULL) {
        this.#grow();
        slot = this.#slotOf(key);
      }
      this.#put(slot, key, NONE);
      this.#used++;
    }
    this.#tokens[slot] = Math.max(this.#tokens[slot] ?? 0, tokens);
    this.#begun[slot] = Math.max(this.#begun[slot] ?? 0, begun);
    this.#any[slot] = Math.max(this.#any[slot] ?? 0, any);
  }

  /** Where the key is, or would be. */
  #slotOf({ low, high }: Key): number {
    let slot = low % this.#size;
    while (this.#highs[slot] !== 0 && (this.#highs[slot] !== high || this.#lows[slot] !== low)) {
      slot = (slot + 1) % this.#size;
    }
    return slot;
  }

  #put(slot: number, { low, high }: Key, { tokens, begun, any }: Newest): void {
    this.#lows[slot] = low;
    this.#highs[slot] = high;
    this.#tokens[slot] = tokens;
    this.#begun[slot] = begun;
    this.#any[slot] = any;
  }

  #grow(): void {
    const [lows, highs, tokens, begun, any] = [this.#lows, this.#highs, this.#tokens, this.#begun, this.#any];
    this.#size = Math.ceil(this.#size * GROWTH);
    this.#lows = new Uint32Array(this.#size);
    this.#highs = new Uint32Array(this.#size);
    this.#tokens = new Float64Array(this.#size);
    this.#begun = new Float64Array(this.#size);
    this.#any = new Float64Array(this.#size);
    for (let i = 0; i < highs.length; i++) {
      const key = { low: lows[i] ?? 0, high: highs[i] ?? 0 };
      const newest = { tokens: tokens[i] ?? 0, begun: begun[i] ?? 0, any: any[i] ?? 0 };
      if (key.high !== 0) this.#put(this.#slotOf(key), key, newest);
    }
  }
}

interface Key {
  readonly low: number;
  /** Never 0, which stands for an empty slot. */
  readonly high: number;
}

function keyOf(grant: GrantId): Key {
  const digest = hash('sha256', grant, 'buffer');
  return { low: digest.readUInt32LE(0), high: digest.readUInt32LE(4) || 1 };
}
