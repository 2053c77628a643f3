/**
 * What to do next for one chain. The same chain, policy and moment always give the same step.
 *
 * The rules for presenting a token again after a lost answer are, by class of policy:
 *
 * | class                        | may the same token be presented again?                                              |
 * | ---------------------------- | ----------------------------------------------------------------------------------- |
 * | durable                      | yes, with back-off                                                                  |
 * | until-successor-used         | yes, with back-off, or once the provider's spacing has passed                       |
 * | until-successor-used-within  | yes, from send + spacing on, then in short steps until send + timeout + window       |
 * | window                       | while now - first use + margin is less than the window; then as one-time (-revoking) |
 * | last-n                       | while fewer than n presentations are unanswered; then as one-time                    |
 * | one-time                     | yes: a second presentation is refused and does no harm                               |
 * | one-time-revoking            | after a horizon, in which a request still on its way would have arrived              |
 */
import {
  type Attempt,
  type Chain,
  type Deferral,
  type Link,
  newestLink,
  type PastRefusal,
  publishedLink,
  rowOf,
  unreadAttempt,
} from './chain.ts';
import type { Diagnosis, Meaning } from './diagnosis.ts';
import { explain } from './explain.ts';
import type { LinkId, NodeId } from './id.ts';
import { elapsed, isBefore, type Moment } from './instant.ts';
import { ageLimitMs, idleSince, isWithin, mayHaveEnded } from './lifetime.ts';
import { classOf, type PolicyClass, type RotationPolicy, rejectsReuse } from './rotation-policy.ts';

/** Longest time from sending a request until its answer is given up. Longer than any provider was seen to take. */
export const REQUEST_TIMEOUT_MS = 120_000;
/** A request is sent within this time of its intent record, or not at all. */
export const SEND_WITHIN_MS = 5_000;
/** Whatever became of a request, whoever made it has given it up this long after its intent record, if nothing stood still. */
export const SETTLED_WITHIN_MS = SEND_WITHIN_MS + REQUEST_TIMEOUT_MS;
/** Time after which a request that is still on its way is taken to have arrived. */
export const HORIZON_MS = 60_000;

const MOST_SKEW_MS = 2_000;
const MOST_RETRY_MARGIN_MS = 1_000;
const MOST_RETRY_STEP_MS = 20_000;
const BACKOFF_FIRST_MS = 1_000;
const BACKOFF_MOST_MS = 60_000;
const DAY_MS = 86_400_000;
/** Longest pause after refusals that nobody understands: each may count as an error of the app. */
const FAULT_MOST_MS = 900_000;
const SECOND_LOOK_MS = 10_000;
/** So many answers are not lost in a row by chance: from then on, no window is raced for. */
const PRESSED = 24;

export type Step =
  /** Nothing can be done: no authorization yet, or ended. */
  | { readonly step: 'none' }
  /** An exchange is under way somewhere; its answer decides. */
  | { readonly step: 'await'; readonly attempt: LinkId }
  /** A link is durable and newer than what is published. */
  | { readonly step: 'publish'; readonly link: LinkId }
  /** Present the refresh token of this link, in `waitMs` milliseconds at the earliest (0: now). */
  | { readonly step: 'exchange'; readonly present: LinkId; readonly waitMs: number; readonly because: Because }
  /** Nothing may be presented before the journal of this node was read; null: of several, after a restore. */
  | { readonly step: 'hold'; readonly node: NodeId | null }
  /** Nothing is left that could be presented. */
  | { readonly step: 'give_up'; readonly diagnosis: Diagnosis };

/**
 * next: an unused token. in_doubt: the same token again, its answer was lost. fallback: an older one, the newer is dead.
 * second_look: the provider says that it does not know it, and may be wrong.
 */
export type Because = 'next' | 'in_doubt' | 'fallback' | 'second_look';

