/**
 * A store in memory, for simulations and tests: the same behaviour as the durable ones, and nothing survives.
 *
 * States: open, then closed; a closed store rejects everything.
 */
import { type Chain, type ChainState, EMPTY_CHAIN, type RecordedEvent, stateOf } from '../../core/chain.ts';
import type { GrantId, LinkId } from '../../core/id.ts';
import type { Instant } from '../../core/instant.ts';
import type { Fingerprint, Sealed } from '../../core/secret.ts';
import type {
  Chains,
  Change,
  Holder,
  Page,
  RecordKind,
  Records,
  Store,
  StoredChain,
  StoredRecord,
  Taken,
  Term,
} from '../../ports/store.ts';
import { LeaseLost } from '../../ports/store.ts';
import { type Folded, fold, isUnsettled, linkOf, PASSING_KEPT, type Seen } from '../fold.ts';
import { holdsLease, type NodeTable, nodesIn } from './nodes.ts';

/** As it was read, a version does not change: events and answers lie apart, in `Kept`. */
interface ChainRow extends StoredChain {
  readonly kept: Kept;
  readonly dueAt: Instant | null;
}

interface Kept {
  readonly events: KeptEvent[];
  /** How many of the events are passing. */
  passing: number;
  readonly answers: Map<LinkId, Sealed>;
}

interface KeptEvent extends RecordedEvent {
  /** Nothing came of it. */
  readonly isPassing: boolean;
}

/** What a copy of the store shares with it never changes: rows are replaced, and events and answers are copied. */
export interface MemoryStore extends Store {
  /** Another store that has what this one has now. Nobody watches it yet. */
  copy(): MemoryStore;
  /** What it has of a grant, without waiting: for those who judge a simulation. */
  look(grant: GrantId): { readonly chain: Chain } & Pick<Readonly<Kept>, 'events' | 'answers'>;
}

interface RecordRow extends StoredRecord {
  readonly terms: readonly Term[];
}

interface FingerprintRow extends Holder {
  readonly fingerprint: Fingerprint;
  readonly seen: Exclude<Seen, null>;
}

class Tables {
  readonly chains = new Map<GrantId, ChainRow>();
  readonly fingerprints = new Map<GrantId, Map<LinkId, FingerprintRow>>();
  readonly holders: Map<Fingerprint, FingerprintRow[]>;
  readonly records = new Map<RecordKind, Map<string, RecordRow>>();
  /** Ids by kind, name and value of a unique term. */
  readonly uniques: Map<string, string>;
  /** Grants with something under way. */
  readonly unsettled: Set<GrantId>;
  readonly nodes: NodeTable;
  readonly listeners = new Set<(change: Change) => void>();
  isOpen = true;

  /** With all that `from` has now. */
  constructor(from?: Tables) {
    this.holders = new Map(from?.holders);
    this.uniques = new Map(from?.uniques);
    this.unsettled = new Set(from?.unsettled);
    const nodes = from?.nodes;
    this.nodes = {
      rows: new Map(nodes?.rows),
      restores: nodes?.restores ?? 0,
      restore: nodes?.restore ?? null,
      wokenAt: null,
    };
    if (!from) return;
    for (const [grant, row] of from.chains) this.chains.set(grant, { ...row, kept: copyOf(row.kept) });
    for (const [grant, rows] of from.fingerprints) this.fingerprints.set(grant, new Map(rows));
    for (const [kind, rows] of from.records) this.records.set(kind, new Map(rows));
  }

  tell(change: Change): void {
    for (const listener of this.listeners) listener(change);
  }

  check(): void {
    if (!this.isOpen) throw new Error('The store is closed');
  }

  kind(kind: RecordKind): Map<string, RecordRow> {
    const rows = this.records.get(kind) ?? new Map<string, RecordRow>();
    this.records.set(kind, rows);
    return rows;
  }

  chain(grant: GrantId): ChainRow {
    return this.chains.get(grant) ?? newRow();
  }
}

function newRow(): ChainRow {
  return { version: 0, chain: EMPTY_CHAIN, kept: { events: [], passing: 0, answers: new Map() }, dueAt: null };
}

function copyOf({ events, passing, answers }: Kept): Kept {
  return { events: [...events], passing, answers: new Map(answers) };
}

/** Several nodes may share it; `now` is its clock, by which leases end. Without one, it is for one node alone. */
export function createMemoryStore(options: { readonly now?: () => Instant } = {}): MemoryStore {
  return storeOn(new Tables(), options);
}

