/**
 * The oracle of the simulation (docs/simulator.md): what it excuses, and beside each excuse a loss that looks much like
 * it and is none.
 */
import { describe, expect, test } from 'vitest';
import { POLICIES } from '../src/core/policies.fixture.ts';
import type { RotationPolicy } from '../src/core/rotation-policy.ts';
import type { Instant } from '../src/core/instant.ts';
import { type Evidence, judgeLoss } from '../src/sim/oracle.ts';
import { ChainTruth, type TokenTruth } from '../src/sim/truth.ts';
import type { Entry } from '../src/sim/upstream.ts';

const SECOND = 1_000;
const HOUR = 3_600_000;
const DAY = 24 * HOUR;

/** A chain whose first token was exchanged for t1, which was kept. */
function chainOf(): { readonly chain: ChainTruth; readonly kept: TokenTruth } {
  const chain = new ChainTruth('a', { refreshToken: 't0' }, 0);
  const kept = chain.issued('t1', 't0', 10 * SECOND, 10 * SECOND);
  Object.assign(kept, { deliveredAt: 10 * SECOND, wasKept: true });
  return { chain, kept };
}

/** The provider exchanged t1 for t2, and nobody here heard of it. */
function unheard(chain: ChainTruth, at: number): TokenTruth {
  chain.presented('t1', at);
  return chain.issued('t2', 't1', at, at);
}

function entry(more: Partial<Entry>): Entry {
  return {
    at: 0 as Instant,
    account: 'a',
    by: 'keeper',
    presented: 't1',
    outcome: 'accepted',
    reason: 'new',
    issued: null,
    accessToken: null,
    endedFamily: false,
    ...more,
  };
}

/** What the oracle says: the rule, or "avoidable". */
function verdict(policy: RotationPolicy, chain: ChainTruth, more: Partial<Evidence> = {}): string {
  const evidence: Evidence = {
    chain,
    policy,
    entries: [],
    now: HOUR,
    isKept: (token) => token.wasKept && !token.isDestroyed,
    takes: () => false,
    hasForgotten: () => false,
    unable: [],
    away: [],
    takeOverMs: 0,
    ...more,
  };
  const said = judgeLoss(evidence);
  return said.kind === 'avoidable' ? 'avoidable' : said.rule;
}

describe('a lost answer', () => {
  test('ends a one-time token, and none that lives until its successor is used, nor one of the last three', () => {
    const { chain } = chainOf();
    unheard(chain, 600 * SECOND);
    expect(verdict(POLICIES.oneTime, chain)).toBe('unanswered');
    expect(verdict(POLICIES.oneTimeRevoking, chain)).toBe('unanswered');
    expect(verdict(POLICIES.untilSuccessorUsed, chain)).toBe('avoidable');
    expect(verdict(POLICIES.lastThree, chain)).toBe('avoidable');
    expect(verdict(POLICIES.durable, chain)).toBe('avoidable');
  });

  test('ends one with a window where every try in it was struck, and not where nothing was tried', () => {
    const { chain } = chainOf();
    unheard(chain, 600 * SECOND);
    expect(verdict(POLICIES.window60s, chain)).toBe('avoidable');
    chain.tries.push({ from: 600 * SECOND, to: 661 * SECOND });
    expect(verdict(POLICIES.window60s, chain)).toBe('unanswered');
  });

  test('is excused from when a clock was set on, which may be a suspended machine, where a retry too late revokes', () => {
    const { chain } = chainOf();
    unheard(chain, 600 * SECOND);
    chain.tries.push({ from: 600 * SECOND, to: 620 * SECOND });
    chain.injured(621 * SECOND, 'clock_jump');
    expect(verdict(POLICIES.window60s, chain)).toBe('unanswered');
    expect(verdict({ ...POLICIES.window60s, onReuse: POLICIES.exact.onReuse }, chain)).toBe('avoidable');
    Object.assign(chain.injuries, [{ at: 640 * SECOND, fault: 'clock_jump' }]);
    expect(verdict(POLICIES.window60s, chain)).toBe('avoidable');
  });

  test('is excused where a slow store put off a retry by seconds, and not by more', () => {
    const { chain } = chainOf();
    unheard(chain, 600 * SECOND);
    chain.tries.push({ from: 600 * SECOND, to: 620 * SECOND }, { from: 635 * SECOND, to: 661 * SECOND });
    expect(verdict(POLICIES.window60s, chain)).toBe('avoidable');
    chain.injured(610 * SECOND, 'store_slow');
    expect(verdict(POLICIES.window60s, chain)).toBe('unanswered');
    Object.assign(chain.tries[1] ?? {}, { from: 637 * SECOND });
    expect(verdict(POLICIES.window60s, chain)).toBe('avoidable');
  });

  test('is not excused by a take-over where no node was away', () => {
    const { chain } = chainOf();
    unheard(chain, 600 * SECOND);
    // Fifteen seconds in which nothing was tried: as long as a cluster needs to notice that a node is gone.
    chain.tries.push({ from: 600 * SECOND, to: 601 * SECOND }, { from: 616 * SECOND, to: 661 * SECOND });
    const three = { takeOverMs: 15 * SECOND };
    expect(verdict(POLICIES.window60s, chain, { ...three, away: [{ from: 600 * SECOND, to: 700 * SECOND }] })).toBe(
      'unanswered',
    );
    expect(verdict(POLICIES.window60s, chain, three)).toBe('avoidable');
  });

  test('is not excused as forgotten where the store was restored before it was sent', () => {
    const { chain } = chainOf();
    unheard(chain, 600 * SECOND);
    const restoredAt = (at: number) => ({ hasForgotten: (sentAt: number) => sentAt <= at });
    expect(verdict(POLICIES.window60s, chain, restoredAt(601 * SECOND))).toBe('destroyed');
    expect(verdict(POLICIES.window60s, chain, restoredAt(599 * SECOND))).toBe('avoidable');
  });

  test('that reached a node which lives is nobody else’s fault', () => {
    const { chain } = chainOf();
    const token = unheard(chain, 600 * SECOND);
    Object.assign(token, { deliveredAt: 601 * SECOND, life: { isAlive: true } });
    expect(verdict(POLICIES.oneTime, chain)).toBe('avoidable');
    Object.assign(token, { life: { isAlive: false } });
    expect(verdict(POLICIES.oneTime, chain)).toBe('unanswered');
  });
});

