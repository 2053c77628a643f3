/** Many grants that are due although nobody asks for them: when each is exchanged, and how many at once. */
import { expect, test } from 'vitest';
import { POLICIES } from '../src/core/policies.fixture.ts';
import { Secret } from '../src/core/secret.ts';
import type { Chains } from '../src/ports/store.ts';
import { createMemoryStore } from '../src/storage/memory/store.ts';
import { type Bench, bench } from './support/keeper-bench.ts';

const HOUR_MS = 3_600_000;
/** Left alone for so long, a chain is over. */
const IDLE_MS = 2 * HOUR_MS;
const POLICY = { ...POLICIES.exact, life: { ...POLICIES.exact.life, idleMs: IDLE_MS } };
/** So many grants of one app are exchanged at once, at most. */
const AT_ONCE = 128;
/** So many due grants are looked at together, at most. */
const MOST_FOUND = 256;

async function grantsOf(world: Bench, count: number): Promise<void> {
  for (let i = 0; i < count; i++) await world.imported(`grant-${i}`);
}

/** Everything is due by then, and nothing was exchanged. */
async function asleepUntilDue(world: Bench): Promise<void> {
  world.keeper.stop();
  await world.clock.advance(0.8 * IDLE_MS);
  expect(world.upstream.presented).toEqual([]);
}

test('grants that were authorized together are not exchanged together, and each long before its idle limit', async () => {
  const world = await bench({ policy: POLICY });
  await grantsOf(world, 60);
  await world.clock.advance(IDLE_MS / 2);
  const exchanged: number[] = [];
  for (let part = 0; part < 4; part++) {
    exchanged.push(world.upstream.presented.length);
    await world.clock.advance(IDLE_MS * 0.05);
  }
  await world.clock.advance(1_000);
  expect(world.upstream.presented).toHaveLength(60);
  expect(exchanged[0]).toBe(0);
  for (const [i, count] of exchanged.entries()) if (i > 0) expect(count - (exchanged[i - 1] ?? 0)).toBeGreaterThan(0);
  expect(60 - (exchanged.at(-1) ?? 0)).toBeGreaterThan(0);
});

test('however many grants of an app are due, its provider is not flooded, and those of another app do not wait', async () => {
  const world = await bench({ policy: POLICY });
  await grantsOf(world, AT_ONCE + 40);
  const other = await world.keeper.apps.create({
    provider: world.app.provider,
    clientId: 'another client',
    clientSecret: new Secret('client secret', 'another secret'),
  });
  const refreshToken = new Secret('refresh token', 'rt-other');
  await world.keeper.grants.import({ app: other.id, alias: 'other', refreshToken, takeover: false });
  await asleepUntilDue(world);
  const answers = Promise.withResolvers<void>();
  world.upstream.gate = () => answers.promise;
  await world.restart();
  await world.clock.advance(10_000);
  const waiting = [...world.upstream.presented];
  expect(waiting).toContain('rt-other');
  expect(waiting).toHaveLength(AT_ONCE + 1);
  answers.resolve();
  await world.clock.advance(60_000);
  expect(new Set(world.upstream.presented).size).toBe(AT_ONCE + 41);
  expect(world.upstream.presented).toHaveLength(AT_ONCE + 41);
});

test('however many grants of an app wait for a provider that does not answer, those of another app that are due later are exchanged', async () => {
  const world = await bench({ policy: POLICY });
  await grantsOf(world, MOST_FOUND + 2 * AT_ONCE);
  const other = await world.keeper.apps.create({
    provider: world.app.provider,
    clientId: 'another client',
    clientSecret: new Secret('client secret', 'another secret'),
  });
  // Due later than all of those.
  await world.clock.advance(0.25 * IDLE_MS);
  const refreshToken = new Secret('refresh token', 'rt-other');
  await world.keeper.grants.import({ app: other.id, alias: 'other', refreshToken, takeover: false });
  await asleepUntilDue(world);
  const answers = Promise.withResolvers<void>();
  world.upstream.gate = () => answers.promise;
  await world.restart();
  await world.clock.advance(10_000);
  expect(world.upstream.presented).toContain('rt-other');
  expect(world.upstream.presented).toHaveLength(AT_ONCE + 1);
});

test('grants that cannot be minded are in nobody’s way, however many they are', async () => {
  const world = await bench({ policy: POLICY });
  await grantsOf(world, MOST_FOUND + 10);
  const { records } = world.store;
  const { items } = await records.list('grant', { limit: 1_000, after: null });
  for (const { id, version } of items) {
    await records.update('grant', id, version, JSON.stringify({ id, app: 'app_nobody' }), []);
  }
  // Due later than all of those.
  await world.clock.advance(0.25 * IDLE_MS);
  await world.imported('well');
  await asleepUntilDue(world);
  await world.restart();
  await world.clock.advance(60_000);
  expect(world.upstream.presented).toEqual(['rt-0-well']);
});

test('a store that takes no writes is not asked without a pause, and what is due is done soon after it takes them', async () => {
  const disk = { isFull: false, refused: 0 };
  const store = createMemoryStore();
  const unlessFull = <A extends unknown[], R>(write: (...args: A) => Promise<R>) => {
    return async (...args: A) => {
      if (!disk.isFull) return write(...args);
      disk.refused++;
      throw new Error('The disk is full.');
    };
  };
  const chains: Chains = {
    ...store.chains,
    append: unlessFull(store.chains.append),
    reschedule: unlessFull(store.chains.reschedule),
  };
  const world = await bench({ policy: POLICY, store: { ...store, chains } });
  await grantsOf(world, 3);
  disk.isFull = true;
  await world.clock.advance(0.7 * IDLE_MS);
  disk.refused = 0;
  await world.clock.advance(60_000);
  expect(world.upstream.presented).toEqual([]);
  expect(disk.refused).toBeGreaterThan(3);
  expect(disk.refused).toBeLessThan(100);
  disk.isFull = false;
  await world.clock.advance(40_000);
  expect(world.upstream.presented).toHaveLength(3);
});
