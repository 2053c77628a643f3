/**
 * How many grants are in each state, without looking at every chain each time: counted once, when first asked, and then
 * kept up with each commit. A file has one server, so nobody else changes them. A chain whose grant has no record, not
 * yet or not any more, is none of them: there is one while a grant is made again from the journal.
 *
 * State: not counted yet → counted. What a transaction moves counts once that is committed.
 */
import type { DatabaseSync } from 'node:sqlite';
import type { ChainState } from '../../core/chain.ts';
import { integer, Statement, text } from './database.ts';

type Counts = Map<ChainState, number>;

const SQL = {
  chains: 'SELECT count(*) AS chains FROM chains',
  grants: `SELECT count(*) AS grants FROM records WHERE kind = 'grant'`,
  // By far the most chains are active: those need not be looked at one by one.
  others: `SELECT state, count(*) AS chains FROM chains WHERE state < 'active' GROUP BY state
    UNION ALL SELECT state, count(*) AS chains FROM chains WHERE state > 'active' GROUP BY state`,
  unlisted: `SELECT grant_id, state FROM chains
    WHERE grant_id IN (SELECT grant_id FROM chains EXCEPT SELECT id FROM records WHERE kind = 'grant')`,
} as const;

export class StateCounts {
  readonly #sql: Readonly<Record<keyof typeof SQL, Statement>>;
  #counts: Counts | null = null;
  /** Grants with a chain and no record. */
  readonly #unlisted = new Set<string>();
  #changes: ((counts: Counts) => void)[] = [];

  constructor(db: DatabaseSync) {
    const statements = Object.entries(SQL).map(([name, sql]) => [name, new Statement(db, sql)]);
    this.#sql = Object.fromEntries(statements) as Record<keyof typeof SQL, Statement>;
  }

  all(): Readonly<Partial<Record<ChainState, number>>> {
    this.#counts ??= this.#count();
    return Object.fromEntries([...this.#counts].filter(([, grants]) => grants > 0));
  }

  /** Within a transaction, as all that follows: the grant has a record now, and its chain this state. */
  list(grant: string, state: ChainState): void {
    this.#changes.push((counts) => {
      this.#unlisted.delete(grant);
      add(counts, state, 1);
    });
  }

  /** Record and chain are gone. */
  remove(state: ChainState): void {
    this.#changes.push((counts) => add(counts, state, -1));
  }

  /** `from`: null where the chain was not there, and so no record either. */
  move(grant: string, from: ChainState | null, to: ChainState): void {
    if (from === to) return;
    this.#changes.push((counts) => {
      if (from === null) this.#unlisted.add(grant);
      if (from === null || this.#unlisted.has(grant)) return;
      add(counts, from, -1);
      add(counts, to, 1);
    });
  }

  committed(): void {
    if (this.#counts) for (const change of this.#changes) change(this.#counts);
    this.#changes = [];
  }

  rolledBack(): void {
    this.#changes = [];
  }

  #count(): Counts {
    const counts = new Map(
      this.#sql.others.all().map((row) => [text(row, 'state') as ChainState, integer(row, 'chains')]),
    );
    const chains = integer(this.#sql.chains.first() ?? {}, 'chains');
    const grants = integer(this.#sql.grants.first() ?? {}, 'grants');
    counts.set(
      'active',
      counts.values().reduce((rest, some) => rest - some, chains),
    );
    // Every grant has a chain.
    const unlisted = chains === grants ? [] : this.#sql.unlisted.all();
    for (const row of unlisted) {
      this.#unlisted.add(text(row, 'grant_id'));
      add(counts, text(row, 'state') as ChainState, -1);
    }
    return counts;
  }
}

function add(counts: Counts, state: ChainState, grants: number): void {
  counts.set(state, (counts.get(state) ?? 0) + grants);
}