export function nextStep(chain: Chain, policy: RotationPolicy, now: Moment): Step {
  if (chain.end || chain.generation === 0) return { step: 'none' };
  const unpublished = unpublishedLink(chain);
  if (unpublished) return { step: 'publish', link: unpublished.id };
  const open = chain.attempts.find((attempt) => attempt.lost === null);
  if (open) return { step: 'await', attempt: open.id };
  if (chain.hold?.why === 'restore') return { step: 'hold', node: chain.hold.node };
  const choice = choose(chain, policy, now);
  const unread = unreadAttempt(chain);
  // An answer that nobody has read may be the live token: until it was looked for, nothing is over.
  if (unread && (!choice || isHarmful(chain, policy, choice.present, now))) return { step: 'hold', node: unread.node };
  if (!choice) return { step: 'give_up', diagnosis: damage(chain, now) ?? explain(chain, policy, now) };
  return { step: 'exchange', ...choice, waitMs: Math.max(choice.waitMs, deferralLeftMs(chain, now)) };
}

/** Whether presenting this token again may revoke everything, an answer that nobody has read among it. */
function isHarmful(chain: Chain, policy: RotationPolicy, present: LinkId, now: Moment): boolean {
  const token = chain.links.find((link) => link.id === present);
  if (!token || token.uses === 0) return false;
  const rule = classOf(policy);
  const mayRevoke = 'windowMs' in rule && !rejectsReuse(policy);
  // That a later presentation has opened a window of its own is likely, and not certain.
  if (mayRevoke && !isWithin(rule.windowMs, token.firstUsedAt, now)) return true;
  return !isHarmlessAgain(token, chain.attempts, policy, now);
}

/** Where the newest token cannot be read any more, nothing that was said of older ones explains the end. */
function damage(chain: Chain, now: Moment): Diagnosis | null {
  const newest = chain.links.findLast((link) => link.tokenOf === link.id);
  if (!newest?.damagedAt) return null;
  const evidence = `What is kept of token ${newest.counter} cannot be opened any more, and no other copy is here.`;
  return { code: 'storage_fault', since: now.at, said: null, evidence };
}

/** The newest link, when it is not published yet. A late answer to an earlier exchange is never published. */
export function unpublishedLink(chain: Chain): Link | null {
  const newest = newestLink(chain);
  return newest && newest.sequence > (publishedLink(chain)?.sequence ?? 0) ? newest : null;
}

interface Choice {
  readonly present: LinkId;
  readonly waitMs: number;
  readonly because: Because;
}

/** The newest token that is not known to be dead and may be presented, now or later; older ones only after it. */
function choose(chain: Chain, policy: RotationPolicy, now: Moment): Choice | null {
  // It may be alive, and its window about to close: older ones have time.
  const again = secondLook(chain, policy, now);
  if (again) return again;
  const tokens = chain.links
    .filter((link) => link.tokenOf === link.id && !link.refusal && !link.damagedAt)
    .toReversed();
  for (const token of tokens) {
    const spacing = spacingLeftMs(chain, policy, now);
    if (token.uses === 0) return { present: token.id, waitMs: spacing, because: 'next' };
    if (lostOf(token, chain).length > 0) return againOf(token, tokens, chain, policy, now);
    if (classOf(policy).class === 'durable') return { present: token.id, waitMs: spacing, because: 'next' };
    if (mayStillLive(token, chain, policy, now)) return { present: token.id, waitMs: spacing, because: 'fallback' };
  }
  return lookBack(chain, policy, now);
}

/** A token whose answer was lost, again; or where that may revoke, one that may be presented without harm. */
function againOf(
  token: Link,
  tokens: readonly Link[],
  chain: Chain,
  policy: RotationPolicy,
  now: Moment,
): Choice | null {
  const isOpen = (one: Link): boolean => {
    const lost = lostOf(one, chain);
    return lost.length > 0 && isHarmlessAgain(one, lost, policy, now);
  };
  // One that was never presented is no reuse. Where no retry is allowed, another older one could only do more harm.
  const unused = isOpen(token) ? undefined : tokens.find((one) => one.uses === 0);
  if (unused) return { present: unused.id, waitMs: spacingLeftMs(chain, policy, now), because: 'fallback' };
  const again = isOpen(token) ? token : (tokens.find(isOpen) ?? token);
  const waitMs = retryWaitMs(chain, again, policy, now);
  return waitMs === null ? null : { present: again.id, waitMs, because: 'in_doubt' };
}

function lostOf({ id }: Link, { attempts }: Chain): readonly Attempt[] {
  return attempts.filter((attempt) => attempt.presented === id);
}

