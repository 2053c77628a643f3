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
/** So long after it ended one may still ask how. */
const KEPT_MS = 7 * 86_400_000;
/** With every new one so many of the oldest are looked at: they go faster than they come. */
const LOOKED_AT = 10;
/** What holds a code or an answer is never taken away. */
const REMOVABLE: readonly AuthorizationStatus[] = ['issued', 'opened', 'done', 'failed'];

export function authorizationRecords(parts: KeeperParts): AuthorizationRecords {
  const { records } = parts.store;
  const parsed = parseRecord<AuthorizationRecord>;
  return {
    async insert(record) {
      await removeOld(parts).catch((cause: unknown) => {
        parts.log.warn('Old authorizations could not be removed.', { reason: String(cause) });
      });
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

async function removeOld({ store, clock }: KeeperParts): Promise<void> {
  const before = clock.now() - KEPT_MS;
  for (const status of REMOVABLE) {
    const terms = [{ name: 'status', value: status }];
    const { items } = await store.records.list('authorization', { terms, limit: LOOKED_AT, after: null });
    const old = items.filter((item) => parseRecord<AuthorizationRecord>(item).value.expiresAt < before);
    for (const { id } of old) await store.records.remove('authorization', id);
  }
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
