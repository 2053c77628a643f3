/**
 * What the parent does for its workers: the nouns of the keeper, the records of the store, and what all requests share.
 * The table names each call that there is. It is checked against the types both ways, so nothing is left out and nothing
 * else can be reached.
 */
import type { Metrics } from '../http/metrics.ts';
import type { Refusal } from '../http/proxy-budget.ts';
import type { AnswerHeaders } from '../http/proxy-headers.ts';
import type { Returning } from '../http/returns.ts';
import type { Authorize } from '../issuer/authorize.ts';
import type { Issuer } from '../issuer/issuer.ts';
import type { GrantId } from '../core/id.ts';
import type { GrantApi, LiveAccessToken, ServingKeeper, TokenWish } from '../keeper/keeper.ts';
import type { Records } from '../ports/store.ts';

export interface Offer {
  readonly apps: ServingKeeper['apps'];
  readonly grants: ServingKeeper['grants'];
  readonly authorizations: ServingKeeper['authorizations'];
  readonly apis: ServingKeeper['apis'];
  readonly journals: ServingKeeper['journals'];
  readonly keeper: Pick<ServingKeeper, 'isReady' | 'countStates'>;
  readonly tokens: OfferedTokens;
  readonly records: Records;
  readonly issuer: Pick<Issuer, 'revoke' | 'introspect' | 'push' | 'beginDevice'>;
  readonly clients: Issuer['clients'];
  readonly authorize: Pick<Authorize, 'view' | 'open' | 'viewDevice' | 'openDevice'>;
  readonly returns: Returning;
  readonly budgets: OfferedBudgets;
  readonly outdated: { tell(key: string): Promise<void> };
  readonly metrics: OfferedMetrics;
}

/** A token, with what a worker must know to serve it again by itself. */
export interface OfferedToken {
  readonly grant: GrantId;
  readonly live: LiveAccessToken;
  /** It is what the keeper serves from memory at this moment: whatever ends that is told after it. */
  readonly isCurrent: boolean;
  /** When `live` was reckoned, by the clock that nobody sets. */
  readonly atMs: number;
}

export interface OfferedTokens {
  get(idOrAlias: string, wish: TokenWish): Promise<OfferedToken>;
  refresh(idOrAlias: string): Promise<OfferedToken>;
  look(idOrAlias: string): Promise<OfferedToken | null>;
  /** Somebody is served its token, and little is left of that. */
  nudge(grant: GrantId): Promise<void>;
}

export interface OfferedBudgets {
  /** The name of what was taken, for `answered` or `lost`. */
  take(api: GrantApi, rest: string): Promise<number | Refusal>;
  answered(taken: number, status: number, headers: AnswerHeaders): Promise<void>;
  lost(taken: number): Promise<void>;
}

export interface OfferedMetrics {
  /** What a worker counted since it last did this. */
  note(counts: Counts): Promise<void>;
  text(): Promise<string>;
}

export interface Counts {
  readonly fromMemory: number;
  readonly tokens: readonly Parameters<Metrics['tokenRequest']>[];
  readonly requests: readonly Parameters<Metrics['request']>[];
}

type Table = { readonly [N in keyof Offer]: { readonly [M in keyof Offer[N]]: true } };

export const OFFERED: Table = {
  apps: { create: true, get: true, list: true, update: true, remove: true },
  grants: {
    create: true,
    createWithCredentials: true,
    import: true,
    get: true,
    list: true,
    update: true,
    end: true,
    discard: true,
    history: true,
  },
  authorizations: {
    begin: true,
    view: true,
    open: true,
    finish: true,
    openWithoutBrowser: true,
    finishPasted: true,
  },
  apis: { of: true },
  journals: { status: true, merge: true, abandon: true },
  keeper: { isReady: true, countStates: true },
  tokens: { get: true, refresh: true, look: true, nudge: true },
  records: { insert: true, update: true, remove: true, get: true, find: true, list: true },
  issuer: { revoke: true, introspect: true, push: true, beginDevice: true },
  clients: {
    create: true,
    get: true,
    list: true,
    update: true,
    remove: true,
    rotateSecret: true,
    issueToken: true,
    tokens: true,
    endToken: true,
    events: true,
    ofGrant: true,
    isOfPages: true,
  },
  authorize: { view: true, open: true, viewDevice: true, openDevice: true },
  returns: { finish: true },
  budgets: { take: true, answered: true, lost: true },
  outdated: { tell: true },
  metrics: { note: true, text: true },
};

/** Asks the parent: the name is `noun.method`. */
export type Ask = (name: string, given: readonly unknown[]) => Promise<unknown>;

/** Everything that is offered, asked for over there. */
export function askedOf(ask: Ask): Offer {
  const nouns = Object.entries(OFFERED).map(([noun, methods]) => {
    const calls = Object.keys(methods).map((method) => [
      method,
      (...given: readonly unknown[]) => ask(`${noun}.${method}`, given),
    ]);
    return [noun, Object.fromEntries(calls)];
  });
  return Object.fromEntries(nouns) as Offer;
}

/** Does what was asked for, if it is in the table. */
export async function answerFrom(offer: Offer, name: string, given: readonly unknown[]): Promise<unknown> {
  const [noun = '', method = '', ...rest] = name.split('.');
  const methods: object | undefined = Object.hasOwn(OFFERED, noun) ? OFFERED[noun as keyof Offer] : undefined;
  if (!methods || !Object.hasOwn(methods, method) || rest.length > 0) {
    throw new Error(`Nothing of that name is done for workers: ${name}`);
  }
  const owner = offer[noun as keyof Offer] as unknown as Readonly<Record<string, (...all: unknown[]) => unknown>>;
  return owner[method]?.(...given);
}
