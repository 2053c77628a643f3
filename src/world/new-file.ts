/** Small files that are made once, whole or not at all, and outlive a loss of power; and those with secrets in them. */
import { closeSync, fsyncSync, linkSync, openSync, readFileSync, statSync, unlinkSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { EvergrantError } from '../core/errors.ts';

const ANYONE_ELSE = 0o077;

/**
 * Makes a file that only its owner may read (0600). It appears under its name complete, and never in place of another
 * one: then this throws `EEXIST`.
 */
export function writeNewFile(path: string, text: string): void {
  const draft = `${path}.${process.pid}.new`;
  const file = openSync(draft, 'w', 0o600);
  try {
    writeFileSync(file, text);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  try {
    linkSync(draft, path);
  } finally {
    unlinkSync(draft);
  }
  syncFolder(dirname(path));
}

/** The text of a file that its owner alone may read; null where there is none. Throws `setting` where others may. */
export function readOwnFile(path: string, what: string): string | null {
  try {
    if (process.platform !== 'win32' && (statSync(path).mode & ANYONE_ELSE) !== 0) {
      throw new EvergrantError('setting', `The ${what} ${path} may be read by others than its owner.`, {
        remedy: `Run: chmod 600 ${path}`,
      });
    }
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return null;
    if (error instanceof EvergrantError) throw error;
    throw new EvergrantError('setting', `The ${what} ${path} cannot be read (${codeOf(error)}).`, {
      remedy: `Let the user that runs Evergrant own and read it: chmod 600 ${path}`,
      cause: error,
    });
  }
}

/** Makes the names in a folder durable. */
export function syncFolder(path: string): void {
  // Windows keeps names by itself and cannot open folders.
  if (process.platform === 'win32') return;
  const folder = openSync(path, 'r');
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}

/** The code of a system error, as in `ENOENT`. */
export function codeOf(error: unknown): string | null {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : null;
}