function storeOn(tables: Tables, options: { readonly now?: () => Instant }): MemoryStore {
  const now = options.now ?? (() => 0 as Instant);
  const isShared = options.now !== undefined;
  return {
    chains: chainsIn(tables, isShared ? now : null),
    records: recordsIn(tables),
    nodes: nodesIn(tables.nodes, now),
    isShared,
    watch(listener) {
      if (isShared) tables.listeners.add(listener);
      return () => tables.listeners.delete(listener);
    },
    heardAgoMs: () => 0,
    check: async () => tables.check(),
    close: async () => {
      tables.isOpen = false;
    },
    copy: () => storeOn(new Tables(tables), options),
    look: (grant) => {
      const { chain, kept } = tables.chain(grant);
      return { chain, ...kept };
    },
  };
}

/** `now` is null where leases are not looked at. */
function chainsIn(tables: Tables, now: (() => Instant) | null): Chains {
  return {
    async read(grant) {
      tables.check();
      const { version, chain } = tables.chain(grant);
      return { version, chain };
    },
    async append(grant, expected, event, dueOf) {
      tables.check();
      if (now && event.type === 'started' && !holdsLease(tables.nodes, { id: event.node, run: event.run }, now())) {
        throw new LeaseLost(event.node);
      }
      const row = tables.chain(grant);
      const { version, chain } = row;
      if (expected !== 'any' && expected !== version) return { outcome: 'conflict', version, chain };
      const link = linkOf(event);
      const seen = link === null ? null : (tables.fingerprints.get(grant)?.get(link)?.seen ?? null);
      const folded = fold({ version, chain }, event, seen);
      keep(tables, grant, dueOf ? { ...row, dueAt: dueOf(folded.chain) } : row, folded);
      tables.tell({ kind: 'chain', id: grant });
      return { outcome: 'appended', version: folded.version, chain: folded.chain };
    },
    async answer(grant, link) {
      tables.check();
      return tables.chain(grant).kept.answers.get(link) ?? null;
    },
    async holders(fingerprint) {
      tables.check();
      return (tables.holders.get(fingerprint) ?? []).map(({ grant, link }) => ({ grant, link }));
    },
    async history(grant, { limit, after }) {
      tables.check();
      const before = after === null ? Number.POSITIVE_INFINITY : Number(after);
      const items = tables.chain(grant).kept.events.flatMap(({ version, event }) => {
        return version < before ? [{ version, event }] : [];
      });
      return page(items.toReversed(), limit, (one) => String(one.version));
    },
    async unsettled() {
      tables.check();
      return [...tables.unsettled].toSorted();
    },
    async due(by, limit) {
      tables.check();
      const found: { readonly grant: GrantId; readonly at: Instant }[] = [];
      for (const [grant, { dueAt: at }] of tables.chains) if (at !== null && at <= by) found.push({ grant, at });
      return found.toSorted((a, b) => a.at - b.at).slice(0, limit);
    },
    async reschedule(grant, expected, at) {
      tables.check();
      const row = tables.chain(grant);
      if (row.version === expected && expected > 0) tables.chains.set(grant, { ...row, dueAt: at });
    },
    async count() {
      tables.check();
      const counts: Partial<Record<ChainState, number>> = {};
      for (const id of tables.kind('grant').keys()) {
        const state = stateOf(tables.chain(id as GrantId).chain);
        counts[state] = (counts[state] ?? 0) + 1;
      }
      return counts;
    },
  };
}

function keep(tables: Tables, grant: GrantId, { kept, dueAt }: ChainRow, folded: Folded): void {
  const { version, chain, recorded, answer, holder } = folded;
  if (holder) keepHolder(tables, { ...holder, grant });
  if (version === 0) return;
  if (recorded) keepEvent(kept, { version, event: recorded, isPassing: folded.passes !== null }, folded.passes);
  for (const link of folded.wiped) kept.answers.delete(link);
  if (folded.wipesOrphans) kept.answers.clear();
  if (answer) kept.answers.set(answer.link, answer.sealed);
  tables.chains.set(grant, { version, chain, kept, dueAt });
  if (isUnsettled(chain)) tables.unsettled.add(grant);
  else tables.unsettled.delete(grant);
}

function keepEvent(kept: Kept, newest: KeptEvent, passes: Folded['passes']): void {
  const { events } = kept;
  events.push(newest);
  if (!passes) return;
  kept.passing++;
  if (passes.attempt !== null) markStart(kept, passes.attempt);
  for (; kept.passing > PASSING_KEPT; kept.passing--) {
    const oldest = events.findIndex((one) => one.isPassing);
    events.splice(oldest, 1);
  }
}

/** Nothing came of it either. */
function markStart(kept: Kept, attempt: LinkId): void {
  const at = kept.events.findLastIndex(({ event }) => event.type === 'started' && event.id === attempt);
  const start = kept.events[at];
  if (!start || start.isPassing) return;
  kept.events[at] = { ...start, isPassing: true };
  kept.passing++;
}