describe('a chain that is called broken', () => {
  test('and lives is excused by two denials in a row, and not by two with an answer in between', () => {
    const { chain } = chainOf();
    chain.injured(600 * SECOND, 'chain_unknown');
    chain.injured(610 * SECOND, 'chain_unknown');
    const alive = { takes: () => true };
    expect(verdict(POLICIES.exact, chain, alive)).toBe('ended');
    expect(verdict(POLICIES.exact, chain, { ...alive, now: 3 * HOUR })).toBe('avoidable');
    chain.lastAnsweredAt = 605 * SECOND;
    expect(verdict(POLICIES.exact, chain, alive)).toBe('avoidable');
  });

  test('because another system used its tokens is excused where tokens change, and not where they do not', () => {
    const { chain } = chainOf();
    chain.endedBy = 'used_elsewhere';
    expect(verdict(POLICIES.oneTime, chain)).toBe('ended');
    expect(verdict(POLICIES.durable, chain)).toBe('avoidable');
    chain.endedBy = 'revoked';
    expect(verdict(POLICIES.durable, chain)).toBe('ended');
  });
});

test('a provider that went back to a backup is an excuse where it takes none of the newest eight, or punishes reuse', () => {
  const { chain } = chainOf();
  for (let i = 2; i <= 10; i++) Object.assign(chain.issued(`t${i}`, `t${i - 1}`, i, i), { wasKept: true });
  chain.forgottenAt = HOUR;
  const takes = (...taken: readonly string[]) => ({ takes: (token: string) => taken.includes(token) });
  expect(verdict(POLICIES.exact, chain, takes('t3'))).toBe('avoidable');
  expect(verdict(POLICIES.exact, chain, takes('t2'))).toBe('ended');
  expect(verdict(POLICIES.exact, chain, { ...takes('t3'), isKept: ({ token }) => token !== 't3' })).toBe('ended');
  expect(verdict(POLICIES.oneTimeRevoking, chain, takes('t9'))).toBe('ended');
  expect(verdict(POLICIES.oneTimeRevoking, chain, takes('t10'))).toBe('avoidable');
  // One that would have been taken, and was denied.
  const denied = chainOf().chain;
  Object.assign(denied, { tokens: [...chain.tokens], forgottenAt: HOUR });
  denied.injured(HOUR + 1, 'chain_unknown');
  expect(verdict(POLICIES.exact, denied, takes('t3'))).toBe('ended');
  expect(verdict(POLICIES.exact, denied, takes('t10'))).toBe('avoidable');
  // Copies were destroyed as well, the newest among them.
  chain.destroyedAt = HOUR + 1;
  expect(verdict(POLICIES.exact, chain, takes('t3'))).toBe('destroyed');
  expect(verdict(POLICIES.exact, chain, takes('t10'))).toBe('avoidable');
  chain.destroyedAt = null;
  // A lost answer explains the refusal as well.
  chain.unansweredSince = HOUR;
  expect(verdict(POLICIES.exact, chain, takes('t3'))).toBe('ended');
  expect(verdict(POLICIES.exact, chain, takes('t10'))).toBe('avoidable');
  // What had been refused before needs no second try, and what came after does.
  const refusedAt = (at: number) => ({
    entries: [entry({ at: at as Instant, presented: 't10', outcome: 'refused', reason: 'unknown' })],
  });
  expect(verdict(POLICIES.exact, chain, { ...takes('t10'), ...refusedAt(HOUR - 1) })).toBe('ended');
  expect(verdict(POLICIES.exact, chain, { ...takes('t10'), ...refusedAt(HOUR + 1) })).toBe('avoidable');
  // Its owner had ended it, whatever a backup of the provider says.
  chain.endedBy = 'revoked';
  expect(verdict(POLICIES.exact, chain, takes('t10'))).toBe('ended');
});

