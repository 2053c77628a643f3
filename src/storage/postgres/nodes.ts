/** The nodes in PostgreSQL. Leases end by the database's clock alone, so the clocks of the nodes do not matter. */
import { randomUUID } from 'node:crypto';
import type { Instant } from '../../core/instant.ts';
import type { ClusterView, NodeRecord, Nodes } from '../../ports/store.ts';
import { restoredAt } from '../restore-name.ts';
import { type Database, integer, type Row, text } from './database.ts';

const VIEW = `SELECT c.now_ms, (SELECT value FROM evergrant_meta WHERE name = 'restore') AS restore,
    (SELECT value FROM evergrant_meta WHERE name = 'woken')::bigint AS woken_ms,
    n.id, n.run, n.merged, n.merged_for, n.given_up,
    greatest(0, ceil(extract(epoch FROM coalesce(b.lease_until, n.lease_until) - c.now) * 1000))::bigint AS left_ms,
    EXISTS (SELECT FROM beaten) AS is_kept
  FROM clock c LEFT JOIN evergrant_nodes n ON true LEFT JOIN beaten b USING (id) ORDER BY n.id`;
const CLOCK = `clock AS MATERIALIZED (
    SELECT now, (extract(epoch FROM now) * 1000)::bigint AS now_ms FROM (SELECT clock_timestamp() AS now) AS one
  )`;

const SQL = {
  view: `WITH ${CLOCK}, beaten AS (SELECT id, lease_until FROM evergrant_nodes WHERE false) ${VIEW}`,
  // What a statement changes it does not see, so the new lease is taken from what the change returns.
  beat: `WITH ${CLOCK}, beaten AS (
      UPDATE evergrant_nodes SET lease_until = clock_timestamp() + $3::bigint * interval '1 millisecond'
      WHERE id = $1 AND run = $2 RETURNING id, lease_until
    ) ${VIEW}`,
  join: `INSERT INTO evergrant_nodes AS n (id, run, folder, lease_until)
    VALUES ($1, $2, $3, clock_timestamp() + $4::bigint * interval '1 millisecond')
    ON CONFLICT (id) DO UPDATE
      SET run = excluded.run, folder = excluded.folder, lease_until = excluded.lease_until, given_up = false
      WHERE n.lease_until <= clock_timestamp() OR n.folder = excluded.folder OR n.run = excluded.run
    RETURNING id`,
  woken: `WITH ${CLOCK} INSERT INTO evergrant_meta (name, value) SELECT 'woken', now_ms::text FROM clock
    WHERE NOT EXISTS (SELECT FROM evergrant_nodes WHERE id <> $1 AND lease_until > clock.now)
    ON CONFLICT (name) DO UPDATE SET value = excluded.value`,
  merged: 'UPDATE evergrant_nodes SET merged = greatest(merged, $2) WHERE id = $1',
  declare: `WITH ${CLOCK} INSERT INTO evergrant_meta (name, value) SELECT 'restore', now_ms || '.' || $1::text FROM clock
    ON CONFLICT (name) DO UPDATE SET value = excluded.value RETURNING value`,
  mergedFor: 'UPDATE evergrant_nodes SET merged_for = $2 WHERE id = $1',
  giveUp: 'UPDATE evergrant_nodes SET given_up = true WHERE id = $1 RETURNING id',
  leave: 'UPDATE evergrant_nodes SET lease_until = clock_timestamp() WHERE id = $1 AND run = $2',
} as const;

export function nodesIn(db: Database): Nodes {
  return {
    join: ({ id, run }, folder, leaseMs) =>
      db.transaction(async (query) => {
        const joined = await query(SQL.join, [id, run, folder, leaseMs]);
        if (joined.length === 0) return { outcome: 'in_use' };
        await query(SQL.woken, [id]);
        return { outcome: 'joined', view: viewOf(await query(SQL.view)) };
      }),
    async beat({ id, run }, leaseMs) {
      const rows = await db.query(SQL.beat, [id, run, leaseMs]);
      return { outcome: rows[0]?.is_kept === true ? 'kept' : 'lost', view: viewOf(rows) };
    },
    async merged(node, upTo) {
      await db.transaction((query) => query(SQL.merged, [node, upTo]));
    },
    async declareRestore() {
      const [declared] = await db.transaction((query) => query(SQL.declare, [randomUUID()]));
      return text(declared ?? {}, 'value');
    },
    async mergedFor(node, restore) {
      await db.transaction((query) => query(SQL.mergedFor, [node, restore]));
    },
    giveUp: async (node) => (await db.transaction((query) => query(SQL.giveUp, [node]))).length > 0,
    async leave({ id, run }) {
      await db.transaction((query) => query(SQL.leave, [id, run]));
    },
    view: async () => viewOf(await db.query(SQL.view)),
  };
}

/** Without any node there is one row, for the clock. */
function viewOf(rows: readonly Row[]): ClusterView {
  const [first] = rows;
  const restore = textOrNull(first, 'restore');
  return {
    now: integer(first, 'now_ms') as Instant,
    nodes: rows.filter((row) => row.id !== null).map(nodeOf),
    restore,
    restoredAt: restoredAt(restore),
    wokenAt: first?.woken_ms === null ? null : (integer(first, 'woken_ms') as Instant),
  };
}

function nodeOf(row: Row): NodeRecord {
  return {
    id: text(row, 'id'),
    run: text(row, 'run'),
    leaseLeftMs: integer(row, 'left_ms'),
    merged: integer(row, 'merged'),
    mergedFor: textOrNull(row, 'merged_for'),
    isGivenUp: row.given_up === true,
  };
}

function textOrNull(row: Row | undefined, column: string): string | null {
  return row?.[column] === null ? null : text(row, column);
}
