/** The record of every request: what was presented and issued (as fingerprints), what was decided, and why in truth. */
import type { Family } from '../core/family.ts';
import { type Instant, toRfc3339 } from '../core/instant.ts';
import { fingerprint } from './chance.ts';
import type { Presented } from './register.ts';
import type { Upstream } from './upstream.ts';

export type Endpoint = 'authorize' | 'login' | 'token' | 'api';

export interface LedgerEntry {
  readonly n: number;
  readonly time: string;
  readonly endpoint: Endpoint;
  readonly method: string;
  readonly path: string;
  readonly app: string | null;
  readonly user: string | null;
  /** Fingerprints. */
  readonly presented: readonly string[];
  readonly issued: readonly string[];
  /** What happened inside, as in `new`, `fork`, `refused`, `not processed`. */
  readonly decision: string;
  /** Why in truth, where the wire hides it. */
  readonly reason: string | null;
  readonly fault: string | null;
  /** Null where no answer was delivered. */
  readonly status: number | null;
}

/** What is told of a request, with the tokens by their ids: most entries are never looked at. */
export interface Happened extends Omit<LedgerEntry, 'n' | 'time' | 'presented' | 'issued'> {
  readonly at: Instant;
  readonly presented: Presented | null;
  readonly issued: Presented | null;
  readonly issuedAccess: Presented | null;
}

/** The newest so many requests, at least, are kept. */
export const LEAST_ENTRIES = 50_000;

export class Ledger {
  readonly #textOf: (presented: Presented) => string;
  #kept: Happened[] = [];
  #count = 0;

  constructor(textOf: (presented: Presented) => string) {
    this.#textOf = textOf;
  }

  add(happened: Happened): void {
    this.#count++;
    this.#kept.push(happened);
    if (this.#kept.length > 2 * LEAST_ENTRIES) this.#kept = this.#kept.slice(-LEAST_ENTRIES);
  }

  entries(): readonly LedgerEntry[] {
    const first = this.#count - this.#kept.length + 1;
    return this.#kept.map(({ at, presented, issued, issuedAccess, ...rest }, i) => ({
      n: first + i,
      time: toRfc3339(at),
      ...rest,
      presented: this.#fingerprints(presented),
      issued: this.#fingerprints(issued, issuedAccess),
    }));
  }

  #fingerprints(...tokens: readonly (Presented | null)[]): readonly string[] {
    return tokens.flatMap((one) => (one === null ? [] : [fingerprint(this.#textOf(one))]));
  }
}

export interface FamilyTree {
  readonly id: string;
  readonly user: string;
  readonly app: string;
  readonly startedAt: string;
  readonly lastIssuedAt: string;
  readonly revoked: string | null;
  readonly tokens: readonly TokenRow[];
}

interface TokenRow {
  readonly fingerprint: string;
  readonly parent: string | null;
  readonly generation: number;
  readonly state: 'unspent' | 'spent' | 'displaced' | 'evicted';
  readonly issuedAt: string;
  readonly firstUsedAt: string | null;
  readonly activatedAt: string | null;
  readonly uses: number;
}

/** A family as people read it: fingerprints and states. */
export function familyTree(family: Family, upstream: Upstream): FamilyTree {
  const nameOf = (id: string) => fingerprint(upstream.textOf(Number(id)));
  const time = (instant: Instant | null) => (instant === null ? null : toRfc3339(instant));
  return {
    id: family.id,
    user: upstream.accounts.userById(family.user)?.username ?? family.user,
    app: family.client,
    startedAt: toRfc3339(family.startedAt),
    lastIssuedAt: toRfc3339(family.lastIssuedAt),
    revoked: family.revoked?.reason ?? null,
    tokens: family.tokens.map((one) => ({
      fingerprint: nameOf(one.id),
      parent: one.parent === null ? null : nameOf(one.parent),
      generation: one.generation,
      state: stateOf(one),
      issuedAt: toRfc3339(one.issuedAt),
      firstUsedAt: time(one.firstUsedAt),
      activatedAt: time(one.activatedAt),
      uses: one.uses,
    })),
  };
}

function stateOf(one: Family['tokens'][number]): TokenRow['state'] {
  if (one.evictedAt !== null) return 'evicted';
  if (one.displacedAt !== null) return 'displaced';
  return one.firstUsedAt === null ? 'unspent' : 'spent';
}
