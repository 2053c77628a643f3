/** Sentences about a chain's record, for diagnoses: with times, the token's number, and the authorization it is of. */
import type { Attempt, Chain, Link, PastRefusal } from './chain.ts';
import { elapsed, type Instant, isBefore, type Moment, toRfc3339 } from './instant.ts';
import type { RotationPolicy } from './rotation-policy.ts';

/** "2026-01-31 09:30:00 UTC". */
export function when(instant: Instant): string {
  return Number.isFinite(instant) ? `${toRfc3339(instant).slice(0, 19).replace('T', ' ')} UTC` : 'an unknown time';
}

/** "31 days", "9.5 minutes", "1 second": the largest unit that says enough. */
export function span(ms: number): string {
  const units: readonly (readonly [string, number])[] = [
    ['day', 86_400_000],
    ['hour', 3_600_000],
    ['minute', 60_000],
  ];
  const [name, length] = units.find(([, size]) => ms >= 2 * size) ?? ['second', 1000];
  // Rounded down: "30 days" must not be said of 29.96.
  const count = Math.floor((ms / length) * 10) / 10;
  return `${count} ${name}${count === 1 ? '' : 's'}`;
}

export function times(count: number): string {
  return count === 1 ? 'once' : count === 2 ? 'twice' : `${count} times`;
}

/** "Token 3 of authorization 2". */
export function nameOf(link: Link): string {
  return `Token ${link.counter} of authorization ${link.generation}`;
}

const LOSSES = {
  no_answer: 'the connection ended without an answer',
  unreadable_answer: 'the answer could not be read',
  server_error: 'the provider answered with a server error',
  crash: 'crash during the exchange: the keeper was stopped before the answer was kept',
  restore: 'the database that knew what became of it was restored from an older backup',
} as const;

/** What became of presentations that were never answered. */
export function lostEvidence(chain: Chain, lost: readonly Attempt[], refused: Link | undefined): string {
  const end = refused?.refusal
    ? `and refused at ${when(refused.refusal.at.at)} when it was presented again`
    : 'and the rules of the provider leave no way to ask again';
  return `${triedEvidence(chain, lost)}, ${end}.`;
}

/** Which token was presented without an answer, when, by whom and how that ended: the first time, and the last. */
export function triedEvidence(chain: Chain, lost: readonly Attempt[]): string {
  const [first] = lost;
  const last = lost.at(-1);
  if (!first || !last) return 'An exchange was sent and its answer was not kept';
  const token = chain.links.find((link) => link.id === first.presented);
  const tried = `${token ? nameOf(token) : 'A token'} was presented ${times(lost.length)} without an answer`;
  return first === last ? `${tried}, ${howLost(first)}` : `${tried}, first ${howLost(first)}, last ${howLost(last)}`;
}

function howLost({ startedAt, node, lost }: Attempt): string {
  const how = lost ? ` (${LOSSES[lost.reason]})` : '';
  return `at ${when(startedAt.at)} by node ${node}${how}`;
}

/** How long before a chain breaks a "too early" still belongs to the story. */
const SHORTLY_MS = 3_600_000;

/** The last time before `at` that the provider said "too early", where that was not long ago. */
function earlyBefore(chain: Chain, at: Moment, policy: RotationPolicy): PastRefusal | undefined {
  const shortlyMs = Math.max(SHORTLY_MS, 3 * policy.pacing.minSpacingMs);
  return chain.refusals?.findLast(
    (one) => one.means === 'too_early' && elapsed(one.at, at).atLeastMs <= shortlyMs && !isBefore(at, one.at),
  );
}

/**
 * What a "too early" shortly before the end tells; empty where there was none. Nothing of ours was under way and our
 * own spacing was kept: somebody else had exchanged. Ours was unanswered: then it was that one which had been made.
 */
export function earlyEvidence(chain: Chain, at: Moment, policy: RotationPolicy): string {
  const early = earlyBefore(chain, at, policy);
  if (!early) return '';
  const said = ` At ${when(early.since.at)} the provider had said that it was too early`;
  if (chain.attempts.some((attempt) => !isBefore(early.since, attempt.startedAt))) {
    return `${said}, so it had made the exchange that stayed without an answer.`;
  }
  const passed = `${span(early.afterAnswerMs)} after the last tokens were received here`;
  if (early.afterAnswerMs < policy.pacing.minSpacingMs) return `${said}, ${passed}: refreshed too often.`;
  return `${said}, although that was ${passed}: refreshed too often, by someone else, or by a request of ours that reached the provider twice and whose first answer was lost.`;
}
