import { describe, expect, test } from 'vitest';
import type { Meaning } from './diagnosis.ts';
import { explain, explainDeferral } from './explain.ts';
import { POLICIES } from './policies.fixture.ts';
import type { RotationPolicy } from './rotation-policy.ts';
import { moment, Story, said } from './story.fixture.ts';

const DAY = 86_400;
const { durable, oneTime, oneTimeRevoking } = POLICIES;
/** Exact Online keeps one chain for an app and account. */
const exact: RotationPolicy = { ...POLICIES.exact, caps: { ...POLICIES.exact.caps, familiesPerUserClient: 1 } };
const ninetyDays: RotationPolicy = {
  ...oneTimeRevoking,
  life: { ...oneTimeRevoking.life, idleMs: 30 * DAY * 1000, absoluteMs: 90 * DAY * 1000 },
};

const held = () => new Story().authorized('A', 0).published('A', 0).proven('A', 1);
const diagnosis = (story: Story, policy: RotationPolicy, s: number) => explain(story.chain, policy, moment(s));

describe('"Old refresh token used."', () => {
  test('of a token that was activated means older than the active one: a newer one was made elsewhere [S16] [S18] [S102]', () => {
    const story = held().exchanged('B', 'A', 600).presented('C', 'B', 1_200, 'superseded');
    const { code, evidence } = diagnosis(story, exact, 1_200);
    expect(code).toBe('used_elsewhere');
    expect(evidence).toContain(
      'Token 1 of authorization 1, received at 1970-01-01 00:10:00 UTC, activated by an API call',
    );
    expect(evidence).toContain('older than the active one');
  });

  test('of a token that was never activated means newer, but superseded before it was used [S16] [S18]', () => {
    const story = held().exchanged('B', 'A', 600, false).presented('C', 'B', 1_200, 'superseded');
    const { code, evidence } = diagnosis(story, exact, 1_201);
    expect(code).toBe('superseded');
    expect(evidence).toContain('newer than the active one but was replaced before it was used');
    expect(evidence).toContain('token 0 was exchanged a second time');
    expect(evidence).toContain('another program');
  });

  test('of such a token names our own second presentation, where there was one [S18]', () => {
    const story = held()
      .started('B', 'A', 600)
      .lost('B', 720)
      .exchanged('C', 'A', 1_172, false)
      .presented('D', 'C', 1_800, 'superseded');
    expect(diagnosis(story, exact, 1_800).evidence).toContain('token 0, which was presented from here more than once');
  });

  test('where a predecessor dies at once leaves only the first reading [S102]', () => {
    const story = held().exchanged('B', 'A', 600, false).presented('C', 'B', 1_200, 'superseded');
    expect(diagnosis(story, oneTime, 1_200).code).toBe('used_elsewhere');
  });

  test('after a presentation without an answer says so where the token should have been good still, and means no more where it does not rotate [S16]', () => {
    const lost = held().started('B', 'A', 600).lost('B', 640, 'crash');
    const refusedAt = (s: number, policy: RotationPolicy) =>
      diagnosis(lost.copy().presented('D', 'A', s, 'invalid_grant'), policy, s);
    const still = 'it should still have been good then';
    const early = [
      refusedAt(1_172, exact),
      refusedAt(650, POLICIES.untilSuccessorUsed),
      refusedAt(650, POLICIES.lastThree),
    ];
    for (const { code, evidence } of early) {
      expect(code).toBe('successor_lost');
      expect(evidence).toContain(still);
    }
    const doubled = held()
      .started('B', 'A', 600)
      .refused('B', 602, 'too_early')
      .started('C', 'A', 1_168)
      .lost('C', 1_169);
    const both = diagnosis(doubled.presented('D', 'A', 1_205, 'superseded'), exact, 1_205);
    for (const { code, evidence } of [refusedAt(1_201, exact), refusedAt(650, oneTime), both]) {
      expect(code).toBe('successor_lost');
      expect(evidence).not.toContain(still);
    }
    expect(refusedAt(650, durable).code).toBe('revoked');
  });

  test('after a presentation without an answer means that the successor was lost, with each time and what happened [S16] [S38]', () => {
    const story = held()
      .started('B', 'A', 600)
      .lost('B', 640, 'crash')
      .started('C', 'A', 1_171)
      .lost('C', 1_180)
      .presented('D', 'A', 1_300, 'superseded');
    const { code, evidence } = diagnosis(story, exact, 1_300);
    expect(code).toBe('successor_lost');
    expect(evidence).toBe(
      'Token 0 of authorization 1 was presented twice without an answer, first at 1970-01-01 00:10:00 UTC by node n (crash during the exchange: the keeper was stopped before the answer was kept), last at 1970-01-01 00:19:31 UTC by node n (the connection ended without an answer), and refused at 1970-01-01 00:21:40 UTC when it was presented again.',
    );
  });
});

