/** A provider that was set back to a backup of itself: it knows the newest tokens no more, and takes an older one again. */
import { expect, test } from 'vitest';
import { POLICIES } from '../src/core/policies.fixture.ts';
import type { RotationPolicy } from '../src/core/rotation-policy.ts';
import { bench } from './support/keeper-bench.ts';
import { codeOf } from './support/refusal.ts';
import { json } from './support/scripted-upstream.ts';

const WISH = { minTtlMs: 5_000, waitMs: 30_000 };

/** Four exchanges, of which the provider forgets the last two. */
async function setBack(policy: RotationPolicy) {
  const world = await bench({ policy });
  await world.imported();
  const use = async () => {
    await world.clock.advance(700_000);
    return world.clock.until(world.keeper.tokens.get('eol', WISH).then((live) => live.accessToken.reveal(), codeOf));
  };
  for (let i = 1; i <= 4; i++) expect(await use()).toBe(`at-${i}`);
  world.upstream.presented.length = 0;
  const accepts = (known: string) => {
    world.upstream.script.push((form) => {
      if (form.get('refresh_token') === known) return world.upstream.tokens();
      accepts(known);
      return json(400, { error: 'invalid_grant' });
    });
  };
  accepts('rt-2');
  return { world, use };
}

const harmless = ['exact', 'untilSuccessorUsed', 'lastThree', 'oneTime'] as const;

test.each(harmless)(
  'a provider that went back to a backup gets the token that it knows, of those kept (%s)',
  async (name) => {
    const { world, use } = await setBack(POLICIES[name]);
    expect(await use()).toBe('at-5');
    expect(world.upstream.presented).toEqual(['rt-4', 'rt-3', 'rt-2']);
    expect(await use()).toBe('at-6');
    expect(world.upstream.presented.at(-1)).toBe('rt-5');
    expect((await world.keeper.grants.get('eol')).state).toBe('active');
  },
);

test.each(['window60s', 'oneTimeRevoking', 'revokingAccount'] as const)(
  'where reuse is punished no older token is tried, whatever was refused (%s)',
  async (name) => {
    const { world, use } = await setBack(POLICIES[name]);
    expect(await use()).toBe('authorization_required');
    expect(world.upstream.presented).toEqual(['rt-4']);
  },
);
