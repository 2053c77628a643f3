/**
 * The segments of a journal as they lie in its folder: `<place>-<first>.journal`, where `first` is the number that the
 * next new record had when the segment was begun. So its own records have numbers from there up to the first of the
 * next segment, and what was copied into it from older segments has smaller ones: which segments may hold a record above
 * some number is known from the names alone.
 *
 * Older versions wrote `<place>.journal` and did not number their records. These are numbered when they are read, such
 * that the last one has the number before the first of the segments that came after them.
 */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { LinkId } from '../core/id.ts';
import type { Instant } from '../core/instant.ts';
import type { NumberedRecord } from '../ports/journal.ts';
import type { Log } from '../ports/log.ts';
import { endOfTurn } from './event-loop.ts';
import type { Disk } from './file-journal-disk.ts';
import {
  decode,
  decodeAll,
  decodeEach,
  type Frame,
  type Gave,
  NEWLINE,
  type OldFrame,
  type Placed,
  recordLines,
} from './journal-frame.ts';

const NAME = /^(\d{10})(?:-(\d{15}))?\.journal$/;
const PLACE_DIGITS = 10;
const FIRST_DIGITS = 15;
/** Segments that are kept in memory while records are read in their order: copies lie in other segments than the rest. */
const HELD_SEGMENTS = 4;
/** Of a place in a segment and the segment, as one number. */
const PLACE_SHIFT = 2 ** 32;
/** Decoded in one go: some milliseconds. */
const STEP_BYTES = 256 * 1024;

export interface Segment {
  readonly place: number;
  readonly first: number;
  readonly path: string;
  /** What its unnumbered records mean, where it has such. */
  readonly old: OldNumbers | null;
}

interface OldNumbers {
  /** Of its first record. */
  readonly from: number;
  /** Of the last record of all such segments. */
  readonly until: number;
  readonly byLink: ReadonlyMap<LinkId, number>;
}

/** A frame whose record has a number. `done` without `gave`: an older version did not say. */
export type NumberedFrame =
  | Exclude<Frame, { type: 'done' }>
  | { readonly type: 'done'; readonly number: number; readonly gave: Gave | null; readonly at: Instant };

export interface PlacedFrame {
  readonly frame: NumberedFrame;
  readonly offset: number;
  readonly bytes: number;
}

export function nameOf(place: number, first: number): string {
  return `${String(place).padStart(PLACE_DIGITS, '0')}-${String(first).padStart(FIRST_DIGITS, '0')}.journal`;
}

export class Segments {
  readonly #folder: string;
  readonly #disk: Disk;
  readonly #log: Log;
  /** Oldest first. */
  all: Segment[] = [];
  readonly #reported = new Set<string>();

  constructor(folder: string, disk: Disk, log: Log) {
    this.#folder = folder;
    this.#disk = disk;
    this.#log = log;
  }