describe('"too early"', () => {
  test.each(['superseded', 'invalid_grant'] as const)(
    'shortly before "%s" means refreshed too often, by someone else, when our own spacing was kept [S51]',
    (means) => {
      const story = held()
        .presented('B', 'A', 572, 'too_early')
        .deferred(572, 28_500, 'too_early')
        .presented('C', 'A', 602, means);
      const { code, evidence } = diagnosis(story, oneTime, 602);
      expect(code).toBe('used_elsewhere');
      expect(evidence).toContain(
        'At 1970-01-01 00:09:32 UTC the provider had said that it was too early, although that was 9.5 minutes after the last tokens were received here: refreshed too often, by someone else, or by a request of ours that reached the provider twice and whose first answer was lost.',
      );
    },
  );

  test('is no such sign long before, or when our own exchange was the unanswered one [S51]', () => {
    const long = held()
      .presented('B', 'A', 572, 'too_early')
      .exchanged('C', 'A', 602)
      .presented('D', 'C', 20_000, 'superseded');
    expect(diagnosis(long, exact, 20_000).evidence).not.toContain('too early');
    const ours = held()
      .started('B', 'A', 600)
      .lost('B', 720)
      .presented('C', 'A', 1_171, 'too_early')
      .presented('D', 'A', 1_201, 'superseded');
    const { code, evidence } = diagnosis(ours, exact, 1_201);
    expect(code).toBe('successor_lost');
    expect(evidence).toContain('too early, so it had made the exchange that stayed without an answer.');
  });

  test('alone is never broken: the chain waits, and says for how long [S52] [S55]', () => {
    const story = held().presented('B', 'A', 572, 'too_early').deferred(572, 28_500, 'too_early');
    expect(story.next(oneTimeRevoking, 573)).toMatchObject({ step: 'exchange', present: 'A' });
    const deferral = explainDeferral(story.chain, exact);
    expect(deferral?.code).toBe('too_early');
    expect(deferral?.evidence).toContain('for 28.5 seconds');
    expect(deferral?.evidence).toContain('by someone else');
  });

  test('is remembered once, however often it is repeated, so that older signs are not pushed out [S95]', () => {
    const story = held().presented('B', 'A', 100, 'client_rejected');
    for (let i = 0; i < 50; i++) story.presented(`E${i}`, 'A', 572 + i, 'too_early');
    expect(story.chain.refusals?.map(({ means, times }) => [means, times])).toEqual([
      ['client_rejected', undefined],
      ['too_early', 50],
    ]);
  });
});

describe('age', () => {
  test('beyond what the provider allows an authorization is told with its dates, on day 91 as on day 1 [S95] [S101]', () => {
    const story = held();
    for (let day = 1; day <= 90; day++) story.exchanged(`D${day}`, day === 1 ? 'A' : `D${day - 1}`, day * DAY);
    story.presented('X', 'D90', 91 * DAY, 'invalid_grant');
    const { code, evidence } = diagnosis(story, ninetyDays, 91 * DAY);
    expect(code).toBe('expired_absolute');
    expect(evidence).toBe(
      'Authorization 1 was given at 1970-01-01 00:00:00 UTC, 91 days before token 90 was refused; the provider lets one live for 90 days, however much it is used.',
    );
  });

  test('of a token that nobody used is told from that, with its dates', () => {
    const story = held()
      .exchanged('B', 'A', 2 * DAY)
      .presented('C', 'B', 33 * DAY, 'invalid_grant');
    const { code, evidence } = diagnosis(story, ninetyDays, 33 * DAY);
    expect(code).toBe('expired_idle');
    expect(evidence).toBe(
      'Token 1 of authorization 1 lay unused for 31 days, from 1970-01-03 00:00:00 UTC to 1970-02-03 00:00:00 UTC; the provider keeps one for 30 days.',
    );
  });

  test('of both kinds is told by the one that came first', () => {
    const story = held()
      .exchanged('B', 'A', 50 * DAY)
      .presented('C', 'B', 95 * DAY, 'invalid_grant');
    expect(diagnosis(story, ninetyDays, 95 * DAY).code).toBe('expired_idle');
    const other = held()
      .exchanged('B', 'A', 89 * DAY)
      .presented('C', 'B', 125 * DAY, 'invalid_grant');
    expect(diagnosis(other, ninetyDays, 125 * DAY).code).toBe('expired_absolute');
  });

  test('of a token that does not rotate counts from its last use, where the provider counts so', () => {
    const policy: RotationPolicy = {
      ...durable,
      life: { ...durable.life, idleMs: 30 * DAY * 1000, idleFrom: 'last-use' },
    };
    const story = held()
      .extended('B', 'A', 20 * DAY)
      .presented('C', 'A', 40 * DAY, 'invalid_grant');
    expect(diagnosis(story, policy, 40 * DAY).code).not.toBe('expired_idle');
  });
});

