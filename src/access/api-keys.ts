/**
 * API keys of operators and scripts. A key is 32 random bytes, shown once; the store has only its SHA-256.
 *
 * States of a key here: unseen (in the store only) → known (in memory, checked without a query) → removed (for good).
 * A known key that another node changes is unseen again. While it is not certain that such a change would be heard,
 * every request asks the store; where that is away, keys that were good lately are for a while.
 */
import { hash } from 'node:crypto';
import { z } from 'zod';
import { EvergrantError } from '../core/errors.ts';
import { newId } from '../core/id.ts';
import type { Instant } from '../core/instant.ts';
import { Secret } from '../core/secret.ts';
import { type Standing, standingOf } from '../core/standing.ts';
import type { Clock } from '../ports/clock.ts';
import type { Random } from '../ports/random.ts';
import type { Page, Records, Store, StoredRecord } from '../ports/store.ts';

/**
 * What a key may do. `admin` holds every other one; `token` reads access tokens and nothing else; `proxy` calls providers
 * through the proxy and sees no token.
 */
export const SCOPES = ['admin', 'token', 'proxy'] as const;
export type Scope = (typeof SCOPES)[number];

export interface ApiKey {
  readonly id: string;
  readonly name: string;
  readonly scopes: readonly Scope[];
  readonly createdAt: Instant;
}

/** Who sent a request. */
export interface Caller {
  /** The id of the key; `admin` for the key of the settings. */
  readonly id: string;
  readonly scopes: readonly Scope[];
}

export interface ApiKeys {
  /** The caller, from memory alone; null where this key was not seen yet or is not valid. */
  recall(text: string): Caller | null;
  /** The caller; asks the store for a key that was not seen yet. */
  verify(text: string): Promise<Caller | null>;
  /** A new key. Its text cannot be had a second time. */
  create(key: { readonly name: string; readonly scopes: readonly Scope[] }): Promise<{
    readonly key: ApiKey;
    readonly text: Secret<'api key'>;
  }>;
  get(id: string): Promise<ApiKey>;
  list(page: { readonly limit: number; readonly after: string | null }): Promise<Page<ApiKey>>;
  /** The key is refused from this moment on. */
  remove(id: string): Promise<void>;
}

export interface ApiKeyParts {
  readonly store: Pick<Store, 'records' | 'watch' | 'heardAgoMs'>;
  readonly random: Random;
  readonly clock: Clock;
  /** Of the settings, or made on the first start. */
  readonly adminKey: Secret<'api key'>;
}

/** The shortest admin key that is accepted. */
export const LEAST_ADMIN_KEY_LENGTH = 32;

const KEY_TEXT = /^evg_[A-Za-z0-9_-]{43}$/;
const KEY_BYTES = 32;

/** `checkedAtMs` is Infinity for the admin key of the settings, which no record could take away. */
interface Known {
  readonly caller: Caller;
  readonly checkedAtMs: number;
}

const KeyBody = z.object({
  name: z.string(),
  scopes: z.array(z.enum(SCOPES)),
  hash: z.string(),
  createdAt: z.number(),
});
type KeyBody = z.infer<typeof KeyBody>;

/** The text of a new key: `evg_` and 43 characters of base64url. */
export function newApiKeyText(random: Random): Secret<'api key'> {
  return new Secret('api key', `evg_${Buffer.from(random.bytes(KEY_BYTES)).toString('base64url')}`);
}

/** Whether a caller may do what needs this scope. */
export function may(caller: Caller, scope: Scope): boolean {
  return caller.scopes.includes(scope) || caller.scopes.includes('admin');
}

