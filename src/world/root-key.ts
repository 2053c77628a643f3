/**
 * The root key: everything that is sealed here opens only with it. It comes from the settings, or from the file
 * `root.key` in the data folder, which the first start makes. When something about it is wrong nothing is written: a
 * new key in the place of a lost one would make every grant in the database unreadable for good.
 */
import { join } from 'node:path';
import { EvergrantError } from '../core/errors.ts';
import type { Random } from '../ports/random.ts';
import { codeOf, readOwnFile, writeNewFile } from './new-file.ts';

const FILE = 'root.key';
const BYTES = 32;
const HEX = /^[0-9a-f]{64}$/i;
const BASE64 = /^[\w+/-]{43}=?$/;

/** 32 bytes that print as words. */
export class RootKey {
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    if (bytes.length !== BYTES) throw new Error(`A root key has ${BYTES} bytes`);
    this.#bytes = bytes;
  }

  /** Only for deriving keys. */
  reveal(): Uint8Array {
    return this.#bytes;
  }

  toString(): string {
    return '[root key]';
  }

  toJSON(): string {
    return this.toString();
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return this.toString();
  }
}

export interface RootKeySource {
  /** base64 or hex from the settings; null: the file in the data folder. */
  readonly text: string | null;
  readonly dataFolder: string;
  /** False once the database has a key check: then its key exists somewhere, and no other one will do. */
  readonly mayMake: boolean;
  readonly random: Random;
}

/** Throws `setting` when there is no usable key. */
export function loadRootKey(source: RootKeySource): { readonly key: RootKey; readonly isNew: boolean } {
  if (source.text !== null) return { key: parse(source.text, 'EVERGRANT_ROOT_KEY'), isNew: false };
  const path = join(source.dataFolder, FILE);
  const text = readOwnFile(path, 'root key');
  if (text !== null) return { key: parse(text, path), isNew: false };
  if (!source.mayMake) {
    throw new EvergrantError('setting', `The root key ${path} is missing, and the database was sealed with it.`, {
      remedy: `Put the root key back from its backup as ${path}, or give it as EVERGRANT_ROOT_KEY.`,
    });
  }
  const bytes = source.random.bytes(BYTES);
  make(path, Buffer.from(bytes).toString('base64'));
  return { key: new RootKey(bytes), isNew: true };
}

function parse(text: string, where: string): RootKey {
  const trimmed = text.trim();
  if (HEX.test(trimmed)) return new RootKey(Buffer.from(trimmed, 'hex'));
  if (BASE64.test(trimmed)) return new RootKey(Buffer.from(trimmed, 'base64'));
  throw new EvergrantError('setting', `The root key in ${where} is not ${BYTES} bytes in base64 or hex.`, {
    remedy: 'Give back the key as it was made. A new one comes from: openssl rand -base64 32',
  });
}

function make(path: string, text: string): void {
  try {
    writeNewFile(path, `${text}\n`);
  } catch (error) {
    throw new EvergrantError('setting', `The root key ${path} cannot be made (${codeOf(error)}).`, {
      remedy: 'Let the user that runs Evergrant write to the data folder, or give the key as EVERGRANT_ROOT_KEY.',
      cause: error,
    });
  }
}
