import { expect, test } from 'vitest';
import { faultyStore } from '../src/storage/faulty.ts';
import { createMemoryStore } from '../src/storage/memory/store.ts';
import { bench } from './support/keeper-bench.ts';

const HOUR_MS = 3_600_000;
const forGood = { times: Number.POSITIVE_INFINITY, does: { fault: 'error_before' } } as const;

/** A store that is down from `fail` on, and counts what it is asked for then. */
function mortalStore() {
  const inner = createMemoryStore();
  const down = faultyStore(inner, [{ on: 'all', ...forGood }]);
  const state = { isDown: false, calls: 0 };
  const now = <K extends 'chains' | 'records' | 'nodes'>(part: K) =>
    new Proxy(inner[part], {
      get: (_, name) => {
        if (state.isDown) state.calls++;
        return Reflect.get((state.isDown ? down : inner)[part], name);
      },
    });
  const store = { ...inner, chains: now('chains'), records: now('records'), nodes: now('nodes') };
  return { store, state, fail: () => (state.isDown = true) };
}

test('a stop ends in time although the store is down, the answer stays in the journal, and nothing is asked any more', async () => {
  const { store, state, fail } = mortalStore();
  const b = await bench({ store });
  await b.imported();
  await b.clock.advance(600_000);
  b.atStep((step) => {
    if (step === 'received') fail();
  });
  const asked = b.keeper.tokens.get('eol', { minTtlMs: null, waitMs: 120_000 });
  asked.catch(() => undefined);
  await b.clock.advance(10_000);
  const before = state.calls;
  expect(before).toBeGreaterThan(3);
  let isOver = false;
  const drained = b.keeper.drain(5_000).then(() => {
    isOver = true;
  });
  await b.clock.advance(4_900);
  expect(isOver).toBe(false);
  await b.clock.advance(200);
  await drained;
  await expect(asked).rejects.toMatchObject({ code: 'shutting_down' });
  await b.clock.advance(LAST_TRIES_MS);
  const atTheEnd = state.calls;
  await b.clock.advance(HOUR_MS);
  expect(state.calls).toBe(atTheEnd);
  expect(b.journal.records.map((record) => record.purpose)).toEqual(['begun', 'intent', 'exchange']);
});

/** What was under way at the end of the drain may be tried once more. */
const LAST_TRIES_MS = 100;

test('a stop with nothing under way succeeds although the store is down', async () => {
  const { store, fail } = mortalStore();
  const b = await bench({ store });
  await b.imported();
  fail();
  await expect(b.clock.until(b.keeper.drain(5_000))).resolves.toBeUndefined();
});

test('asking whether the server is ready writes to the store once a second, however many ask', async () => {
  const inner = createMemoryStore();
  let checks = 0;
  let isDown = false;
  const store = {
    ...inner,
    async check() {
      checks++;
      if (isDown) throw new Error('the disk is full');
    },
  };
  const b = await bench({ store });
  const answers = await Promise.all(Array.from({ length: 20 }, () => b.keeper.isReady()));
  expect([checks, new Set(answers)]).toEqual([1, new Set([true])]);
  isDown = true;
  await b.clock.advance(1_000);
  await expect(b.keeper.isReady()).rejects.toThrow('the disk is full');
  await expect(b.keeper.isReady()).rejects.toThrow('the disk is full');
  expect(checks).toBe(2);
  isDown = false;
  await b.clock.advance(1_000);
  expect(await b.keeper.isReady()).toBe(true);
  b.keeper.stop();
  expect(await b.keeper.isReady()).toBe(false);
});