/**
 * A server that does not know the chain is at times wrong (Exact Online: now and then, cause unknown; picqer#471). Before
 * a person is called, the newest token is presented once more, where a refusal does no harm.
 */
function secondLook(chain: Chain, policy: RotationPolicy, now: Moment): Choice | null {
  const newest = chain.links.findLast((link) => link.tokenOf === link.id);
  if (newest?.refusal?.means !== 'invalid_chain' || !rejectsReuse(policy)) return null;
  if ((newest.refusal.times ?? 1) > 1) return null;
  const lost = lostOf(newest, chain);
  // A second look whose answer was lost may have been an exchange: the provider's spacing counts from it.
  const inDoubtMs = lost.length > 0 ? inStepMs(chain, newest, policy, now) : 0;
  const waitMs = Math.max(0, SECOND_LOOK_MS - elapsed(newest.refusal.at, now).atLeastMs, inDoubtMs);
  return { present: newest.id, waitMs, because: 'second_look' };
}

/**
 * A provider that was set back to a backup of itself knows the newest tokens no more, and takes an older one for the
 * active one. Before a person is called, those that are kept are presented, the newest first, where a refusal does no harm
 * and nothing else explains the one that there was: neither a lost answer nor age, nor the provider itself.
 */
function lookBack(chain: Chain, policy: RotationPolicy, now: Moment): Choice | null {
  const tokens = chain.links.filter((link) => link.tokenOf === link.id);
  const refused = tokens.findLast((link) => link.refusal);
  if (!refused?.refusal || !isMute(refused.refusal.means)) return null;
  if (!rejectsReuse(policy) || policy.onReuse.access !== 'keep' || isAged(chain, policy, refused, now)) return null;
  const before = tokens.filter((link) => link.sequence < refused.sequence);
  // The answer to an older one, lost while it was looked for, explains nothing.
  const ofOlder = (one: Attempt): boolean => before.some((link) => link.id === one.presented);
  if (chain.attempts.some((one) => !ofOlder(one) && mayHaveEnded(chain, policy, one))) return null;
  const older = before.findLast((link) => !link.refusal && !link.damagedAt);
  if (!older) return null;
  return { present: older.id, waitMs: spacingLeftMs(chain, policy, now), because: 'fallback' };
}

/** Says no more than that the token is dead. */
function isMute(means: Meaning): boolean {
  return means === 'invalid_grant' || means === 'invalid_chain' || means === 'unknown';
}

/** The provider keeps neither this token nor an older one for so long. */
function isAged(chain: Chain, policy: RotationPolicy, link: Link, now: Moment): boolean {
  const isIdle = elapsed(idleSince(chain, policy, link), now).atLeastMs >= policy.life.idleMs;
  return isIdle || (chain.authorizedAt !== null && elapsed(chain.authorizedAt, now).atLeastMs >= ageLimitMs(policy));
}

/** Time until the provider's spacing allows an exchange, counted from the last answer, with a margin for skew. */
export function spacingLeftMs(chain: Chain, policy: RotationPolicy, now: Moment): number {
  const { minSpacingMs } = policy.pacing;
  if (minSpacingMs === 0) return 0;
  const margin = Math.min(MOST_SKEW_MS, slackMs(policy) / 15);
  const left = chain.links.map((link) => minSpacingMs + margin - elapsed(link.receivedAt, now).atLeastMs);
  return Math.max(0, ...left);
}

/**
 * The time in which an exchange is neither too early nor too late: Exact Online 600 s - 570 s = 30 s. Margins are
 * shares of it, so that a policy played at sixty times its speed keeps its proportions.
 */
function slackMs(policy: RotationPolicy): number {
  const end = Math.min(
    policy.overlap.windowMs || Number.POSITIVE_INFINITY,
    policy.life.accessTokenMs ?? Number.POSITIVE_INFINITY,
  );
  return Math.max(0, end - policy.pacing.minSpacingMs);
}

/** Time until a token whose answer was lost may be presented again; null where it never may. */
function retryWaitMs(chain: Chain, token: Link, policy: RotationPolicy, now: Moment): number | null {
  const lost = lostOf(token, chain);
  return isHarmlessAgain(token, lost, policy, now)
    ? inStepMs(chain, token, policy, now)
    : afterHorizonMs(lost, policy, now);
}

