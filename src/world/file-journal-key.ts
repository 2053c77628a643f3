/** Which root key sealed what is in a journal: a small file beside its segments says so, and nothing about the key. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { EvergrantError } from '../core/errors.ts';
import { codeOf, writeNewFile } from './new-file.ts';

const KEY_CHECK = 'key.check';

/** Throws `setting` where the journal in this folder belongs to another root key; notes the key of a new one. */
export async function checkKey(folder: string, keyCheck: string): Promise<void> {
  const path = join(folder, KEY_CHECK);
  const kept = await keyCheckIn(folder);
  if (kept === null) writeNewFile(path, `${keyCheck}\n`);
  if (kept === null || kept === keyCheck) return;
  throw new EvergrantError('setting', 'The root key is not the one that the journal was written with.', {
    remedy: 'Give back the root key of this data folder (EVERGRANT_ROOT_KEY, or root.key). Nothing was changed.',
  });
}

/** Null where it has none: it is new, or an older version wrote it. */
export async function keyCheckIn(folder: string): Promise<string | null> {
  try {
    return (await readFile(join(folder, KEY_CHECK), 'utf8')).trim();
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return null;
    throw error;
  }
}
