/**
 * Where everything is kept that must outlive the process. Two halves:
 *
 * - **chains**: one per grant. The store folds events into them with `core/chain`; the version counts the events.
 *   An append names the version it was decided on, or `any`. What was received is appended under `any`: it is never
 *   refused, never overwritten, never dropped.
 * - **records**: plain JSON documents of a kind (apps, grants, API keys, …), changed by compare-and-set.
 *
 * Stores see no secret: what they get is sealed. When a promise of this port resolves, the change survives the loss of
 * the process and of power. When it rejects, the change may or may not have been made (`ports/store` callers read back).
 */
import type { Chain, ChainEvent, ChainState, RecordedEvent } from '../core/chain.ts';
import type { GrantId, LinkId } from '../core/id.ts';
import type { Fingerprint, Sealed } from '../core/secret.ts';

export interface StoredChain {
  readonly version: number;
  readonly chain: Chain;
}

export type Appended = { readonly outcome: 'appended' } & StoredChain;
/** The chain had moved on: nothing was changed, and this is how it stands. */
export type Conflict = { readonly outcome: 'conflict' } & StoredChain;

/** Who ever held a token with this fingerprint. */
export interface Holder {
  readonly grant: GrantId;
  readonly link: LinkId;
}

export interface Page<T> {
  readonly items: readonly T[];
  /** Give it as `after` to read on; null at the end. */
  readonly next: string | null;
}

export interface Chains {
  /** The chain of a grant; an empty one (version 0) where nothing was appended yet. */
  read(grant: GrantId): Promise<StoredChain>;
  /**
   * Folds the event into the chain, in one transaction. An event with an answer also keeps that answer and its
   * fingerprint; appending the same link again is harmless and writes the answer anew. Answers of links that left the
   * chain are wiped, their fingerprints stay.
   */
  append(grant: GrantId, expected: number | 'any', event: ChainEvent): Promise<Appended | Conflict>;
  /** The sealed answer of a link; null where it was wiped or never there. */
  answer(grant: GrantId, link: LinkId): Promise<Sealed | null>;
  holders(fingerprint: Fingerprint): Promise<readonly Holder[]>;
  /** The chain's events, newest first. */
  history(
    grant: GrantId,
    page: { readonly limit: number; readonly after: string | null },
  ): Promise<Page<RecordedEvent>>;
  /** Grants whose chain has something under way: an attempt without an end, or a link that is not published yet. */
  unsettled(): Promise<readonly GrantId[]>;
  /** How many grants are in each state. */
  count(): Promise<Readonly<Partial<Record<ChainState, number>>>>;
}

export type RecordKind = 'app' | 'grant' | 'api-key' | 'authorization' | 'idempotency';

/** A name by which a record is found. `unique`: at most one record of the kind may have it. */
export interface Term {
  readonly name: string;
  readonly value: string;
  readonly unique?: boolean;
}

export interface StoredRecord {
  readonly id: string;
  readonly version: number;
  /** JSON, without any secret that is not sealed. */
  readonly body: string;
}

export type Written = { readonly outcome: 'written'; readonly version: number };
/** Nothing was changed: another record has this unique term. */
export type Taken = { readonly outcome: 'taken'; readonly term: Term; readonly by: string };
/** Nothing was changed: the record has another version, or is not there. */
export type Stale = { readonly outcome: 'stale' };

export interface Records {
  insert(kind: RecordKind, id: string, body: string, terms: readonly Term[]): Promise<Written | Taken>;
  /** Replaces body and terms of a record that still has this version. */
  update(
    kind: RecordKind,
    id: string,
    version: number,
    body: string,
    terms: readonly Term[],
  ): Promise<Written | Taken | Stale>;
  /** Removes it, whatever its version. For a grant, its chain, answers and history go with it; fingerprints stay. */
  remove(kind: RecordKind, id: string): Promise<boolean>;
  get(kind: RecordKind, id: string): Promise<StoredRecord | null>;
  /** The one record with this unique term. */
  find(kind: RecordKind, name: string, value: string): Promise<StoredRecord | null>;
  /**
   * Records that have all these terms, by id. For grants the term `state` is kept by `chains.append` and may be asked
   * like any other.
   */
  list(
    kind: RecordKind,
    query: { readonly terms?: readonly Omit<Term, 'unique'>[]; readonly limit: number; readonly after: string | null },
  ): Promise<Page<StoredRecord>>;
}

export interface Store {
  readonly chains: Chains;
  readonly records: Records;
  /** Rejects when the store cannot be written to. */
  check(): Promise<void>;
  close(): Promise<void>;
}
