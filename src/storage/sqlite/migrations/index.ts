/** Every migration, in order; a database is at the version of the last one that was applied. */
import { first } from './001-first.ts';
import { nodes } from './002-nodes.ts';
import { states } from './003-states.ts';
import { terms } from './004-terms.ts';

export interface Migration {
  readonly version: number;
  readonly sql: string;
}

export const MIGRATIONS: readonly Migration[] = [first, nodes, states, terms];
