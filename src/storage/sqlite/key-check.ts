/**
 * Whether a root key belongs to a database. The first start writes a value that only this key gives; later starts
 * compare, before anything is sealed, opened or written with the wrong key.
 */
import { EvergrantError } from '../../core/errors.ts';
import { peekMeta } from './database.ts';
import type { Meta } from './store.ts';

const NAME = 'key_check';

/** The key check in a database file; null where there is none yet. Changes nothing, so it may come before all else. */
export function peekKeyCheck(file: string): string | null {
  return peekMeta(file, NAME);
}

/** Throws `setting` when the database was written with another root key; keeps the check of a new database. */
export function verifyKeyCheck(meta: Meta, keyCheck: string): void {
  const kept = meta.get(NAME);
  compareKeyCheck(kept, keyCheck);
  if (kept === null) meta.set(NAME, keyCheck);
}

/** As `verifyKeyCheck`, with a check that was peeked at. */
export function compareKeyCheck(kept: string | null, keyCheck: string): void {
  if (kept === null || kept === keyCheck) return;
  throw new EvergrantError('setting', 'The root key is not the one that this database was written with.', {
    remedy: 'Give back the root key of this database (EVERGRANT_ROOT_KEY, or root.key in the data folder).',
  });
}