test('an answer that was lost is known to be, unless the same request was delivered twice and its second answer came', () => {
  const { chain } = chainOf();
  chain.injured(HOUR, 'duplicate_delivery');
  chain.issued('t2', 't1', HOUR, HOUR);
  expect(chain.knowsOfLoss()).toBe(false);
  chain.issued('t3', 't1', 2 * HOUR, 2 * HOUR);
  expect(chain.knowsOfLoss()).toBe(true);
  chain.restoredAt = 3 * HOUR;
  expect(chain.knowsOfLoss()).toBe(false);
});

describe('a token that is refused', () => {
  const late = { now: 31 * DAY };

  test('for its age is excused where nobody was there when it was due, and not where somebody was for an hour', () => {
    const { chain, kept } = chainOf();
    const policy = POLICIES.exact;
    const from = kept.issuedAt;
    expect(verdict(policy, chain, { ...late, unable: [{ from: from + 15 * DAY, to: from + 31 * DAY }] })).toBe('ended');
    // Away for most of its life, and back three days before its end.
    expect(verdict(policy, chain, { ...late, unable: [{ from, to: from + 27 * DAY }] })).toBe('avoidable');
    expect(verdict(policy, chain, { ...late, unable: [] })).toBe('avoidable');
  });

  test('for a sibling is excused where the network doubled the request, and not where the keeper did', () => {
    const { chain } = chainOf();
    chain.issued('t1b', 't0', 11 * SECOND, 10 * SECOND);
    const made = (by: Entry['by']) => ({ entries: [entry({ presented: 't0', issued: 't1b', by })] });
    expect(verdict(POLICIES.exact, chain, made('duplicate'))).toBe('doubled');
    expect(verdict(POLICIES.exact, chain, made('keeper'))).toBe('avoidable');
    // Box: the one before lives on.
    expect(verdict(POLICIES.untilSuccessorUsed, chain, made('duplicate'))).toBe('avoidable');
  });

  test('after the keeper presented one that was used is the keeper’s fault', () => {
    const { chain } = chainOf();
    const end = (by: Entry['by']) => ({
      entries: [entry({ presented: 't0', outcome: 'refused', endedFamily: true, by })],
    });
    expect(verdict(POLICIES.oneTimeRevoking, chain, end('duplicate'))).toBe('doubled');
    expect(verdict(POLICIES.oneTimeRevoking, chain, end('keeper'))).toBe('avoidable');
  });
});

test('destroyed copies are an excuse while nothing newer has come', () => {
  const { chain, kept } = chainOf();
  kept.isDestroyed = true;
  chain.destroyedAt = 20 * SECOND;
  expect(verdict(POLICIES.untilSuccessorUsed, chain)).toBe('destroyed');
  chain.destroyedAt = null;
  expect(verdict(POLICIES.untilSuccessorUsed, chain)).toBe('avoidable');
});
