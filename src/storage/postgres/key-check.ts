/**
 * Whether a root key belongs to a database that many nodes share. The first node writes a value that only its key gives;
 * every other one compares, before anything is sealed, opened or written with another key.
 */
import { EvergrantError } from '../../core/errors.ts';
import { type Database, text } from './database.ts';

/** The key check of a database; null where there is none yet. Changes nothing. */
export async function readKeyCheck(db: Database): Promise<string | null> {
  const [there] = await db.query(`SELECT to_regclass('evergrant_meta') IS NOT NULL AS is_there`);
  if (there?.is_there !== true) return null;
  const [row] = await db.query(`SELECT value FROM evergrant_meta WHERE name = 'key_check'`);
  return row ? text(row, 'value') : null;
}

/**
 * Makes this key the database's, unless another one is. Of two nodes that start on an empty database at once, with
 * different keys, the second is refused. Throws `setting`.
 */
export async function claimKeyCheck(db: Database, keyCheck: string): Promise<void> {
  await db.transaction((query) =>
    query(`INSERT INTO evergrant_meta (name, value) VALUES ('key_check', $1) ON CONFLICT DO NOTHING`, [keyCheck]),
  );
  compareKeyChecks(await readKeyCheck(db), keyCheck);
}

/** Throws `setting` where the database was written with another root key. */
export function compareKeyChecks(kept: string | null, keyCheck: string): void {
  if (kept === null || kept === keyCheck) return;
  throw new EvergrantError('setting', 'The root key is not the one that this database was written with.', {
    remedy: 'Give this node the root key of the others (EVERGRANT_ROOT_KEY, or root.key in its data folder).',
  });
}
