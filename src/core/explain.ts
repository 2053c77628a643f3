/**
 * Why a chain is broken, from its own record, the policy and what the provider said. The provider's word for a dead
 * token is often the same for every cause; the chain's record tells them apart.
 */
import type { Attempt, Chain, Link, Refusal } from './chain.ts';
import type { Diagnosis, DiagnosisCode, Meaning } from './diagnosis.ts';
import { elapsed, type Moment } from './instant.ts';
import type { RotationPolicy } from './rotation-policy.ts';

/** The diagnosis of a chain that has nothing left to present. */
export function explain(chain: Chain, policy: RotationPolicy, now: Moment): Diagnosis {
  const refused = chain.links.filter((link) => link.refusal).at(-1);
  const lost = chain.attempts.filter((attempt) => attempt.lost);
  const { code, evidence } = reason(refused, lost, policy);
  return { code, evidence, since: now.at, said: refused?.refusal?.said ?? null };
}

function reason(
  refused: Link | undefined,
  lost: readonly Attempt[],
  policy: RotationPolicy,
): { code: DiagnosisCode; evidence: string } {
  if (!refused?.refusal) return { code: 'successor_lost', evidence: lostEvidence(lost) };
  const { means } = refused.refusal;
  if (tellsCause(means))
    return { code: means, evidence: `The provider said so of token ${refused.counter} of this chain.` };
  if (lost.length > 0) return { code: 'successor_lost', evidence: lostEvidence(lost) };
  const expired = expiry(refused, refused.refusal, policy);
  if (expired) return expired;
  if (means === 'invalid_chain') return { code: means, evidence: 'The provider does not know this chain any more.' };
  if (policy.rotate.mode === 'never')
    return { code: 'revoked', evidence: 'The token does not rotate and had not expired.' };
  return {
    code: 'used_elsewhere',
    evidence: `Token ${refused.counter} was the newest of this chain and had never been presented from here before.`,
  };
}

/** Meanings that only say: this token is dead. */
type Vague = 'invalid_grant' | 'throttled' | 'superseded' | 'invalid_chain' | 'unknown';

function tellsCause(means: Meaning): means is Exclude<Meaning, Vague> {
  switch (means) {
    case 'invalid_grant':
    case 'throttled':
    case 'superseded':
    case 'invalid_chain':
    case 'unknown':
      return false;
    default:
      return true;
  }
}

function lostEvidence(lost: readonly Attempt[]): string {
  const first = lost[0];
  if (!first?.lost) return 'An exchange was sent and its answer was not kept.';
  const how = {
    no_answer: 'the connection ended without an answer',
    unreadable_answer: 'the answer could not be read',
    server_error: 'the provider answered with a server error',
    crash: 'the keeper was stopped before the answer was kept',
  }[first.lost.reason];
  const times = lost.length === 1 ? 'once' : `${lost.length} times`;
  return `The token was presented ${times} without an answer (${how}), then refused.`;
}

function expiry(
  token: Link,
  refusal: Refusal,
  policy: RotationPolicy,
): { code: DiagnosisCode; evidence: string } | null {
  const idleMs = elapsed(token.receivedAt, refusal.at).atLeastMs;
  if (idleMs < policy.life.idleMs) return null;
  const days = Math.floor(idleMs / 86_400_000);
  return {
    code: 'expired_idle',
    evidence: `The token lay unused for ${days} days; the provider keeps one for ${Math.floor(policy.life.idleMs / 86_400_000)}.`,
  };
}
