/**
 * The journal in files of the data folder: segments `journal/<number>.journal` that are only appended to.
 *
 * An append waits for the write that is under way, and then all that gathered meanwhile go together: one write, one
 * fsync, one reading back. When that fails (a full disk, a bad block) the reserve is given free and the same bytes go
 * into a new segment once; what a failed fsync left behind is never trusted. Only then do the appends reject.
 *
 * States: idle ──append, settled──▶ flushing ──nothing waits──▶ idle; any ──close──▶ closed, after the last flush.
 */
import { mkdir, open, readdir, readFile, rm, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { EvergrantError } from '../core/errors.ts';
import type { LinkId } from '../core/id.ts';
import type { Clock } from '../ports/clock.ts';
import type { Journal, JournalRecord } from '../ports/journal.ts';
import type { Log } from '../ports/log.ts';
import { decodeAll, encode, type Frame } from './journal-frame.ts';
import { codeOf, syncFolder } from './new-file.ts';

const SEGMENT = /^(\d{10})\.journal$/;
const SEGMENT_DIGITS = 10;
const SEGMENT_MOST_BYTES = 16 * 1024 * 1024;
const RESERVE = 'reserve';
const RESERVE_BYTES = 1024 * 1024;
const RESERVE_RETRY_MS = 60_000;
/** A store that is restored from a backup of the last day finds everything here. */
const KEEP_SETTLED_MS = 24 * 60 * 60 * 1000;

/** The four calls that reach the disk; a test counts them or makes them fail. */
export interface Disk {
  write(file: FileHandle, bytes: Uint8Array, position: number): Promise<void>;
  sync(file: FileHandle): Promise<void>;
  read(file: FileHandle, length: number, position: number): Promise<Uint8Array>;
}

export const nodeDisk: Disk = {
  async write(file, bytes, position) {
    for (let done = 0; done < bytes.length; ) {
      done += (await file.write(bytes, done, bytes.length - done, position + done)).bytesWritten;
    }
  },
  sync: (file) => file.sync(),
  async read(file, length, position) {
    const bytes = Buffer.alloc(length);
    const { bytesRead } = await file.read(bytes, 0, length, position);
    return bytes.subarray(0, bytesRead);
  },
};

export interface FileJournalOptions {
  readonly dataFolder: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly disk?: Disk;
}

/** What is known of a segment without reading it again. */
interface Segment {
  readonly number: number;
  readonly received: LinkId[];
  readonly settled: LinkId[];
}

interface Waiting {
  readonly frame: Frame;
  readonly bytes: Buffer;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** Opens the folder `journal`, or makes it. Throws `setting` when it cannot be written to. */
export async function openFileJournal(options: FileJournalOptions): Promise<Journal> {
  const folder = join(options.dataFolder, 'journal');
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    syncFolder(options.dataFolder);
    const journal = new SegmentedJournal(folder, options);
    await journal.open();
    return journal;
  } catch (error) {
    throw new EvergrantError('setting', `The journal ${folder} cannot be used (${codeOf(error) ?? String(error)}).`, {
      remedy: 'Let the user that runs Evergrant write to it, and see that the disk is not full.',
      cause: error,
    });
  }
}

class SegmentedJournal implements Journal {
  readonly #folder: string;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #disk: Disk;
  #unsettled: readonly JournalRecord[] = [];
  #segments: Segment[] = [];
  readonly #settledAt = new Map<LinkId, number>();
  #current: { readonly segment: Segment; readonly file: FileHandle; end: number } | null = null;
  #queue: Waiting[] = [];
  #flushing: Promise<void> | null = null;
  #isClosed = false;
  #hasReserve = false;
  /** A full disk is not asked for a new reserve at every append. */
  #nextReserveAt = Number.NEGATIVE_INFINITY;

  constructor(folder: string, { clock, log, disk = nodeDisk }: FileJournalOptions) {
    this.#folder = folder;
    this.#clock = clock;
    this.#log = log;
    this.#disk = disk;
  }

  async open(): Promise<void> {
    const records = new Map<LinkId, JournalRecord>();
    for (const number of await this.#numbers()) {
      const segment: Segment = { number, received: [], settled: [] };
      this.#segments.push(segment);
      for (const frame of await this.#readSegment(number)) {
        this.#note(segment, frame);
        if (frame.type === 'received') records.set(frame.record.link, frame.record);
      }
    }
    this.#unsettled = [...records.values()].filter((record) => !this.#settledAt.has(record.link));
    await this.#compact();
    await this.#startSegment();
    await this.#makeReserve();
  }

  append(record: JournalRecord): Promise<void> {
    if (this.#isClosed) return Promise.reject(new Error('The journal is closed'));
    return this.#enqueue({ type: 'received', record });
  }

  settled(link: LinkId): void {
    if (this.#isClosed || this.#settledAt.has(link)) return;
    // Not waited for: a mark that is lost makes the record come up again, which is harmless.
    this.#enqueue({ type: 'settled', link, at: this.#clock.now() }).catch((error: unknown) => {
      this.#log.warn('journal: a settled record could not be marked', { link, reason: codeOf(error) });
    });
  }

  unsettled(): readonly JournalRecord[] {
    return this.#unsettled;
  }

  async everything(): Promise<readonly JournalRecord[]> {
    const records = new Map<LinkId, JournalRecord>();
    for (const number of await this.#numbers()) {
      for (const frame of await this.#readSegment(number)) {
        if (frame.type === 'received') records.set(frame.record.link, frame.record);
      }
    }
    return [...records.values()];
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#flushing;
    await this.#current?.file.close();
    this.#current = null;
  }

  #enqueue(frame: Frame): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#queue.push({ frame, bytes: encode(frame), resolve, reject });
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
      try {
        await this.#keep(batch);
        for (const { resolve } of batch) resolve();
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
      await this.#makeReserve();
    }
    this.#flushing = null;
  }

  async #keep(batch: readonly Waiting[]): Promise<void> {
    const bytes = Buffer.concat(batch.map((one) => one.bytes));
    const mustSync = batch.some((one) => one.frame.type === 'received');
    if (this.#current && this.#current.end > SEGMENT_MOST_BYTES) await this.#roll();
    try {
      await this.#write(bytes, mustSync);
    } catch (error) {
      this.#log.error('journal: a write failed and is tried in a new segment', { reason: codeOf(error) }, error);
      await this.#freeReserve();
      await this.#startSegment();
      await this.#write(bytes, mustSync);
    }
    const segment = this.#current?.segment;
    for (const { frame } of batch) if (segment) this.#note(segment, frame);
  }

  async #write(bytes: Uint8Array, mustSync: boolean): Promise<void> {
    const current = this.#current;
    if (!current) throw new Error('The journal has no segment');
    await this.#disk.write(current.file, bytes, current.end);
    if (mustSync) {
      await this.#disk.sync(current.file);
      const kept = await this.#disk.read(current.file, bytes.length, current.end);
      if (Buffer.compare(kept, bytes) !== 0) throw new Error('What the disk gave back is not what was written');
    }
    current.end += bytes.length;
  }

  #note(segment: Segment, frame: Frame): void {
    if (frame.type === 'received') {
      segment.received.push(frame.record.link);
    } else {
      segment.settled.push(frame.link);
      this.#settledAt.set(frame.link, frame.at);
    }
  }

  async #roll(): Promise<void> {
    try {
      await this.#startSegment();
      await this.#compact();
    } catch (error) {
      // The old segment is still good.
      this.#log.warn('journal: a new segment could not be started', { reason: codeOf(error) });
    }
  }

  /** From here on everything goes into a new file. The old one, if it was torn, is left as it is. */
  async #startSegment(): Promise<void> {
    const number = (this.#segments.at(-1)?.number ?? 0) + 1;
    const file = await open(this.#path(number), 'wx+', 0o600);
    syncFolder(this.#folder);
    const old = this.#current;
    const segment: Segment = { number, received: [], settled: [] };
    this.#segments.push(segment);
    this.#current = { segment, file, end: 0 };
    await old?.file.close().catch(() => undefined);
  }

  /** Removes segments that nothing needs: all of their records were settled a day ago, and their marks mark nothing. */
  async #compact(): Promise<void> {
    const before = this.#clock.now() - KEEP_SETTLED_MS;
    const needed = new Set<LinkId>();
    const kept: Segment[] = [];
    for (const segment of this.#segments) {
      const isOld = segment.received.every((link) => (this.#settledAt.get(link) ?? Number.POSITIVE_INFINITY) < before);
      const isFree = isOld && !segment.settled.some((link) => needed.has(link));
      if (isFree && segment !== this.#current?.segment) {
        await rm(this.#path(segment.number), { force: true });
        for (const link of segment.received) this.#settledAt.delete(link);
      } else {
        kept.push(segment);
        for (const link of segment.received) needed.add(link);
      }
    }
    this.#segments = kept;
  }

  async #numbers(): Promise<readonly number[]> {
    const names = await readdir(this.#folder);
    return names
      .flatMap((name) => SEGMENT.exec(name)?.[1] ?? [])
      .map(Number)
      .toSorted((a, b) => a - b);
  }

  async #readSegment(number: number): Promise<readonly Frame[]> {
    const { frames, damages } = decodeAll(await readFile(this.#path(number)));
    for (const { offset, bytes, isTorn } of damages) {
      const place = { segment: number, offset, bytes };
      if (isTorn) this.#log.warn('journal: the last record was cut off and is dropped', place);
      else this.#log.error('journal: a damaged record was passed over', place);
    }
    return frames;
  }

  /** Space that an append may take when the disk has none left. */
  async #makeReserve(): Promise<void> {
    if (this.#hasReserve || this.#clock.now() < this.#nextReserveAt) return;
    this.#nextReserveAt = this.#clock.now() + RESERVE_RETRY_MS;
    try {
      const file = await open(join(this.#folder, RESERVE), 'w', 0o600);
      try {
        await this.#disk.write(file, Buffer.alloc(RESERVE_BYTES), 0);
        this.#hasReserve = true;
      } finally {
        await file.close();
      }
    } catch (error) {
      this.#log.warn('journal: no space could be reserved', { reason: codeOf(error) });
      // What was written of it would only fill the disk.
      await this.#freeReserve().catch(() => undefined);
    }
  }

  async #freeReserve(): Promise<void> {
    this.#hasReserve = false;
    await rm(join(this.#folder, RESERVE), { force: true });
  }

  #path(number: number): string {
    return join(this.#folder, `${String(number).padStart(SEGMENT_DIGITS, '0')}.journal`);
  }
}