/** Lists of holders are replaced, never changed: a copy of the store may share them. */
function keepHolder({ fingerprints, holders }: Tables, row: FingerprintRow): void {
  const rows = fingerprints.get(row.grant) ?? new Map<LinkId, FingerprintRow>();
  const old = rows.get(row.link);
  if (rows.size === 0) fingerprints.set(row.grant, rows);
  rows.set(row.link, row);
  if (old) holders.set(old.fingerprint, holders.get(old.fingerprint)?.filter((one) => one !== old) ?? []);
  holders.set(row.fingerprint, [...(holders.get(row.fingerprint) ?? []), row]);
}

function recordsIn(tables: Tables): Records {
  return {
    async insert(kind, id, body, terms) {
      tables.check();
      const rows = tables.kind(kind);
      if (rows.has(id)) return { outcome: 'taken', term: { name: 'id', value: id, unique: true }, by: id };
      const taken = takenTerm(tables, kind, id, terms);
      if (taken) return taken;
      put(tables, kind, { id, version: 1, body, terms: ownTerms(kind, terms) });
      tables.tell({ kind, id });
      return { outcome: 'written', version: 1 };
    },
    async update(kind, id, version, body, terms) {
      tables.check();
      const rows = tables.kind(kind);
      if (rows.get(id)?.version !== version) return { outcome: 'stale' };
      const taken = takenTerm(tables, kind, id, terms);
      if (taken) return taken;
      put(tables, kind, { id, version: version + 1, body, terms: ownTerms(kind, terms) });
      tables.tell({ kind, id });
      return { outcome: 'written', version: version + 1 };
    },
    async remove(kind, id) {
      tables.check();
      forgetUniques(tables, kind, id);
      if (!tables.kind(kind).delete(id)) return false;
      if (kind === 'grant') {
        tables.chains.delete(id as GrantId);
        tables.unsettled.delete(id as GrantId);
      }
      tables.tell({ kind, id });
      return true;
    },
    async get(kind, id) {
      tables.check();
      return shown(tables.kind(kind).get(id));
    },
    async find(kind, name, value) {
      tables.check();
      const id = tables.uniques.get(uniqueKey(kind, { name, value }));
      return id === undefined ? null : shown(tables.kind(kind).get(id));
    },
    async list(kind, { terms = [], limit, after }) {
      tables.check();
      const rows = [...tables.kind(kind).values()].filter(
        (row) => (after === null || row.id > after) && hasAll(tables, kind, row, terms),
      );
      const sorted = rows
        .toSorted((a, b) => (a.id < b.id ? -1 : 1))
        .map(({ id, version, body }) => ({ id, version, body }));
      return page(sorted, limit, (one) => one.id);
    },
  };
}

/** The state of a grant is the store's own term. */
function ownTerms(kind: RecordKind, terms: readonly Term[]): readonly Term[] {
  return kind === 'grant' ? terms.filter((term) => term.name !== 'state') : terms;
}

function hasAll(tables: Tables, kind: RecordKind, row: RecordRow, terms: readonly Term[]): boolean {
  return terms.every(({ name, value }) =>
    kind === 'grant' && name === 'state'
      ? stateOf(tables.chain(row.id as GrantId).chain) === value
      : row.terms.some((term) => term.name === name && term.value === value),
  );
}

function put(tables: Tables, kind: RecordKind, row: RecordRow): void {
  forgetUniques(tables, kind, row.id);
  tables.kind(kind).set(row.id, row);
  for (const term of row.terms) if (term.unique) tables.uniques.set(uniqueKey(kind, term), row.id);
}

function forgetUniques(tables: Tables, kind: RecordKind, id: string): void {
  for (const term of tables.kind(kind).get(id)?.terms ?? []) {
    if (term.unique) tables.uniques.delete(uniqueKey(kind, term));
  }
}

function uniqueKey(kind: RecordKind, term: Pick<Term, 'name' | 'value'>): string {
  return JSON.stringify([kind, term.name, term.value]);
}

function takenTerm(tables: Tables, kind: RecordKind, id: string, terms: readonly Term[]): Taken | null {
  for (const term of terms) {
    const by = term.unique ? tables.uniques.get(uniqueKey(kind, term)) : undefined;
    if (by !== undefined && by !== id) return { outcome: 'taken', term, by };
  }
  return null;
}

function shown(row: RecordRow | undefined): StoredRecord | null {
  return row ? { id: row.id, version: row.version, body: row.body } : null;
}

function page<T>(items: readonly T[], limit: number, cursor: (item: T) => string): Page<T> {
  const shownItems = items.slice(0, limit);
  const last = shownItems.at(-1);
  return { items: shownItems, next: items.length > limit && last !== undefined ? cursor(last) : null };
}
