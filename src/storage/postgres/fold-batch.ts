/**
 * What a batch of appends does to the chains they are about, as rows to write: the events are folded one after the
 * other, so several of one chain may be in it. An event that cannot be folded harms none of the others. Pure.
 */
import { type ChainEvent, EMPTY_CHAIN, stateOf } from '../../core/chain.ts';
import type { GrantId, LinkId, NodeId } from '../../core/id.ts';
import type { Instant } from '../../core/instant.ts';
import type { Sealed } from '../../core/secret.ts';
import { type Appended, type Conflict, type DueOf, LeaseLost, type StoredChain } from '../../ports/store.ts';
import { type Folded, fold, isUnsettled, linkOf, type Seen } from '../fold.ts';

export interface Append {
  readonly grant: GrantId;
  readonly expected: number | 'any';
  readonly event: ChainEvent;
  readonly dueOf: DueOf | undefined;
}

export interface Known {
  /** The rows that are there. */
  readonly chains: ReadonlyMap<GrantId, StoredChain & { readonly dueAt: Instant | null }>;
  /** By `linkKey`; what is not there was never seen. */
  readonly seen: ReadonlyMap<string, Seen>;
  /** The run that holds the lease of a node. */
  readonly leases: ReadonlyMap<NodeId, string>;
}

export function linkKey(grant: GrantId, link: LinkId): string {
  return `${grant} ${link}`;
}

/** What one chain's rows become. */
export interface ChainChange {
  readonly grant: GrantId;
  /** False: it is to be inserted. */
  readonly isThere: boolean;
  readonly stored: StoredChain;
  readonly dueAt: Instant | null;
  readonly events: readonly KeptEvent[];
  /** Attempts of which nothing came, so that what is told of them may go in time; with the version at which that was told. */
  readonly passed: readonly { readonly version: number; readonly attempt: LinkId | null }[];
  readonly answers: ReadonlyMap<LinkId, Sealed>;
  readonly wiped: ReadonlySet<LinkId>;
  /** All answers but those in `answers` go. */
  readonly wipesAll: boolean;
  readonly holders: ReadonlyMap<LinkId, NonNullable<Folded['holder']>>;
}

export interface KeptEvent {
  readonly version: number;
  readonly event: string;
  readonly isPassing: boolean;
}

export interface FoldedBatch {
  /** One for each append, in their order; they hold once the changes are written. */
  readonly outcomes: readonly PromiseSettledResult<Appended | Conflict>[];
  readonly changes: readonly ChainChange[];
}

export function foldBatch(appends: readonly Append[], known: Known): FoldedBatch {
  const drafts = new Map<GrantId, Draft>();
  const outcomes = appends.map((append): PromiseSettledResult<Appended | Conflict> => {
    const draft = drafts.get(append.grant) ?? new Draft(append.grant, known);
    drafts.set(append.grant, draft);
    try {
      return { status: 'fulfilled', value: draft.append(append, known) };
    } catch (reason) {
      return { status: 'rejected', reason };
    }
  });
  return { outcomes, changes: [...drafts.values()].filter((draft) => draft.isChanged) };
}

class Draft implements ChainChange {
  readonly grant: GrantId;
  readonly isThere: boolean;
  readonly events: KeptEvent[] = [];
  readonly passed: { readonly version: number; readonly attempt: LinkId | null }[] = [];
  readonly answers = new Map<LinkId, Sealed>();
  readonly wiped = new Set<LinkId>();
  readonly holders = new Map<LinkId, NonNullable<Folded['holder']>>();
  wipesAll = false;
  stored: StoredChain;
  dueAt: Instant | null;
  isChanged = false;

  constructor(grant: GrantId, known: Known) {
    const row = known.chains.get(grant);
    this.grant = grant;
    this.isThere = row !== undefined;
    this.stored = row ? { version: row.version, chain: row.chain } : { version: 0, chain: EMPTY_CHAIN };
    this.dueAt = row?.dueAt ?? null;
  }

  append({ expected, event, dueOf }: Append, known: Known): Appended | Conflict {
    if (event.type === 'started' && known.leases.get(event.node) !== event.run) throw new LeaseLost(event.node);
    if (expected !== 'any' && expected !== this.stored.version) return { outcome: 'conflict', ...this.stored };
    const folded = fold(this.stored, event, this.#seen(linkOf(event), known));
    const dueAt = dueOf && folded.version > 0 ? dueOf(folded.chain) : this.dueAt;
    this.#keep(folded, dueAt);
    return { outcome: 'appended', version: folded.version, chain: folded.chain };
  }

  #seen(link: LinkId | null, known: Known): Seen {
    if (link === null) return null;
    return this.holders.get(link)?.seen ?? known.seen.get(linkKey(this.grant, link)) ?? null;
  }

  #keep(folded: Folded, dueAt: Instant | null): void {
    const { version, chain, recorded, passes, answer, holder, wiped, wipesOrphans } = folded;
    if (holder) {
      this.holders.set(holder.link, holder);
      this.isChanged = true;
    }
    // A link of a grant that was removed meanwhile: nothing comes back to life.
    if (version === 0) return;
    this.isChanged ||= version !== this.stored.version || dueAt !== this.dueAt || answer !== null;
    this.stored = { version, chain };
    this.dueAt = dueAt;
    if (recorded) this.events.push({ version, event: JSON.stringify(recorded), isPassing: passes !== null });
    if (recorded && passes) this.passed.push({ version, attempt: passes.attempt });
    for (const link of wiped) {
      this.answers.delete(link);
      this.wiped.add(link);
    }
    if (wipesOrphans) {
      this.answers.clear();
      this.wipesAll = true;
    }
    if (answer) this.answers.set(answer.link, answer.sealed);
  }
}

/** The row of `evergrant_chains`; null: a grant that is gone has none. */
export function chainRow({ grant, isThere, stored: { version, chain }, dueAt }: ChainChange) {
  if (version === 0) return null;
  const [state, unsettled] = [stateOf(chain), isUnsettled(chain)];
  return { grant, isThere, version, state, unsettled, dueAt, chain: JSON.stringify(chain) };
}