  /** Finds what is in the folder. */
  async load(): Promise<void> {
    const names = (await readdir(this.#folder)).toSorted();
    const found = names.flatMap((name) => {
      const [, place, first] = NAME.exec(name) ?? [];
      return place === undefined ? [] : [{ place: Number(place), first, path: join(this.#folder, name) }];
    });
    const old = await this.#numberOld(found.filter(({ first }) => first === undefined));
    const newer = found.filter(({ first }) => first !== undefined);
    // Older versions had no way to come back once the first numbered segment was there.
    const firstNew = newer.length === 0 ? old.records + 1 : Number(newer[0]?.first);
    const shift = firstNew - 1 - old.records;
    const byLink = new Map([...old.byLink].map(([link, number]) => [link, number + shift]));
    const before = old.segments.map(({ place, path, from }) => {
      return { place, first: from + shift, path, old: { from: from + shift, until: firstNew - 1, byLink } };
    });
    const after = newer.map(({ place, first, path }) => ({ place, first: Number(first), path, old: null }));
    this.all = [...before, ...after];
  }

  /** Counts the records of unnumbered segments, from 1. */
  async #numberOld(found: readonly { readonly place: number; readonly path: string }[]) {
    const byLink = new Map<LinkId, number>();
    const segments: { place: number; path: string; from: number }[] = [];
    let records = 0;
    for (const { place, path } of found) {
      segments.push({ place, path, from: records + 1 });
      for (const { frame } of decodeAll(await this.#disk.readWhole(path)).placed) {
        if (frame.type === 'received') byLink.set(frame.record.link, ++records);
      }
    }
    return { segments, records, byLink };
  }

  pathOf(place: number, first: number): string {
    return join(this.#folder, nameOf(place, first));
  }

  get nextPlace(): number {
    return Math.max(0, ...this.all.map(({ place }) => place)) + 1;
  }

  /** The number that the next record has, as far as the names tell. */
  get nextNumber(): number {
    const last = this.all.at(-1);
    if (!last) return 1;
    return last.old ? last.old.until + 1 : last.first;
  }

  /** Those that may hold a record with a greater number, oldest first. */
  above(number: number): readonly Segment[] {
    return this.all.filter(({ old }, i) => {
      const next = this.all[i + 1];
      return old !== null || next === undefined || next.first > number + 1;
    });
  }

  /** One by one. */
  async *frames(segment: Segment): AsyncGenerator<NumberedFrame> {
    for await (const { frame } of this.#read(segment)) yield frame;
  }

  /** With the bytes that each takes. */
  placed(segment: Segment): Promise<readonly PlacedFrame[]> {
    return Array.fromAsync(this.#read(segment));
  }

  /** In steps: all at once would keep the rest of the process waiting for a quarter of a second. */
  async *#read(segment: Segment): AsyncGenerator<PlacedFrame> {
    const bytes = await this.#disk.readWhole(segment.path);
    const read = decodeEach(bytes, (damage) => this.#report(segment, damage));
    let stepEnd = STEP_BYTES;
    for (const placed of numbered(segment, read)) {
      if (placed.offset >= stepEnd) {
        stepEnd = placed.offset + STEP_BYTES;
        await endOfTurn();
      }
      yield placed;
    }
  }

  #report(
    { place, path }: Segment,
    { offset, bytes, isTorn }: { offset: number; bytes: number; isTorn: boolean },
  ): void {
    const key = `${path} ${offset}`;
    if (this.#reported.has(key)) return;
    this.#reported.add(key);
    const where = { segment: place, offset, bytes };
    if (isTorn) this.#log.warn('journal: the last record was cut off and is dropped', where);
    else this.#log.error('journal: a damaged record was passed over', where);
  }

  /** All records above a number, in the order of their numbers. Twenty bytes of memory for each, and a few segments. */
  async *since(number: number): AsyncGenerator<NumberedRecord> {
    const segments = this.above(number);
    const numbers: number[] = [];
    const places: number[] = [];
    for (const [i, segment] of segments.entries()) {
      for (const found of await this.#numbered(segment)) {
        if (found.number <= number) continue;
        numbers.push(found.number);
        places.push(i * PLACE_SHIFT + found.offset);
      }
    }
    const order = Uint32Array.from(numbers.keys()).toSorted((a, b) => (numbers[a] ?? 0) - (numbers[b] ?? 0));
    const held = new Map<number, Buffer>();
    let last = number;
    for (const index of order) {
      const at = numbers[index] ?? 0;
      if (at === last) continue;
      last = at;
      const place = places[index] ?? 0;
      const segment = segments[Math.floor(place / PLACE_SHIFT)];
      const record = segment && (await this.#recordAt(segment, place % PLACE_SHIFT, held));
      if (record) yield { number: at, record };
    }
  }

  /** Where the records of a segment are; whether they are whole is seen when they are read. */
  async #numbered(segment: Segment): Promise<readonly { readonly number: number; readonly offset: number }[]> {
    if (segment.old === null) {
      const { found, damages } = recordLines(await this.#disk.readWhole(segment.path));
      for (const damage of damages) this.#report(segment, damage);
      return found;
    }
    return (await this.placed(segment)).flatMap(({ frame, offset }) =>
      frame.type === 'record' ? [{ number: frame.number, offset }] : [],
    );
  }

  async #recordAt(segment: Segment, offset: number, held: Map<number, Buffer>) {
    const bytes = held.get(segment.place) ?? (await this.#disk.readWhole(segment.path));
    held.delete(segment.place);
    held.set(segment.place, bytes);
    const [oldest] = held.keys();
    if (held.size > HELD_SEGMENTS && oldest !== undefined) held.delete(oldest);
    const newline = bytes.indexOf(NEWLINE, offset);
    const end = newline === -1 ? bytes.length : newline;
    const frame = decode(bytes.subarray(offset, end));
    if (!frame) this.#report(segment, { offset, bytes: end - offset, isTorn: end + 1 >= bytes.length });
    return frame && (frame.type === 'record' || frame.type === 'received') ? frame.record : null;
  }
}

/** Gives the frames of older versions the numbers that they stand for. */
function* numbered({ old }: Segment, placed: Iterable<Placed>): Generator<PlacedFrame> {
  let next = old?.from ?? 0;
  for (const { frame, offset, bytes } of placed) {
    const known = withNumber(frame, old, () => next++);
    if (known) yield { frame: known, offset, bytes };
  }
}

function withNumber(frame: Frame | OldFrame, old: OldNumbers | null, next: () => number): NumberedFrame | null {
  if (frame.type === 'received') return { type: 'record', number: next(), record: frame.record };
  if (frame.type !== 'settled') return frame;
  const number = old?.byLink.get(frame.link);
  return number === undefined ? null : { type: 'done', number, gave: null, at: frame.at };
}
