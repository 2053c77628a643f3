import { expect, test } from 'vitest';
import { POLICIES } from '../core/policies.fixture.ts';
import { Secret } from '../core/secret.ts';
import { bench } from '../../test/support/keeper-bench.ts';
import { json, LOST } from '../../test/support/scripted-upstream.ts';

test('breaks are counted against authorizations, by cause, and the time until they are whole again [S128] [S31]', async () => {
  const world = await bench({ policy: POLICIES.oneTime });
  const { keeper, clock, upstream } = world;
  await world.imported();
  await clock.advance(600_000);
  upstream.script.push(
    () => LOST,
    () => json(400, { error: 'invalid_grant' }),
  );
  await clock.until(keeper.tokens.get('eol', { minTtlMs: 5_000, waitMs: 60_000 }).catch(() => undefined));
  expect(keeper.figures()).toMatchObject({
    authorizations: 1,
    breaks: { successor_lost: 1 },
    repairs: { count: 0, tookMs: 0 },
  });
  const brokenAt = (await keeper.grants.get('eol')).diagnosis?.since ?? 0;

  await clock.advance(3_600_000);
  const { ticket } = await keeper.authorizations.begin('eol', {});
  const { location, browserCookie } = await keeper.authorizations.open(ticket);
  const callback = {
    state: new URL(location).searchParams.get('state'),
    code: new Secret('authorization code', 'the-code'),
    error: null,
    errorDescription: null,
    iss: null,
  };
  const wholeAt = clock.now();
  await clock.until(keeper.authorizations.finish(callback, browserCookie));
  const { authorizations, exchanges, repairs } = keeper.figures();
  expect(authorizations).toBe(2);
  expect(exchanges).toEqual({ lost: 1, invalid_grant: 1 });
  expect(repairs).toEqual({ count: 1, tookMs: wholeAt - brokenAt });
});
