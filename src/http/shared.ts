/**
 * What all requests of a server share, whichever of its processes answers them: counts, the providers' budgets, what came
 * of authorizations, and which kept answers of providers are right no more. Asynchronous where it may lie in another
 * process.
 */
import type { Instant } from '../core/instant.ts';
import type { Issuer } from '../issuer/issuer.ts';
import type { GrantApi, Keeper } from '../keeper/keeper.ts';
import type { Log } from '../ports/log.ts';
import { type Metrics, metrics } from './metrics.ts';
import { Budgets, type Refusal, type Spent } from './proxy-budget.ts';
import { Returns, type Returning } from './returns.ts';

export interface Shared {
  readonly metrics: Metrics;
  readonly budgets: SharedBudgets;
  readonly returns: Returning;
  readonly outdated: Outdated;
}

/** Answers of providers that a cache may keep, by their key there, and that a request has changed. */
export interface Outdated {
  /** Every cache has heard of it before anybody sees what this is waited for with. */
  tell(key: string): void | Promise<void>;
  watch(listener: (key: string) => void): () => void;
}

export interface SharedBudgets {
  /** Takes one request out of its budget, or says why it must wait. */
  take(api: GrantApi, rest: string, now: Instant): Spent | Refusal | Promise<Spent | Refusal>;
}

/** For a server of one process, and for the parent of several. */
export function sharedState(parts: { readonly keeper: Keeper; readonly issuer: Issuer; readonly log: Log }): Shared {
  const listeners = new Set<(key: string) => void>();
  const outdated: Outdated = {
    tell(key) {
      for (const listener of listeners) listener(key);
    },
    watch(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
  return { metrics: metrics(parts), budgets: new Budgets(), returns: new Returns(parts), outdated };
}
