/** The record of every request: what was presented and issued (as fingerprints), what was decided, and why in truth. */
import type { Family } from '../core/family.ts';
import { type Instant, toRfc3339 } from '../core/instant.ts';
import { fingerprint } from './chance.ts';
import type { Presented } from './register.ts';
import { Rows } from './rows.ts';
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

/** The newest so many requests are kept. */
const KEPT = 50_000;

/** What is kept of each beside its time; as cells of one list, since objects that live on have to be moved and marked. */
const CELLS = [
  'endpoint',
  'method',
  'path',
  'app',
  'user',
  'decision',
  'reason',
  'fault',
  'status',
  'presented',
  'issued',
  'issuedAccess',
] as const satisfies readonly (keyof Happened)[];

export class Ledger {
  readonly #textOf: (presented: Presented) => string;
  readonly #times = new Rows(1);
  readonly #cells: (string | number | null)[] = [];
  #count = 0;

  constructor(textOf: (presented: Presented) => string) {
    this.#textOf = textOf;
  }

  add(happened: Happened): void {
    const place = this.#count++ % KEPT;
    this.#times.set(place, 0, happened.at);
    let cell = place * CELLS.length;
    for (const name of CELLS) this.#cells[cell++] = happened[name];
  }

  entries(): readonly LedgerEntry[] {
    const kept = Math.min(this.#count, KEPT);
    return Array.from({ length: kept }, (_, i) => this.#entry(this.#count - kept + i));
  }

  /** Counted from 0. */
  #entry(number: number): LedgerEntry {
    const place = number % KEPT;
    const cells: Record<string, unknown> = {};
    for (const [i, name] of CELLS.entries()) cells[name] = this.#cells[place * CELLS.length + i];
    const { presented, issued, issuedAccess, ...rest } = cells as unknown as Omit<Happened, 'at'>;
    return {
      n: number + 1,
      time: toRfc3339(this.#times.get(place, 0) as Instant),
      ...rest,
      presented: this.#fingerprints(presented),
      issued: this.#fingerprints(issued, issuedAccess),
    };
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