export function apiKeys(parts: ApiKeyParts): ApiKeys {
  const { store, random, clock } = parts;
  const { records } = store;
  // Keys are found by their SHA-256 alone. How long that takes may depend on the digest, of which nobody can choose a
  // part without knowing the key; no text of a key is ever compared.
  const known = new Map<string, Known>();
  const removed = new Set<string>();
  known.set(digestOf(acceptable(parts.adminKey)), { caller: ADMIN, checkedAtMs: Number.POSITIVE_INFINITY });
  /** Counts what was heard of other nodes: what the store said before is not remembered after it. */
  let heard = 0;

  store.watch((change) => {
    if (change.kind !== 'api-key' && change.kind !== 'unsure') return;
    heard += 1;
    for (const [digest, { caller }] of known) {
      if (caller !== ADMIN && (change.kind === 'unsure' || change.id === caller.id)) known.delete(digest);
    }
  });

  function remember(digest: string, caller: Caller): Caller {
    known.set(digest, { caller, checkedAtMs: clock.moment().uptimeMs });
    return caller;
  }

  function forget(digest: string): void {
    known.delete(digest);
    removed.add(digest);
  }

  function standing({ checkedAtMs }: Known): Standing {
    return standingOf(clock.moment().uptimeMs - checkedAtMs, store.heardAgoMs());
  }

  function recall(text: string): Caller | null {
    const entry = known.get(digestOf(text));
    return entry && standing(entry) === 'sure' ? entry.caller : null;
  }

  /** The caller as the store has it; where it is away, one who was good lately. */
  async function read(digest: string): Promise<Caller | null> {
    const before = heard;
    try {
      const record = await records.find('api-key', 'hash', digest);
      // It may have been removed while the store was asked.
      if (!record || removed.has(digest)) {
        known.delete(digest);
        return null;
      }
      const caller: Caller = { id: record.id, scopes: bodyOf(record).scopes };
      return before === heard ? remember(digest, caller) : caller;
    } catch (cause) {
      const entry = known.get(digest);
      if (entry && standing(entry) !== 'old') return entry.caller;
      throw cause;
    }
  }

  return {
    recall,

    async verify(text) {
      const caller = recall(text);
      if (caller || !KEY_TEXT.test(text)) return caller;
      const digest = digestOf(text);
      return removed.has(digest) ? null : read(digest);
    },

    async create({ name, scopes }) {
      const text = newApiKeyText(random);
      const digest = digestOf(text.reveal());
      const key: ApiKey = { id: newId('key', clock.now(), random.bytes(16)), name, scopes, createdAt: clock.now() };
      await insert(records, key, digest);
      remember(digest, { id: key.id, scopes });
      return { key, text };
    },

    async get(id) {
      const record = await records.get('api-key', id);
      if (!record) throw noSuchKey();
      return keyOf(record);
    },

    async list(page) {
      const { items, next } = await records.list('api-key', page);
      return { items: items.map(keyOf), next };
    },

    async remove(id) {
      const record = await records.get('api-key', id);
      if (!record) throw noSuchKey();
      const { hash: digest } = bodyOf(record);
      // First here, then in the store: a request that comes between the two is refused already.
      forget(digest);
      await records.remove('api-key', id);
    },
  };
}

const ADMIN: Caller = { id: 'admin', scopes: ['admin'] };

function digestOf(text: string): string {
  return hash('sha256', text, 'base64url');
}

function acceptable(adminKey: Secret<'api key'>): string {
  if (adminKey.reveal().length < LEAST_ADMIN_KEY_LENGTH) {
    throw new EvergrantError('setting', `The admin key has fewer than ${LEAST_ADMIN_KEY_LENGTH} characters.`, {
      remedy: `Set EVERGRANT_ADMIN_KEY_FILE to a file with at least ${LEAST_ADMIN_KEY_LENGTH} characters, or leave it out: then one is made.`,
    });
  }
  return adminKey.reveal();
}

async function insert(records: Records, key: ApiKey, digest: string): Promise<void> {
  const body: KeyBody = { name: key.name, scopes: [...key.scopes], hash: digest, createdAt: key.createdAt };
  const written = await records.insert('api-key', key.id, JSON.stringify(body), [
    { name: 'hash', value: digest, unique: true },
  ]);
  if (written.outcome !== 'written') throw new Error('Two API keys have the same hash: the source of chance is broken');
}

function bodyOf(record: StoredRecord): KeyBody {
  return KeyBody.parse(JSON.parse(record.body));
}

function keyOf(record: StoredRecord): ApiKey {
  const { name, scopes, createdAt } = bodyOf(record);
  return { id: record.id, name, scopes, createdAt: createdAt as Instant };
}

function noSuchKey(): EvergrantError {
  return new EvergrantError('not_found', 'There is no such API key.', {
    remedy: 'List the keys there are: evergrant api-keys list',
  });
}
