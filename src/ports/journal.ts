/**
 * This node's own record of what it received, on its own disk, kept before the store is asked to. What it holds of
 * secrets is sealed. A store that is down, full or restored from an old backup costs no chain while the journal is there.
 *
 * Every record has a number, which grows by one for ever. The store keeps the number up to which it has them all, so a
 * start reads only what came after it; and a store that keeps a smaller number than it was told is an older one.
 */
import type { ReceivedLink } from '../core/chain-event.ts';
import type { AppId, GrantId, LinkId, NodeId } from '../core/id.ts';
import type { Moment } from '../core/instant.ts';
import type { Fingerprint, Sealed } from '../core/secret.ts';

interface OfGrant {
  readonly grant: GrantId;
  /** The exchange or authorization that is told of; of ends, intents and what was not sent, an id of its own. */
  readonly link: LinkId;
  /** The authorization of the grant, counted from 1, that it belongs to; null: an older version wrote it. */
  readonly generation: number | null;
  readonly node: NodeId;
}

/** One answer of a token endpoint, as it came. */
export interface AnswerRecord extends OfGrant {
  readonly purpose: 'exchange' | 'authorization';
  /** Of an exchange: the link whose token was presented, and the place of the attempt in its chain. */
  readonly presented: LinkId | null;
  readonly sequence: number | null;
  readonly requestedAt: Moment;
  readonly receivedAt: Moment;
  readonly answer: Sealed;
}

/** A chain that begins: with it alone, the grant can be made again in a store that does not know it. */
export interface BegunRecord extends OfGrant {
  readonly purpose: 'begun';
  readonly at: Moment;
  readonly by: 'code' | 'import';
  readonly received: ReceivedLink & { readonly fingerprint: Fingerprint };
  readonly answer: Sealed;
  readonly app: AppId;
  /** The bodies of the records of grant and app, as the store had them. */
  readonly grantBody: string;
  readonly appBody: string;
}

/** A grant that was ended here, or taken away before it ever held a chain. */
export interface EndedRecord extends OfGrant {
  readonly purpose: 'ended' | 'removed';
  readonly at: Moment;
}

/**
 * A request that is about to be sent. The store knows of it too; a store that was restored from an older backup hears of
 * it from here alone.
 */
export interface IntentRecord extends OfGrant {
  readonly purpose: 'intent';
  readonly at: Moment;
  /** The attempt, which an answer to it names as its `link`. */
  readonly attempt: LinkId;
  readonly presented: LinkId;
  readonly sequence: number;
  readonly run: string;
}

/** It is sure that the request of this attempt never left. */
export interface UnsentRecord extends OfGrant {
  readonly purpose: 'unsent';
  readonly at: Moment;
  readonly attempt: LinkId;
}

/** What is told of an exchange besides its answer. */
export type NoteRecord = IntentRecord | UnsentRecord;

export type JournalRecord = AnswerRecord | BegunRecord | EndedRecord | NoteRecord;

export interface NumberedRecord {
  readonly number: number;
  readonly record: JournalRecord;
}

export interface JournalFigures {
  /** The number of the newest record; 0: none was ever kept. */
  readonly last: number;
  readonly unsettled: number;
  readonly segments: number;
  readonly bytes: number;
}

export interface Journal {
  /**
   * Resolves with the number of the record once it is on disk (fsync), was read back and is equal. Appends under way
   * together share one fsync. Rejects when that cannot be; the caller then still has the answer in memory.
   */
  append(record: JournalRecord): Promise<number>;
  /**
   * Written, and not waited for until it is on disk: it outlives the process, and a loss of power once a later `append`
   * has resolved. It never counts as unsettled by itself.
   */
  note(record: NoteRecord): Promise<void>;
  /**
   * The records of this link are in the store now. What gave tokens stays until newer ones of the same chain came, the
   * rest leaves after a while.
   */
  settled(link: LinkId, gave: 'tokens' | 'nothing'): void;
  /** The store lacks this record, perhaps again: it is not settled, whatever was said before. */
  pending(record: NumberedRecord): void;
  /** Records that were not settled when the journal was opened, oldest first. */
  unsettled(): readonly JournalRecord[];
  /** All records above this number that are readable on disk, settled or not, oldest first. */
  since(number: number): AsyncIterable<NumberedRecord>;
  /** What was answered for this link; null where no copy is left. */
  find(grant: GrantId, link: LinkId): Promise<AnswerRecord | BegunRecord | null>;
  /** The greatest number such that no unsettled record has a number at or below it. */
  settledUpTo(): number;
  /** The store keeps this number as the one up to which it has all records. */
  told(number: number): void;
  /** What the store was told last, by this run or an earlier one; 0: nothing yet. */
  readonly lastTold: number;
  /** Numbers from here on are greater than this one: the store knows of records up to it that are not here any more. */
  continueAfter(number: number): void;
  figures(): Promise<JournalFigures>;
  close(): Promise<void>;
}
