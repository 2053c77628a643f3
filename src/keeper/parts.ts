/** What every file of the keeper works with. */
import type { Catalogue } from '../catalogue/provider.ts';
import type { GrantId, NodeId } from '../core/id.ts';
import { newId } from '../core/id.ts';
import type { Clock } from '../ports/clock.ts';
import type { Journal } from '../ports/journal.ts';
import type { Log } from '../ports/log.ts';
import type { Network } from '../ports/network.ts';
import type { Random } from '../ports/random.ts';
import type { Sealer } from '../ports/sealer.ts';
import type { Store } from '../ports/store.ts';

export interface KeeperParts {
  readonly store: Store;
  readonly journal: Journal;
  readonly sealer: Sealer;
  readonly network: Network;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly catalogue: Catalogue;
  readonly node: NodeId;
  /** Names the data folder of this node, whatever its path is called. */
  readonly folder: string;
  /** Names this run of this process. */
  readonly run: string;
  /** Without a slash at its end. */
  readonly publicUrl: string;
  /** Aborted once the keeper was drained: what could not be stored by then is in the journal. */
  readonly ended?: AbortSignal;
  /** Called at each step of an exchange; tests crash the process here. */
  readonly onStep?: (step: ExchangeStep, grant: GrantId) => void | Promise<void>;
}

/** The steps of an exchange, in order; a process may die at any of them. */
export const EXCHANGE_STEPS = [
  'connected',
  'intended',
  'sending',
  'received',
  'journaled',
  'stored',
  'verified',
  'published',
  'proven',
] as const;

export type ExchangeStep = (typeof EXCHANGE_STEPS)[number];

const CHANCE_BYTES = 16;

/** A new identifier from the parts' clock and chance. */
export function freshId<P extends string>(parts: KeeperParts, prefix: P): `${P}_${string}` {
  return newId(prefix, parts.clock.now(), parts.random.bytes(CHANCE_BYTES));
}

/** Reaches a named step of an exchange. */
export function reach(parts: KeeperParts, step: ExchangeStep, grant: GrantId): void | Promise<void> {
  return parts.onStep?.(step, grant);
}
