/**
 * An open SQLite file that keeps what it acknowledges: WAL with `synchronous=FULL`, read back after setting, because
 * a build or a network file system may quietly decide otherwise. Newer schemas and foreign files are refused before
 * anything is written to them.
 */
import { closeSync, existsSync, fsyncSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync, type SQLInputValue, type SQLOutputValue, type StatementSync } from 'node:sqlite';
import { EvergrantError } from '../../core/errors.ts';
import { MIGRATIONS, type Migration } from './migrations/index.ts';

const BUSY_MS = 5_000;
const FULL = 2;
/** 16 MB: a checkpoint has two fsyncs of its own, and pages that are written often are copied once. */
const CHECKPOINT_PAGES = 4_000;

export type Row = Record<string, SQLOutputValue>;

/** A prepared statement that speaks rows of known columns. */
export class Statement {
  readonly #statement: StatementSync;

  constructor(db: DatabaseSync, sql: string) {
    this.#statement = db.prepare(sql);
  }

  run(...values: SQLInputValue[]): number {
    return Number(this.#statement.run(...values).changes);
  }

  first(...values: SQLInputValue[]): Row | undefined {
    return this.#statement.get(...values);
  }

  all(...values: SQLInputValue[]): Row[] {
    return this.#statement.all(...values);
  }
}

export function text(row: Row, column: string): string {
  const value = row[column];
  if (typeof value !== 'string') throw new Error(`The column ${column} holds no text`);
  return value;
}

export function integer(row: Row, column: string): number {
  const value = row[column];
  if (typeof value !== 'number') throw new Error(`The column ${column} holds no number`);
  return value;
}

/** Opens or makes the file and brings its schema up to date. */
export function openDatabase(file: string, migrations: readonly Migration[] = MIGRATIONS): DatabaseSync {
  return guarded(file, () => {
    if (file !== ':memory:') makeFile(file);
    const db = new DatabaseSync(file, { timeout: BUSY_MS, enableForeignKeyConstraints: true });
    try {
      refuseForeignSchema(db, file, migrations);
      makeDurable(db, file);
      migrate(db, migrations);
      return db;
    } catch (error) {
      db.close();
      throw error;
    }
  });
}

/** Reads one value of `meta` without changing anything; null where there is no file, no table or no such value. */
export function peekMeta(file: string, name: string): string | null {
  if (!existsSync(file)) return null;
  return guarded(file, () => {
    const db = new DatabaseSync(file, { timeout: BUSY_MS, readOnly: true });
    try {
      if (!hasTable(db, 'meta')) return null;
      const row = db.prepare('SELECT value FROM meta WHERE name = ?').get(name);
      return row ? text(row, 'value') : null;
    } finally {
      db.close();
    }
  });
}

/** All or nothing, and no other writer in between. */
function inTransaction<T>(db: DatabaseSync, work: () => T): T {
  db.exec('BEGIN IMMEDIATE');
  try {
    const result = work();
    db.exec('COMMIT');
    return result;
  } catch (error) {
    // Some errors (a full disk) have rolled back already.
    if (db.isTransaction) db.exec('ROLLBACK');
    throw error;
  }
}

/** The owner alone may read it, and its name survives a loss of power. */
function makeFile(file: string): void {
  if (existsSync(file)) return;
  closeSync(openSync(file, 'a', 0o600));
  const folder = openSync(dirname(file), 'r');
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}

function makeDurable(db: DatabaseSync, file: string): void {
  db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA fullfsync = ON; PRAGMA secure_delete = ON');
  db.exec(`PRAGMA wal_autocheckpoint = ${CHECKPOINT_PAGES}`);
  const mode = pragma(db, 'journal_mode');
  if (mode !== 'wal') throw refused(file, `its journal mode is "${String(mode)}" and cannot be set to WAL`);
  if (Number(pragma(db, 'synchronous')) < FULL) throw refused(file, 'synchronous=FULL cannot be set');
  if (pragma(db, 'secure_delete') !== 1) throw refused(file, 'secure_delete cannot be set');
  if (pragma(db, 'foreign_keys') !== 1) throw refused(file, 'foreign keys cannot be enforced');
}

function refuseForeignSchema(db: DatabaseSync, file: string, migrations: readonly Migration[]): void {
  const known = migrations.at(-1)?.version ?? 0;
  const version = schemaVersion(db);
  if (version > known) {
    throw new EvergrantError('setting', `The database ${file} has schema ${version}; this program knows ${known}.`, {
      remedy: 'Start the newer version of Evergrant that wrote it, or restore a backup from before the upgrade.',
    });
  }
  const isEmpty = db.prepare('SELECT 1 FROM sqlite_schema LIMIT 1').get() === undefined;
  if (version === 0 && !isEmpty) throw refused(file, 'it belongs to another program');
}

function migrate(db: DatabaseSync, migrations: readonly Migration[]): void {
  inTransaction(db, () => {
    db.exec('CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL PRIMARY KEY) STRICT');
    const version = schemaVersion(db);
    for (const migration of migrations.filter((one) => one.version > version)) {
      db.exec(migration.sql);
      db.prepare('INSERT INTO schema_version (version) VALUES (?)').run(migration.version);
    }
  });
}

function schemaVersion(db: DatabaseSync): number {
  if (!hasTable(db, 'schema_version')) return 0;
  const row = db.prepare('SELECT coalesce(max(version), 0) AS version FROM schema_version').get();
  return row ? integer(row, 'version') : 0;
}

function hasTable(db: DatabaseSync, name: string): boolean {
  return db.prepare("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?").get(name) !== undefined;
}

function pragma(db: DatabaseSync, name: string): SQLOutputValue | undefined {
  const row = db.prepare(`PRAGMA ${name}`).get();
  return row ? Object.values(row)[0] : undefined;
}

function refused(file: string, why: string, cause?: unknown): EvergrantError {
  return new EvergrantError('setting', `The database ${file} cannot be used: ${why}.`, {
    remedy: 'Name a data folder on a local disk that this program may write to, and that nothing else uses.',
    cause,
  });
}

/** What SQLite says when a file is no database, is damaged or may not be opened, as an error with a remedy. */
function guarded<T>(file: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof EvergrantError) throw error;
    throw refused(file, error instanceof Error ? error.message : String(error), error);
  }
}
