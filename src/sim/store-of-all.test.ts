import { expect, test } from 'vitest';
import { Chance } from './chance.ts';
import { Life } from './life.ts';
import { StoreOfAll } from './store-of-all.ts';
import { VirtualTime } from './virtual-time.ts';

function newStore(latencyMs: number) {
  const time = new VirtualTime(0);
  const options = { isShared: false, isBackedUp: true, onAppended: () => undefined, onGranted: () => undefined };
  const store = new StoreOfAll(time, Chance.of('store'), { ...options, latencyMs });
  return { time, store, life: new Life('run', time) };
}

test('a simulated store goes back to its last backup, as often as it is asked to', async () => {
  const { store, life } = newStore(0);
  await store.of(life).records.insert('grant', 'grt_before', '{}', []);
  store.backUp();
  for (let i = 0; i < 2; i++) {
    await store.of(life).records.insert('grant', 'grt_after', '{}', []);
    store.restore();
    expect(await store.of(life).records.get('grant', 'grt_before')).not.toBeNull();
    expect(await store.of(life).records.get('grant', 'grt_after')).toBeNull();
  }
});

test('what was on its way to a simulated store does not reach the backup that replaced it', async () => {
  const { time, store, life } = newStore(20);
  store.backUp();
  const written = store.of(life).records.insert('grant', 'grt_late', '{}', []);
  store.restore();
  await expect(time.until(written)).rejects.toThrow('the store is down');
  expect(await store.inner.records.get('grant', 'grt_late')).toBeNull();
});

test('what is read of a slow simulated store may be older than what is written before it is told', async () => {
  const { time, store, life } = newStore(0);
  const { records } = store.of(life);
  await records.insert('grant', 'grt_1', 'old', []);
  store.goSlow(60_000);
  let isStale = false;
  const reads = Array.from({ length: 40 }, () => records.get('grant', 'grt_1'));
  await store.inner.records.update('grant', 'grt_1', 1, 'new', []);
  for (const read of reads) {
    const body = (await time.until(read))?.body;
    isStale ||= time.now() > 0 && body === 'old';
  }
  expect(isStale).toBe(true);
  store.healAll();
  expect((await records.get('grant', 'grt_1'))?.body).toBe('new');
});
