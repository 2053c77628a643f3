/** A journal in memory that behaves as one on disk, for tests of those who use it. */
import type { GrantId, LinkId } from '../../src/core/id.ts';
import type {
  AnswerRecord,
  BegunRecord,
  Journal,
  JournalFigures,
  JournalRecord,
  NoteRecord,
  NumberedRecord,
} from '../../src/ports/journal.ts';

export class MemoryJournal implements Journal {
  numbered: NumberedRecord[] = [];
  readonly done = new Set<string>();
  isBroken = false;
  lastTold = 0;
  #last = 0;

  get records(): readonly JournalRecord[] {
    return this.numbered.map((one) => one.record);
  }

  async append(record: JournalRecord): Promise<number> {
    if (this.isBroken) throw new Error('no space left on device');
    this.numbered.push({ number: ++this.#last, record });
    return this.#last;
  }

  async note(record: NoteRecord): Promise<void> {
    if (this.isBroken) throw new Error('no space left on device');
    this.done.add(record.link);
    this.numbered.push({ number: ++this.#last, record });
  }

  settled(link: string): void {
    this.done.add(link);
  }

  pending({ record }: NumberedRecord): void {
    this.done.delete(record.link);
  }

  unsettled(): readonly JournalRecord[] {
    return this.records.filter((record) => !this.done.has(record.link));
  }

  async *since(number: number): AsyncIterable<NumberedRecord> {
    yield* this.numbered.filter((one) => one.number > number);
  }

  async find(grant: GrantId, link: LinkId): Promise<AnswerRecord | BegunRecord | null> {
    const found = this.records.find((one) => one.grant === grant && one.link === link && 'answer' in one);
    return found && 'answer' in found ? found : null;
  }

  settledUpTo(): number {
    const first = this.numbered.find((one) => !this.done.has(one.record.link));
    return first ? first.number - 1 : this.#last;
  }

  told(number: number): void {
    this.lastTold = number;
  }

  continueAfter(number: number): void {
    this.#last = Math.max(this.#last, number);
  }

  async figures(): Promise<JournalFigures> {
    return { last: this.#last, unsettled: this.unsettled().length, segments: 1, bytes: 0 };
  }

  async close(): Promise<void> {}
}
