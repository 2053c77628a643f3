import { describe, expect, test } from 'vitest';
import { apply } from './chain.ts';
import type { Meaning } from './diagnosis.ts';
import type { LinkId } from './id.ts';
import type { Instant, Moment } from './instant.ts';
import { deferralMs, nextStep } from './next-step.ts';
import { POLICIES } from './policies.fixture.ts';
import { classOf, type RotationPolicy, UNKNOWN_POLICY } from './rotation-policy.ts';
import type { Fingerprint } from './secret.ts';
import { moment, Story, said } from './story.fixture.ts';

/** A chain that was authorized at 0 s and published. */
const held = () => new Story().authorized('A', 0).published('A', 0);
const { exact, durable, window60s, untilSuccessorUsed, lastThree, oneTime, oneTimeRevoking, revokingAccount } =
  POLICIES;

describe('the class of a policy', () => {
  test.each([
    ['durable', durable],
    ['window', window60s],
    ['until-successor-used', untilSuccessorUsed],
    ['until-successor-used-within', exact],
    ['last-n', lastThree],
    ['one-time', oneTime],
    ['one-time-revoking', oneTimeRevoking],
  ] as const)('is %s', (name, policy) => {
    expect(classOf(policy).class).toBe(name);
  });

  test('of a provider of which nothing is known is the strictest', () => {
    expect(classOf(UNKNOWN_POLICY)).toEqual({ class: 'one-time-revoking' });
  });
});

describe('an untroubled chain', () => {
  test('publishes what it received before anything else [S85]', () => {
    expect(new Story().authorized('A', 0).next(exact, 1)).toEqual({ step: 'publish', link: 'A' });
  });

  test('presents its newest token, and at Exact Online never within 570 seconds of the last answer [S25]', () => {
    expect(held().next(exact, 0)).toMatchObject({ step: 'exchange', present: 'A', because: 'next', waitMs: 572_000 });
    expect(held().next(exact, 571)).toMatchObject({ waitMs: 1_000 });
    expect(held().next(exact, 572)).toMatchObject({ waitMs: 0 });
    expect(held().next(oneTime, 0)).toMatchObject({ waitMs: 0 });
  });

  test('keeps the spacing when the clock was set forth [S25]', () => {
    const jumped: Moment = { at: 3_600_000 as Instant, boot: 'b', uptimeMs: 10_000 };
    expect(nextStep(held().chain, exact, jumped)).toMatchObject({ waitMs: 562_000 });
  });

  test('keeps the spacing across a restart of the machine, and in full when its clock went back [S25]', () => {
    expect(held().next(exact, 100, 'another boot')).toMatchObject({ waitMs: 472_000 });
    expect(held().next(exact, -100, 'another boot')).toMatchObject({ waitMs: 572_000 });
  });

  test('keeps proportions when a policy is played faster', () => {
    const fast = {
      ...exact,
      overlap: { ...exact.overlap, windowMs: 10_000 },
      life: { ...exact.life, accessTokenMs: 10_000 },
      pacing: { ...exact.pacing, minSpacingMs: 9_000 },
    };
    expect(held().next(fast, 0)).toMatchObject({ waitMs: 9_000 + 1_000 / 15 });
  });

  test('presents a token that the answer let go on, whatever the class of the policy', () => {
    for (const policy of [oneTime, oneTimeRevoking, durable, lastThree, exact]) {
      const story = held().extended('B', 'A', 600).extended('C', 'A', 1_200);
      expect(story.next(policy, 1_800)).toMatchObject({ step: 'exchange', present: 'A', because: 'next', waitMs: 0 });
    }
  });

  test('waits out a deferral', () => {
    expect(held().deferred(10, 4_000).next(oneTime, 11)).toMatchObject({ waitMs: 3_000 });
  });

  test('waits for an exchange that is under way', () => {
    expect(held().started('B', 'A', 600).next(exact, 610)).toEqual({ step: 'await', attempt: 'B' });
  });
});

