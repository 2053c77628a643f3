/** Composition of the simulation: nodes, store, provider and clients in one process, with what goes wrong from a seed. */
import type { Sealer } from './ports/sealer.ts';
import { type CampaignOptions, type Figures, runCampaign } from './sim/campaign.ts';
import { PLAIN_SEALER } from './sim/plain-sealer.ts';
import { SIMULATED_POLICIES, type SimulatedPolicy } from './sim/policies.ts';
import { type Shown, showPromises } from './sim/promises.ts';
import type { WorldOptions } from './sim/world.ts';
import { createAesSealer } from './world/aes-sealer.ts';
import { RootKey } from './world/root-key.ts';
import { systemClock } from './world/system-clock.ts';
import { Chance } from './sim/chance.ts';

export type { Fault } from './sim/faults.ts';
export type { Figures } from './sim/campaign.ts';
export { brokenPromises, lossesOf, promises, promiseTable } from './sim/promises.ts';
export { SIMULATED_POLICIES } from './sim/policies.ts';

export { World } from './sim/world.ts';

const KEY_BYTES = 32;
const DAY_MS = 86_400_000;

export interface SimulateOptions {
  /** The name of one policy; left out: all of them. */
  readonly policy?: string;
  readonly seed?: string;
  /** Of each policy. */
  readonly exchanges?: number;
  /** Share of exchanges that a fault strikes. */
  readonly rate?: number;
  readonly grants?: number;
  readonly nodes?: number;
  /** Longest simulated time. */
  readonly days?: number;
  /** Seals as in life; the default is a plain encoding, for speed. */
  readonly isSealed?: boolean;
}

/** Runs one policy after the other, and tells of each. */
export async function simulate(
  options: SimulateOptions,
  tell: (figures: Figures) => void,
): Promise<readonly Figures[]> {
  const { seed = '1', exchanges = 10_000, rate = 0.1, grants = 8, nodes = 1, isSealed = false } = options;
  const all: Figures[] = [];
  for (const policy of SIMULATED_POLICIES.filter((one) => !options.policy || one.name === options.policy)) {
    const campaign: CampaignOptions = {
      policy,
      seed,
      exchanges,
      rate,
      grants,
      nodes,
      sealer: isSealed ? realSealer(seed) : PLAIN_SEALER,
      breathe: () => systemClock.sleep(0),
      ...(options.days === undefined ? {} : { mostMs: options.days * DAY_MS }),
    };
    const figures = await runCampaign(campaign);
    all.push(figures);
    tell(figures);
  }
  return all;
}

/** A single world, without faults where nothing is said. */
export function worldOptions(policy: SimulatedPolicy, wish: Partial<WorldOptions>): WorldOptions {
  const usual = { seed: '1', grants: 1, nodes: 1, exchanges: 1_000, mostMs: DAY_MS, faults: [], rate: 0 };
  return { ...usual, policy: policy.policy, sealer: PLAIN_SEALER, breathe: () => systemClock.sleep(0), ...wish };
}

/** Every promise of the table, run alone. */
export function runPromises(exchanges: number, seed = '1'): Promise<readonly Shown[]> {
  return showPromises({ seed, exchanges, sealer: PLAIN_SEALER, breathe: () => systemClock.sleep(0) });
}

/** The cipher is the real one; its chance comes from the seed. */
function realSealer(seed: string): Sealer {
  return createAesSealer(new RootKey(new Uint8Array(KEY_BYTES).fill(7)), Chance.of(seed, 'sealer'));
}
