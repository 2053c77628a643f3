/**
 * The data folder of one server, and the lock that lets no second one in.
 *
 * `evergrant.lock` names the process that holds the folder, for people. What locks is a lock of the operating system on
 * `evergrant.lock.held`, taken through SQLite because Node.js has no call for it: it ends with its process, however
 * that ends, so neither a killed server, nor a process number that was given again, nor a container that numbers its
 * processes anew can leave the folder locked or let two in.
 *
 * States: open (locked), then closed.
 */
import { accessSync, constants, existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { EvergrantError } from '../core/errors.ts';
import type { NodeId } from '../core/id.ts';
import type { Random } from '../ports/random.ts';
import { codeOf, writeNewFile } from './new-file.ts';

const LOCK = 'evergrant.lock';
const HELD = 'evergrant.lock.held';
const NODE_ID = 'node.id';
const NODE_ID_FORM = /^[a-z0-9][a-z0-9._-]{0,62}$/i;
const NODE_ID_BYTES = 8;

export interface DataFolder {
  /** Absolute. */
  readonly path: string;
  /** Lets another process have it. */
  close(): void;
}

/** Makes the folder where it is not there, and locks it. Throws `setting` when it cannot be used. */
export function openDataFolder(folder: string): DataFolder {
  const path = resolve(folder);
  // Whatever this process makes is its owner's alone, also what SQLite makes.
  process.umask(0o077);
  makeFolder(path);
  const lock = takeLock(path);
  const close = (): void => {
    process.off('exit', close);
    if (!lock.isOpen) return;
    rmSync(join(path, LOCK), { force: true });
    lock.close();
  };
  process.once('exit', close);
  return { path, close };
}

/** The name of this node: made once, and kept in its data folder. */
export function loadNodeId(dataFolder: string, random: Random): NodeId {
  const path = join(dataFolder, NODE_ID);
  const known = readIfThere(path);
  if (known === null) {
    const made = `node-${Buffer.from(random.bytes(NODE_ID_BYTES)).toString('hex')}`;
    writeNewFile(path, `${made}\n`);
    return made;
  }
  if (NODE_ID_FORM.test(known.trim())) return known.trim();
  throw new EvergrantError('setting', `The file ${path} does not hold a node id.`, {
    remedy: `Put back what it held (journals name it), or delete it to get a new one: rm ${path}`,
  });
}

function makeFolder(path: string): void {
  try {
    makeFolders(path);
    accessSync(path, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (error) {
    throw unusable(path, error);
  }
}

/** Not `recursive`: where a file system makes no folders at all (`/proc`), Node.js would try for ever. */
function makeFolders(path: string): void {
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory()) return;
  if (!existsSync(dirname(path))) makeFolders(dirname(path));
  mkdirSync(path, { mode: 0o700 });
}

function takeLock(path: string): DatabaseSync {
  const lock = openLock(path);
  try {
    lock.exec('BEGIN EXCLUSIVE');
    writeFileSync(join(path, LOCK), `${process.pid}\n`, { mode: 0o600 });
    return lock;
  } catch (error) {
    lock.close();
    throw isBusy(error) ? held(path) : unusable(path, error);
  }
}

function openLock(path: string): DatabaseSync {
  try {
    // Nothing else of this process may open that file: closing it would end the lock (POSIX).
    return new DatabaseSync(join(path, HELD), { timeout: 0 });
  } catch (error) {
    throw unusable(path, error);
  }
}

/** SQLITE_BUSY, https://sqlite.org/rescode.html#busy */
function isBusy(error: unknown): boolean {
  return error instanceof Error && 'errcode' in error && error.errcode === 5;
}

function held(path: string): EvergrantError {
  const pid = readIfThere(join(path, LOCK))?.trim();
  const by = pid ? `process ${pid}` : 'another process';
  return new EvergrantError('setting', `The data folder ${path} is in use by ${by}.`, {
    remedy: 'Stop that process, or name another folder with --data. Each server needs its own.',
  });
}

function unusable(path: string, cause: unknown): EvergrantError {
  const why = codeOf(cause) ?? (cause instanceof Error ? cause.message : String(cause));
  return new EvergrantError('setting', `The data folder ${path} cannot be used (${why}).`, {
    remedy: 'Name a folder that the user running Evergrant may write to: --data, EVERGRANT_DATA.',
    cause,
  });
}

function readIfThere(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return null;
    throw error;
  }
}