describe('a chain in doubt presents the same refresh token again', () => {
  const doubtful = () => held().started('B', 'A', 600).lost('B', 720);

  test('at Exact Online from 571 seconds after it was sent [S111]', () => {
    expect(doubtful().next(exact, 721)).toMatchObject({ step: 'exchange', present: 'A', because: 'in_doubt' });
    expect(doubtful().next(exact, 1_171)).toMatchObject({ waitMs: 0 });
    expect(doubtful().next(exact, 1_170)).toMatchObject({ waitMs: 1_000 });
  });

  test('at Exact Online again every 20 seconds while it is too early', () => {
    const early = doubtful().started('C', 'A', 1_171).refused('C', 1_171, 'too_early').deferred(1_171, 20_000);
    expect(early.next(exact, 1_172)).toMatchObject({ present: 'A', waitMs: 19_000 });
  });

  test('that came too early is counted from the first time, also where the provider has denied to know it in between', () => {
    const early = held().presented('B', 'A', 600, 'too_early').presented('C', 'A', 630, 'invalid_chain');
    const { chain } = early.presented('D', 'A', 641, 'too_early');
    expect(chain.refusals?.map(({ means, times }) => [means, times])).toEqual([
      ['invalid_chain', undefined],
      ['too_early', 2],
    ]);
    const later = {
      ...chain,
      deferral: { why: 'too_early' as const, since: moment(641), forMs: 228_000, count: 5, said },
    };
    expect(deferralMs(later, exact, 'too_early', null)).toBe(303_000);
    // A new authorization begins anew.
    const anew = early.authorized('E', 700).published('E', 700).presented('F', 'E', 1_300, 'too_early');
    expect(anew.chain.refusals?.at(-1)).toMatchObject({ since: moment(1_300) });
    expect(anew.chain.refusals?.at(-1)?.times).toBeUndefined();
  });

  test('that came too early is counted from its own time, although the clock was set back meanwhile [S25]', () => {
    const setBack = (seconds: number): Moment => ({ ...moment(seconds), at: ((seconds - 3_600) * 1_000) as Instant });
    const early = held().presented('B', 'A', 600, 'too_early').deferred(601, 228_000, 'too_early');
    const [id, presented] = ['C' as LinkId, 'A' as LinkId];
    const started = apply(early.chain, { type: 'started', id, presented, node: 'n', run: 'r', at: setBack(829) });
    const chain = apply(started, { type: 'refused', id, means: 'too_early', said, at: setBack(830) });
    expect(chain.refusals).toMatchObject([{ sentAt: moment(600), since: moment(600), at: setBack(830) }]);
    expect(
      deferralMs(
        { ...chain, deferral: { why: 'too_early', since: moment(600), forMs: 228_000, count: 4, said } },
        exact,
        'too_early',
        null,
      ),
    ).toBe(342_000);
  });

  test('at Exact Online in time for one that was doubled, although all that was heard of it is that it came too early', () => {
    const early = held().started('B', 'A', 600).refused('B', 601, 'too_early');
    const lostSince = early.deferred(601, 28_500, 'too_early').started('C', 'A', 1_165).lost('C', 1_166);
    expect(lostSince.next(exact, 1_167)).toMatchObject({ present: 'A', because: 'in_doubt', waitMs: 4_000 });
    expect(lostSince.next(exact, 1_171)).toMatchObject({ waitMs: 0 });
    const asleep = held().started('B', 'A', 600).started('C', 'A', 1_161).refused('C', 1_161, 'too_early');
    expect(deferralMs(asleep.refused('B', 601, 'too_early').chain, exact, 'too_early', null)).toBe(11_000);
    const lostBefore = held().started('B', 'A', 30).lost('B', 150).presented('C', 'A', 601, 'too_early');
    const andSince = lostBefore.deferred(601, 20_000, 'too_early').started('D', 'A', 940).lost('D', 941);
    expect(andSince.next(exact, 942)).toMatchObject({ because: 'in_doubt', waitMs: 230_000 });
    const late = held().started('B', 'A', 600).lost('B', 605).started('C', 'A', 1_169);
    const both = late.refused('B', 1_169, 'too_early').refused('C', 1_169, 'too_early');
    expect(deferralMs(both.chain, exact, 'too_early', null)).toBe(3_000);
    const again = both.deferred(1_169, 3_000, 'too_early').presented('D', 'A', 1_172, 'too_early');
    expect(deferralMs(again.chain, exact, 'too_early', null)).toBe(20_000);
  });

  test('at Exact Online also in the window of one that may have been sent late, by a process that stood still with it', () => {
    const late = held().started('B', 'A', 600).lost('B', 1_420);
    expect(late.next(exact, 1_420)).toMatchObject({ present: 'A', waitMs: 0 });
    const struck = late.started('C', 'A', 1_420).lost('C', 1_430, 'crash');
    expect(struck.next(exact, 1_430)).toMatchObject({ present: 'A', because: 'in_doubt', waitMs: 0 });
    expect(struck.started('D', 'A', 1_990).lost('D', 1_991).next(exact, 1_991)).toMatchObject({ waitMs: 3_000 });
    // What was given up in time, or by others after a crash, was sent within two minutes.
    const prompt = held().started('B', 'A', 600).lost('B', 720).started('C', 'A', 1_420).lost('C', 1_430, 'crash');
    expect(prompt.next(exact, 1_430)).toMatchObject({ waitMs: 561_000 });
    // Five seconds to send it, and two minutes for its answer: its window ends at 1,325 s at the latest.
    const latest = held().started('B', 'A', 600).lost('B', 720).started('C', 'A', 1_311).lost('C', 1_321, 'crash');
    expect(latest.next(exact, 1_321)).toMatchObject({ waitMs: 0 });
    expect(latest.next(exact, 1_326)).toMatchObject({ waitMs: 556_000 });
    const crashed = held().started('B', 'A', 600).lost('B', 1_420, 'crash').started('C', 'A', 1_420).lost('C', 1_430);
    expect(crashed.next(exact, 1_430)).toMatchObject({ waitMs: 561_000 });
  });

  test('after a crash as after a lost answer', () => {
    const crashed = held().started('B', 'A', 600).lost('B', 640, 'crash');
    expect(crashed.next(exact, 1_171)).toMatchObject({ present: 'A', waitMs: 0 });
  });

  test('at once, then with back-off, where a predecessor lives until its successor is used', () => {
    expect(doubtful().next(untilSuccessorUsed, 720)).toMatchObject({ present: 'A', waitMs: 1_000 });
    const twice = doubtful().started('C', 'A', 721).lost('C', 722);
    expect(twice.next(untilSuccessorUsed, 722)).toMatchObject({ present: 'A', waitMs: 2_000 });
    expect(twice.next(durable, 722)).toMatchObject({ present: 'A', waitMs: 2_000 });
  });

  test('within the reuse interval, and after it only once a late request would have arrived [S96]', () => {
    const quick = held().started('B', 'A', 600).lost('B', 601);
    expect(quick.next(window60s, 602)).toMatchObject({ present: 'A', waitMs: 0 });
    expect(quick.next(window60s, 658)).toMatchObject({ present: 'A', waitMs: 0 });
    expect(quick.next(window60s, 659)).toMatchObject({ present: 'A', waitMs: 2_000 });
  });

  test('within the interval that a presentation after the first one has opened, for before it none had arrived', () => {
    const again = held().started('B', 'A', 600).lost('B', 720).started('C', 'A', 781).lost('C', 782);
    expect(again.next(window60s, 784)).toMatchObject({ present: 'A', waitMs: 0, because: 'in_doubt' });
    expect(again.next(window60s, 842)).toMatchObject({ waitMs: 60_000 });
  });

  test('within such an interval not while the answer to that presentation lies unread: the first may have come late', () => {
    const first = held().started('B', 'A', 600).lost('B', 670).started('C', 'A', 730);
    expect(first.copy().unread('C', 740).next(window60s, 745)).toEqual({ step: 'hold', node: 'n' });
    expect(first.lost('C', 740).next(window60s, 745)).toMatchObject({ present: 'A', waitMs: 0 });
  });

  test('after one that was never presented, where presenting it again would revoke both', () => {
    const forked = held().started('B', 'A', 600).lost('B', 601).started('C', 'A', 610).received('C', 'A', 611);
    const stillOpen = forked.published('C', 611).received('B', 'A', 612).started('D', 'C', 700).lost('D', 820);
    expect(stillOpen.next(window60s, 900)).toMatchObject({ present: 'B', because: 'fallback' });
  });

  test('another whose window is open, where presenting the newest again would revoke both', () => {
    const forked = held().started('B', 'A', 600).lost('B', 601).started('C', 'A', 610).received('C', 'A', 611);
    const both = forked.published('C', 611).received('B', 'A', 612).started('D', 'C', 700).lost('D', 820);
    const older = both.started('E', 'B', 900).lost('E', 905, 'crash');
    expect(older.next(window60s, 910)).toMatchObject({ present: 'B', because: 'in_doubt', waitMs: 0 });
    expect(older.next(window60s, 970)).toMatchObject({ present: 'C', because: 'in_doubt' });
  });

  test('and none that a restored store does not know to have been presented, where that would revoke', () => {
    const story = held();
    const brought = (id: string, parent: string, sequence: number) => {
      const fingerprint = `fp-${id}` as Fingerprint;
      const at = moment(sequence * 600);
      const link = { id: id as LinkId, fingerprint, node: 'n', requestedAt: at, receivedAt: at, scope: null };
      const life = { ...link, accessTokenLifeMs: 600_000 };
      story.chain = apply(story.chain, { type: 'received', at, link: life, parent: parent as LinkId, sequence });
    };
    // The journal of one node has A → B and D → E; what another one had from C to D is not here yet.
    brought('E', 'D', 5);
    brought('B', 'A', 2);
    story.published('E', 3_100).started('F', 'E', 3_600).lost('F', 3_720);
    expect(story.next(oneTimeRevoking, 3_720)).toMatchObject({ present: 'E', because: 'in_doubt', waitMs: 60_000 });
    story.presented('G', 'E', 3_780, 'superseded');
    expect(story.next(oneTimeRevoking, 3_780)).toMatchObject({ step: 'give_up' });
    // Where a refusal does no harm, nothing is left untried.
    expect(story.next(lastThree, 3_780)).toMatchObject({ present: 'B', because: 'fallback' });
  });

  test('not while another answer may lie unread, where presenting it again would revoke that one too', () => {
    const story = held().started('B', 'A', 600);
    const unread = {
      type: 'lost',
      at: moment(610),
      id: 'B' as LinkId,
      reason: 'crash',
      said: null,
      isUnread: true,
    } as const;
    story.chain = apply(story.chain, unread);
    story.started('C', 'A', 611).received('C', 'A', 612).published('C', 612).started('D', 'C', 700).lost('D', 820);
    expect(story.next(window60s, 900)).toMatchObject({ step: 'hold', node: 'n' });
    story.chain = apply(story.chain, { type: 'consulted', at: moment(901), node: 'n' });
    expect(story.next(window60s, 901)).toMatchObject({ present: 'C', because: 'in_doubt' });
  });

  test('as after the first time, when the second may have been the first to arrive', () => {
    const late = doubtful().started('C', 'A', 1_747).lost('C', 1_748);
    expect(late.next(exact, 1_750)).toMatchObject({ present: 'A', waitMs: 568_000 });
    expect(late.next(exact, 2_318)).toMatchObject({ waitMs: 0 });
    const tried = late.started('D', 'A', 2_318).lost('D', 2_318);
    expect(tried.next(exact, 2_318)).toMatchObject({ waitMs: 4_000 });
  });

  test('soon again when that was lost too, while the window of half a minute is open', () => {
    const twice = doubtful().started('C', 'A', 1_191).lost('C', 1_191);
    expect(twice.next(exact, 1_191)).toMatchObject({ present: 'A', waitMs: 2_000 });
  });

  test('while fewer presentations are unanswered than the provider keeps tokens, without a limit where that is harmless', () => {
    const once = held().started('B', 'A', 600).lost('B', 601);
    expect(once.next({ ...lastThree, onReuse: oneTimeRevoking.onReuse }, 601)).toMatchObject({ waitMs: 1_000 });
    const thrice = once.started('C', 'A', 602).lost('C', 603).started('D', 'A', 604).lost('D', 605);
    expect(thrice.next({ ...lastThree, onReuse: oneTimeRevoking.onReuse }, 605)).toMatchObject({ waitMs: 240_000 });
    expect(thrice.next(lastThree, 605)).toMatchObject({ waitMs: 4_000 });
  });

  test('of a strict one-time token with back-off, since a refusal does no harm', () => {
    expect(doubtful().next(oneTime, 720)).toMatchObject({ present: 'A', waitMs: 1_000 });
  });

  test('not three times within a second where reuse revokes: a minute after the answer was given up, then two', () => {
    expect(doubtful().next(oneTimeRevoking, 720)).toMatchObject({ present: 'A', waitMs: 60_000 });
    const twice = doubtful().started('C', 'A', 780).lost('C', 781);
    expect(twice.next(oneTimeRevoking, 781)).toMatchObject({ waitMs: 120_000 });
  });

  test('never where that would revoke other grants of the same account', () => {
    expect(doubtful().next(revokingAccount, 9_999)).toMatchObject({
      step: 'give_up',
      diagnosis: { code: 'successor_lost' },
    });
  });

  test('never after two answers came: the newest goes first, the other one when that is dead [S97]', () => {
    const siblings = doubtful().started('C', 'A', 1_172).received('C', 'A', 1_173).received('B', 'A', 1_180);
    const published = siblings.published('C', 1_174);
    expect(published.next(exact, 1_800)).toMatchObject({ present: 'C', because: 'next' });
    const dead = published.started('D', 'C', 1_800).refused('D', 1_800, 'superseded');
    expect(dead.next(exact, 1_801)).toMatchObject({ present: 'B', because: 'next' });
  });
});

