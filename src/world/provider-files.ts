/** Provider files on disk. Only reads them; what they mean is the catalogue's to say. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { EvergrantError } from '../core/errors.ts';

/** Describes the others; it is no provider. */
const SCHEMA = 'schema.json';

/**
 * Every `*.json` of a folder, by name. `name` is the path, for messages. Throws `setting` where the folder or one of
 * its files cannot be read.
 */
export function readProviderFiles(folder: string): readonly { readonly name: string; readonly text: string }[] {
  return namesIn(folder).map((name) => readProviderFile(join(folder, name)));
}

export function readProviderFile(path: string): { readonly name: string; readonly text: string } {
  // Some editors put a byte order mark before JSON.
  return { name: path, text: reading(path, () => readFileSync(path, 'utf8').replace(/^\u{FEFF}/u, '')) };
}

function namesIn(folder: string): readonly string[] {
  const names = reading(folder, () => readdirSync(folder));
  return names.filter((name) => name.endsWith('.json') && name !== SCHEMA).toSorted();
}

function reading<T>(path: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new EvergrantError('setting', `The provider files cannot be read: ${reason}`, {
      cause,
      remedy: `Check that ${path} is there and may be read; a folder is set with --providers (EVERGRANT_PROVIDERS).`,
    });
  }
}
