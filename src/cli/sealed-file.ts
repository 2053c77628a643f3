/**
 * A file sealed with a passphrase: scrypt (RFC 7914) makes the key, AES-256-GCM seals, and the first line, which says how,
 * is authenticated with it. The rest is base64.
 */
import { createCipheriv, createDecipheriv, randomBytes, scryptSync } from 'node:crypto';
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { usageError } from './problem.ts';

const CIPHER = 'aes-256-gcm';
/** 128 MB and some tenths of a second for each guess. */
const COST = { N: 2 ** 17, r: 8, p: 1 };
const MOST_MEMORY = 2 ** 28;
const TAG_BYTES = 16;

interface Header {
  readonly evergrant_export: 1;
  readonly salt: string;
  readonly iv: string;
}

export function sealText(text: string, passphrase: string): string {
  const header: Header = {
    evergrant_export: 1,
    salt: randomBytes(16).toString('base64'),
    iv: randomBytes(12).toString('base64'),
  };
  const line = JSON.stringify(header);
  const cipher = createCipheriv(CIPHER, keyOf(header, passphrase), Buffer.from(header.iv, 'base64'));
  cipher.setAAD(Buffer.from(line));
  const sealed = Buffer.concat([cipher.update(text, 'utf8'), cipher.final(), cipher.getAuthTag()]);
  return `${line}\n${sealed.toString('base64')}\n`;
}

/** Written beside, synced, read back, then put in its place: whole and durable, or this throws and nothing is there. */
export function writeSealed(path: string, sealed: string): void {
  const beside = `${path}.${process.pid}.new`;
  try {
    writeSynced(beside, sealed);
    if (readFileSync(beside, 'utf8') !== sealed) throw new Error(`${beside} does not hold what was written to it.`);
    renameSync(beside, path);
  } catch (cause) {
    rmSync(beside, { force: true });
    throw cause;
  }
  syncFolder(dirname(path));
}

function writeSynced(path: string, text: string): void {
  const file = openSync(path, 'wx', 0o600);
  try {
    // Not writeSync: on a disk that fills up it writes what fits, and says so to nobody.
    writeFileSync(file, text);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

/** Makes the name durable. Windows keeps names by itself and cannot open folders. */
function syncFolder(path: string): void {
  if (process.platform === 'win32') return;
  const folder = openSync(path, 'r');
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}

export function isSealed(text: string): boolean {
  return text.startsWith('{"evergrant_export":1,');
}

/** Throws where the passphrase is another one, or the file was altered. */
export function openText(file: string, passphrase: string): string {
  const end = file.indexOf('\n');
  const line = file.slice(0, end);
  const sealed = Buffer.from(file.slice(end + 1), 'base64');
  try {
    const header = JSON.parse(line) as Header;
    const opener = createDecipheriv(CIPHER, keyOf(header, passphrase), Buffer.from(header.iv, 'base64'), {
      authTagLength: TAG_BYTES,
    });
    opener.setAAD(Buffer.from(line));
    opener.setAuthTag(sealed.subarray(-TAG_BYTES));
    return opener.update(sealed.subarray(0, -TAG_BYTES), undefined, 'utf8') + opener.final('utf8');
  } catch {
    throw usageError('The file does not open: another passphrase, or it was altered.', 'Try the passphrase again.');
  }
}

function keyOf({ salt }: Header, passphrase: string): Buffer {
  return scryptSync(passphrase.normalize('NFC'), Buffer.from(salt, 'base64'), 32, { ...COST, maxmem: MOST_MEMORY });
}