describe('a refusal', () => {
  const refusedAfterLoss = () =>
    held().started('B', 'A', 600).lost('B', 720).started('C', 'A', 1_300).refused('C', 1_300, 'superseded');

  test('after a lost answer means that the successor was lost, not that someone revoked [S16]', () => {
    expect(refusedAfterLoss().next(exact, 1_301)).toMatchObject({
      step: 'give_up',
      diagnosis: { code: 'successor_lost', said },
    });
  });

  test('of the newest token, never presented before, means that it was used elsewhere [S102]', () => {
    const story = held().started('B', 'A', 600).refused('B', 600, 'superseded');
    expect(story.next(oneTime, 601)).toMatchObject({ diagnosis: { code: 'used_elsewhere' } });
  });

  test('of a token that lay idle too long means just that', () => {
    const day = 86_400;
    const story = held()
      .started('B', 'A', 31 * day)
      .refused('B', 31 * day, 'invalid_grant');
    expect(story.next(exact, 31 * day + 1)).toMatchObject({ diagnosis: { code: 'expired_idle' } });
  });

  test('is final only while no exchange is unresolved', () => {
    const story = held().started('B', 'A', 600).started('C', 'A', 601).refused('C', 602, 'superseded');
    expect(story.next(oneTime, 603)).toEqual({ step: 'await', attempt: 'B' });
  });

  test('of a dead-on-arrival token falls back to its predecessor, while the provider may still take that [S20]', () => {
    const story = held()
      .started('B', 'A', 600)
      .received('B', 'A', 601)
      .published('B', 602)
      .started('C', 'B', 1_174)
      .refused('C', 1_174, 'superseded');
    expect(story.next(exact, 1_175)).toMatchObject({ present: 'A', because: 'fallback', waitMs: 0 });
    expect(story.next(exact, 1_201)).toMatchObject({ step: 'give_up' });
    expect(story.next(oneTimeRevoking, 1_175)).toMatchObject({ step: 'give_up' });
  });

  test('never leads back to a predecessor whose successor was proven', () => {
    const story = held()
      .started('B', 'A', 600)
      .received('B', 'A', 601)
      .published('B', 602)
      .proven('B', 603)
      .started('C', 'B', 1_174)
      .refused('C', 1_174, 'superseded');
    expect(story.next(exact, 1_175)).toMatchObject({ step: 'give_up', diagnosis: { code: 'used_elsewhere' } });
  });

  test('that nothing explains leads to older tokens, the newest first: the provider may have gone back to a backup', () => {
    const story = held().exchanged('B', 'A', 600).exchanged('C', 'B', 1_200).exchanged('D', 'C', 1_800);
    for (const policy of [exact, lastThree, oneTime, untilSuccessorUsed]) {
      const refused = story.copy().presented('E', 'D', 2_400, 'invalid_grant');
      expect(refused.next(policy, 2_400)).toMatchObject({ present: 'C', waitMs: 0, because: 'fallback' });
      refused.presented('F', 'C', 2_401, 'invalid_grant');
      expect(refused.next(policy, 2_401)).toMatchObject({ present: 'B', because: 'fallback' });
      expect(refused.copy().exchanged('G', 'B', 2_402).next(policy, 3_100)).toMatchObject({ present: 'G' });
      refused.presented('G', 'B', 2_402, 'invalid_grant').presented('H', 'A', 2_403, 'invalid_grant');
      const step = refused.next(policy, 2_404);
      expect(step).toMatchObject({ step: 'give_up', diagnosis: { code: 'used_elsewhere' } });
      expect(JSON.stringify(step)).toContain('3 older ones that are kept were refused too.');
    }
  });

  test('leads to the newest token where journals told of refusals in a time that the chain has forgotten', () => {
    const story = held().exchanged('B', 'A', 600);
    const sent = { presented: 'X' as LinkId, sequence: 9, node: 'n', run: 'r', startedAt: moment(500) };
    story.chain = apply(story.chain, { type: 'recalled', at: moment(610), id: 'Y' as LinkId, ...sent });
    story.refused('Y', 611, 'invalid_chain');
    for (const policy of [exact, oneTime, lastThree]) {
      expect(story.next(policy, 1_800)).toMatchObject({ step: 'exchange', present: 'B' });
    }
  });

  test('leads to older tokens also where the answer to one of them was lost while it was looked for', () => {
    const story = held()
      .exchanged('B', 'A', 600)
      .exchanged('C', 'B', 1_200)
      .presented('D', 'C', 1_800, 'invalid_grant');
    story.started('E', 'B', 1_801).lost('E', 1_802, 'crash').presented('F', 'B', 2_400, 'invalid_grant');
    expect(story.next(oneTime, 2_401)).toMatchObject({ present: 'A', because: 'fallback' });
  });

  test('leads to no older token where reuse is punished, nor where something else explains it', () => {
    const story = held().exchanged('B', 'A', 600).exchanged('C', 'B', 1_200);
    const refused = (means: Meaning) => story.copy().presented('D', 'C', 1_800, means);
    for (const policy of [window60s, oneTimeRevoking, revokingAccount]) {
      expect(refused('invalid_grant').next(policy, 1_801)).toMatchObject({ step: 'give_up' });
    }
    const takesAccess = { ...oneTime, onReuse: { refresh: 'reject', access: 'revoke' } } as const;
    expect(refused('invalid_grant').next(takesAccess, 1_801)).toMatchObject({ step: 'give_up' });
    for (const means of ['superseded', 'revoked', 'expired_absolute', 'consent_ended'] as const) {
      expect(refused(means).next(oneTime, 1_801)).toMatchObject({ step: 'give_up' });
    }
    const lost = story.copy().started('D', 'C', 1_800).lost('D', 1_810).presented('E', 'C', 1_820, 'invalid_grant');
    expect(lost.next(oneTime, 1_821)).toMatchObject({ step: 'give_up', diagnosis: { code: 'successor_lost' } });
    const old = { ...oneTime, life: { ...oneTime.life, idleMs: 300_000 } };
    expect(refused('invalid_grant').next(old, 1_801)).toMatchObject({ diagnosis: { code: 'expired_idle' } });
    const over = { ...oneTime, life: { ...oneTime.life, absoluteMs: 1_500_000 } };
    expect(refused('invalid_grant').next(over, 1_801)).toMatchObject({ diagnosis: { code: 'expired_absolute' } });
  });

  test('leads to older tokens although an answer was lost, where the token could not have died of that yet', () => {
    const story = held().exchanged('B', 'A', 600).exchanged('C', 'B', 1_200).started('D', 'C', 1_800);
    const refusedAt = (at: number, policy: RotationPolicy) =>
      story.copy().lost('D', 1_801, 'crash').presented('E', 'C', at, 'invalid_grant').next(policy, at);
    expect(refusedAt(2_372, exact)).toMatchObject({ present: 'B', because: 'fallback' });
    expect(refusedAt(2_401, exact)).toMatchObject({ step: 'give_up', diagnosis: { code: 'successor_lost' } });
    expect(refusedAt(2_372, oneTime)).toMatchObject({ step: 'give_up', diagnosis: { code: 'successor_lost' } });
  });

  test('of a chain that the provider says it does not know is checked once more before a person is called [S17] [S21]', () => {
    const once = held().presented('B', 'A', 600, 'invalid_chain');
    expect(once.next(exact, 600)).toMatchObject({ present: 'A', because: 'second_look', waitMs: 10_000 });
    const twice = once.presented('C', 'A', 611, 'invalid_chain');
    expect(twice.next(exact, 612)).toMatchObject({ step: 'give_up', diagnosis: { code: 'invalid_chain' } });
  });

  test('of such a chain is checked before older tokens, for a window may be closing [S21]', () => {
    const story = held();
    const at = moment(300);
    const link = { id: 'Z' as LinkId, fingerprint: 'fp-Z' as Fingerprint, node: 'n', requestedAt: at, receivedAt: at };
    const life = { ...link, accessTokenLifeMs: 600_000, scope: null };
    story.chain = apply(story.chain, { type: 'received', at, link: life, parent: 'Y' as LinkId, sequence: 1 });
    story
      .exchanged('B', 'A', 600)
      .started('C', 'B', 1_200)
      .lost('C', 1_201)
      .presented('D', 'B', 1_771, 'invalid_chain');
    expect(story.next(exact, 1_771)).toMatchObject({ present: 'B', because: 'second_look', waitMs: 10_000 });
  });

  test('of a chain that was known after all is forgotten [S21]', () => {
    const story = held().presented('B', 'A', 600, 'invalid_chain').exchanged('C', 'A', 611);
    expect(story.chain.links.every((link) => link.refusal === null)).toBe(true);
    expect(story.next(exact, 1_200)).toMatchObject({ present: 'C', because: 'next' });
  });

  test('that was checked without an answer keeps the spacing, as the check may have been an exchange [S21] [S25]', () => {
    const story = held().presented('B', 'A', 600, 'invalid_chain').started('C', 'A', 611).lost('C', 612);
    expect(story.next(exact, 613)).toMatchObject({ present: 'A', waitMs: 569_000 });
  });

  test('as of an unknown chain is not checked where presenting a dead token ends more than that', () => {
    const story = held().presented('B', 'A', 600, 'invalid_chain');
    expect(story.next(oneTimeRevoking, 700)).toMatchObject({ step: 'give_up' });
  });

  test('that nobody understands is asked about less and less often, up to every 15 minutes', () => {
    const waits = [1, 5, 10, 20].map((count) => {
      const chain = {
        ...held().chain,
        deferral: { why: 'upstream_fault' as const, since: moment(0), forMs: 0, count: count - 1, said },
      };
      return deferralMs(chain, exact, 'upstream_fault', null);
    });
    expect(waits).toEqual([1_000, 16_000, 512_000, 900_000]);
  });

  test.each(['too_early', 'throttled', 'client_rejected', 'upstream_fault'] as const)(
    '"%s" never breaks a chain [S55]',
    (means) => {
      const story = held().started('B', 'A', 600).refused('B', 600, means);
      expect(story.next(oneTimeRevoking, 601)).toMatchObject({ step: 'exchange', present: 'A', because: 'next' });
    },
  );
});
