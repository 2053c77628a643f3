/**
 * The store fails once, at the n-th call, before or after it took effect, for n = 1, 2, … until a run meets no failure
 * any more. Whatever fails, the chain is whole afterwards and no token was presented twice: the provider of these runs
 * would revoke everything for that.
 */
import { describe, expect, test } from 'vitest';
import { POLICIES } from '../src/core/policies.fixture.ts';
import { Secret } from '../src/core/secret.ts';
import type { CallbackParameters } from '../src/keeper/keeper.ts';
import { faultyStore, type StoreFault } from '../src/storage/faulty.ts';
import { createMemoryStore } from '../src/storage/memory/store.ts';
import { type Bench, bench } from './support/keeper-bench.ts';

const WISH = { minTtlMs: 5_000, waitMs: 30_000 };
const MOST_CALLS = 400;

/** Tries as a person or program would: again after a failure, a few times. */
async function insist<T>(world: Bench, work: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await world.clock.until(work(), 300_000);
    } catch (cause) {
      if (tries === 6) throw cause;
      await world.clock.advance(20_000);
    }
  }
}

/** Repeats a scenario with the failure at each call in turn; gives how many runs met one. */
async function sweep(
  fault: 'error_before' | 'error_after',
  scenario: (world: Bench, armed: { from(): void; until(): void }) => Promise<void>,
): Promise<number> {
  for (let nth = 0; nth < MOST_CALLS; nth++) {
    const plan: StoreFault[] = [];
    const world = await bench({ policy: POLICIES.oneTimeRevoking, store: faultyStore(createMemoryStore(), plan) });
    const calls = countCalls(world);
    let counted = 0;
    await scenario(world, {
      from() {
        calls.restart();
        plan.push({ on: 'all', skip: nth, does: { fault } });
      },
      until() {
        counted = calls.count();
        plan.pop();
      },
    });
    if (counted <= nth) return nth;
  }
  throw new Error('the scenario never ends');
}

function countCalls(world: Bench) {
  let calls = 0;
  for (const half of [world.store.chains, world.store.records]) {
    for (const [name, call] of Object.entries(half)) {
      const counting = (...words: unknown[]) => {
        calls++;
        return (call as (...all: unknown[]) => unknown)(...words);
      };
      Object.assign(half, { [name]: counting });
    }
  }
  return {
    restart() {
      calls = 0;
    },
    count: () => calls,
  };
}

async function expectWhole(world: Bench, alias: string): Promise<void> {
  await world.clock.advance(700_000);
  await insist(world, () => world.keeper.tokens.get(alias, WISH));
  await world.clock.advance(700_000);
  await insist(world, () => world.keeper.tokens.get(alias, WISH));
  expect((await world.keeper.grants.get(alias)).state).toBe('active');
  const { presented } = world.upstream;
  expect(presented.filter((token, i) => presented.indexOf(token) !== i)).toEqual([]);
}

describe.each(['error_before', 'error_after'] as const)('a store that fails once, with an %s its effect', (fault) => {
  test('breaks no exchange, whichever call it is [S105] [S112]', async () => {
    const met = await sweep(fault, async (world, armed) => {
      await world.imported();
      await world.clock.advance(600_000);
      armed.from();
      await insist(world, () => world.keeper.tokens.get('eol', WISH));
      await world.clock.advance(10_000);
      armed.until();
      await expectWhole(world, 'eol');
    });
    expect(met).toBeGreaterThan(6);
  }, 60_000);

  test('breaks no exchange when the process ends right after it, whichever call it is [S39]', async () => {
    const met = await sweep(fault, async (world, armed) => {
      await world.imported();
      await world.clock.advance(600_000);
      armed.from();
      world.keeper.tokens.get('eol', WISH).catch(() => undefined);
      await world.clock.advance(2_000);
      await insist(world, () => world.restart());
      armed.until();
      await expectWhole(world, 'eol');
    });
    expect(met).toBeGreaterThan(8);
  }, 60_000);

  test('loses no authorization whose code was exchanged, whichever call it is', async () => {
    const met = await sweep(fault, async (world, armed) => {
      const grant = await world.keeper.grants.create({ app: world.app.id, alias: 'eol' });
      const { ticket } = await world.keeper.authorizations.begin(grant.id, {});
      const { location, browserCookie } = await world.keeper.authorizations.open(ticket);
      const callback: CallbackParameters = {
        state: new URL(location).searchParams.get('state'),
        code: new Secret('authorization code', 'the-code'),
        error: null,
        errorDescription: null,
        iss: null,
      };
      armed.from();
      // A person reloads the page when it shows an error.
      const outcome = await insist(world, async () => {
        const result = await world.keeper.authorizations.finish(callback, browserCookie);
        if (result.outcome === 'failed') throw new Error(result.reason);
        return result;
      });
      expect(outcome.outcome).toBe('done');
      armed.until();
      await expectWhole(world, 'eol');
    });
    expect(met).toBeGreaterThan(8);
  }, 60_000);

  test('loses no imported token, whichever call it is', async () => {
    const met = await sweep(fault, async (world, armed) => {
      armed.from();
      const wish = {
        app: world.app.id,
        alias: 'eol',
        refreshToken: new Secret('refresh token', 'theirs'),
        takeover: true,
      };
      await world.clock.until(world.keeper.grants.import(wish), 300_000).catch(() => undefined);
      await world.clock.advance(20_000);
      // Repeating an import is harmless: either it is held by now, or it is taken up again.
      await world.clock.until(world.keeper.grants.import(wish), 300_000).catch(() => undefined);
      armed.until();
      await expectWhole(world, 'eol');
    });
    expect(met).toBeGreaterThan(8);
  }, 60_000);
});
