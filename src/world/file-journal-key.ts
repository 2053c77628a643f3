/** Which root key sealed what is in a journal: a small file beside its segments says so, and nothing about the key. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { EvergrantError } from '../core/errors.ts';
import { codeOf, writeNewFile } from './new-file.ts';

const KEY_CHECK = 'key.check';

/** Notes the key of a new journal. Throws `setting` where it belongs to another one. */
export function verifyJournalKey(folder: string, keyCheck: string): void {
  const kept = keyCheckIn(folder);
  if (kept === null) writeNewFile(join(folder, KEY_CHECK), `${keyCheck}\n`);
  else compare(kept, keyCheck);
}

/** Whether a data folder has a journal that was sealed: its root key must not be made anew. */
export function hasJournalKey(dataFolder: string): boolean {
  return keyCheckIn(join(dataFolder, 'journal')) !== null;
}

/** As `verifyJournalKey`, and changes nothing, so it may come before all else. */
export function compareJournalKey(dataFolder: string, keyCheck: string): void {
  const kept = keyCheckIn(join(dataFolder, 'journal'));
  if (kept !== null) compare(kept, keyCheck);
}

function compare(kept: string, keyCheck: string): void {
  if (kept === keyCheck) return;
  throw new EvergrantError('setting', 'The root key is not the one that the journal was written with.', {
    remedy: 'Give back the root key of this data folder (EVERGRANT_ROOT_KEY, or root.key). Nothing was changed.',
  });
}

/** Null where there is none: the journal is new, or an older version wrote it. */
function keyCheckIn(folder: string): string | null {
  try {
    return readFileSync(join(folder, KEY_CHECK), 'utf8').trim();
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return null;
    throw error;
  }
}