/** Whether presenting a token again does no harm, even if an earlier presentation was processed. */
function isHarmlessAgain(token: Link, attempts: readonly Attempt[], policy: RotationPolicy, now: Moment): boolean {
  const rule = classOf(policy);
  switch (rule.class) {
    case 'durable':
    case 'one-time':
    case 'until-successor-used':
      return true;
    case 'until-successor-used-within':
    case 'window':
      return rejectsReuse(policy) || isWithin(rule.windowMs, windowFrom(rule.windowMs, token, attempts), now);
    case 'last-n':
      return rejectsReuse(policy) || attempts.filter((one) => one.presented === token.id).length < rule.depth;
    case 'one-time-revoking':
      return false;
  }
}

/**
 * When the window of a token opened that may still be open: at its first presentation. One after the end of that window
 * has either ended everything, or none before it had arrived; then it opened another.
 */
function windowFrom(windowMs: number, token: Link, attempts: readonly Attempt[]): Moment | null {
  const own = attempts.filter((one) => one.presented === token.id).map((one) => one.startedAt);
  return own.reduce((from, at) => (from && elapsed(from, at).atLeastMs >= windowMs ? at : from), token.firstUsedAt);
}

/**
 * Where a retry does no harm: with back-off; and where the provider has a spacing, from the send + spacing on, then in
 * steps that fit into the provider's window whenever within it the lost request was processed. Any of several may have
 * been the first that was, also one that came too early, if it was doubled on its way.
 */
function inStepMs(chain: Chain, token: Link, policy: RotationPolicy, now: Moment): number {
  const lost = lostOf(token, chain);
  const last = lost.at(-1);
  if (!last) return 0;
  const { minSpacingMs, perDay } = policy.pacing;
  if (minSpacingMs === 0) return Math.max(0, pauseMs(lost, policy, now) - sinceEndMs(last, now));
  const early = earlyBefore(last, token, chain);
  const unheard = [...(early ? [doubledOf(early, now)] : []), ...lost.map((one) => unheardOf(one, now))];
  const margin = Math.min(MOST_RETRY_MARGIN_MS, slackMs(policy) / 30);
  const openMs = untilOpenMs(unheard, policy, margin);
  // Nothing presses any more, or nothing helps: what the provider allows in a day is to last for the day.
  const patientMs = Math.max(backoffMs(lost.length), DAY_MS / perDay);
  // What was lost in the window may be tried again in it; only what was too early counts as an error there.
  const isPressing = openMs !== null && lost.length < PRESSED;
  const stepMs = isPressing ? Math.min(retryStepMs(policy), backoffMs(lost.length)) : patientMs;
  const stepped = unheard.length > 1 ? stepMs - elapsed(last.startedAt, now).atLeastMs : 0;
  return Math.max(0, openMs ?? 0, stepped);
}

/** A request that may have been exchanged without our hearing of it: some time after the first, until the second. */
interface Unheard {
  readonly sentAgoMs: number;
  readonly settledAgoMs: number;
}

/** Whoever stood still with it for longer than a time-out may have sent it just before that ended. */
function unheardOf({ startedAt, lost }: Attempt, now: Moment): Unheard {
  const sentAgoMs = elapsed(startedAt, now).atLeastMs;
  const timedOutAgoMs = sentAgoMs - SETTLED_WITHIN_MS;
  const isSeen = lost !== null && lost.reason !== 'crash' && lost.reason !== 'restore';
  const settledAgoMs = isSeen ? Math.min(timedOutAgoMs, elapsed(lost.at, now).atLeastMs) : timedOutAgoMs;
  return { sentAgoMs, settledAgoMs };
}

/** The first of those that came too early, if what made it so was the same request, delivered a second time. */
function doubledOf({ sentAt, since }: PastRefusal, now: Moment): Unheard {
  const sentAgoMs = elapsed(sentAt ?? since, now).atLeastMs;
  return { sentAgoMs, settledAgoMs: elapsed(since, now).atLeastMs - SETTLED_WITHIN_MS };
}

