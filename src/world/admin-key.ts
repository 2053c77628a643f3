/** The admin API key: given by the settings, or made on the first start into a file that only its owner can read. */
import { join } from 'node:path';
import { EvergrantError } from '../core/errors.ts';
import { Secret } from '../core/secret.ts';
import type { Random } from '../ports/random.ts';
import { readOwnFile, writeNewFile } from './new-file.ts';

const FILE = 'admin.key';
const KEY_BYTES = 32;
const LEAST_LENGTH = 32;

export interface AdminKeySource {
  /** From the settings; null: the file in the data folder. */
  readonly text: string | null;
  readonly dataFolder: string;
  readonly random: Random;
}

/** Throws `setting` for a key that is too short, or a file that others may read. */
export function loadAdminKey(source: AdminKeySource): { readonly key: Secret<'api key'>; readonly isNew: boolean } {
  if (source.text !== null) return { key: checked(source.text, 'EVERGRANT_ADMIN_KEY'), isNew: false };
  const path = join(source.dataFolder, FILE);
  const known = readOwnFile(path, 'admin key');
  if (known !== null) return { key: checked(known.trim(), path), isNew: false };
  const text = `evg_${Buffer.from(source.random.bytes(KEY_BYTES)).toString('base64url')}`;
  writeNewFile(path, `${text}\n`);
  return { key: new Secret('api key', text), isNew: true };
}

function checked(text: string, where: string): Secret<'api key'> {
  if (text.length >= LEAST_LENGTH) return new Secret('api key', text);
  throw new EvergrantError('setting', `The admin key in ${where} has fewer than ${LEAST_LENGTH} characters.`, {
    remedy: 'Choose a longer one, for instance from: openssl rand -base64 32',
  });
}
