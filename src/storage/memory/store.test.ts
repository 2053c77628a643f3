import { expect, test } from 'vitest';
import type { Instant } from '../../core/instant.ts';
import { storeContract } from '../contract.ts';
import { boundedHistoryContract } from '../contract-of-history.ts';
import { sharedStoreContract } from '../contract-of-nodes.ts';
import { authorized, GRANT } from '../story.fixture.ts';
import { createMemoryStore } from './store.ts';

const now = () => 1_700_000_000_000 as Instant;

storeContract('the store in memory', async () => createMemoryStore());
storeContract('the store in memory that nodes share', async () => createMemoryStore({ now }));
boundedHistoryContract('histories in memory', async () => createMemoryStore());
sharedStoreContract('nodes that share a store in memory', async () => {
  const store = createMemoryStore({ now });
  return [store, store];
});

test('a store in memory for one node tells of no change', async () => {
  const store = createMemoryStore();
  let told = 0;
  store.watch(() => told++);
  await store.chains.append(GRANT, 0, authorized('a'));
  expect([store.isShared, told]).toEqual([false, 0]);
});
