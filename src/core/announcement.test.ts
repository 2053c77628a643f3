import { describe, expect, test } from 'vitest';
import { announceAt, dueAnnouncement, wasAnnounced } from './announcement.ts';
import { dueAt } from './due.ts';
import { forecast } from './forecast.ts';
import type { Instant } from './instant.ts';
import { POLICIES } from './policies.fixture.ts';
import type { RotationPolicy } from './rotation-policy.ts';
import { moment, Story } from './story.fixture.ts';

const HOUR = 3_600;
const DAY = 24 * HOUR;
const at = (s: number) => (s * 1000) as Instant;
const living = (s: number): RotationPolicy => ({
  ...POLICIES.oneTime,
  life: { ...POLICIES.oneTime.life, idleMs: Number.POSITIVE_INFINITY, absoluteMs: s * 1000 },
});
const held = () => new Story().authorized('A', 0).published('A', 0).proven('A', 1);

/** When each announcement is due, and made at once. */
function announcedAt(policy: RotationPolicy, story = held()): number[] {
  const seen: number[] = [];
  for (let s = 0; ; ) {
    const next = announceAt(story.chain, policy, at(s));
    if (next === null) return seen;
    s = next / 1000;
    const due = dueAnnouncement(story.chain, policy, at(s));
    if (!due) throw new Error('An announcement was due, and there was none.');
    seen.push(s);
    story.announced(s, due);
  }
}

describe('the end of an authorization is announced', () => {
  test('30, 7 and 1 days before it, at any longer life too [S123] [S101]', () => {
    expect(announcedAt(living(90 * DAY))).toEqual([60 * DAY, 83 * DAY, 89 * DAY]);
    expect(announcedAt(living(365 * DAY))).toEqual([335 * DAY, 358 * DAY, 364 * DAY]);
  });

  test('in proportion where a life is shorter [S123]', () => {
    expect(announcedAt(living(9 * HOUR))).toEqual([6 * HOUR, 9 * HOUR - 2_520, 9 * HOUR - 360]);
  });

  test('never where the provider sets no limit to an authorization, however long it may lie unused', () => {
    expect(announcedAt(POLICIES.exact)).toEqual([]);
  });

  test('once, when several are late: the last of them', () => {
    const [policy, story] = [living(90 * DAY), held()];
    expect(dueAnnouncement(story.chain, policy, at(84 * DAY))).toEqual({
      endsAt: at(90 * DAY),
      leadMs: 7 * DAY * 1000,
    });
    story.announced(84 * DAY, { endsAt: at(90 * DAY), leadMs: 7 * DAY * 1000 });
    expect(dueAnnouncement(story.chain, policy, at(84 * DAY))).toBeNull();
    expect(announceAt(story.chain, policy, at(84 * DAY))).toBe(at(89 * DAY));
  });

  test('not once it has passed', () => {
    expect(dueAnnouncement(held().chain, living(90 * DAY), at(90 * DAY))).toBeNull();
    expect(announceAt(held().chain, living(90 * DAY), at(90 * DAY))).toBeNull();
  });

  test('anew after a renewal, and where the provider changed its rules', () => {
    const policy = living(90 * DAY);
    const story = held().announced(60 * DAY, { endsAt: at(90 * DAY), leadMs: 30 * DAY * 1000 });
    expect(announceAt(story.chain, living(180 * DAY), at(61 * DAY))).toBe(at(150 * DAY));
    expect(forecast(story.chain, living(180 * DAY), moment(61 * DAY)).announcedAt).toBeNull();
    expect(forecast(story.chain, policy, moment(61 * DAY)).announcedAt).toBe(at(60 * DAY));
    story.authorized('B', 80 * DAY).published('B', 80 * DAY);
    expect(forecast(story.chain, policy, moment(81 * DAY))).toMatchObject({
      absoluteAt: at(170 * DAY),
      announcedAt: null,
      nextAnnouncementAt: at(140 * DAY),
    });
  });

  test('as work that the store finds when it is due, between the exchanges that keep the chain alive', () => {
    const lazy = { isAlwaysFresh: false, jobAfter: () => null, spread: 0 };
    const policy: RotationPolicy = { ...living(90 * DAY), life: { ...living(90 * DAY).life, idleMs: 30 * DAY * 1000 } };
    const story = held().exchanged('B', 'A', 50 * DAY);
    expect(dueAt(story.chain, policy, moment(50 * DAY), lazy)).toBe(at(60 * DAY));
    story.announced(60 * DAY, { endsAt: at(90 * DAY), leadMs: 30 * DAY * 1000 });
    expect(dueAt(story.chain, policy, moment(60 * DAY), lazy)).toBe(at(65 * DAY));
  });
});

test('a break is as announced when it comes at the date that was told, and not when it comes before [S123]', () => {
  const { chain } = held().announced(60 * DAY, { endsAt: at(90 * DAY), leadMs: 30 * DAY * 1000 });
  expect(wasAnnounced(chain, at(70 * DAY))).toBe(false);
  expect(wasAnnounced(chain, at(90 * DAY - 120))).toBe(true);
  expect(wasAnnounced(held().chain, at(90 * DAY))).toBe(false);
});
