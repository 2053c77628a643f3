/** The nodes in SQLite: the one that is here, and those that used this file before. */
import { randomUUID } from 'node:crypto';
import type { DatabaseSync } from 'node:sqlite';
import type { Instant } from '../../core/instant.ts';
import type { ClusterView, Nodes } from '../../ports/store.ts';
import { integer, type Row, Statement, text } from './database.ts';
import { restoredAt, restoreName } from '../restore-name.ts';
import type { GroupCommit } from './group-commit.ts';

const NOW = `CAST(unixepoch('subsec') * 1000 AS INTEGER)`;

const SQL = {
  all: `SELECT id, run, folder, max(0, lease_until - ${NOW}) AS left_ms, merged, merged_for, given_up
    FROM nodes ORDER BY id`,
  now: `SELECT ${NOW} AS now`,
  restore: `SELECT value FROM meta WHERE name = 'restore'`,
  join: `INSERT INTO nodes (id, run, folder, lease_until, merged, given_up) VALUES (?, ?, ?, ${NOW} + ?, 0, 0)
    ON CONFLICT (id) DO UPDATE SET
      run = excluded.run, folder = excluded.folder, lease_until = excluded.lease_until, given_up = 0`,
  beat: `UPDATE nodes SET lease_until = ${NOW} + ? WHERE id = ? AND run = ?`,
  merged: 'UPDATE nodes SET merged = max(merged, ?) WHERE id = ?',
  declare: `INSERT INTO meta (name, value) VALUES ('restore', ?)
    ON CONFLICT (name) DO UPDATE SET value = excluded.value`,
  mergedFor: 'UPDATE nodes SET merged_for = ? WHERE id = ?',
  giveUp: 'UPDATE nodes SET given_up = 1 WHERE id = ?',
  leave: `UPDATE nodes SET lease_until = ${NOW} WHERE id = ? AND run = ?`,
} as const;

export function nodesIn(db: DatabaseSync, commits: GroupCommit): Nodes {
  const sql = Object.fromEntries(
    Object.entries(SQL).map(([name, statement]) => [name, new Statement(db, statement)]),
  ) as Readonly<Record<keyof typeof SQL, Statement>>;

  const now = (): Instant => integer(sql.now.first() ?? {}, 'now') as Instant;

  function view(): ClusterView {
    const row = sql.restore.first();
    const restore = row ? text(row, 'value') : null;
    return { now: now(), nodes: sql.all.all().map(nodeOf), restore, restoredAt: restoredAt(restore), wokenAt: null };
  }

  return {
    join: ({ id, run }, folder, leaseMs) =>
      commits.write(() => {
        const row = sql.all.all().find((one) => one.id === id);
        const isElsewhere = row && integer(row, 'left_ms') > 0 && row.folder !== folder && row.run !== run;
        if (isElsewhere) return { outcome: 'in_use' };
        sql.join.run(id, run, folder, leaseMs);
        return { outcome: 'joined', view: view() };
      }),
    beat: ({ id, run }, leaseMs) =>
      commits.write(() => {
        const outcome = sql.beat.run(leaseMs, id, run) === 1 ? 'kept' : 'lost';
        return { outcome, view: view() };
      }),
    merged: (node, upTo) => commits.write(() => void sql.merged.run(upTo, node)),
    declareRestore: () =>
      commits.write(() => {
        const restore = restoreName(now(), randomUUID());
        sql.declare.run(restore);
        return restore;
      }),
    mergedFor: (node, restore) => commits.write(() => void sql.mergedFor.run(restore, node)),
    giveUp: (node) => commits.write(() => sql.giveUp.run(node) === 1),
    leave: ({ id, run }) => commits.write(() => void sql.leave.run(id, run)),
    view: async () => view(),
  };
}

function nodeOf(row: Row): ClusterView['nodes'][number] {
  return {
    id: text(row, 'id'),
    run: text(row, 'run'),
    leaseLeftMs: integer(row, 'left_ms'),
    merged: integer(row, 'merged'),
    mergedFor: row.merged_for === null ? null : text(row, 'merged_for'),
    isGivenUp: row.given_up === 1,
  };
}
