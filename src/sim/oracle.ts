/**
 * Whether a chain that was lost could have been saved, by anyone who follows the rules of its provider and sees only what
 * a keeper can see. It decides from the ledger and the faults that were injected. A loss is unavoidable only where:
 *
 * - `ended`: the owner revoked it, another system used its tokens (where they change), every node was away from when it
 *   was due until the end of its life, the provider went back to a backup of itself, gave nothing since and takes none of
 *   the tokens that may be presented (of the newest eight; where reuse is punished, or a lost answer or a false denial
 *   explains the refusal, the newest alone), or said twice in a row that it does not know it, while no answer came;
 * - `doubled`: the wire delivered one request twice, or minutes after it was given up, and the provider takes that for
 *   theft, or gave the token to that one;
 * - `destroyed`: all copies of what was received were destroyed, and nothing newer came; or the store went back to before
 *   an exchange was sent, its answer was lost too, and so nobody knew that a window was open;
 * - `unanswered`, for one-time tokens: the provider made an exchange and its answer never reached a living node, or
 *   reached one that died before it could write it down;
 * - `unanswered`, for tokens with a window: besides, every try in the window was struck by a fault, and the keeper was
 *   never idle in it for longer than its table of retries allows while it could have tried and could know it open;
 * - for tokens that live until their successor is used: never by a lost answer.
 */
import { LINKS_KEPT } from '../core/chain.ts';
import { REQUEST_TIMEOUT_MS } from '../core/next-step.ts';
import { classOf, type RotationPolicy, rejectsReuse } from '../core/rotation-policy.ts';
import type { Fault, Injury } from './faults.ts';
import type { ChainTruth, Span, TokenTruth } from './truth.ts';
import type { Entry } from './upstream.ts';

export type Verdict =
  | {
      readonly kind: 'unavoidable';
      readonly rule: 'ended' | 'doubled' | 'destroyed' | 'unanswered';
      readonly why: string;
    }
  /** isAlive: nothing is lost at all. */
  | { readonly kind: 'avoidable'; readonly why: string; readonly isAlive?: true };

/** What the oracle may look at. */
export interface Evidence {
  readonly chain: ChainTruth;
  readonly policy: RotationPolicy;
  readonly entries: readonly Entry[];
  readonly now: number;
  /** Tokens of which a copy exists. */
  isKept(token: TokenTruth): boolean;
  takes(token: string): boolean;
  /** The store was restored since, and may not know any more that something was sent then. */
  hasForgotten(sentAt: number): boolean;
  /** Times at which no node could have tried: down, paused, or without a store. */
  readonly unable: readonly Span[];
  /** Times at which some node was down or paused. */
  readonly away: readonly Span[];
  /** Time a cluster needs to notice that a node is gone. */
  readonly takeOverMs: number;
}

const unavoidable = (rule: 'ended' | 'doubled' | 'destroyed' | 'unanswered', why: string): Verdict => ({
  kind: 'unavoidable',
  rule,
  why,
});
const avoidable = (why: string) => ({ kind: 'avoidable', why }) as const;

/** Two denials within this time are two in a row. */
const DENIAL_MS = 3_600_000;
const MINUTE_MS = 60_000;
/** Of a slow store two answers may be late between two tries. */
const SLOW_STORE_MS = 10_000;
/** An unused token is exchanged by this share of its life, and an hour is enough for it. */
const IDLE_DUE = 0.7;
const IDLE_ALLOWED_MS = 3_600_000;

export function judgeLoss(evidence: Evidence): Verdict {
  const { chain } = evidence;
  if (chain.forgottenAt !== null) return judgeSetBack(evidence);
  const live = chain.tokens.find((one) => evidence.isKept(one) && evidence.takes(one.token));
  const inUse = chain.tokens.findLast((one) => one.wasKept);
  // A sibling that was never used may outlive what was in use; the restored store takes it for a used one.
  if (live && live !== inUse && chain.destroyedAt !== null)
    return unavoidable('destroyed', 'no copy of the token in use');
  if (live && wasDeniedTwice(evidence)) return unavoidable('ended', 'the provider denied twice in a row to know it');
  if (live) return { ...avoidable(`token ${live.token} is here, and the provider takes it`), isAlive: true };
  if (chain.endedBy && !outlives(chain.endedBy, evidence.policy)) return unavoidable('ended', chain.endedBy);
  const newest = chain.tokens.findLast((one) => one.deliveredAt !== null && (one.wasKept || evidence.isKept(one)));
  if (!newest) return avoidable('it never held a token');
  if (!evidence.isKept(newest) && chain.destroyedAt !== null) return unavoidable('destroyed', 'no copy was left');
  return judgeFrom(evidence, newest);
}

