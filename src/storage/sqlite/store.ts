/**
 * The store in one SQLite file, for one server. It is synchronous on purpose: while a commit lasts nothing else of this
 * process may see a half-made change. What is to be written in the same turn shares one commit, and so one fsync.
 *
 * States: open, then closed; a closed store rejects everything, after what was waiting has been written.
 */
import type { Store } from '../../ports/store.ts';
import { chainsIn } from './chains.ts';
import { openDatabase, Statement, text } from './database.ts';
import { GroupCommit } from './group-commit.ts';
import { nodesIn } from './nodes.ts';
import { recordsIn } from './records.ts';
import { StateCounts } from './state-counts.ts';

/** Few values about the database itself. */
export interface Meta {
  get(name: string): string | null;
  set(name: string, value: string): void;
}

export interface SqliteStore extends Store {
  readonly meta: Meta;
}

/**
 * Opens the file, or makes it. Throws `setting` when it is not fit to keep tokens. `gather` resolves at the end of a turn
 * of the event loop: until then writes wait for others to share their commit.
 */
export function openSqliteStore(file: string, gather: () => Promise<void> = async () => undefined): SqliteStore {
  const db = openDatabase(file);
  const counts = new StateCounts(db);
  const commits = new GroupCommit(db, gather, counts);
  const meta = metaIn(new Statement(db, 'SELECT value FROM meta WHERE name = ?'), new Statement(db, UPSERT));
  const checked = new Statement(db, CHECK);
  return {
    chains: chainsIn(db, commits, counts),
    records: recordsIn(db, commits, counts),
    nodes: nodesIn(db, commits),
    // The lock of its data folder keeps every other server away.
    isShared: false,
    watch: () => () => undefined,
    heardAgoMs: () => 0,
    meta,
    check: () => commits.write(() => void checked.run()),
    async close() {
      commits.flush();
      if (db.isOpen) db.close();
    },
  };
}

const UPSERT = 'INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value';

/** A real write: a database that can only be read, or a full disk, is not ready. */
const CHECK = `INSERT INTO meta (name, value) VALUES ('checks', '1')
  ON CONFLICT (name) DO UPDATE SET value = CAST(value AS INTEGER) + 1`;

function metaIn(read: Statement, write: Statement): Meta {
  return {
    get(name) {
      const row = read.first(name);
      return row ? text(row, 'value') : null;
    },
    set(name, value) {
      write.run(name, value);
    },
  };
}
