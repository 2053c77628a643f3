import { expect, test } from 'vitest';
import { EvergrantError } from '../core/errors.ts';
import { StoreFailure } from '../ports/store.ts';
import { storeContract } from './contract.ts';
import { authorized, GRANT } from './story.fixture.ts';
import { faultyStore } from './faulty.ts';
import { createMemoryStore } from './memory/store.ts';
import { withToldFailures } from './told-failures.ts';

storeContract('a store whose failures are told', async () => withToldFailures(createMemoryStore()));

test('whatever a store rejects with is told as its failure, with the cause', async () => {
  const store = withToldFailures(
    faultyStore(createMemoryStore(), [{ on: 'all', times: 3, does: { fault: 'error_before' } }]),
  );
  for (const call of [
    () => store.chains.append(GRANT, 0, authorized('a')),
    () => store.records.get('app', 'x'),
    () => store.check(),
  ]) {
    const failure = await Promise.resolve(call()).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(StoreFailure);
    expect((failure as StoreFailure).cause).toMatchObject({ name: 'InjectedFault' });
  }
  expect((await store.chains.append(GRANT, 0, authorized('a'))).outcome).toBe('appended');
});

test('an error with a remedy stays what it is', async () => {
  const store = createMemoryStore();
  const error = new EvergrantError('setting', 'wrong', { remedy: 'mend it' });
  const failing = { ...store, check: () => Promise.reject(error) };
  await expect(withToldFailures(failing).check()).rejects.toBe(error);
});
