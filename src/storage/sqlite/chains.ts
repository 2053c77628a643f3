/** Chains in SQLite: every append is one transaction that folds the event and keeps what follows from it. */
import type { DatabaseSync } from 'node:sqlite';
import { type ChainEvent, type ChainEventWithoutAnswer, EMPTY_CHAIN, stateOf } from '../../core/chain.ts';
import type { GrantId, LinkId } from '../../core/id.ts';
import type { Instant } from '../../core/instant.ts';
import type { Sealed } from '../../core/secret.ts';
import type { Appended, Chains, Conflict, DueOf, StoredChain } from '../../ports/store.ts';
import { type Folded, fold, isUnsettled, linkOf, PASSING_KEPT, type Seen } from '../fold.ts';
import { integer, Statement, text } from './database.ts';
import type { GroupCommit } from './group-commit.ts';
import { ParsedChains } from './parsed-chains.ts';
import type { StateCounts } from './state-counts.ts';

const SQL = {
  read: 'SELECT version, chain FROM chains WHERE grant_id = ?',
  begin: 'INSERT INTO chains (grant_id, version, state, unsettled, chain, due_at) VALUES (?, ?, ?, ?, ?, ?)',
  write: 'UPDATE chains SET version = ?, state = ?, unsettled = ?, chain = ? WHERE grant_id = ?',
  writeDue: 'UPDATE chains SET version = ?, state = ?, unsettled = ?, chain = ?, due_at = ? WHERE grant_id = ?',
  record: 'INSERT INTO chain_events (grant_id, version, passing, event) VALUES (?, ?, ?, ?)',
  // The newest that is not too far back: what came of an attempt follows soon.
  pass: `UPDATE chain_events SET passing = 1 WHERE grant_id = ?1 AND version = (
    SELECT max(version) FROM chain_events
    WHERE grant_id = ?1 AND version > ?2 - 64 AND event ->> 'type' = 'started' AND event ->> 'id' = ?3)`,
  prune: `DELETE FROM chain_events WHERE grant_id = ?1 AND passing = 1 AND version <= (
    SELECT version FROM chain_events WHERE grant_id = ?1 AND passing = 1 ORDER BY version DESC LIMIT 1 OFFSET ?2)`,
  history: 'SELECT version, event FROM chain_events WHERE grant_id = ? AND version < ? ORDER BY version DESC LIMIT ?',
  answer: 'SELECT sealed FROM answers WHERE grant_id = ? AND link = ?',
  keepAnswer: `INSERT INTO answers (grant_id, link, sealed) VALUES (?, ?, ?)
    ON CONFLICT (grant_id, link) DO UPDATE SET sealed = excluded.sealed`,
  wipe: 'DELETE FROM answers WHERE grant_id = ? AND link = ?',
  wipeAll: 'DELETE FROM answers WHERE grant_id = ?',
  seen: 'SELECT seen FROM fingerprints WHERE grant_id = ? AND link = ?',
  hold: `INSERT INTO fingerprints (grant_id, link, fingerprint, seen) VALUES (?, ?, ?, ?)
    ON CONFLICT (grant_id, link) DO UPDATE SET fingerprint = excluded.fingerprint, seen = excluded.seen`,
  holders: 'SELECT grant_id, link FROM fingerprints WHERE fingerprint = ? ORDER BY link, grant_id',
  unsettled: 'SELECT grant_id FROM chains INDEXED BY chains_unsettled WHERE unsettled = 1 ORDER BY grant_id',
  due: 'SELECT grant_id, due_at FROM chains WHERE due_at <= ? ORDER BY due_at LIMIT ?',
  setDue: 'UPDATE chains SET due_at = ? WHERE grant_id = ?',
  reschedule: 'UPDATE chains SET due_at = ? WHERE grant_id = ? AND version = ?',
} as const;

type Statements = Readonly<Record<keyof typeof SQL, Statement>> & { readonly parsed: ParsedChains };

