/** Authorizations that end whatever is done: announced ahead, once, and counted against those that broke unannounced. */
import { expect, test } from 'vitest';
import { POLICIES } from '../src/core/policies.fixture.ts';
import type { RotationPolicy } from '../src/core/rotation-policy.ts';
import { Secret } from '../src/core/secret.ts';
import type { Keeper } from '../src/keeper/keeper.ts';
import { clusterBench } from './support/cluster-bench.ts';
import { type Bench, bench } from './support/keeper-bench.ts';
import { json } from './support/scripted-upstream.ts';

const DAY_MS = 86_400_000;
const NINETY_DAYS: RotationPolicy = {
  ...POLICIES.oneTime,
  life: { ...POLICIES.oneTime.life, idleMs: 30 * DAY_MS, absoluteMs: 90 * DAY_MS },
};
const PAGE = { limit: 200, after: null };

/** The days on which something was announced, oldest first, counted from `from`. */
async function announcedOn(keeper: Keeper, from: number): Promise<number[]> {
  const { items } = await keeper.grants.history('eol', PAGE);
  const days = items.flatMap(({ event }) => (event.type === 'announced' ? [(event.at.at - from) / DAY_MS] : []));
  return days.toReversed().map((day) => Math.floor(day));
}

async function renewed(keeper: Keeper): Promise<void> {
  const { ticket } = await keeper.authorizations.begin('eol', {});
  const { location, browserCookie } = await keeper.authorizations.open(ticket);
  const state = new URL(location).searchParams.get('state');
  const code = new Secret('authorization code', 'the-code');
  await keeper.authorizations.finish({ state, code, error: null, errorDescription: null, iss: null }, browserCookie);
}

/** Day after day; whatever falls into a day is done at its end. */
async function live({ clock }: Pick<Bench, 'clock'>, days: number): Promise<void> {
  for (let day = 0; day < days; day++) {
    await clock.leap(DAY_MS);
    await clock.advance(1_000);
  }
}

/** The provider refuses whatever is presented, until a person comes. */
async function broken({ keeper, clock, upstream }: Bench): Promise<void> {
  const refusals = Array.from({ length: 10 }, () => () => json(400, { error: 'invalid_grant' }));
  upstream.script.push(...refusals);
  const asked = keeper.tokens.get('eol', { minTtlMs: 5_000, waitMs: 60_000 });
  await expect(clock.until(asked)).rejects.toThrow();
  upstream.script.length = 0;
}

test('a consent of 90 days is announced 30, 7 and 1 days before its end, and a renewal in time was a planned one [S123] [S101]', async () => {
  const world = await bench({ policy: NINETY_DAYS });
  await world.imported();
  const begun = world.clock.now();
  await live(world, 89);
  const { keeper } = world;
  expect(await announcedOn(keeper, begun)).toEqual([60, 83, 89]);
  expect((await keeper.grants.get('eol')).expires).toMatchObject({
    absoluteAt: begun + 90 * DAY_MS,
    nextAnnouncementAt: null,
    warnings: expect.arrayContaining([expect.objectContaining({ code: 'ends_soon' })]),
  });
  expect(keeper.figures()).toMatchObject({ announcements: { test: 3 }, renewals: {} });

  const renewal = world.clock.now();
  await world.clock.until(renewed(keeper));
  const { state, expires } = await keeper.grants.get('eol');
  expect(state).toBe('active');
  expect(expires).toMatchObject({ announcedAt: null, warnings: [] });
  expect((expires.absoluteAt ?? 0) - renewal).toBeGreaterThanOrEqual(90 * DAY_MS);
  expect(keeper.figures().renewals).toEqual({ test: { announced: 1, unannounced: 0 } });
});

test('nothing was exchanged for the sake of an announcement [S45]', async () => {
  const policy = { ...NINETY_DAYS, life: { ...NINETY_DAYS.life, idleMs: Number.POSITIVE_INFINITY } };
  const world = await bench({ policy });
  await world.imported();
  await live(world, 91);
  expect(world.keeper.figures().announcements).toEqual({ test: 3 });
  expect(world.upstream.presented).toEqual([]);
});

test('a chain that breaks at the date that was told was announced; one that breaks out of the blue was not [S123]', async () => {
  const outcomes = [];
  for (const days of [10, 70, 91]) {
    const world = await bench({ policy: NINETY_DAYS });
    await world.imported();
    await live(world, days);
    await broken(world);
    outcomes.push(world.keeper.figures().renewals.test);
  }
  const [unplanned, planned] = [
    { announced: 0, unannounced: 1 },
    { announced: 1, unannounced: 0 },
  ];
  expect(outcomes).toEqual([unplanned, unplanned, planned]);
});

test('whoever renews a grant that broke unannounced is not counted again', async () => {
  const world = await bench({ policy: NINETY_DAYS });
  await world.imported();
  await live(world, 10);
  await broken(world);
  await world.clock.until(renewed(world.keeper));
  expect(world.keeper.figures().renewals).toEqual({ test: { announced: 0, unannounced: 1 } });
});

test('an announcement is made once, however often the server is started again; a late one as soon as it is [S123]', async () => {
  const world = await bench({ policy: NINETY_DAYS });
  await world.imported();
  const begun = world.clock.now();
  await live(world, 60);
  for (let starts = 0; starts < 3; starts++) {
    world.keeper.stop();
    await world.restart();
    await live(world, 1);
  }
  expect(await announcedOn(world.keeper, begun)).toEqual([60]);
  world.keeper.stop();
  await live(world, 22);
  expect(await announcedOn(world.keeper, begun)).toEqual([60]);
  await world.restart();
  await world.clock.advance(1_000);
  expect(await announcedOn(world.keeper, begun)).toEqual([60, 85]);
});

test('however many nodes there are, an announcement is made once [S123]', async () => {
  const policy = { ...NINETY_DAYS, life: { ...NINETY_DAYS.life, idleMs: Number.POSITIVE_INFINITY } };
  const { clock, nodes, imported } = await clusterBench(policy);
  await clock.until(imported());
  const begun = clock.now();
  for (const day of [59, 1, 22, 1, 5, 1]) {
    await clock.leap(day * DAY_MS);
    await clock.advance(60_000);
  }
  const [node] = nodes;
  expect(await announcedOn(node.keeper, begun)).toEqual([60, 83, 89]);
  const made = nodes.map(({ keeper }) => keeper.figures().announcements.test ?? 0);
  expect(made.reduce((sum, one) => sum + one)).toBe(3);
});

test('grants are listed by the date until which a person has to renew them [S123]', async () => {
  const world = await bench({ policy: NINETY_DAYS });
  await world.imported('early');
  await live(world, 5);
  await world.imported('late');
  const day = (days: number) => (world.clock.now() + days * DAY_MS) as ReturnType<typeof world.clock.now>;
  const listed = async (days: number) => {
    const { items } = await world.keeper.grants.list({ ...PAGE, endsBefore: day(days) });
    return items.map(({ alias }) => alias).toSorted();
  };
  expect(await listed(84)).toEqual([]);
  expect(await listed(86)).toEqual(['early']);
  expect(await listed(91)).toEqual(['early', 'late']);
});
