/**
 * Every migration, in order; a database is at the version of the last one that was applied.
 *
 * During an upgrade two versions of the program run on one database. So a migration only adds (expand), and what nobody
 * uses any more is taken away by a later one (contract): `compatibleWith` says how old a schema a program may know and
 * still work with the database afterwards. A contracting migration raises it, and ships no sooner than one release
 * after the one that stopped using what it removes.
 */
import { first } from './001-first.ts';

export interface Migration {
  readonly version: number;
  /** A program that knows the schema up to this version still works with this one. */
  readonly compatibleWith: number;
  readonly sql: string;
}

export const MIGRATIONS: readonly Migration[] = [first];