export function chainsIn(db: DatabaseSync, commits: GroupCommit, counts: StateCounts): Chains {
  const statements = Object.entries(SQL).map(([name, statement]) => [name, new Statement(db, statement)]);
  const sql: Statements = { ...Object.fromEntries(statements), parsed: new ParsedChains() };
  return {
    read: async (grant) => read(sql, grant),
    append: (grant, expected, event, dueOf) => commits.write(() => append(sql, counts, grant, expected, event, dueOf)),
    async answer(grant, link) {
      const row = sql.answer.first(grant, link);
      return row ? (text(row, 'sealed') as Sealed) : null;
    },
    holders: async (fingerprint) =>
      sql.holders
        .all(fingerprint)
        .map((row) => ({ grant: text(row, 'grant_id') as GrantId, link: text(row, 'link') as LinkId })),
    async history(grant, { limit, after }) {
      const before = after === null ? Number.MAX_SAFE_INTEGER : Number(after);
      const rows = sql.history.all(grant, before, limit + 1);
      const items = rows.slice(0, limit).map((row) => ({
        version: integer(row, 'version'),
        event: JSON.parse(text(row, 'event')) as ChainEventWithoutAnswer,
      }));
      return { items, next: rows.length > limit ? String(items.at(-1)?.version) : null };
    },
    unsettled: async () => sql.unsettled.all().map((row) => text(row, 'grant_id') as GrantId),
    reschedule: (grant, expected, at) => commits.write(() => void sql.reschedule.run(at, grant, expected)),
    due: async (by, limit) =>
      sql.due
        .all(by, limit)
        .map((row) => ({ grant: text(row, 'grant_id') as GrantId, at: integer(row, 'due_at') as Instant })),
    count: async () => counts.all(),
  };
}

function read(sql: Statements, grant: GrantId): StoredChain {
  return found(sql, grant) ?? { version: 0, chain: EMPTY_CHAIN };
}

function found(sql: Statements, grant: GrantId): StoredChain | null {
  const row = sql.read.first(grant);
  return row ? { version: integer(row, 'version'), chain: sql.parsed.parse(grant, text(row, 'chain')) } : null;
}

function append(
  sql: Statements,
  counts: StateCounts,
  grant: GrantId,
  expected: number | 'any',
  event: ChainEvent,
  dueOf: DueOf | undefined,
): Appended | Conflict {
  const kept = found(sql, grant);
  const before = kept ?? { version: 0, chain: EMPTY_CHAIN };
  if (expected !== 'any' && expected !== before.version) return { outcome: 'conflict', ...before };
  const folded = fold(before, event, seen(sql, grant, linkOf(event)));
  const { version, chain, holder } = folded;
  if (holder) sql.hold.run(grant, holder.link, holder.fingerprint, holder.seen);
  // Version 0: a link of a grant that was removed meanwhile. Nothing comes back to life.
  if (version > 0) {
    keepChain(sql, grant, kept, folded, dueOf);
    keepEvent(sql, grant, folded);
    keepAnswers(sql, grant, folded);
    counts.move(grant, kept && stateOf(kept.chain), stateOf(chain));
  }
  return { outcome: 'appended', version, chain };
}

function seen(sql: Statements, grant: GrantId, link: LinkId | null): Seen {
  const row = link === null ? undefined : sql.seen.first(grant, link);
  return row ? (text(row, 'seen') as Seen) : null;
}

function keepChain(
  sql: Statements,
  grant: GrantId,
  before: StoredChain | null,
  { version, chain }: Folded,
  dueOf: DueOf | undefined,
): void {
  if (version === before?.version) {
    if (dueOf) sql.setDue.run(dueOf(chain), grant);
    return;
  }
  const values = [version, stateOf(chain), isUnsettled(chain) ? 1 : 0, sql.parsed.textOf(grant, chain)] as const;
  if (!before) sql.begin.run(grant, ...values, dueOf?.(chain) ?? null);
  else if (dueOf) sql.writeDue.run(...values, dueOf(chain), grant);
  else sql.write.run(...values, grant);
}

function keepEvent(sql: Statements, grant: GrantId, { version, recorded, passes }: Folded): void {
  if (!recorded) return;
  sql.record.run(grant, version, passes ? 1 : 0, JSON.stringify(recorded));
  if (!passes) return;
  if (passes.attempt) sql.pass.run(grant, version, passes.attempt);
  sql.prune.run(grant, PASSING_KEPT);
}

function keepAnswers(sql: Statements, grant: GrantId, { wiped, wipesOrphans, answer }: Folded): void {
  for (const link of wiped) sql.wipe.run(grant, link);
  if (wipesOrphans) sql.wipeAll.run(grant);
  if (answer) sql.keepAnswer.run(grant, answer.link, answer.sealed);
}
