/**
 * What is to come for one chain if nothing is done: when it ends and of what, when it can be exchanged next, and what
 * makes its margin small. The same chain, policy and moment always give the same forecast.
 */
import { absoluteEnd, announceAt, firstLeadMs } from './announcement.ts';
import { type Chain, type Link, newestLink } from './chain.ts';
import { span, when } from './evidence.ts';
import { after, elapsed, type Instant, type Moment } from './instant.ts';
import { idleSince } from './lifetime.ts';
import { nextStep } from './next-step.ts';
import type { RotationPolicy } from './rotation-policy.ts';

/** idle: nobody uses it. absolute: the authorization is as old as the provider lets one become. */
export type EndReason = 'idle' | 'absolute';

export interface Warning {
  readonly code: 'ends_soon' | 'used_rarely' | 'put_off' | 'in_doubt' | 'near_cap';
  readonly text: string;
}

export interface Forecast {
  /** When it ends unless it is exchanged before; null where the provider sets no limit, or none is known. */
  readonly idleAt: Instant | null;
  /** When it ends however much it is used. */
  readonly absoluteAt: Instant | null;
  readonly earliestAt: Instant | null;
  readonly earliestReason: EndReason | null;
  /** When a person was last told of `absoluteAt`, and when one will be told next; null: not yet, or not any more. */
  readonly announcedAt: Instant | null;
  readonly nextAnnouncementAt: Instant | null;
  /** When the next exchange is possible; null where it is possible now, or will never be. */
  readonly nextExchangeAt: Instant | null;
  readonly warnings: readonly Warning[];
}

const DAY_MS = 86_400_000;
/** Share of a cap from which on it is near. */
const NEAR = 0.9;

export function forecast(chain: Chain, policy: RotationPolicy, now: Moment): Forecast {
  const newest = chain.end ? null : newestLink(chain);
  const step = nextStep(chain, policy, now);
  const absoluteAt = absoluteEnd(chain, policy);
  const idleAt = newest && idleEnd(chain, policy, newest);
  const isIdleFirst = idleAt !== null && (absoluteAt === null || idleAt < absoluteAt);
  const earliestAt = isIdleFirst ? idleAt : absoluteAt;
  return {
    idleAt,
    absoluteAt,
    earliestAt,
    earliestReason: earliestAt === null ? null : isIdleFirst ? 'idle' : 'absolute',
    announcedAt: absoluteAt !== null && chain.announced?.endsAt === absoluteAt ? chain.announced.at : null,
    nextAnnouncementAt: announceAt(chain, policy, now.at),
    nextExchangeAt: step.step === 'exchange' && step.waitMs > 0 ? after(now.at, step.waitMs) : null,
    warnings: newest ? warningsOf(chain, policy, newest, absoluteAt, now) : [],
  };
}

function idleEnd(chain: Chain, policy: RotationPolicy, newest: Link): Instant | null {
  const { idleMs } = policy.life;
  return Number.isFinite(idleMs) ? after(idleSince(chain, policy, newest).at, idleMs) : null;
}

function warningsOf(
  chain: Chain,
  policy: RotationPolicy,
  newest: Link,
  absoluteAt: Instant | null,
  now: Moment,
): readonly Warning[] {
  const found = [
    endsSoon(policy, absoluteAt, now),
    usedRarely(chain, policy, newest, now),
    putOff(chain),
    inDoubt(chain),
    manyTokens(chain, policy),
    manyExchanges(chain, policy),
  ];
  return found.filter((warning) => warning !== null);
}

function endsSoon(policy: RotationPolicy, at: Instant | null, now: Moment): Warning | null {
  if (at === null || at - now.at > firstLeadMs(policy)) return null;
  const left = at > now.at ? `in ${span(at - now.at)}, at` : 'it was to end at';
  return {
    code: 'ends_soon',
    text: `The authorization reaches the end of its life (${span(policy.life.absoluteMs)}) ${left} ${when(at)}: renew it before.`,
  };
}

/** The longest time without an exchange, up to now, against half of what the provider allows. */
function usedRarely(chain: Chain, policy: RotationPolicy, newest: Link, now: Moment): Warning | null {
  const { idleMs } = policy.life;
  const gaps = chain.links.slice(1).map((link, i) => gapMs(chain.links[i], link));
  const since = elapsed(newest.receivedAt, now).atLeastMs;
  const longest = Math.max(since, ...gaps);
  if (longest <= idleMs / 2) return null;
  const what =
    longest === since ? `It was last exchanged ${span(since)} ago` : `It went ${span(longest)} without an exchange`;
  return { code: 'used_rarely', text: `${what}; the provider drops it after ${span(idleMs)} without one.` };
}

function gapMs(earlier: Link | undefined, later: Link): number {
  return earlier ? elapsed(earlier.receivedAt, later.receivedAt).atLeastMs : 0;
}

function putOff({ deferral }: Chain): Warning | null {
  if (!deferral || deferral.count < 2) return null;
  return { code: 'put_off', text: `The exchange was put off ${deferral.count} times in a row (${deferral.why}).` };
}

function inDoubt({ attempts }: Chain): Warning | null {
  const lost = attempts.filter((attempt) => attempt.lost);
  const [first] = lost;
  if (!first) return null;
  return {
    code: 'in_doubt',
    text: `The answer to an exchange sent at ${when(first.startedAt.at)} has not come: the chain may depend on the next one.`,
  };
}

/** Each authorization of the grant made a token at the provider, and a new one may push an old one out. */
function manyTokens({ generation }: Chain, { caps }: RotationPolicy): Warning | null {
  const { tokensPerUserClient: cap } = caps;
  if (!Number.isFinite(cap) || cap <= 1 || generation < cap * NEAR) return null;
  return {
    code: 'near_cap',
    text: `It was authorized ${generation} times; the provider keeps ${cap} refresh tokens of an app and account and drops the oldest.`,
  };
}

function manyExchanges({ links }: Chain, { pacing }: RotationPolicy): Warning | null {
  const first = links[0];
  const last = links.at(-1);
  if (!first || !last || links.length < 3 || !Number.isFinite(pacing.perDay)) return null;
  const perDay = Math.round((DAY_MS * (links.length - 1)) / Math.max(1, gapMs(first, last)));
  if (perDay < pacing.perDay * NEAR) return null;
  return {
    code: 'near_cap',
    text: `It is exchanged about ${perDay} times a day; the provider allows ${pacing.perDay}.`,
  };
}