/**
 * The provider takes an older token for the active one. It has to be found among those that a chain remembers, where a
 * refusal does no harm, no lost answer explains it and none that lives is denied; elsewhere only the one in use may be
 * presented.
 */
function judgeSetBack(evidence: Evidence): Verdict {
  const { chain, policy, entries } = evidence;
  const wentBackAt = chain.forgottenAt ?? 0;
  if (chain.endedBy && !outlives(chain.endedBy, policy)) return unavoidable('ended', chain.endedBy);
  const mayLookBack = rejectsReuse(policy) && policy.onReuse.access === 'keep' && chain.unansweredSince === null;
  const wasDenied = chain.injuries.some(({ fault, at }) => fault === 'chain_unknown' && at >= wentBackAt);
  const presentable = chain.tokens.filter((one) => one.wasKept).slice(mayLookBack && !wasDenied ? -LINKS_KEPT : -1);
  // What was dead before it went back, and was called so, nobody tries again.
  const wasDead = ({ token }: TokenTruth): boolean =>
    entries.some((one) => one.presented === token && isDeath(one) && one.at < wentBackAt);
  const live = presentable.find((one) => evidence.isKept(one) && evidence.takes(one.token) && !wasDead(one));
  if (!live) return unavoidable('ended', 'the provider went back to a backup of itself');
  // What the restored store has of those that were presented since, it takes for the newest.
  if (chain.destroyedAt !== null && live !== presentable.at(-1))
    return unavoidable('destroyed', 'no copy of the token in use');
  return { ...avoidable(`the provider went back to a backup of itself, and takes ${live.token}`), isAlive: true };
}

function isDeath({ outcome, reason }: Entry): boolean {
  return outcome === 'refused' && reason !== 'too-early';
}

/** Twice without an exchange in between of which anybody heard. */
function wasDeniedTwice({ chain, now }: Evidence): boolean {
  const [first, second] = chain.injuries.filter((one) => one.fault === 'chain_unknown').slice(-2);
  if (!first || !second || now - first.at >= DENIAL_MS) return false;
  return chain.lastAnsweredAt < first.at;
}

/** Tokens that do not change go on, whoever else uses them. */
function outlives(endedBy: Fault, policy: RotationPolicy): boolean {
  return endedBy === 'used_elsewhere' && classOf(policy).class === 'durable';
}

/** `newest` is the newest token that was ever written down. */
function judgeFrom(evidence: Evidence, newest: TokenTruth): Verdict {
  const { chain, policy, entries } = evidence;
  if (evidence.now > newest.issuedAt + policy.life.idleMs && wasAwayWhenDue(evidence, newest)) {
    return unavoidable('ended', 'every node was away for longer than an unused token lives');
  }
  const unheard = chain.tokens.filter((one) => one.parent === newest.token && !one.wasKept);
  const careless = unheard.map((one) => neglect(one)).find((why) => why !== null);
  if (careless) return avoidable(careless);
  const end = entries.find((one) => one.endedFamily);
  if (end && end.by === 'duplicate') return unavoidable('doubled', 'a request was delivered twice, or late');
  if (unheard.length === 0) return judgeRefusal(evidence, newest, end);
  const rule = classOf(policy);
  switch (rule.class) {
    case 'durable':
    case 'last-n':
    case 'until-successor-used':
      return chain.destroyedAt === null
        ? avoidable(`answers were lost, and the rules let ${newest.token} be presented again`)
        : unavoidable('destroyed', 'no copy of a token in use was left');
    case 'one-time':
    case 'one-time-revoking':
      if (entries.some((one) => one.presented === newest.token && one.by === 'duplicate')) {
        return unavoidable('doubled', 'a request was delivered twice, or late');
      }
      return unavoidable('unanswered', 'the answer to an exchange was lost');
    case 'window':
    case 'until-successor-used-within':
      return judgeWindow(evidence, unheard, rule.windowMs);
  }
}

/** An answer that reached a living node must be written down, unless the node dies within that. */
function neglect(token: TokenTruth): string | null {
  if (token.deliveredAt === null || !token.life?.isAlive) return null;
  return `token ${token.token} was received by a node that lives, and is not written down`;
}

