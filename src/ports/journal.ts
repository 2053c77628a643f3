/**
 * This node's own record of what it received, on its own disk, kept before the store is asked to. It holds sealed
 * bytes only. A store that is down, full or restored from an old backup costs no chain while the journal is there.
 */
import type { GrantId, LinkId, NodeId } from '../core/id.ts';
import type { Moment } from '../core/instant.ts';
import type { Sealed } from '../core/secret.ts';

/** One answer of a token endpoint, as it came. */
export interface JournalRecord {
  readonly grant: GrantId;
  /** The exchange or authorization that was answered. */
  readonly link: LinkId;
  readonly purpose: 'exchange' | 'authorization';
  /** Of an exchange: the link whose token was presented, and the place of the attempt in its chain. */
  readonly presented: LinkId | null;
  readonly sequence: number | null;
  readonly node: NodeId;
  readonly requestedAt: Moment;
  readonly receivedAt: Moment;
  readonly answer: Sealed;
}

export interface Journal {
  /**
   * Resolves once the record is on disk (fsync), was read back and is equal. Appends under way together share one
   * fsync. Rejects when that cannot be; the caller then still has the answer in memory.
   */
  append(record: JournalRecord): Promise<void>;
  /** The record is in the store now; it may be dropped after a while. */
  settled(link: LinkId): void;
  /** Records that were not settled when the journal was opened, oldest first. */
  unsettled(): readonly JournalRecord[];
  /** All that is readable on disk, settled or not, oldest first: for a store restored from an older backup. */
  everything(): Promise<readonly JournalRecord[]>;
  close(): Promise<void>;
}
