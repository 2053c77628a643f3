import { expect, test } from 'vitest';
import { apply, type Chain, EMPTY_CHAIN } from './chain.ts';
import { type DueWish, dueAt } from './due.ts';
import type { Instant, Moment } from './instant.ts';
import { POLICIES } from './policies.fixture.ts';
import type { Fingerprint } from './secret.ts';

const DAY_S = 86_400;

function at(second: number): Moment {
  return { at: (1_700_000_000_000 + second * 1000) as Instant, boot: 'boot', uptimeMs: second * 1000 };
}

const LAZY: DueWish = { isAlwaysFresh: false, jobAfter: () => null, spread: 0 };

/** A chain that was authorized at second 0 and is served from. */
function authorized(): Chain {
  const link = {
    id: 'lnk_a' as const,
    fingerprint: 'a' as Fingerprint,
    node: 'node',
    requestedAt: at(0),
    receivedAt: at(0),
    accessTokenLifeMs: 600_000,
    scope: null,
  };
  const chain = apply(EMPTY_CHAIN, { type: 'authorized', at: at(0), link, by: 'code' });
  return apply(chain, { type: 'published', at: at(0), link: 'lnk_a' });
}

function started(chain: Chain, second: number): Chain {
  const id = `lnk_${second}` as const;
  return apply(chain, { type: 'started', at: at(second), id, presented: 'lnk_a', node: 'node', run: 'run' });
}

test('[S45] a chain that nobody asks for wants nothing before half of its idle limit', () => {
  const due = dueAt(authorized(), POLICIES.exact, at(0), LAZY);
  expect(due).toBe(at(15 * DAY_S).at);
  expect(dueAt(authorized(), POLICIES.exact, at(0), { ...LAZY, spread: 1 })).toBe(at(21 * DAY_S).at);
});

test('where the provider sets no idle limit, a chain that nobody asks for is left alone', () => {
  const policy = { ...POLICIES.exact, life: { ...POLICIES.exact.life, idleMs: Number.POSITIVE_INFINITY } };
  expect(dueAt(authorized(), policy, at(0), LAZY)).toBeNull();
});

test('[S49] a chain that is to be always fresh is exchanged before its access token ends, and not before the spacing', () => {
  const wish = { ...LAZY, isAlwaysFresh: true };
  // Exact Online: the spacing of 570 s and its margin end later than the last tenth of the token's life begins.
  expect(dueAt(authorized(), POLICIES.exact, at(0), wish)).toBe(at(572).at);
  const unpaced = { ...POLICIES.exact, pacing: { minSpacingMs: 0, perDay: Number.POSITIVE_INFINITY } };
  expect(dueAt(authorized(), unpaced, at(0), wish)).toBe(at(540).at);
});

test('[S49] before a known job the chain is due half a minute ahead', () => {
  const hourly = (from: Instant) => (Math.floor((from - at(0).at) / 3_600_000 + 1) * 3_600_000 + at(0).at) as Instant;
  const wish = { ...LAZY, jobAfter: hourly };
  expect(dueAt(authorized(), POLICIES.exact, at(0), wish)).toBe(at(3_570).at);
  // It stays due until the job has begun, whatever keeps it from being exchanged; then the next one counts.
  expect(dueAt(authorized(), POLICIES.exact, at(3_580), wish)).toBe(at(3_580).at);
  expect(dueAt(authorized(), POLICIES.exact, at(3_700), wish)).toBe(at(7_170).at);
});

test('what a provider allows in a day lasts for the day', () => {
  const policy = { ...POLICIES.exact, pacing: { minSpacingMs: 0, perDay: 48 } };
  expect(dueAt(authorized(), policy, at(0), { ...LAZY, isAlwaysFresh: true })).toBe(at(1_800).at);
});

test('a chain in doubt is due when its token may be presented again', () => {
  const open = started(authorized(), 1_000);
  expect(dueAt(open, POLICIES.exact, at(1_001), LAZY)).toBeNull();
  const lost = apply(open, { type: 'lost', at: at(1_010), id: 'lnk_1000', reason: 'no_answer', said: null });
  expect(dueAt(lost, POLICIES.exact, at(1_010), LAZY)).toBe(at(1_571).at);
});

test('a chain is due at a whole millisecond, as a store keeps it, whatever fraction of one the clocks tell', () => {
  const between = (second: number): Moment => ({ ...at(second), uptimeMs: second * 1000 + 0.4 });
  for (const policy of Object.values(POLICIES)) {
    const open = started(authorized(), 1_000);
    const lost = apply(open, { type: 'lost', at: at(1_010), id: 'lnk_1000', reason: 'no_answer', said: null });
    expect(dueAt(lost, policy, between(1_010), LAZY) ?? 0).toSatisfy(Number.isSafeInteger);
  }
  const link = authorized().links.map((one) => ({ ...one, accessTokenLifeMs: 333 }));
  const brief = { ...authorized(), links: link };
  const wish = { ...LAZY, isAlwaysFresh: true };
  expect(dueAt(brief, POLICIES.oneTime, at(0), wish)).toSatisfy(Number.isSafeInteger);
});

test('a chain that was ended, or waits for a journal, wants nothing', () => {
  expect(dueAt(apply(authorized(), { type: 'ended', at: at(1) }), POLICIES.exact, at(2), LAZY)).toBeNull();
  const held = apply(authorized(), { type: 'held', at: at(1), why: 'restore', node: null });
  expect(dueAt(held, POLICIES.exact, at(2), { ...LAZY, isAlwaysFresh: true })).toBeNull();
});

test('a chain whose exchange was too early is due when its pause is over, for a window may be closing', () => {
  const deferral = { why: 'too_early', forMs: 28_500, said: null } as const;
  const early = apply(authorized(), { type: 'deferred', at: at(600), deferral });
  expect(dueAt(early, POLICIES.exact, at(600), LAZY)).toBe(at(628).at + 500);
  const away = apply(authorized(), { type: 'deferred', at: at(600), deferral: { ...deferral, why: 'throttled' } });
  expect(dueAt(away, POLICIES.exact, at(600), LAZY)).toBe(at(15 * DAY_S).at);
});

test('and so it is when an outage puts it off once more', () => {
  const said = { status: 400, error: 'access_denied', description: null };
  const refused = { type: 'refused', at: at(601), id: 'lnk_600', means: 'too_early', said } as const;
  const early = apply(started(authorized(), 600), refused);
  const deferral = { why: 'upstream_unavailable', forMs: 20_000, said: null } as const;
  const away = apply(early, { type: 'deferred', at: at(1_180), deferral });
  expect(dueAt(away, POLICIES.exact, at(1_180), LAZY)).toBe(at(1_200).at);
});
