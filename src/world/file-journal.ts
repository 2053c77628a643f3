/**
 * The journal in files of the data folder: segments in `journal/` that are only appended to.
 *
 * An append waits for the write that is under way, and then all that gathered meanwhile go together: one write, one
 * fsync, one reading back. When that fails (a full disk, a bad block) the reserve is given free and the same bytes go
 * into a new segment once; what a failed fsync left behind is never trusted. Only then do the appends reject.
 *
 * Each segment begins with what would otherwise have to be looked for in those before it, so a start reads the last
 * ones alone. Segments that nobody needs whole are rewritten in the background: what must stay is appended anew, synced,
 * and only then do they go; a record that is there twice has the same number twice.
 *
 * States: idle ──append, settled──▶ flushing ──nothing waits──▶ idle; any ──close──▶ closed, after the last flush.
 * Beside it: full enough ──a new segment was begun──▶ rewriting ──looked at a few segments──▶ full enough.
 */
import { type FileHandle, mkdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { EvergrantError } from '../core/errors.ts';
import type { GrantId, LinkId } from '../core/id.ts';
import type { Instant } from '../core/instant.ts';
import type { Clock } from '../ports/clock.ts';
import type {
  AnswerRecord,
  BegunRecord,
  Journal,
  JournalFigures,
  JournalRecord,
  NoteRecord,
  NumberedRecord,
} from '../ports/journal.ts';
import type { Log } from '../ports/log.ts';
import { type Disk, nodeDisk } from './file-journal-disk.ts';
import { verifyJournalKey } from './file-journal-key.ts';
import { Kept } from './file-journal-kept.ts';
import { Reserve } from './file-journal-reserve.ts';
import { type NumberedFrame, type PlacedFrame, type Segment, Segments } from './file-journal-segments.ts';
import { encode, type Frame, type Gave, isNote } from './journal-frame.ts';
import { codeOf, syncFolder } from './new-file.ts';

const SEGMENT_MOST_BYTES = 16 * 1024 * 1024;
/** A store that is restored from a backup of the last day finds everything here. */
const KEEP_MS = 24 * 60 * 60 * 1000;
/** So many old segments are looked at when a new one was begun: no long pause for anybody. */
const LOOKED_AT = 4;
/** A segment is rewritten when no more than this share of it must stay, or when it is smaller than this share. */
const REWRITE_SHARE = 0.5;
/** A journal of so many segments' size is looked at when it is opened. */
const SMALL_SEGMENTS = 2;
const COPY_BYTES = 1024 * 1024;

export interface FileJournalOptions {
  readonly dataFolder: string;
  readonly clock: Clock;
  readonly log: Log;
  /** Says which root key sealed what is in it (`Sealer`); a journal of another key is not opened. */
  readonly keyCheck?: string;
  readonly disk?: Disk;
  readonly segmentBytes?: number;
}

interface Waiting {
  readonly frame: Frame;
  readonly bytes: Buffer;
  readonly mustSync: boolean;
  /** Of an older record, which keeps its number. */
  readonly isCopy: boolean;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** Opens the folder `journal`, or makes it. Throws `setting` when it cannot be written to, or belongs to another key. */
export async function openFileJournal(options: FileJournalOptions): Promise<Journal> {
  const folder = join(options.dataFolder, 'journal');
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    syncFolder(options.dataFolder);
    if (options.keyCheck !== undefined) verifyJournalKey(folder, options.keyCheck);
    const journal = new SegmentedJournal(folder, options);
    await journal.open();
    return journal;
  } catch (error) {
    if (error instanceof EvergrantError) throw error;
    throw new EvergrantError('setting', `The journal ${folder} cannot be used (${codeOf(error) ?? String(error)}).`, {
      remedy: 'Let the user that runs Evergrant write to it, and see that the disk is not full.',
      cause: error,
    });
  }
}

class SegmentedJournal implements Journal {
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #disk: Disk;
  readonly #segmentBytes: number;
  readonly #segments: Segments;
  #atOpening: readonly JournalRecord[] = [];
  /** Of records that are not settled, by number. */
  readonly #open = new Map<number, LinkId>();
  readonly #numbersOf = new Map<LinkId, number[]>();
  #nextNumber = 1;
  #told = 0;
  #current: { readonly segment: Segment; readonly file: FileHandle; end: number } | null = null;
  #queue: Waiting[] = [];
  #writing: readonly Waiting[] = [];
  #flushing: Promise<void> | null = null;
  #isClosed = false;
  readonly #reserve: Reserve;
  /** Null until the journal was read whole, which the first rewriting does. */
  #kept: Kept | null = null;
  #rewriting: Promise<void> | null = null;
  /** The place of the segment that was looked at last. */
  #lookedAt = 0;
  /** Whoever reads segments now; none goes meanwhile. */
  readonly #reading = new Set<Promise<void>>();

  constructor(folder: string, options: FileJournalOptions) {
    const { clock, log, disk = nodeDisk, segmentBytes = SEGMENT_MOST_BYTES } = options;
    this.#clock = clock;
    this.#log = log;
    this.#disk = disk;
    this.#segmentBytes = segmentBytes;
    this.#segments = new Segments(folder, disk, log);
    this.#reserve = new Reserve(folder, { clock, log, disk });
  }

  get lastTold(): number {
    return this.#told;
  }

  async open(): Promise<void> {
    await this.#segments.load();
    const settledUpTo = await this.#readTail();
    await this.#readUnsettled(settledUpTo);
    await this.#startSegment();
    await this.#removeEmpty();
    if ((await this.#bytes()) <= SMALL_SEGMENTS * this.#segmentBytes) await this.#rewriteSome(Number.POSITIVE_INFINITY);
    await this.#reserve.make();
  }

  /** Goes back to the last segment that says how things stood when it was begun. */
  async #readTail(): Promise<number> {
    this.#nextNumber = this.#segments.nextNumber;
    let told: number | null = null;
    let settledUpTo: number | null = null;
    for (const segment of this.#segments.all.toReversed()) {
      let toldHere: number | null = null;
      for await (const frame of this.#segments.frames(segment)) {
        if (frame.type === 'record') this.#nextNumber = Math.max(this.#nextNumber, frame.number + 1);
        if (frame.type === 'head') settledUpTo ??= frame.settledUpTo;
        if (frame.type === 'head') toldHere = frame.told;
        if (frame.type === 'told') toldHere = frame.number;
      }
      told ??= toldHere;
      if (settledUpTo !== null) break;
    }
    this.#told = told ?? 0;
    return settledUpTo ?? 0;
  }

  async #readUnsettled(settledUpTo: number): Promise<void> {
    const unsettled = new Map<number, JournalRecord>();
    const done = new Set<number>();
    for (const segment of this.#segments.above(settledUpTo)) {
      for await (const frame of this.#segments.frames(segment)) {
        if (frame.type === 'record' && (frame.number > settledUpTo || segment.old !== null)) {
          unsettled.set(frame.number, frame.record);
          if (frame.gave || isNote(frame.record)) done.add(frame.number);
        }
        if (frame.type === 'done') done.add(frame.number);
        // Its mark may come before a copy of it.
        if ('number' in frame && done.has(frame.number)) unsettled.delete(frame.number);
      }
    }
    const inOrder = [...unsettled].toSorted(([a], [b]) => a - b);
    this.#atOpening = inOrder.map(([, record]) => record);
    for (const [number, { link }] of inOrder) this.#track(number, link);
  }

  async append(record: JournalRecord): Promise<number> {
    if (this.#isClosed) throw new Error('The journal is closed');
    const number = this.#nextNumber++;
    this.#track(number, record.link);
    try {
      await this.#enqueue({ type: 'record', number, record }, true);
    } catch (error) {
      this.#untrack(number);
      throw error;
    }
    return number;
  }

  async note(record: NoteRecord): Promise<void> {
    if (this.#isClosed) throw new Error('The journal is closed');
    await this.#enqueue({ type: 'record', number: this.#nextNumber++, record }, false);
  }

  settled(link: LinkId, gave: Gave): void {
    if (this.#isClosed) return;
    for (const number of this.#numbersOf.get(link) ?? []) {
      this.#untrack(number);
      // Not waited for: a mark that is lost makes the record come up again, which is harmless.
      this.#mark({ type: 'done', number, gave, at: this.#clock.now() });
    }
  }

  pending({ number, record }: NumberedRecord): void {
    if (!this.#open.has(number)) this.#track(number, record.link);
  }

  unsettled(): readonly JournalRecord[] {
    return this.#atOpening;
  }

  async *since(number: number): AsyncGenerator<NumberedRecord> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#reading.add(promise);
    try {
      yield* this.#segments.since(number);
    } finally {
      this.#reading.delete(promise);
      resolve();
    }
  }

  async find(grant: GrantId, link: LinkId): Promise<AnswerRecord | BegunRecord | null> {
    let found: AnswerRecord | BegunRecord | null = null;
    for await (const { record } of this.since(0)) {
      if (record.grant === grant && record.link === link && 'answer' in record) found = record;
    }
    return found;
  }

  settledUpTo(): number {
    let least = this.#nextNumber;
    for (const number of this.#open.keys()) least = Math.min(least, number);
    return least - 1;
  }

  told(number: number): void {
    if (this.#isClosed || number === this.#told) return;
    this.#told = number;
    // Not waited for: where it is lost, an older store is taken for the right one, and all that it lacks is merged.
    this.#mark({ type: 'told', number });
  }

  continueAfter(number: number): void {
    this.#nextNumber = Math.max(this.#nextNumber, number + 1);
  }

  async figures(): Promise<JournalFigures> {
    const { length: segments } = this.#segments.all;
    return { last: this.#nextNumber - 1, unsettled: this.#open.size, segments, bytes: await this.#bytes() };
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#rewriting;
    await this.#flushing;
    await this.#current?.file.close();
    this.#current = null;
  }

  #track(number: number, link: LinkId): void {
    this.#open.set(number, link);
    this.#numbersOf.set(link, [...(this.#numbersOf.get(link) ?? []), number]);
  }

  #untrack(number: number): void {
    const link = this.#open.get(number);
    if (link === undefined) return;
    this.#open.delete(number);
    const left = (this.#numbersOf.get(link) ?? []).filter((one) => one !== number);
    if (left.length > 0) this.#numbersOf.set(link, left);
    else this.#numbersOf.delete(link);
  }

  #mark(frame: Frame): void {
    this.#enqueue(frame, false).catch((error: unknown) => {
      this.#log.warn('journal: a mark could not be written', { kind: frame.type, reason: codeOf(error) });
    });
  }

  #enqueue(frame: Frame, mustSync: boolean, isCopy = false): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#queue.push({ frame, bytes: encode(frame), mustSync, isCopy, resolve, reject });
    this.#flushing ??= this.#flushAll();
    return promise;
  }

  /** Never rejects: every frame's own promise tells how it went. */
  async #flushAll(): Promise<void> {
    // All that is appended in the same turn goes together.
    await Promise.resolve();
    while (this.#queue.length > 0) {
      const batch = this.#queue;
      this.#queue = [];
      this.#writing = batch;
      try {
        await this.#keep(batch);
        for (const { resolve } of batch) resolve();
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
      await this.#reserve.make();
    }
    this.#writing = [];
    this.#flushing = null;
  }

  async #keep(batch: readonly Waiting[]): Promise<void> {
    const bytes = Buffer.concat(batch.map((one) => one.bytes));
    const mustSync = batch.some((one) => one.mustSync);
    if (this.#current && this.#current.end > this.#segmentBytes) await this.#roll();
    try {
      await this.#write(bytes, mustSync);
    } catch (error) {
      this.#log.error('journal: a write failed and is tried in a new segment', { reason: codeOf(error) }, error);
      await this.#reserve.free();
      await this.#startSegment();
      await this.#write(bytes, mustSync);
    }
    for (const { frame } of batch) this.#kept?.note(frame);
  }

  async #write(frames: Uint8Array, mustSync: boolean): Promise<void> {
    const current = this.#current;
    if (!current) throw new Error('The journal has no segment');
    const bytes = current.end === 0 ? Buffer.concat([this.#head(current.segment), frames]) : frames;
    await this.#disk.write(current.file, bytes, current.end);
    if (mustSync) {
      await this.#disk.sync(current.file);
      const kept = await this.#disk.read(current.file, bytes.length, current.end);
      if (Buffer.compare(kept, bytes) !== 0) throw new Error('What the disk gave back is not what was written');
    }
    current.end += bytes.length;
  }

  /** Of what is in earlier segments alone: the frames that follow tell the rest. */
  #head({ first }: Segment): Buffer {
    const settledUpTo = Math.min(this.settledUpTo(), first - 1);
    return encode({ type: 'head', settledUpTo, told: this.#told, at: this.#clock.now() });
  }

  async #roll(): Promise<void> {
    try {
      await this.#startSegment();
    } catch (error) {
      // The old segment is still good.
      this.#log.warn('journal: a new segment could not be started', { reason: codeOf(error) });
      return;
    }
    this.#rewriting ??= this.#rewriteSome(LOOKED_AT).finally(() => {
      this.#rewriting = null;
    });
  }

  /** From here on everything goes into a new file. The old one, if it was torn, is left as it is. */
  async #startSegment(): Promise<void> {
    const place = this.#segments.nextPlace;
    const first = this.#firstOfNew();
    const path = this.#segments.pathOf(place, first);
    const file = await this.#disk.create(path);
    const old = this.#current;
    const segment: Segment = { place, first, path, old: null };
    this.#segments.all.push(segment);
    this.#current = { segment, file, end: 0 };
    await old?.file.close().catch(() => undefined);
  }

  /** Records that are being written, or wait for that, have their numbers already and go into the new segment. */
  #firstOfNew(): number {
    const waiting = [...this.#writing, ...this.#queue].filter(({ isCopy }) => !isCopy);
    const numbers = waiting.flatMap(({ frame }) => (frame.type === 'record' ? [frame.number] : []));
    return numbers.reduce((least, number) => Math.min(least, number), this.#nextNumber);
  }

  /** A start that wrote nothing leaves an empty segment; its name is of use only while it is the last. */
  async #removeEmpty(): Promise<void> {
    const [...all] = this.#segments.all;
    for (const segment of all) {
      if (segment === this.#current?.segment || (await stat(segment.path)).size > 0) continue;
      await this.#disk.remove(segment.path);
      this.#segments.all = this.#segments.all.filter((one) => one !== segment);
    }
  }

  /** Looks at so many closed segments, and takes away what nobody needs. Never rejects. */
  async #rewriteSome(most: number): Promise<void> {
    try {
      const kept = await this.#readWhole();
      const closed = this.#segments.all.filter((one) => one !== this.#current?.segment);
      const next = closed.findIndex(({ place }) => place > this.#lookedAt);
      const from = next === -1 ? 0 : next;
      for (const segment of [...closed.slice(from), ...closed.slice(0, from)].slice(0, most)) {
        if (this.#isClosed) return;
        this.#lookedAt = segment.place;
        await this.#rewrite(segment, kept);
      }
    } catch (error) {
      this.#log.warn('journal: old segments could not be rewritten', { reason: codeOf(error) ?? String(error) });
    }
  }

  async #readWhole(): Promise<Kept> {
    if (this.#kept) return this.#kept;
    // What is written meanwhile is noted as well; the order does not matter.
    const kept = new Kept();
    this.#kept = kept;
    try {
      for (const segment of this.#segments.all) {
        for await (const frame of this.#segments.frames(segment)) kept.note(frame);
      }
    } catch (error) {
      this.#kept = null;
      throw error;
    }
    return kept;
  }

  /** First what must stay is on disk a second time, then the segment goes. */
  async #rewrite(segment: Segment, kept: Kept): Promise<void> {
    const placed = await this.#segments.placed(segment);
    const staying = this.#stayingOf(placed, kept);
    if (!staying) return;
    for (const copy of staying) await this.#enqueueCopies(copy);
    // Whatever the segment said of the journal itself is said again.
    await this.#enqueue({ type: 'told', number: this.#told }, true);
    while (this.#reading.size > 0) await Promise.all(this.#reading);
    await this.#disk.remove(segment.path);
    const next = this.#segments.all[this.#segments.all.indexOf(segment) + 1];
    this.#segments.all = this.#segments.all.filter((one) => one !== segment);
    kept.forget(segment.first, next?.first ?? segment.first);
  }

  /** Copies of what must stay of a segment, some at a time; null where it is not worth the while, or too early. */
  #stayingOf(placed: readonly PlacedFrame[], kept: Kept): readonly (readonly Frame[])[] | null {
    const before = this.#clock.now() - KEEP_MS;
    if (placed.some(({ frame }) => toldAt(frame) > before)) return null;
    const chunks: Frame[][] = [[]];
    let [total, stay, chunk] = [0, 0, 0];
    for (const { frame, bytes } of placed) {
      total += bytes;
      if (frame.type !== 'record') continue;
      const { number, record } = frame;
      const gave = frame.gave ?? kept.gave(number);
      const isSettled = !this.#open.has(number);
      if (!kept.mustStay(number, record, gave, isSettled)) continue;
      stay += bytes;
      chunk += bytes;
      if (chunk > COPY_BYTES) {
        chunks.push([]);
        chunk = bytes;
      }
      chunks.at(-1)?.push({ type: 'record', number, record, ...(gave && isSettled ? { gave } : {}) });
    }
    const isWorthIt = stay <= total * REWRITE_SHARE || total < this.#segmentBytes * REWRITE_SHARE;
    return isWorthIt ? chunks : null;
  }

  async #enqueueCopies(frames: readonly Frame[]): Promise<void> {
    await Promise.all(frames.map((frame) => this.#enqueue(frame, true, true)));
  }

  async #bytes(): Promise<number> {
    const sizes = await Promise.all(this.#segments.all.map(async ({ path }) => (await stat(path)).size));
    return sizes.reduce((sum, size) => sum + size, 0);
  }
}

/** When a frame was written, as far as it says. */
function toldAt(frame: NumberedFrame): Instant {
  switch (frame.type) {
    case 'head':
      return frame.at;
    case 'done':
      return frame.at;
    case 'told':
      return 0 as Instant;
    case 'record':
      return 'at' in frame.record ? frame.record.at.at : frame.record.receivedAt.at;
  }
}
