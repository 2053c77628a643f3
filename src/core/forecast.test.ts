import { describe, expect, test } from 'vitest';
import { forecast } from './forecast.ts';
import { POLICIES } from './policies.fixture.ts';
import type { RotationPolicy } from './rotation-policy.ts';
import { moment, Story } from './story.fixture.ts';

const DAY = 86_400;
const { durable, exact, oneTime } = POLICIES;
const ninetyDays: RotationPolicy = {
  ...oneTime,
  life: { ...oneTime.life, idleMs: 30 * DAY * 1000, absoluteMs: 90 * DAY * 1000 },
};
const held = () => new Story().authorized('A', 0).published('A', 0).proven('A', 1);
const seen = (story: Story, policy: RotationPolicy, s: number) => forecast(story.chain, policy, moment(s));
const codes = (story: Story, policy: RotationPolicy, s: number) =>
  seen(story, policy, s).warnings.map((warning) => warning.code);

describe('the forecast of a grant', () => {
  test('names the day on which it ends if nothing is done, and of what [S101]', () => {
    const story = held().exchanged('B', 'A', 20 * DAY);
    expect(seen(story, ninetyDays, 21 * DAY)).toMatchObject({
      idleAt: 50 * DAY * 1000,
      absoluteAt: 90 * DAY * 1000,
      earliestAt: 50 * DAY * 1000,
      earliestReason: 'idle',
    });
    const later = story.exchanged('C', 'B', 70 * DAY);
    expect(seen(later, ninetyDays, 70 * DAY)).toMatchObject({
      earliestAt: 90 * DAY * 1000,
      earliestReason: 'absolute',
    });
  });

  test('warns 30 days before the end of an authorization, however well it is used [S101]', () => {
    const story = held();
    for (let day = 1; day <= 90; day++) story.exchanged(`D${day}`, day === 1 ? 'A' : `D${day - 1}`, day * DAY);
    expect(codes(story, ninetyDays, 60 * DAY - 1)).toEqual([]);
    expect(seen(story, ninetyDays, 60 * DAY).warnings).toEqual([
      {
        code: 'ends_soon',
        text: 'The authorization reaches the end of its life (90 days) in 30 days, at 1970-04-01 00:00:00 UTC: renew it before.',
      },
    ]);
  });

  test('says when the next exchange is possible', () => {
    expect(seen(held(), exact, 100).nextExchangeAt).toBe(572_000);
    expect(seen(held(), exact, 572).nextExchangeAt).toBeNull();
  });

  test('warns of a grant that is exchanged less often than half the time it may lie unused', () => {
    expect(codes(held(), ninetyDays, 15 * DAY)).toEqual([]);
    expect(codes(held(), ninetyDays, 15 * DAY + 1)).toEqual(['used_rarely']);
    const once = held().exchanged('B', 'A', 20 * DAY);
    expect(seen(once, ninetyDays, 20 * DAY).warnings[0]?.text).toContain('It went 20 days without an exchange');
  });

  test('warns of an answer that has not come, and of an exchange that is put off again and again', () => {
    expect(codes(held().started('B', 'A', 600).lost('B', 720), exact, 721)).toEqual(['in_doubt']);
    expect(codes(held().deferred(600, 1_000).deferred(602, 2_000), exact, 603)).toEqual(['put_off']);
    expect(codes(held().deferred(600, 1_000), exact, 601)).toEqual([]);
  });

  test('warns near a cap: of tokens for an app and account, and of exchanges a day', () => {
    const capped: RotationPolicy = { ...durable, caps: { ...durable.caps, tokensPerUserClient: 10 } };
    const often = new Story();
    for (let i = 0; i < 9; i++) often.authorized(`A${i}`, i);
    expect(codes(often, capped, 10)).toEqual(['near_cap']);
    const daily: RotationPolicy = { ...oneTime, pacing: { minSpacingMs: 0, perDay: 200 } };
    const busy = held().exchanged('B', 'A', 300).exchanged('C', 'B', 600);
    expect(seen(busy, daily, 600).warnings[0]?.text).toContain('about 288 times a day; the provider allows 200');
    const calm = held().exchanged('B', 'A', 600).exchanged('C', 'B', 1_200);
    expect(codes(calm, daily, 1_200)).toEqual([]);
  });

  test('says nothing of a grant that has ended or was never authorized', () => {
    const nothing = {
      idleAt: null,
      absoluteAt: null,
      earliestAt: null,
      earliestReason: null,
      announcedAt: null,
      nextAnnouncementAt: null,
      warnings: [],
    };
    expect(seen(new Story(), ninetyDays, 0)).toMatchObject(nothing);
    const broken = held().presented('B', 'A', 600, 'superseded');
    const { diagnosis } = broken.next(oneTime, 600) as Extract<ReturnType<Story['next']>, { step: 'give_up' }>;
    broken.broken(600, diagnosis);
    expect(seen(broken, ninetyDays, 60 * DAY)).toMatchObject(nothing);
  });
});
