/** Taking over a refresh token that was obtained elsewhere, on a bench: real keeper and store, a scripted provider. */
import { describe, expect, test } from 'vitest';
import { POLICIES } from '../src/core/policies.fixture.ts';
import { Secret } from '../src/core/secret.ts';
import { faultyStore } from '../src/storage/faulty.ts';
import { createMemoryStore } from '../src/storage/memory/store.ts';
import { type Bench, bench } from './support/keeper-bench.ts';
import { renewed } from './support/browser-flow.ts';
import { refusal } from './support/refusal.ts';
import { json } from './support/scripted-upstream.ts';

describe('an import', () => {
  const importOf = (world: Bench, alias: string, refreshToken: string, takeover = true) =>
    world.clock.until(
      world.keeper.grants.import({
        app: world.app.id,
        alias,
        refreshToken: new Secret('refresh token', refreshToken),
        takeover,
      }),
    );

  test('takes the chain over at once: what held the token before cannot use it any more [S76]', async () => {
    const world = await bench();
    expect(await importOf(world, 'eol', 'theirs')).toMatchObject({ state: 'active', exchanges: 1 });
    expect(world.upstream.presented).toEqual(['theirs']);
    await world.clock.advance(0);
    expect((await world.keeper.grants.get('eol')).account).toMatchObject({ subject: 'account-1' });
  });

  test('stores without an exchange when asked to, until the first use', async () => {
    const world = await bench();
    expect(await importOf(world, 'eol', 'theirs', false)).toMatchObject({ state: 'active', exchanges: 0 });
    expect(world.upstream.presented).toEqual([]);
    await world.clock.until(world.keeper.tokens.get('eol', { minTtlMs: 5_000, waitMs: 30_000 }));
    expect(world.upstream.presented).toEqual(['theirs']);
  });

  test('of a token that is held, or was, sends nothing and says which grant has it', async () => {
    const world = await bench();
    const { id } = await importOf(world, 'eol', 'theirs');
    const older = await refusal(importOf(world, 'again', 'theirs'));
    expect([older.code, older.details.grant]).toEqual(['older_than_held', id]);
    const current = await refusal(importOf(world, 'again', 'rt-1'));
    expect([current.code, current.details.grant]).toEqual(['already_held', id]);
    expect(world.upstream.presented).toEqual(['theirs']);
  });

  test('of one token twice at the same time is one import', async () => {
    const world = await bench();
    const both = [importOf(world, 'one', 'theirs'), importOf(world, 'two', 'theirs')];
    const results = await Promise.allSettled(both);
    expect(results.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected']);
    expect(world.upstream.presented).toEqual(['theirs']);
  });

  test('of one token twice, however close together, never begins its chain a second time', async () => {
    for (let distance = 0; distance < 100; distance++) {
      const world = await bench({ policy: POLICIES.oneTime });
      const { keeper, app } = world;
      const take = (alias: string) =>
        keeper.grants.import({
          app: app.id,
          alias,
          refreshToken: new Secret('refresh token', 'rt-0'),
          takeover: true,
        });
      const first = take('one');
      for (let i = 0; i < distance; i++) await Promise.resolve();
      const both = await world.clock.until(Promise.allSettled([first, take('two')]));
      expect(both.map(({ status }) => status).toSorted(), `at ${distance}`).toEqual(['fulfilled', 'rejected']);
      expect((await keeper.grants.get('one')).generation).toBe(1);
    }
  });

  test('into a store that returns other bytes at first is written again until it returns the right ones', async () => {
    const { chains, ...rest } = createMemoryStore();
    const store = faultyStore({ ...rest, chains }, [{ on: 'chains.answer', times: 2, does: { fault: 'corrupt' } }]);
    const world = await bench({ store });
    await world.clock.until(world.imported());
    expect((await world.keeper.tokens.get('eol', { minTtlMs: 0, waitMs: 0 })).accessToken.reveal()).toBe('at-0-eol');
  });

  test('of a dead token says so, and the grant can be renewed', async () => {
    const world = await bench();
    world.upstream.script.push(() => json(400, { error: 'invalid_grant' }));
    const grant = await importOf(world, 'eol', 'dead');
    expect(grant).toMatchObject({ state: 'broken' });
    expect(await renewed(world, grant.id)).toMatchObject({ outcome: 'done' });
  });
});
