/**
 * What must hold in every world, and for every move. The judges see both ends: what the provider would accept, and every
 * copy of a token that the keeper has or will still get.
 *
 * A token is *within reach* while a store, a journal, a memory or an open connection has it. The chain is lost by the
 * move after which no token within reach is accepted any more. That move names the culprit: a step of the keeper is
 * never excused; what the world does is excused only where `isUnavoidable` says why nobody could have helped.
 */
import type { LinkId } from '../../core/id.ts';
import { rejectsReuse } from '../../core/rotation-policy.ts';
import type { Move, Rules } from './moves.ts';
import { ageOf } from './moments.ts';
import { bit } from './provider.ts';
import { tokenOf } from './shared-store.ts';
import type { Ground, World } from './world.ts';

export const JUDGES = [
  'published before it was durable',
  'a copy of a live token was dropped',
  'avoidable loss',
  'harmful presentation',
  'broken although it lives',
  'published an older one',
  'dead end',
  'goes in circles',
] as const;
export type Judge = (typeof JUDGES)[number];

/** The verdicts on one move, from the world before it. */
export function judge(ground: Ground, rules: Rules, before: World, move: Move): Judge | null {
  const { note, cause, world: after } = move;
  if (note?.published) {
    if (!(durable(ground, before) & (1 << note.published.token))) return 'published before it was durable';
    if (note.published.sequence < ground.rests.get(before.rest).servedSequence) return 'published an older one';
  }
  const liveBefore = live(ground, before);
  const isKeepers = cause === 'keeper' || cause === 'wait' || cause === 'client';
  if (note?.presented !== undefined && liveBefore !== 0) {
    const { isRevoking } = ground.provider.present(before.family, note.presented);
    if (isRevoking && !isDoubtful(ground, before, liveBefore)) return 'harmful presentation';
  }
  if (note?.isBroken && (liveBefore !== 0 || isUnresolved(ground, before))) return 'broken although it lives';
  const acceptedAfter = ground.provider.accepted(after.family);
  const reachedAfter = withinReach(ground, after);
  if (liveBefore !== 0 && (acceptedAfter & reachedAfter) === 0) {
    const unknown = acceptedAfter & ~reachedAfter;
    const isExcused =
      isUnavoidable(ground, rules, move, unknown) ||
      isUnknowable(ground, before, move, liveBefore) ||
      isDoubtful(ground, before, liveBefore);
    return isExcused ? null : 'avoidable loss';
  }
  return isKeepers && (liveBefore & acceptedAfter & ~reachedAfter) !== 0 ? 'a copy of a live token was dropped' : null;
}

/** Tokens, as bits, of which a copy survives a crash of everything. */
export function durable({ store, journalTokens }: Ground, { stored, nodes }: World): number {
  return store.tokens(stored) | journalTokens(nodes[0]) | journalTokens(nodes[1]);
}

function withinReach(ground: Ground, world: World): number {
  const [a, b] = world.nodes;
  return durable(ground, world) | ground.volatileTokens(a) | ground.volatileTokens(b);
}

/** Tokens within reach that the provider accepts. */
export function live(ground: Ground, world: World): number {
  return ground.provider.accepted(world.family) & withinReach(ground, world);
}

/** An exchange is under way, or an answer lies where nobody has looked. */
function isUnresolved({ store, journalTokens }: Ground, { stored, nodes }: World): boolean {
  if (store.get(stored).chain.attempts.some((one) => one.lost === null || one.lost.isUnread)) return true;
  return ((journalTokens(nodes[0]) | journalTokens(nodes[1])) & ~store.tokens(stored)) !== 0;
}

/**
 * Whether the loss by this move could not have been averted by anybody.
 *
 * Destroyed copies are lost whatever the class; and after that, a client that uses an access token of a lost answer, or a
 * stray request with it, ends the token before, and a restored store no longer knows which windows are closing. Where
 * reuse revokes, a request that the network delivers once more, or too late, ends the chain. Otherwise the provider made
 * a token that never came here, and:
 *
 * - durable, until-successor-used: the one before lives on, so there is no such loss, unless it was destroyed.
 * - window, until-successor-used-within: the one before lives until the window ends, so time must have been taken away.
 *   Where a spacing leaves room for one retry in the window, the loss of its answer too is beyond help.
 * - last-n: n newer ones must have been made.
 * - one-time: the one before died when the new one was made.
 */
function isUnavoidable(ground: Ground, rules: Rules, { cause, world }: Move, unknown: number): boolean {
  const { subject, rests, nodes } = ground;
  const { wasRestored, wasLate, served, stoodStillMs } = rests.get(world.rest);
  if (cause === 'destruction') return true;
  if (cause === 'keeper') return false;
  const wasDestroyed = wasRestored || world.nodes.some((id) => ['gone', 'given_up'].includes(nodes.get(id).life));
  if (cause === 'client') return wasDestroyed;
  if (cause === 'stray' && (wasDestroyed || !rejectsReuse(subject.policy))) return true;
  switch (subject.rule.class) {
    case 'durable':
      return false;
    case 'until-successor-used':
      // Its copies were destroyed, all of them: it had been served, it lives, and is nowhere here.
      return wasDestroyed && (unknown & served) !== 0;
    case 'until-successor-used-within':
      if (cause !== 'wait' && ground.provider.newestHasSibling(world.family)) return true;
      // Half a minute, less the twenty seconds between two retries: one stop of ten seconds is outlasted, and two are not.
      if (cause !== 'wait' && stoodStillMs > (subject.timing?.outlastedMs ?? 0)) return true;
      return wasRestored || (wasLate && !rules.isTimely && cause !== 'wait');
    case 'window':
      return wasRestored || (wasLate && !rules.isTimely && cause !== 'wait');
    case 'last-n':
      return count(unknown) >= subject.rule.depth;
    case 'one-time':
    case 'one-time-revoking':
      return cause === 'loss' || cause === 'stray';
  }
}

/**
 * Whether a window closes that nobody could know to be open: it opened when the request arrived, and that was later than a
 * window after it had been sent. To present the token then is harmful, if the request had arrived at once.
 */
function isUnknowable({ subject, provider, store }: Ground, before: World, { cause }: Move, lost: number): boolean {
  const { rule, policy } = subject;
  if (cause !== 'wait' || rule.class !== 'window' || rejectsReuse(policy)) return false;
  const { links } = store.get(before.stored).chain;
  return links.every(({ fingerprint, firstUsedAt }) => {
    const token = tokenOf(fingerprint);
    if (!(lost & bit(token))) return true;
    const openMs = provider.firstUsedAgoMs(before.family, token);
    return openMs !== null && firstUsedAt !== null && ageOf(firstUsedAt) - openMs >= rule.windowMs;
  });
}

/** Whether each of these tokens was presented too, without an answer and longer ago than its window: none is safer. */
function isDoubtful({ subject: { rule }, store }: Ground, before: World, tokens: number): boolean {
  if (rule.class !== 'window') return false;
  const { links, attempts } = store.get(before.stored).chain;
  const isOfLong = (id: LinkId): boolean => {
    const own = attempts.filter((one) => one.presented === id);
    return own.length > 0 && own.every((one) => one.lost !== null && ageOf(one.startedAt) >= rule.windowMs);
  };
  const doubtful = links
    .filter(({ id }) => isOfLong(id))
    .reduce((bits, one) => bits | bit(tokenOf(one.fingerprint)), 0);
  return (tokens & ~doubtful) === 0;
}

function count(bits: number): number {
  let ones = 0;
  for (let left = bits; left !== 0; left &= left - 1) ones++;
  return ones;
}
