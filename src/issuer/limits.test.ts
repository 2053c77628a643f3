import { expect, test } from 'vitest';
import { VirtualClock } from '../../test/support/virtual-clock.ts';
import { OAuthError } from '../oauth/oauth-error.ts';
import { Crowds } from './limits.ts';

const HALF_AN_HOUR_MS = 1_800_000;

test('ten thousand addresses do not fill the store, concern no other client, and are forgotten in time', async () => {
  const clock = new VirtualClock();
  const crowds = new Crowds(clock, HALF_AN_HOUR_MS);
  for (let i = 0; i < 10_000; i++) crowds.enter('cli_1', `network ${i}`, `${i}`);
  expect(() => crowds.enter('cli_1', 'a new one', 'x')).toThrow(OAuthError);
  crowds.enter('cli_2', 'a new one', 'y');
  await clock.leap(HALF_AN_HOUR_MS);
  crowds.enter('cli_1', 'a new one', 'x');
});