/** Those that were said to be too early, if that was before the last one that was lost. */
function earlyBefore({ startedAt }: Attempt, token: Link, chain: Chain): PastRefusal | null {
  const early = rowOf(chain, 'too_early', token.counter);
  return early && isBefore(early.sentAt ?? early.since, startedAt) ? early : null;
}

/** The last requests with the newest token, where all that was heard of them is that they came too early. */
export function earlyRequests(chain: Chain): PastRefusal | null {
  const newest = chain.links.findLast((link) => link.tokenOf === link.id);
  return newest ? rowOf(chain, 'too_early', newest.counter) : null;
}

/** Time until the first window may open that is not surely over; null: all of them are. */
function untilOpenMs(unheard: readonly Unheard[], policy: RotationPolicy, marginMs: number): number | null {
  const { minSpacingMs } = policy.pacing;
  const overMs = minSpacingMs + slackMs(policy);
  const open = unheard.filter((one) => one.settledAgoMs <= overMs).map((one) => one.sentAgoMs);
  return open.length === 0 ? null : Math.max(0, minSpacingMs + marginMs - Math.max(...open));
}

/** While a window is open it is tried ten times in it, however often it was tried in vain before. */
function pauseMs(lost: readonly Attempt[], policy: RotationPolicy, now: Moment): number {
  const { windowMs } = policy.overlap;
  const [first] = lost;
  const isOpen = windowMs > 0 && first && elapsed(first.startedAt, now).atLeastMs < REQUEST_TIMEOUT_MS + windowMs;
  return isOpen ? Math.min(backoffMs(lost.length), windowMs / 10) : backoffMs(lost.length);
}

/** Exact Online: 20 s, so that eight tries cover every instant at which a request may have been processed. */
function retryStepMs(policy: RotationPolicy): number {
  return Math.min(MOST_RETRY_STEP_MS, (slackMs(policy) * 2) / 3);
}

/**
 * Where a second presentation revokes everything, if the first one was processed: not before a request that is still
 * on its way would have arrived. Never where it would also revoke other grants of the same account.
 */
function afterHorizonMs(lost: readonly Attempt[], policy: RotationPolicy, now: Moment): number | null {
  if (policy.onReuse.refresh === 'revoke-client-user') return null;
  const last = lost.at(-1);
  if (!last) return 0;
  return Math.max(0, HORIZON_MS * 2 ** (lost.length - 1) - sinceEndMs(last, now));
}

/** Time since an attempt surely no longer did anything on our side. */
function sinceEndMs(attempt: Attempt, now: Moment): number {
  if (!attempt.lost) return 0;
  if (attempt.lost.reason !== 'crash') return elapsed(attempt.lost.at, now).atLeastMs;
  return Math.max(0, elapsed(attempt.startedAt, now).atLeastMs - SEND_WITHIN_MS);
}

/** 1 s, 2 s, 4 s … 60 s. */
export function backoffMs(count: number): number {
  return Math.min(BACKOFF_MOST_MS, BACKOFF_FIRST_MS * 2 ** (count - 1));
}

/** Whether an answered token may be alive although a newer one was refused, and presenting it does no harm. */
function mayStillLive(token: Link, chain: Chain, policy: RotationPolicy, now: Moment): boolean {
  // Nobody saw it accepted: it only may have been presented in a time that a restored store has forgotten.
  const isExchanged = chain.links.some((link) => link.parent === token.id);
  if (rejectsReuse(policy) && !isExchanged) return true;
  const rule: PolicyClass = classOf(policy);
  const newer = chain.links.filter((link) => link.tokenOf === link.id && link.sequence > token.sequence);
  const successorUsed = newer.some((link) => link.status === 'proven');
  switch (rule.class) {
    case 'durable':
      return true;
    case 'until-successor-used':
      return !successorUsed;
    case 'until-successor-used-within':
    case 'window':
      return isWithin(rule.windowMs, token.firstUsedAt, now) && !(policy.overlap.successorUnused && successorUsed);
    case 'last-n':
      return newer.length < rule.depth;
    case 'one-time':
    case 'one-time-revoking':
      return false;
  }
}

/** Time left of the chain's deferral. */
export function deferralLeftMs(chain: Chain, now: Moment): number {
  if (!chain.deferral) return 0;
  return Math.max(0, chain.deferral.forMs - elapsed(chain.deferral.since, now).atLeastMs);
}

