/**
 * How many grants are in each state, without looking at every chain each time: counted once, when first asked, and then
 * kept up with each commit. A file has one server, so nobody else changes them.
 *
 * State: not counted yet → counted. What a transaction moves counts once that is committed.
 */
import type { DatabaseSync } from 'node:sqlite';
import type { ChainState } from '../../core/chain.ts';
import { integer, Statement, text } from './database.ts';

/** Null: the chain is not there, before or after. */
interface Move {
  readonly from: ChainState | null;
  readonly to: ChainState | null;
}

export class StateCounts {
  readonly #count: Statement;
  #counts: Map<ChainState, number> | null = null;
  #moves: Move[] = [];

  constructor(db: DatabaseSync) {
    this.#count = new Statement(db, 'SELECT state, count(*) AS grants FROM chains GROUP BY state');
  }

  all(): Readonly<Partial<Record<ChainState, number>>> {
    this.#counts ??= new Map(
      this.#count.all().map((row) => [text(row, 'state') as ChainState, integer(row, 'grants')]),
    );
    return Object.fromEntries([...this.#counts].filter(([, grants]) => grants > 0));
  }

  /** Within a transaction. */
  move(from: ChainState | null, to: ChainState | null): void {
    if (from !== to) this.#moves.push({ from, to });
  }

  committed(): void {
    for (const { from, to } of this.#moves) {
      this.#add(from, -1);
      this.#add(to, 1);
    }
    this.#moves = [];
  }

  rolledBack(): void {
    this.#moves = [];
  }

  #add(state: ChainState | null, grants: number): void {
    if (state !== null) this.#counts?.set(state, (this.#counts.get(state) ?? 0) + grants);
  }
}
