import { beforeEach, expect, test } from 'vitest';
import type { Store } from '../ports/store.ts';
import { faultyStore, InjectedFault } from './faulty.ts';
import { createMemoryStore } from './memory/store.ts';
import { authorized, GRANT, sealedAnswer, started } from './story.fixture.ts';

let inner: Store;
beforeEach(() => {
  inner = createMemoryStore();
});

test('an error before the effect leaves the chain as it was; one after it does not', async () => {
  const before = faultyStore(inner, [{ on: 'chains.append', does: { fault: 'error_before' } }]);
  await expect(before.chains.append(GRANT, 0, authorized('a'))).rejects.toThrow(InjectedFault);
  expect((await inner.chains.read(GRANT)).version).toBe(0);
  const after = faultyStore(inner, [{ on: 'chains.append', does: { fault: 'error_after' } }]);
  await expect(after.chains.append(GRANT, 0, authorized('a'))).rejects.toThrow(InjectedFault);
  expect((await inner.chains.read(GRANT)).version).toBe(1);
});

test('a fault strikes after so many calls, so many times, and only events of its type', async () => {
  const store = faultyStore(inner, [
    { on: 'writes', event: 'started', skip: 1, times: 2, does: { fault: 'error_before' } },
  ]);
  await store.chains.append(GRANT, 'any', authorized('a'));
  const outcomes: boolean[] = [];
  for (let i = 0; i < 5; i++) {
    outcomes.push(
      await store.chains.append(GRANT, 'any', started(`b${i}`, 'a')).then(
        () => true,
        () => false,
      ),
    );
  }
  expect(outcomes).toEqual([true, false, false, true, true]);
});

test('an answer that is corrupted once is read rightly the next time', async () => {
  const store = faultyStore(inner, [{ on: 'chains.answer', does: { fault: 'corrupt' } }]);
  await store.chains.append(GRANT, 0, authorized('a'));
  expect(await store.chains.answer(GRANT, 'lnk_a')).not.toBe(sealedAnswer('a'));
  expect(await store.chains.answer(GRANT, 'lnk_a')).toBe(sealedAnswer('a'));
});

test('reads may fail while writes go well, and delays take the time of the given clock', async () => {
  const waited: number[] = [];
  const sleep = async (ms: number) => void waited.push(ms);
  const plan = [
    { on: 'reads', times: Number.POSITIVE_INFINITY, does: { fault: 'error_before' } },
    { on: 'all', does: { fault: 'delay', ms: 250 } },
  ] as const;
  const store = faultyStore(inner, plan, { sleep });
  await store.records.insert('app', 'app_1', '{}', []);
  await expect(store.records.get('app', 'app_1')).rejects.toThrow('records.get failed before');
  await expect(store.check()).resolves.toBeUndefined();
  expect(waited).toEqual([250]);
});
