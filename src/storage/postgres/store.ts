/**
 * The store in PostgreSQL, for one node or many.
 *
 * States: connected (the server was found fit, nothing was written), open (the schema is there, changes are listened
 * for), then closed; a closed store rejects everything.
 */
import { EvergrantError } from '../../core/errors.ts';
import type { Clock } from '../../ports/clock.ts';
import type { Log } from '../../ports/log.ts';
import type { Store } from '../../ports/store.ts';
import { Changes } from './changes.ts';
import { chainsIn } from './chains.ts';
import { Database, type DatabaseOptions, sqlState, text } from './database.ts';
import { claimKeyCheck } from './key-check.ts';
import { migrate } from './migrate.ts';
import { nodesIn } from './nodes.ts';
import { recordsIn } from './records.ts';

/** Connects, and throws `setting` where the server is not fit to keep tokens. Changes nothing. */
export async function connectPostgres(options: DatabaseOptions): Promise<Database> {
  const db = new Database(options);
  try {
    await refuseUnfit(db, options.url);
    return db;
  } catch (error) {
    await db.close();
    throw error instanceof EvergrantError ? error : unusable(options.url, error);
  }
}

export interface PostgresStoreParts {
  readonly db: Database;
  /** Of the root key: no other one may use this database. */
  readonly keyCheck: string;
  /** A connection that leads to the server itself, for LISTEN; null: the database's own is tried. */
  readonly listenUrl: string | null;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * Brings the schema up to date, and claims the database for this root key. The store closes the database. Throws
 * `setting` where it is another program's or another key's.
 */
export async function openPostgresStore(parts: PostgresStoreParts): Promise<Store> {
  const { db } = parts;
  await migrate(db);
  await claimKeyCheck(db, parts.keyCheck);
  const changes = new Changes(parts);
  await changes.start();
  return {
    chains: chainsIn(db, changes),
    records: recordsIn(db, changes),
    nodes: nodesIn(db),
    isShared: true,
    watch: (listener) => changes.watch(listener),
    heardAgoMs: () => changes.heardAgoMs(),
    async check() {
      await db.transaction((query) => query(CHECK));
    },
    async close() {
      await changes.close();
      await db.close();
    },
  };
}

/** A real write: a database that can only be read, or a full disk, is not ready. */
const CHECK = `INSERT INTO evergrant_meta (name, value) VALUES ('checks', '1')
  ON CONFLICT (name) DO UPDATE SET value = (evergrant_meta.value::bigint + 1)::text`;

async function refuseUnfit(db: Database, url: string): Promise<void> {
  const [row] = await db.query(
    `SELECT current_setting('fsync') AS fsync, current_setting('server_encoding') AS encoding`,
  );
  if (text(row, 'fsync') !== 'on') throw refused(url, 'it runs with fsync off and loses what it acknowledged');
  if (text(row, 'encoding') !== 'UTF8') throw refused(url, `its encoding is ${text(row, 'encoding')}, not UTF8`);
}

function unusable(url: string, cause: unknown): EvergrantError {
  const why = cause instanceof Error ? cause.message || ('code' in cause && String(cause.code)) : String(cause);
  // The server answered, and it is not the one that was meant: no password, no such database, a standby, bad TLS.
  const isSetting = /^(28|3D|42)/.test(sqlState(cause) ?? '') || /standby|certificate|SSL|password/i.test(String(why));
  if (isSetting) return refused(url, String(why), cause);
  return new EvergrantError('server_unavailable', `The database ${placeOf(url)} cannot be reached: ${why}.`, {
    remedy: 'Start it, or correct --database-url; then start this node again.',
    cause,
  });
}

function refused(url: string, why: string, cause?: unknown): EvergrantError {
  return new EvergrantError('setting', `The database ${placeOf(url)} cannot be used: ${why}.`, {
    remedy: 'Correct --database-url, or the server: docs/operating/cluster.md says what it needs.',
    cause,
  });
}

/** Without user and password. */
function placeOf(url: string): string {
  const { host, pathname } = new URL(url);
  return `${host}${pathname}`;
}
