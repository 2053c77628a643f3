/**
 * Where everything is kept that must outlive the process. Three parts:
 *
 * - **chains**: one per grant. The store folds events into them with `core/chain`; the version counts the events.
 *   An append names the version it was decided on, or `any`. What was received is appended under `any`: it is never
 *   refused, never overwritten, never dropped.
 * - **records**: plain JSON documents of a kind (apps, grants, API keys, …), changed by compare-and-set.
 * - **nodes**: the processes that share the store, with their leases and how far their journals are merged.
 *
 * Stores see no secret: what they get is sealed. When a promise of this port resolves, the change survives the loss of
 * the process and of power. When it rejects, the change may or may not have been made (`ports/store` callers read back).
 */
import type { Chain, ChainEvent, ChainState, RecordedEvent } from '../core/chain.ts';
import type { GrantId, LinkId, NodeId } from '../core/id.ts';
import type { Instant } from '../core/instant.ts';
import type { Fingerprint, Sealed } from '../core/secret.ts';

export interface StoredChain {
  readonly version: number;
  readonly chain: Chain;
}

export type Appended = { readonly outcome: 'appended' } & StoredChain;
/** The chain had moved on: nothing was changed, and this is how it stands. */
export type Conflict = { readonly outcome: 'conflict' } & StoredChain;

/** When a chain wants something done although nobody asks; null: never. Pure; called within the transaction. */
export type DueOf = (chain: Chain) => Instant | null;

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
   * chain are wiped, their fingerprints stay. `dueOf` gives the time under which `due` finds the chain from then on;
   * left out, that stays as it was.
   *
   * Where the store is shared, `started` needs the lease of the node that it names (`Nodes`): without it, it rejects
   * with `LeaseLost`, and nothing was changed. No other event is fenced by it: what was received is always kept.
   */
  append(grant: GrantId, expected: number | 'any', event: ChainEvent, dueOf?: DueOf): Promise<Appended | Conflict>;
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
  /** Chains that are due by then, the longest due first. By an index: its cost grows with what it finds alone. */
  due(by: Instant, limit: number): Promise<readonly { readonly grant: GrantId; readonly at: Instant }[]>;
  /** Another time for `due`, while nothing happens to the chain; of a chain that has this version still. */
  reschedule(grant: GrantId, expected: number, at: Instant | null): Promise<void>;
  /** How many grants are in each state. */
  count(): Promise<Readonly<Partial<Record<ChainState, number>>>>;
}

export type RecordKind =
  | 'app'
  | 'grant'
  | 'api-key'
  | 'authorization'
  | 'idempotency'
  | 'client'
  | 'client-token'
  | 'client-request'
  | 'client-events'
  | 'client-assertion';

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

/** One node, as the store knows it. */
export interface NodeRecord {
  readonly id: NodeId;
  /** Names the run of the process that holds, or last held, the lease. */
  readonly run: string;
  /** Time left of the lease by the store's clock; 0: the node is not here. */
  readonly leaseLeftMs: number;
  /** The number of the last record of its journal up to which all are in this store. */
  readonly merged: number;
  /** The restore (`ClusterView.restore`) for which it has merged its whole journal; null: none. */
  readonly mergedFor: string | null;
  /** An operator gave up its journal, or merged it from a copy: nobody waits for it. Cleared when it joins again. */
  readonly isGivenUp: boolean;
}

/** All that a node must know of the others, read at one instant. */
export interface ClusterView {
  /** By the store's clock. */
  readonly now: Instant;
  readonly nodes: readonly NodeRecord[];
  /** Names the last restore of the store from an older backup that a node has noticed; null: none was. */
  readonly restore: string | null;
  /** When that was, by the store's clock; null where it is not known. */
  readonly restoredAt: Instant | null;
  /** When a node last joined while no other one was here, by the store's clock; null: not since this is kept. */
  readonly wokenAt: Instant | null;
}

export interface NodeRun {
  readonly id: NodeId;
  readonly run: string;
}

/**
 * The nodes that share this store. A node is here while its lease lasts, by the store's clock; the lease covers all
 * exchanges it has under way. Losing it stops nothing that was sent, but lets the others take over.
 */
export interface Nodes {
  /**
   * This run takes its node's place. `folder` names the data folder: a lease that still lasts is taken over at once
   * where an earlier run of the same folder holds it, for its lock tells that this run is over; otherwise two machines
   * use one id, and the answer is `in_use`.
   */
  join(
    me: NodeRun,
    folder: string,
    leaseMs: number,
  ): Promise<{ readonly outcome: 'joined'; readonly view: ClusterView } | { readonly outcome: 'in_use' }>;
  /** Prolongs the lease. `lost`: this run holds it no more (another one does, or the store forgot it); join again. */
  beat(me: NodeRun, leaseMs: number): Promise<{ readonly outcome: 'kept' | 'lost'; readonly view: ClusterView }>;
  /** All records of its journal up to this number are in the store. Never goes back. */
  merged(node: NodeId, upTo: number): Promise<void>;
  /** The store was found to be older than what a node remembers. Gives the name of this restore. */
  declareRestore(): Promise<string>;
  /** This node has merged its whole journal for that restore. */
  mergedFor(node: NodeId, restore: string): Promise<void>;
  /** Nobody waits for this node's journal any more; false where there is no such node. */
  giveUp(node: NodeId): Promise<boolean>;
  /** Gives the lease back: this run ends, and nothing of it is under way. */
  leave(me: NodeRun): Promise<void>;
  view(): Promise<ClusterView>;
}

/** The lease of this node is over, so it may not start an exchange. */
export class LeaseLost extends Error {
  constructor(node: NodeId) {
    super(`The node ${node} holds no lease in the store.`);
    this.name = 'LeaseLost';
  }
}

/** The store does not answer, or refuses what it is asked; the change may or may not have been made. */
export class StoreFailure extends Error {
  constructor(cause: unknown) {
    super(`The store failed: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
    this.name = 'StoreFailure';
  }
}

/** What another node changed. `unsure`: the connection was lost meanwhile, so anything may have. */
export type Change =
  | { readonly kind: 'chain'; readonly id: GrantId }
  | { readonly kind: RecordKind; readonly id: string }
  | { readonly kind: 'unsure' };

export interface Store {
  readonly chains: Chains;
  readonly records: Records;
  readonly nodes: Nodes;
  /** Whether other nodes may use it too. Otherwise leases are not looked at, and none needs to be prolonged. */
  readonly isShared: boolean;
  /**
   * Calls `listener` soon after another node changed something, and perhaps after own changes too; never where the store
   * is not shared. Gives what ends that.
   */
  watch(listener: (change: Change) => void): () => void;
  /**
   * How long ago, in milliseconds, it was last certain that every change made by other nodes until then had been told to
   * those who watch. 0 where there are no others; Infinity where it never was.
   */
  heardAgoMs(): number;
  /** Rejects when the store cannot be written to. */
  check(): Promise<void>;
  close(): Promise<void>;
}
