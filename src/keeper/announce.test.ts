import { expect, test } from 'vitest';
import { POLICIES } from '../core/policies.fixture.ts';
import { bench, testProvider } from '../../test/support/keeper-bench.ts';
import { announceEnd } from './announce.ts';
import type { Upstream } from './upstream.ts';

const DAY_MS = 86_400_000;

test('nodes that look in the same instant announce once, and the log tells it once, without a secret [S123]', async () => {
  const policy = { ...POLICIES.oneTime, life: { ...POLICIES.oneTime.life, absoluteMs: 90 * DAY_MS } };
  const { keeper, store, clock, imported } = await bench({ policy });
  const { id: grant } = await imported();
  keeper.stop();
  await clock.leap(60 * DAY_MS);
  const told: unknown[] = [];
  const silent = () => undefined;
  const log = { debug: silent, info: silent, error: silent, warn: (...words: unknown[]) => void told.push(words) };
  const upstream = async () => ({ provider: testProvider(policy) }) as unknown as Upstream;
  const node = () => announceEnd({ store, clock, log }, { grant, upstream, forget: silent });
  await Promise.all([node(), node(), node()]);
  const { items } = await keeper.grants.history('eol', { limit: 100, after: null });
  expect(items.filter(({ event }) => event.type === 'announced')).toHaveLength(1);
  const ends = new Date(clock.now() + 30 * DAY_MS).toISOString();
  const fields = { grant, provider: 'test', ends, days: 30, renew: `evergrant grants renew ${grant}` };
  expect(told).toEqual([['An authorization ends, and only a person can renew it.', fields]]);
});