/** The newest token was written down and never exchanged: why is it dead? */
function judgeRefusal(evidence: Evidence, newest: TokenTruth, end: Entry | undefined): Verdict {
  const { chain, entries, policy, now } = evidence;
  const last = entries.findLast((one) => one.presented === newest.token);
  if (end?.by === 'keeper') {
    if (chain.destroyedAt !== null) return unavoidable('destroyed', 'an older token was all that was left');
    return avoidable(`the keeper presented ${end.presented}, which revoked everything`);
  }
  if (chain.destroyedAt !== null) return unavoidable('destroyed', 'no copy of the token in use was left');
  const unusedMs = (last?.at ?? now) - newest.issuedAt;
  if (unusedMs > policy.life.idleMs) {
    return wasAwayWhenDue(evidence, newest)
      ? unavoidable('ended', 'every node was away for longer than an unused token lives')
      : avoidable('it was left unused until it expired');
  }
  const wasDoubled = entries.some((one) => one.by === 'duplicate' && one.presented === newest.parent && one.issued);
  if (wasDoubled && !survivesDoubling(policy)) return unavoidable('doubled', 'a request was delivered twice');
  return avoidable(`token ${newest.token} was refused: ${last?.reason ?? 'never presented'}`);
}

/** Whether what the network delivers twice or late costs no chain: the older or the newer token lives on. */
function survivesDoubling(policy: RotationPolicy): boolean {
  return ['durable', 'last-n', 'until-successor-used'].includes(classOf(policy).class);
}

/** A window that opened when the first unanswered exchange was made. */
function judgeWindow(evidence: Evidence, unheard: readonly TokenTruth[], windowMs: number): Verdict {
  const { chain, policy, entries } = evidence;
  const opener = unheard.reduce((first, one) => (one.issuedAt < first.issuedAt ? one : first));
  const from = opener.issuedAt + policy.pacing.minSpacingMs;
  const to = Math.min(opener.issuedAt + windowMs, safeUntil(evidence, opener, windowMs));
  const gap = longestIdle(from, to, [...chain.tries, ...evidence.unable]);
  // The retry table: at Exact Online a try every 20 s, elsewhere ten in a window. More than a second for what is under way.
  const step = policy.pacing.minSpacingMs > 0 ? 20_000 : windowMs / 10;
  const isSlow = chain.injuries.some((one) => one.fault === 'store_slow' && one.at >= from - MINUTE_MS && one.at <= to);
  const allowed = step + (isSlow ? SLOW_STORE_MS : 1_500);
  if (evidence.hasForgotten(opener.sentAt))
    return unavoidable('destroyed', 'a restored store had forgotten that it was sent');
  const isTakenOver = evidence.away.some((one) => one.to >= from - evidence.takeOverMs && one.from <= to);
  if (gap.ms <= allowed + (isTakenOver ? evidence.takeOverMs : 0)) {
    const isLate = entries.some((one) => one.issued === opener.token && one.by === 'duplicate');
    if (isLate) return unavoidable('doubled', 'a request arrived when nobody could expect it any more');
    return unavoidable('unanswered', 'every try in the window was struck');
  }
  return avoidable(
    `its window was open from ${from} to ${to}, and for ${gap.ms} ms from ${gap.from} nothing was tried (${allowed} ms are allowed)`,
  );
}

/**
 * Until when a keeper can know that to present the token again falls into the window, wherever within the time-out of the
 * request it opened; and where a retry after its end revokes everything, wherever after the first one was sent, and not
 * once its clock was set: a machine that had been suspended would look the same.
 */
function safeUntil({ chain, policy }: Evidence, opener: TokenTruth, windowMs: number): number {
  if (rejectsReuse(policy)) return opener.sentAt + REQUEST_TIMEOUT_MS + windowMs;
  const sent = chain.presentations.filter((one) => one.token === opener.parent && one.at <= opener.sentAt);
  const first = sent.reduce((from, { at }) => (at - from >= windowMs ? at : from), sent[0]?.at ?? opener.sentAt);
  const isSet = ({ fault, at }: Injury): boolean => fault === 'clock_jump' && at >= first;
  return Math.min(first + windowMs, chain.injuries.find(isSet)?.at ?? Number.POSITIVE_INFINITY);
}

/** No node was there, for longer than a few tries take, from when an unused token is due until its end. */
function wasAwayWhenDue({ unable, chain, policy }: Evidence, token: TokenTruth): boolean {
  const { idleMs } = policy.life;
  const dueAt = token.issuedAt + idleMs * IDLE_DUE;
  return longestIdle(dueAt, token.issuedAt + idleMs, [...unable, ...chain.tries]).ms < IDLE_ALLOWED_MS;
}

/** The longest time within a span that none of these cover. */
function longestIdle(from: number, to: number, spans: readonly Span[]): { readonly from: number; readonly ms: number } {
  const inside = spans.filter((one) => one.to >= from && one.from <= to).toSorted((a, b) => a.from - b.from);
  let longest = { from, ms: 0 };
  let covered = from;
  for (const span of [...inside, { from: to, to }]) {
    if (span.from - covered > longest.ms) longest = { from: covered, ms: span.from - covered };
    covered = Math.max(covered, span.to);
  }
  return longest;
}
