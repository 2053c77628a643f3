/** Long lives of chains in the simulation: weeks of faults, many callers, several nodes, and no demand at all. */
import { describe, expect, test } from 'vitest';
import {
  type Fault,
  SIMULATED_POLICIES,
  type SimulateOptions,
  simulate,
  World,
  worldOptions,
} from '../src/simulate.ts';

const DAY_MS = 86_400_000;

/** What the rules of Exact Online let a keeper recover from. */
const RECOVERABLE: readonly Fault[] = [
  'request_lost',
  'answer_late',
  'answer_cut_late',
  'unreachable',
  'provider_error',
];

function policy(name: string) {
  const found = SIMULATED_POLICIES.find((one) => one.name === name);
  if (!found) throw new Error(name);
  return found;
}

describe('a chain at Exact Online', () => {
  test('lives through 52 weeks in which three times a week it is said to be unknown, and 2 % of requests go wrong [S21]', async () => {
    const options = worldOptions(policy('exact-online'), {
      seed: '52',
      grants: 1,
      mostMs: 364 * DAY_MS,
      exchanges: Number.POSITIVE_INFINITY,
      faults: [...RECOVERABLE, 'chain_unknown'],
      // 1,000 exchanges a week: twenty network faults, and three denials.
      rate: 0.023,
    });
    const world = new World(options);
    const judges = await world.run();
    expect(judges.violations).toEqual([]);
    expect(judges.losses.filter((one) => !one.why.includes('twice in a row'))).toEqual([]);
    expect(judges.injected.get('chain_unknown')).toBeGreaterThan(3 * 40);
    expect(world.upstream.exchanges).toBeGreaterThan(45_000);
  }, 600_000);

  test('needs no person in 30 days of crashes and network faults [S42]', async () => {
    const options = worldOptions(policy('exact-online'), {
      seed: '30',
      grants: 2,
      mostMs: 30 * DAY_MS,
      exchanges: Number.POSITIVE_INFINITY,
      faults: [...RECOVERABLE, 'crash_before_processing', 'crash_later', 'store_fails', 'disk_full'],
      rate: 0.03,
    });
    const judges = await new World(options).run();
    expect(judges.violations).toEqual([]);
    expect(judges.losses).toEqual([]);
  }, 300_000);

  test('is exchanged once for each token, however many ask at once on three nodes [S84]', async () => {
    const options = worldOptions(policy('exact-online'), {
      seed: '84',
      grants: 1,
      nodes: 3,
      callers: 1_000,
      mostMs: 3 * 3_600_000,
      exchanges: Number.POSITIVE_INFINITY,
    });
    const world = new World(options);
    const judges = await world.run();
    expect(judges.violations).toEqual([]);
    expect(judges.served).toBeGreaterThan(10_000);
    // Three hours, with ten minutes for each token.
    expect(world.upstream.exchanges).toBeGreaterThan(14);
    expect(world.upstream.exchanges).toBeLessThan(24);
  }, 300_000);

  test('costs no call to the provider while nobody asks, but the one that keeps it alive [S45]', async () => {
    const options = worldOptions(policy('exact-online'), {
      seed: '45',
      grants: 1,
      isIdle: true,
      mostMs: 28 * DAY_MS,
      exchanges: Number.POSITIVE_INFINITY,
    });
    const world = new World(options);
    await world.run();
    expect(world.callsWhileIdle).toBeGreaterThan(0);
    expect(world.callsWhileIdle).toBeLessThan(4);
  }, 60_000);
});

test('several nodes lose no chain that could have been saved, whatever fails [S84] [S92]', async () => {
  const wish: SimulateOptions = { nodes: 3, exchanges: 400, grants: 4, seed: '3', rate: 0.1 };
  for (const name of ['until-successor-used', 'window', 'one-time']) {
    const [figures] = await simulate({ ...wish, policy: name }, () => undefined);
    expect(figures?.found).toEqual([]);
  }
}, 300_000);