describe('a chain that the provider does not know', () => {
  test('after it was good, where an app and account have one chain, was replaced by another authorization [S17] [S28]', () => {
    const story = held()
      .exchanged('B', 'A', 600)
      .presented('C', 'B', 1_200, 'invalid_chain')
      .presented('D', 'B', 1_211, 'invalid_chain');
    const { code, evidence } = diagnosis(story, exact, 1_211);
    expect(code).toBe('reauthorized_elsewhere');
    expect(evidence).toContain('refused twice, last at 1970-01-01 00:20:11 UTC');
    expect(evidence).toContain('last authorization here was at 1970-01-01 00:00:00 UTC');
  });

  test('before anything of it was ever accepted is named as that, with the two usual reasons [S17] [S21]', () => {
    const story = new Story().authorized('A', 0).published('A', 0).presented('B', 'A', 600, 'invalid_chain');
    const { code, evidence } = diagnosis(story, exact, 600);
    expect(code).toBe('invalid_chain');
    expect(evidence).toContain('two authorizations at once, or a fault of the provider');
  });
});

describe('a refused token', () => {
  test('that was imported and never accepted was used by the program that it came from [S102]', () => {
    const story = new Story().authorized('A', 0, 'import').published('A', 0).presented('B', 'A', 600, 'invalid_grant');
    const { code, evidence } = diagnosis(story, oneTimeRevoking, 600);
    expect(code).toBe('used_elsewhere');
    expect(evidence).toContain('imported at 1970-01-01 00:00:00 UTC and never accepted here');
  });

  test('whose last answer named no new one, where there always is one, died of that [S20]', () => {
    const story = held().extended('B', 'A', 600).presented('C', 'A', 1_200, 'superseded');
    const { code, evidence } = diagnosis(story, exact, 1_200);
    expect(code).toBe('successor_lost');
    expect(evidence).toContain('The answer of 1970-01-01 00:10:00 UTC named no new refresh token');
  });

  test('that does not rotate and had not expired was revoked, or dropped where the provider keeps a number of them', () => {
    const story = held().presented('B', 'A', 600, 'invalid_grant');
    expect(diagnosis(story, durable, 600)).toMatchObject({ code: 'revoked' });
    const capped = { ...durable, caps: { ...durable.caps, tokensPerUserClient: 100 } };
    expect(diagnosis(story, capped, 600).evidence).toContain('it keeps 100');
  });

  test.each(['revoked', 'consent_ended', 'evicted_by_cap', 'expired_absolute', 'reauthorized_elsewhere'] as const)(
    'of which the provider itself says "%s" gets that diagnosis, with its words',
    (means: Meaning) => {
      const story = held().presented('B', 'A', 600, means);
      expect(diagnosis(story, oneTime, 600)).toMatchObject({ code: means, said });
    },
  );
});

test('a chain of an older version, without what is remembered now, is explained as well', () => {
  const { refusals: _, by: __, ...older } = held().presented('B', 'A', 600, 'superseded').chain;
  const { code, evidence } = explain(JSON.parse(JSON.stringify(older)), exact, moment(600));
  expect(code).toBe('used_elsewhere');
  expect(evidence).toContain('Token 0 of authorization 1');
});

describe('after a restore, when the journal of a node was given up', () => {
  test('a refusal of the newest token that was left says that newer ones were lost with that journal', () => {
    const story = held().abandoned(600).presented('B', 'A', 1_200, 'superseded');
    const { code, evidence } = diagnosis(story, oneTime, 1_200);
    expect(code).toBe('lost_by_restore');
    expect(evidence).toContain('Token 0 of authorization 1, received at 1970-01-01 00:00:00 UTC, is the newest');
    expect(evidence).toContain('the journal of node node-2 was given up at 1970-01-01 00:10:00 UTC');
  });

  test('a chain that went on from there, or began anew, breaks for reasons of its own', () => {
    const later = held().abandoned(600).exchanged('B', 'A', 1_200).presented('C', 'B', 1_800, 'superseded');
    expect(diagnosis(later, oneTime, 1_800).code).toBe('used_elsewhere');
    const anew = held().abandoned(600).authorized('B', 700).published('B', 700).presented('C', 'B', 800, 'superseded');
    expect(diagnosis(anew, oneTime, 800).code).toBe('used_elsewhere');
  });

  test('what the provider says by name, and what the record shows, comes before it', () => {
    const told = held().abandoned(600).presented('B', 'A', 1_200, 'expired_idle');
    expect(diagnosis(told, oneTime, 1_200).code).toBe('expired_idle');
    const lost = held().abandoned(600).started('B', 'A', 700).lost('B', 800).presented('C', 'A', 1_200, 'superseded');
    expect(diagnosis(lost, oneTime, 1_200).code).toBe('successor_lost');
  });
});
