import { describe, expect, test } from 'vitest';
import { explainLiving } from './doubt.ts';
import { POLICIES } from './policies.fixture.ts';
import type { RotationPolicy } from './rotation-policy.ts';
import { moment, Story } from './story.fixture.ts';

const explained = (story: Story, policy: RotationPolicy, s: number) => explainLiving(story.chain, policy, moment(s));

describe('a chain in doubt', () => {
  test('after a crash says when and at which step it was, how often the token was tried since, and what comes next [S38]', () => {
    const story = new Story().authorized('A', 0).published('A', 0).started('B', 'A', 600).lost('B', 620, 'crash');
    expect(explained(story, POLICIES.exact, 630)).toEqual({
      code: 'in_doubt',
      since: 600_000,
      said: null,
      evidence:
        'Token 0 of authorization 1 was presented once without an answer, at 1970-01-01 00:10:00 UTC by node n (crash during the exchange: the keeper was stopped before the answer was kept). It is presented again at 1970-01-01 00:19:31 UTC at the earliest.',
    });
    story.started('C', 'A', 1_171).lost('C', 1_180);
    expect(explained(story, POLICIES.exact, 1_181)?.evidence).toContain(
      'twice without an answer, first at 1970-01-01 00:10:00 UTC by node n (crash during the exchange: the keeper was stopped before the answer was kept), last at 1970-01-01 00:19:31 UTC by node n (the connection ended without an answer).',
    );
  });

  test('that goes on with another token names that one', () => {
    const story = new Story().authorized('A', 0).published('A', 0).started('B1', 'A', 10).lost('B1', 20);
    story.started('B2', 'A', 21).received('B1', 'A', 22).received('B2', 'A', 23).published('B2', 24);
    story.started('C', 'B2', 30).lost('C', 150);
    expect(explained(story, POLICIES.untilSuccessorUsed, 151)?.evidence).toContain('Token 1 of authorization 1');
  });

  test('whose answer may lie in a journal that nobody has read names its node', () => {
    const story = new Story().authorized('A', 0).published('A', 0).started('B', 'A', 600).unread('B', 620);
    expect(explained(story, POLICIES.oneTimeRevoking, 700)?.evidence).toContain('may lie in the journal of node n');
  });

  test('that was put off says both', () => {
    const story = new Story()
      .authorized('A', 0)
      .published('A', 0)
      .started('B', 'A', 600)
      .lost('B', 620)
      .deferred(630, 60_000);
    const told = explained(story, POLICIES.durable, 640);
    expect(told?.code).toBe('upstream_fault');
    expect(told?.evidence).toMatch(/^Put off once.* Token 0 of authorization 1 was presented once without an answer/);
  });
});

test('a chain in order is not explained, nor one whose exchange is under way, answered, or that is over', () => {
  const story = new Story().authorized('A', 0).published('A', 0);
  expect(explained(story, POLICIES.exact, 10)).toBeNull();
  expect(explained(story.started('B', 'A', 600), POLICIES.exact, 610)).toBeNull();
  expect(
    explained(story.lost('B', 720).started('C', 'A', 1_171).received('C', 'A', 1_172), POLICIES.exact, 1_173),
  ).toBeNull();
  story.broken(1_200, { code: 'revoked', since: moment(1_200).at, said: null, evidence: '' });
  expect(explained(story, POLICIES.exact, 1_300)).toBeNull();
});
