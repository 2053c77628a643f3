/** Authorizations in the store, found the ways they are asked for. */
import { EvergrantError } from '../core/errors.ts';
import { isId } from '../core/id.ts';
import type { SealedPlace } from '../ports/sealer.ts';
import { digest } from './digests.ts';
import type { KeeperParts } from './parts.ts';
import {
  type AuthorizationRecord,
  type AuthorizationStatus,
  authorizationTerms,
  parseRecord,
  type Versioned,
} from './records.ts';

export function placeOf(record: AuthorizationRecord, field: 'code' | 'code_verifier'): SealedPlace {
  return { table: 'authorizations', row: record.id, field };
}

export interface AuthorizationRecords {
  insert(record: AuthorizationRecord): Promise<void>;
  get(id: string): Promise<Versioned<AuthorizationRecord>>;
  byTicket(ticket: string): Promise<Versioned<AuthorizationRecord>>;
  byState(state: string | null): Promise<Versioned<AuthorizationRecord>>;
  withStatus(status: AuthorizationStatus): Promise<readonly Versioned<AuthorizationRecord>[]>;
  /** False when somebody else changed it meanwhile. */
  update(version: number, record: AuthorizationRecord): Promise<boolean>;
}

const MOST_RESUMED = 1_000;

export function authorizationRecords(parts: KeeperParts): AuthorizationRecords {
  const { records } = parts.store;
  const parsed = parseRecord<AuthorizationRecord>;
  return {
    async insert(record) {
      await records.insert('authorization', record.id, JSON.stringify(record), authorizationTerms(record));
    },
    async get(id) {
      const found = isId('aut', id) ? await records.get('authorization', id) : null;
      if (!found) throw linkUnknown();
      return parsed(found);
    },
    async byTicket(ticket) {
      const found = await records.find('authorization', 'ticket', digest(ticket));
      if (!found) throw linkUnknown();
      return parsed(found);
    },
    async byState(state) {
      const found = state === null ? null : await records.find('authorization', 'state', digest(state));
      if (!found) throw anotherLink();
      return parsed(found);
    },
    async withStatus(status) {
      const terms = [{ name: 'status', value: status }];
      const page = await records.list('authorization', { terms, limit: MOST_RESUMED, after: null });
      return page.items.map(parsed);
    },
    async update(version, record) {
      const body = JSON.stringify(record);
      const written = await records.update('authorization', record.id, version, body, authorizationTerms(record));
      return written.outcome === 'written';
    },
  };
}

export function linkUnknown(): EvergrantError {
  return new EvergrantError('not_found', 'There is no such authorization link.', {
    remedy: 'Check that the link was copied whole, or ask for a new one.',
  });
}

export function anotherLink(): EvergrantError {
  return new EvergrantError('not_found', 'This address belongs to no authorization that is under way.', {
    remedy: 'Start again with a new authorization link.',
  });
}
