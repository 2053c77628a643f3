/** Windows that may be open while the provider or the network is away: how often is tried until they are over. */
import { describe, expect, test } from 'vitest';
import { deferralMs } from './next-step.ts';
import { POLICIES } from './policies.fixture.ts';
import { Story } from './story.fixture.ts';

/** A chain that was authorized at 0 s and published. */
const held = () => new Story().authorized('A', 0).published('A', 0);
const { exact, window60s, oneTime } = POLICIES;

describe('a window that may be open', () => {
  test('is tried ten times in, however often it was tried in vain before [S111]', () => {
    let story = held();
    for (let i = 0; i < 6; i++) story = story.started(`B${i}`, 'A', 10 + i).lost(`B${i}`, 10 + i);
    expect(story.next(window60s, 15)).toMatchObject({ present: 'A', because: 'in_doubt', waitMs: 6_000 });
  });
});

describe('an outage while a window may be open', () => {
  test('is tried again often enough to meet the window when it ends [S111]', () => {
    const outage = (policy: typeof exact, s: number) => {
      const story = held().started('B', 'A', 600).lost('B', 601);
      for (let i = 0; i < 8; i++) story.deferred(s, 60_000);
      return deferralMs(story.chain, policy, 'upstream_unavailable', null);
    };
    expect(outage(window60s, 610)).toBe(6_000);
    expect(outage(exact, 1_100)).toBe(20_000);
    const again = held().started('B', 'A', 600).lost('B', 601).started('C', 'A', 1_747).lost('C', 1_748);
    for (let i = 0; i < 8; i++) again.deferred(2_300, 60_000);
    expect(deferralMs(again.chain, exact, 'upstream_unavailable', null)).toBe(20_000);
    // Once it is surely over, nothing presses any more.
    expect(outage(window60s, 3_000)).toBe(60_000);
    expect(outage(oneTime, 610)).toBe(60_000);
  });
});

describe('an outage while the window of a doubled request may open', () => {
  test('is over in time to meet it, although all that was heard is that it came too early [S111]', () => {
    const outage = held().presented('B', 'A', 600, 'too_early').deferred(600, 480_000, 'too_early');
    for (let i = 0; i < 8; i++) outage.deferred(1_090, 60_000, 'upstream_unavailable');
    expect(deferralMs(outage.chain, exact, 'upstream_unavailable', null)).toBe(22_000);
    expect(deferralMs(outage.chain, exact, 'upstream_fault', null)).toBe(22_000);
    for (let i = 0; i < 8; i++) outage.deferred(1_112, 60_000, 'upstream_unavailable');
    expect(deferralMs(outage.chain, exact, 'upstream_unavailable', null)).toBe(20_000);
    // Once it is surely over, nothing presses any more.
    for (let i = 0; i < 8; i++) outage.deferred(1_300, 60_000, 'upstream_unavailable');
    expect(deferralMs(outage.chain, exact, 'upstream_unavailable', null)).toBe(60_000);
  });
});

describe('a fault of the provider between refusals', () => {
  test('does not hide that the first of them may have been a doubled request, whose window is met [S111]', () => {
    const early = held().presented('B', 'A', 600, 'too_early').deferred(600, 450_000, 'too_early');
    const fault = early.presented('C', 'A', 1_050, 'upstream_fault');
    expect(deferralMs(fault.chain, exact, 'upstream_fault', null)).toBe(2_000);
    for (let i = 0; i < 8; i++) fault.deferred(1_050, 60_000, 'upstream_fault');
    expect(deferralMs(fault.chain, exact, 'upstream_fault', null)).toBe(62_000);
    const again = fault.presented('D', 'A', 1_066, 'too_early');
    expect(deferralMs(again.chain, exact, 'too_early', null)).toBeLessThanOrEqual(106_000);
    expect(again.chain.refusals?.map(({ means, times }) => [means, times ?? 1])).toEqual([
      ['upstream_fault', 1],
      ['too_early', 2],
    ]);
  });
});
