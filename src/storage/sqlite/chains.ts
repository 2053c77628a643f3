/** Chains in SQLite: every append is one transaction that folds the event and keeps what follows from it. */
import type { DatabaseSync } from 'node:sqlite';
import {
  type Chain,
  type ChainEvent,
  type ChainEventWithoutAnswer,
  type ChainState,
  EMPTY_CHAIN,
  stateOf,
} from '../../core/chain.ts';
import type { GrantId, LinkId } from '../../core/id.ts';
import type { Instant } from '../../core/instant.ts';
import type { Sealed } from '../../core/secret.ts';
import type { Appended, Chains, Conflict, DueOf, StoredChain } from '../../ports/store.ts';
import { type Folded, fold, isUnsettled, linkOf, type Seen } from '../fold.ts';
import { integer, Statement, text } from './database.ts';
import type { GroupCommit } from './group-commit.ts';

const SQL = {
  read: 'SELECT version, chain FROM chains WHERE grant_id = ?',
  write: `INSERT INTO chains (grant_id, version, state, unsettled, chain) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (grant_id) DO UPDATE SET
      version = excluded.version, state = excluded.state, unsettled = excluded.unsettled, chain = excluded.chain`,
  record: 'INSERT INTO chain_events (grant_id, version, event) VALUES (?, ?, ?)',
  history: 'SELECT version, event FROM chain_events WHERE grant_id = ? AND version < ? ORDER BY version DESC LIMIT ?',
  answer: 'SELECT sealed FROM answers WHERE grant_id = ? AND link = ?',
  keepAnswer: `INSERT INTO answers (grant_id, link, sealed) VALUES (?, ?, ?)
    ON CONFLICT (grant_id, link) DO UPDATE SET sealed = excluded.sealed`,
  wipe: 'DELETE FROM answers WHERE grant_id = ? AND link = ?',
  wipeAll: 'DELETE FROM answers WHERE grant_id = ?',
  seen: 'SELECT seen FROM fingerprints WHERE grant_id = ? AND link = ?',
  hold: `INSERT INTO fingerprints (grant_id, link, fingerprint, seen) VALUES (?, ?, ?, ?)
    ON CONFLICT (grant_id, link) DO UPDATE SET fingerprint = excluded.fingerprint, seen = excluded.seen`,
  holders: 'SELECT grant_id, link FROM fingerprints WHERE fingerprint = ? ORDER BY rowid',
  unsettled: 'SELECT grant_id FROM chains INDEXED BY chains_unsettled WHERE unsettled = 1 ORDER BY grant_id',
  due: 'SELECT grant_id, due_at FROM chains WHERE due_at <= ? ORDER BY due_at LIMIT ?',
  setDue: 'UPDATE chains SET due_at = ? WHERE grant_id = ?',
  reschedule: 'UPDATE chains SET due_at = ? WHERE grant_id = ? AND version = ?',
  count: `SELECT value AS state, count(*) AS grants FROM record_terms
    WHERE kind = 'grant' AND name = 'state' GROUP BY value`,
  nameState: `UPDATE record_terms SET value = ? WHERE kind = 'grant' AND name = 'state' AND id = ?`,
} as const;

type Statements = Readonly<Record<keyof typeof SQL, Statement>>;

export function chainsIn(db: DatabaseSync, commits: GroupCommit): Chains {
  const sql = Object.fromEntries(
    Object.entries(SQL).map(([name, statement]) => [name, new Statement(db, statement)]),
  ) as Statements;
  return {
    read: async (grant) => read(sql, grant),
    append: (grant, expected, event, dueOf) => commits.write(() => append(sql, grant, expected, event, dueOf)),
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
    count: async () =>
      Object.fromEntries(sql.count.all().map((row) => [text(row, 'state') as ChainState, integer(row, 'grants')])),
  };
}

function read(sql: Statements, grant: GrantId): StoredChain {
  const row = sql.read.first(grant);
  if (!row) return { version: 0, chain: EMPTY_CHAIN };
  return { version: integer(row, 'version'), chain: JSON.parse(text(row, 'chain')) as Chain };
}

function append(
  sql: Statements,
  grant: GrantId,
  expected: number | 'any',
  event: ChainEvent,
  dueOf: DueOf | undefined,
): Appended | Conflict {
  const before = read(sql, grant);
  if (expected !== 'any' && expected !== before.version) return { outcome: 'conflict', ...before };
  const folded = fold(before, event, seen(sql, grant, linkOf(event)));
  keep(sql, grant, before, folded);
  if (dueOf && folded.version > 0) sql.setDue.run(dueOf(folded.chain), grant);
  return { outcome: 'appended', version: folded.version, chain: folded.chain };
}

function seen(sql: Statements, grant: GrantId, link: LinkId | null): Seen {
  const row = link === null ? undefined : sql.seen.first(grant, link);
  return row ? (text(row, 'seen') as Seen) : null;
}

function keep(sql: Statements, grant: GrantId, before: StoredChain, folded: Folded): void {
  const { version, chain, recorded, answer, holder } = folded;
  if (holder) sql.hold.run(grant, holder.link, holder.fingerprint, holder.seen);
  // A link of a grant that was removed meanwhile: nothing comes back to life.
  if (version === 0) return;
  const state = stateOf(chain);
  if (version !== before.version) {
    sql.write.run(grant, version, state, isUnsettled(chain) ? 1 : 0, JSON.stringify(chain));
  }
  if (recorded) sql.record.run(grant, version, JSON.stringify(recorded));
  for (const link of folded.wiped) sql.wipe.run(grant, link);
  if (folded.wipesOrphans) sql.wipeAll.run(grant);
  if (answer) sql.keepAnswer.run(grant, answer.link, answer.sealed);
  if (state !== stateOf(before.chain)) sql.nameState.run(state, grant);
}
