/** Weeks of exchanges against emulated providers, with answers lost at a rate; on a clock that stands still. */
import { describe, expect, test } from 'vitest';
import { type Joined, joined } from './support/joined.ts';

/** Small and seeded, so that a run can be repeated: mulberry32. */
function chance(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

interface Soaked {
  readonly exchanges: number;
  readonly lost: number;
  readonly state: string;
  readonly diagnosis: string | null;
}

/** Clients ask all the time; each answer of the token endpoint is lost with this probability. */
async function soak(it: Joined, exchanges: number, rate: number, seed: number): Promise<Soaked> {
  const next = chance(seed);
  let lost = 0;
  for (let i = 0; i < exchanges; i++) {
    if (next() < rate) {
      lost++;
      it.provider.control.addFaults([{ fault: 'drop-after-commit', match: { endpoint: 'token' } }]);
    }
    const { accessTokenExpiresAt } = await it.world.keeper.grants.get('it');
    await it.clock.advance(Math.max(1_000, (accessTokenExpiresAt ?? 0) - it.clock.now() + 1_000));
    await it.ask();
    // A lost answer is asked for again when the rules allow it, within ten minutes at Exact Online.
    for (let waited = 0; waited < 70 && (await it.ask()) !== 'token'; waited++) await it.clock.advance(10_000);
  }
  const grant = await it.world.keeper.grants.get('it');
  return { exchanges: grant.exchanges, lost, state: grant.state, diagnosis: grant.diagnosis?.code ?? null };
}

describe('one answer in twenty-five is lost', () => {
  test('and a chain at Exact Online holds as one at Google does, though it has a ring of one [S19] [S22]', async () => {
    for (const profile of ['exact-online', 'google']) {
      const result = await soak(await joined(profile), 150, 0.04, 11);
      expect([profile, result.state, result.diagnosis]).toEqual([profile, 'active', null]);
      expect(result.lost).toBeGreaterThan(3);
      expect(result.exchanges).toBeGreaterThanOrEqual(150);
    }
  }, 60_000);
});

describe('losses that no rule of the provider leaves a way around', () => {
  test('are each told, with one diagnosis, and no other chain breaks [S31] [S56]', async () => {
    let broken = 0;
    for (let chain = 0; chain < 20; chain++) {
      const it = await joined('exact-online');
      const isDoomed = chain % 4 === 0;
      await it.clock.advance(601_000);
      // Lost, and lost again at each retry until the window has closed: nothing can bring that successor back.
      if (isDoomed)
        it.provider.control.addFaults([{ fault: 'drop-after-commit', times: 10, match: { endpoint: 'token' } }]);
      await it.ask();
      for (let i = 0; i < 60; i++) await it.clock.advance(60_000);
      const { items } = await it.world.keeper.grants.list({ state: 'broken', limit: 10, after: null });
      expect(items.length).toBe(isDoomed ? 1 : 0);
      if (!isDoomed) continue;
      broken++;
      // What operators see is what the client is told.
      expect(items[0]?.diagnosis?.code).toBe('successor_lost');
      expect(await it.ask()).toBe('successor_lost');
      expect((await it.world.keeper.countStates()).broken).toBe(1);
    }
    expect(broken).toBe(5);
  }, 60_000);
});

/** Which of so many exchanges are struck: each with the same small probability. */
function struckOf(exchanges: number, rate: number, seed: number): readonly number[] {
  const next = chance(seed);
  return Array.from({ length: exchanges }, (_, i) => i).filter(() => next() < rate);
}

/** Minutes from a lost answer, while nobody asks, until the grant is well again or known to be broken. */
async function minutesUntilKnown(it: Joined): Promise<number> {
  for (let minutes = 0; minutes < 60; minutes++) {
    await it.clock.advance(60_000);
    const { state } = await it.world.keeper.grants.get('it');
    if (state === 'active' || state === 'broken') return minutes + 1;
  }
  return Number.POSITIVE_INFINITY;
}

/**
 * Of 100,000 exchanges those that are struck are played, each with the one before it: the others are all alike. There is
 * no recovery without a person yet, so what is lost stays lost until somebody renews the grant.
 */
async function thousandth(profile: string, expected: { state: string; code: string | null; broken: number }) {
  const struck = struckOf(100_000, 0.001, 31);
  expect(struck.length).toBeGreaterThan(60);
  for (const exchange of struck) {
    const it = await joined(profile);
    const { accessTokenExpiresAt } = await it.world.keeper.grants.get('it');
    await it.clock.advance((accessTokenExpiresAt ?? 0) - it.clock.now() + 1_000);
    it.provider.control.addFaults([{ fault: 'drop-after-commit', match: { endpoint: 'token' } }]);
    await it.ask();
    const minutes = await minutesUntilKnown(it);
    const { state, diagnosis } = await it.world.keeper.grants.get('it');
    const broken = (await it.world.keeper.countStates()).broken ?? 0;
    expect({ exchange, state, code: diagnosis?.code ?? null, broken }).toEqual({ exchange, ...expected });
    expect(minutes).toBeLessThanOrEqual(15);
  }
}

describe('of 100,000 exchanges, the answer to one in a thousand is lost', () => {
  test('and at Exact Online each such chain is whole within a quarter of an hour [S31]', async () => {
    await thousandth('exact-online', { state: 'active', code: null, broken: 0 });
  }, 60_000);

  test('and where tokens are good for one use each is told within a quarter of an hour, and none is missed [S31]', async () => {
    await thousandth('truelayer-2019', { state: 'broken', code: 'successor_lost', broken: 1 });
  }, 60_000);
});

describe('a provider that ruins the chain of whoever comes too early', () => {
  test.each(['error-and-advance', 'dead-token'] as const)(
    'never does so here, however often somebody wants a new token now, also across restarts (%s) [S26]',
    async (earlyRefresh) => {
      const it = await joined('exact-online');
      it.provider.control.change({ earlyRefresh });
      for (let turn = 0; turn < 120; turn++) {
        await it.clock.advance(61_000);
        await it.clock.until(it.world.keeper.tokens.refresh('it').catch(() => null));
        if (turn % 10 === 9) await it.world.restart();
      }
      const token = it.provider.control.ledger().filter((one) => one.endpoint === 'token');
      expect(token.filter((one) => one.reason !== null)).toEqual([]);
      expect(token.length).toBeGreaterThan(9);
      expect((await it.world.keeper.grants.get('it')).state).toBe('active');
    },
  );
});
