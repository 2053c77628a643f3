import fc from 'fast-check';
import { expect, test } from 'vitest';
import { accessUsed, type Family, present, startFamily } from './family.ts';
import { admit } from './family-caps.ts';
import { PRESETS, type Preset } from './family-presets.fixture.ts';
import type { Instant } from './instant.ts';
import type { RotationPolicy } from './rotation-policy.ts';

const START = Date.UTC(2026, 10, 22) as Instant;

/** A step presents a refresh token or uses an access token, some time after the step before. */
const steps = fc.array(
  fc.record({
    what: fc.constantFrom('refresh', 'access'),
    which: fc.nat(),
    afterMs: fc.constantFrom(0, 1000, 20_000, 400_000),
  }),
  { maxLength: 30 },
);
const presets = fc.constantFrom(...(Object.keys(PRESETS) as Preset[]));

type Step = { readonly what: string; readonly which: number; readonly afterMs: number };

interface Played {
  readonly before: Family;
  readonly after: Family;
  readonly accepted: boolean;
}

function begin(id: string, now = START): Family {
  return startFamily({
    id,
    user: 'u',
    client: 'c',
    now,
    ids: { refreshToken: `${id}-rt-0`, accessToken: `${id}-at-0` },
  });
}

function play(policy: RotationPolicy, sequence: readonly Step[]): Played[] {
  let family = begin('f');
  let now = START;
  return sequence.map((step, i) => {
    now = (now + step.afterMs) as Instant;
    const before = family;
    const list = step.what === 'refresh' ? family.tokens : family.accessTokens;
    const id = list[step.which % list.length]?.id ?? '';
    const ids = { refreshToken: `rt-${i + 1}`, accessToken: `at-${i + 1}` };
    const result =
      step.what === 'refresh' ? present(family, id, { policy, now, ids }) : accessUsed(family, id, policy, now);
    family = result.family;
    return { before, after: family, accepted: result.outcome === 'accepted' };
  });
}

const holds = (law: (played: Played, policy: RotationPolicy) => void) =>
  fc.assert(
    fc.property(presets, steps, (preset, sequence) => {
      for (const one of play(PRESETS[preset], sequence)) law(one, PRESETS[preset]);
    }),
    { numRuns: 600 },
  );

test('a revoked family stays revoked and gives no tokens any more', () => {
  holds(({ before, after }) => {
    if (before.revoked === null) return;
    expect(after.revoked).toEqual(before.revoked);
    expect([after.tokens.length, after.accessTokens.length]).toEqual([
      before.tokens.length,
      before.accessTokens.length,
    ]);
  });
});

test('a refusal changes nothing but, on reuse, the revocation', () => {
  holds(({ before, after, accepted }) => {
    if (accepted) return;
    expect({ ...after, revoked: null, accessTokens: [] }).toEqual({ ...before, revoked: null, accessTokens: [] });
    if (after.revoked === before.revoked) expect(after).toEqual(before);
  });
});

test('where the answer is same or replace, at most one token is unspent and alive', () => {
  holds(({ after }, policy) => {
    if (policy.overlap.answer === 'fork') return;
    const heads = after.tokens.filter((one) => one.firstUsedAt === null && !one.displacedAt);
    expect(heads.length).toBeLessThanOrEqual(1);
  });
});

test('[S129] [S103] beyond the cap of tokens the oldest is ended, silently, and no other', () => {
  const policy = PRESETS['Google (100 per user+client)'];
  let families: Family[] = [];
  for (let i = 0; i < 101; i++) {
    const now = (START + i * 1000) as Instant;
    families = admit(families, begin(`f${i}`, now), policy, now);
  }
  const now = (START + 200_000) as Instant;
  const outcomes = families.map((family, i) => {
    const ids = { refreshToken: `n${i}`, accessToken: `a${i}` };
    const result = present(family, `${family.id}-rt-0`, { policy, now, ids });
    return result.outcome === 'refused' ? result.reason : result.answer;
  });
  expect(outcomes[0]).toBe('evicted');
  expect(new Set(outcomes.slice(1))).toEqual(new Set(['same']));
});

test('[S28] where one family is kept for a user and client, a new one ends the older', () => {
  const policy = PRESETS['Exact Online strict'];
  const [older, newer] = admit([begin('one')], begin('two'), policy, START);
  expect([older?.revoked?.reason, newer?.revoked]).toEqual(['reauthorized', null]);
});

test('[S118] a consent that ends ends the family, however often it was used', () => {
  const policy = PRESETS['TrueLayer durable'];
  const day = 86_400_000;
  const ids = { refreshToken: 'rt', accessToken: 'at' };
  let family = startFamily({
    id: 'f',
    user: 'u',
    client: 'c',
    now: START,
    ids,
    consentEndsAt: (START + 90 * day) as Instant,
  });
  for (const at of [29, 58, 87]) {
    const result = present(family, 'rt', {
      policy,
      now: (START + at * day) as Instant,
      ids: { ...ids, accessToken: `at-${at}` },
    });
    expect(result.outcome).toBe('accepted');
    family = result.family;
  }
  const result = present(family, 'rt', { policy, now: (START + 91 * day) as Instant, ids });
  expect(result).toMatchObject({ outcome: 'refused', reason: 'consent-ended' });
});

test('a server that revokes the previous access token at each exchange keeps only the newest alive', () => {
  const policy = PRESETS['TrueLayer durable'];
  let family = begin('f');
  for (const accessToken of ['at-1', 'at-2']) {
    const ids = { refreshToken: 'unused', accessToken };
    family = present(family, 'f-rt-0', { policy, now: (START + 1000) as Instant, ids }).family;
  }
  const use = (id: string) => accessUsed(family, id, policy, (START + 2000) as Instant).outcome;
  expect([use('f-at-0'), use('at-1'), use('at-2')]).toEqual(['refused', 'refused', 'accepted']);
});