/** For how long to send nothing, in milliseconds. `retryAfterMs` is what the provider asked for, if it did. */
export function deferralMs(
  chain: Chain,
  policy: RotationPolicy,
  why: Deferral['why'],
  retryAfterMs: number | null,
): number {
  const count = (chain.deferral?.count ?? 0) + 1;
  switch (why) {
    case 'too_early':
      // In doubt, the end of a window may be near. Otherwise somebody else's exchange counts, and half a minute is soon.
      if (chain.attempts.length > 0) return retryStepMs(policy);
      return retryAfterMs ?? notPast(chain, policy, earlyPauseMs(policy, count));
    case 'client_rejected':
      return Math.min(3_600_000, BACKOFF_MOST_MS * 2 ** (count - 1));
    case 'upstream_fault':
      // In doubt, the end of a window may be near.
      if (chain.attempts.length > 0) return Math.max(retryAfterMs ?? 0, backOffInDoubtMs(chain, policy, count));
      return Math.max(
        retryAfterMs ?? 0,
        notPast(chain, policy, Math.min(FAULT_MOST_MS, BACKOFF_FIRST_MS * 2 ** (count - 1))),
      );
    case 'throttled':
    case 'upstream_unavailable':
    case 'storage_fault':
      return Math.max(retryAfterMs ?? 0, backOffInDoubtMs(chain, policy, count));
  }
}

/** Nothing was exchanged, so nothing is risked by trying again soon while the end of a window may be near. */
function backOffInDoubtMs(chain: Chain, policy: RotationPolicy, count: number): number {
  return notPast(chain, policy, Math.min(backoffMs(count), openWindowStepMs(chain, policy)));
}

/** Longest pause while a window may be open; Infinity where none is. Counted up to the last time that it was put off. */
function openWindowStepMs({ attempts, deferral }: Chain, policy: RotationPolicy): number {
  const { windowMs } = policy.overlap;
  const last = attempts.at(-1);
  if (!last || windowMs === 0 || windowMs === Number.POSITIVE_INFINITY) return Number.POSITIVE_INFINITY;
  const { minSpacingMs } = policy.pacing;
  const openMs = REQUEST_TIMEOUT_MS + minSpacingMs + windowMs;
  const isOpen = !deferral || elapsed(last.startedAt, deferral.since).atLeastMs < openMs;
  if (!isOpen) return Number.POSITIVE_INFINITY;
  return minSpacingMs > 0 ? retryStepMs(policy) : windowMs / 10;
}

function earlyPauseMs({ pacing }: RotationPolicy, count: number): number {
  return Math.max(BACKOFF_FIRST_MS, pacing.minSpacingMs / 20) * 2 ** Math.min(count - 1, 5);
}

/**
 * Not past the moment at which an exchange is possible again, if what made ours too early was our own request, doubled
 * on its way: shortly after that moment the token dies. When it was doubled is not known, so from the first moment on
 * that may be it, in steps, until the window is over that a double opened as late as could be.
 */
function notPast(chain: Chain, policy: RotationPolicy, waitMs: number): number {
  const early = earlyRequests(chain);
  if (!early) return waitMs;
  const slack = slackMs(policy);
  const { sentAgoMs, settledAgoMs } = doubledOf(early, early.at);
  const waitedMs = waitedSinceMs(early, chain);
  const unheard = { sentAgoMs: sentAgoMs + waitedMs, settledAgoMs: settledAgoMs + waitedMs };
  const openMs = untilOpenMs([unheard], policy, Math.min(MOST_SKEW_MS, slack / 15));
  if (openMs === null) return waitMs;
  if (openMs > 0) return Math.min(waitMs, openMs);
  return slack > 0 && Number.isFinite(policy.overlap.windowMs) ? Math.min(waitMs, retryStepMs(policy)) : waitMs;
}

/** What was put off since a refusal is tried again when that time is over. */
function waitedSinceMs({ at }: PastRefusal, { deferral }: Chain): number {
  if (!deferral || isBefore(deferral.since, at)) return 0;
  return elapsed(at, deferral.since).atLeastMs + deferral.forMs;
}
