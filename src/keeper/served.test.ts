/** Doubts about the access token that is served. */
import { expect, test } from 'vitest';
import type { Instant } from '../core/instant.ts';
import { Served } from './served.ts';

test('a clock that is put back does not keep a doubt from being looked into', async () => {
  const time = { at: 7_200_000 as Instant, boot: 'boot', uptimeMs: 0 };
  const clock = { now: () => time.at, moment: () => ({ ...time }), sleep: async () => undefined };
  const served = new Served(clock, () => undefined);
  let looks = 0;
  const look = async (): Promise<void> => {
    looks++;
  };
  await served.doubt(look);
  time.uptimeMs += 9_000;
  await served.doubt(look);
  expect(looks).toBe(1);
  Object.assign(time, { at: 3_600_000, uptimeMs: 11_000 });
  await served.doubt(look);
  expect(looks).toBe(2);
});
