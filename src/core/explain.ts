/**
 * Why a chain is broken or stands still, from its own record, the policy and what the provider said. The provider's
 * word for a dead token is often the same for every cause; the chain's record tells them apart:
 *
 * | the record shows                                              | diagnosis                                         |
 * | ------------------------------------------------------------- | ------------------------------------------------- |
 * | the provider names the cause                                  | that one                                          |
 * | a presentation without an answer of a token that rotates       | `successor_lost`                                  |
 * | a token or an authorization older than the provider keeps one | `expired_idle`, `expired_absolute`                |
 * | "no such chain", after exchanges that went well               | `reauthorized_elsewhere`, where one ends the other |
 * | "no such chain", before any did                               | `invalid_chain`                                   |
 * | a restore, and a journal that was given up, but no token since | `lost_by_restore`                                |
 * | a token that does not rotate                                  | `revoked`                                         |
 * | "superseded", of a token that was never activated             | `superseded`: newer, but replaced before its use  |
 * | any of it, of a token that was activated                      | `used_elsewhere`: older than the active one       |
 */
import type { Attempt, Chain, Deferral, Link, Refusal } from './chain.ts';
import type { Diagnosis, DiagnosisCode, Meaning } from './diagnosis.ts';
import { earlyEvidence, lostEvidence, nameOf, span, times, when } from './evidence.ts';
import { elapsed, type Moment } from './instant.ts';
import { ageLimitMs, idleSince, mayHaveEnded } from './lifetime.ts';
import type { RotationPolicy } from './rotation-policy.ts';

interface Found {
  readonly code: DiagnosisCode;
  readonly evidence: string;
}

/** A link that the provider refused. */
interface Refused extends Link {
  readonly refusal: Refusal;
}

/** The diagnosis of a chain that has nothing left to present. */
export function explain(chain: Chain, policy: RotationPolicy, now: Moment): Diagnosis {
  const refused = chain.links.filter(isRefused).at(-1);
  const { code, evidence } = reason(chain, policy, refused);
  const early = earlyEvidence(chain, refused?.refusal.at ?? now, policy);
  const older = refused ? olderEvidence(chain, refused) : '';
  return { code, evidence: `${evidence}${early}${older}`, since: now.at, said: refused?.refusal.said ?? null };
}

/** A provider that was set back to a backup of itself would have taken one of them. */
function olderEvidence(chain: Chain, refused: Refused): string {
  const tried = chain.links.filter((link) => isRefused(link) && link.sequence < refused.sequence);
  if (tried.length === 0) return '';
  if (tried.length === 1) return ' An older one that is kept was refused too.';
  return ` ${tried.length} older ones that are kept were refused too.`;
}

function isRefused(link: Link): link is Refused {
  return link.refusal !== null;
}

function reason(chain: Chain, policy: RotationPolicy, refused: Refused | undefined): Found {
  const lost = chain.attempts.filter((attempt) => attempt.lost);
  if (!refused) return { code: 'successor_lost', evidence: lostEvidence(chain, lost, refused) };
  const { means } = refused.refusal;
  if (tellsCause(means)) return told(chain, policy, refused, means);
  if (lost.length > 0 && policy.rotate.mode !== 'never') return lostSuccessor(chain, policy, lost, refused);
  return expiry(chain, policy, refused) ?? lostByRestore(chain, refused) ?? silence(chain, policy, refused);
}

/** More likely than two causes at once, even where the provider does not keep to its own rules. */
function lostSuccessor(chain: Chain, policy: RotationPolicy, lost: readonly Attempt[], refused: Refused): Found {
  const isByRule = lost.some((attempt) => mayHaveEnded(chain, policy, attempt));
  const but = isByRule ? '' : ' By the rules of this provider it should still have been good then.';
  return { code: 'successor_lost', evidence: `${lostEvidence(chain, lost, refused)}${but}` };
}

/** Newer ones were in a journal that nobody has any more. */
function lostByRestore({ gap }: Chain, refused: Refused): Found | null {
  if (!gap || refused.sequence > gap.newest) return null;
  const newest = `${nameOf(refused)}, received at ${when(refused.receivedAt.at)}, is the newest that the restored database and the journals had`;
  return {
    code: 'lost_by_restore',
    evidence: `${newest}; the journal of node ${gap.node} was given up at ${when(gap.at.at)}. It was refused at ${when(refused.refusal.at.at)}.`,
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

/** The provider said what it was. One word for both kinds of age is told apart by the record. */
function told(chain: Chain, policy: RotationPolicy, refused: Refused, means: Exclude<Meaning, Vague>): Found {
  const isAge = means === 'expired_idle' || means === 'expired_absolute';
  const found = isAge ? expiry(chain, policy, refused) : null;
  return found ?? { code: means, evidence: `The provider said so of ${theToken(refused)}.` };
}

/** "token 3 of authorization 2, received at …, when it was presented at …". */
function theToken(refused: Refused): string {
  const name = nameOf(refused).replace('T', 't');
  return `${name}, received at ${when(refused.receivedAt.at)}, when it was presented at ${when(refused.refusal.at.at)}`;
}

/** Older than the provider lets a token or an authorization become; whichever ended first. */
function expiry(chain: Chain, policy: RotationPolicy, refused: Refused): Found | null {
  const { at } = refused.refusal;
  const idle = idleSince(chain, policy, refused);
  const idleMs = elapsed(idle, at).atLeastMs - policy.life.idleMs;
  const overAgeMs = chain.authorizedAt ? elapsed(chain.authorizedAt, at).atLeastMs - ageLimitMs(policy) : -1;
  if (overAgeMs >= 0 && overAgeMs >= idleMs) return expiredAbsolute(chain, policy, refused);
  if (idleMs < 0) return null;
  const unused = span(elapsed(idle, at).atLeastMs);
  return {
    code: 'expired_idle',
    evidence: `${nameOf(refused)} lay unused for ${unused}, from ${when(idle.at)} to ${when(at.at)}; the provider keeps one for ${span(policy.life.idleMs)}.`,
  };
}

function expiredAbsolute(chain: Chain, policy: RotationPolicy, refused: Refused): Found {
  const at = chain.authorizedAt?.at ?? refused.receivedAt.at;
  const how = chain.by === 'import' ? 'was imported (and is older than that)' : 'was given';
  return {
    code: 'expired_absolute',
    evidence: `Authorization ${chain.generation} ${how} at ${when(at)}, ${span(refused.refusal.at.at - at)} before token ${refused.counter} was refused; the provider lets one live for ${span(policy.life.absoluteMs)}, however much it is used.`,
  };
}

/** The provider only said "dead", nothing was lost and nothing was too old. */
function silence(chain: Chain, policy: RotationPolicy, refused: Refused): Found {
  if (refused.refusal.means === 'invalid_chain') return unknownChain(chain, policy, refused);
  if (policy.rotate.mode === 'never') return notRotating(policy, refused);
  if (wasNeverAccepted(chain, refused)) return importedDead(chain, refused);
  const withoutNew = chain.links.findLast((link) => link.tokenOf === refused.id && link.id !== refused.id);
  if (withoutNew && policy.rotate.mode === 'always') return successorWithheld(refused, withoutNew);
  return isSupersedable(policy, refused) ? supersededUnused(chain, refused) : usedElsewhere(policy, refused);
}

function unknownChain(chain: Chain, policy: RotationPolicy, refused: Refused): Found {
  const { refusal } = refused;
  const said = `${nameOf(refused)}, received at ${when(refused.receivedAt.at)}, was refused ${times(refusal.times ?? 1)}, last at ${when(refusal.at.at)}, as of a chain that the provider does not know.`;
  const wasGood = refused.counter > 0 || refused.status === 'proven';
  if (!wasGood || policy.caps.familiesPerUserClient === Number.POSITIVE_INFINITY) {
    const origin = chain.by === 'import' ? 'was imported' : 'was authorized';
    return {
      code: 'invalid_chain',
      evidence: `${said} The chain ${origin} at ${authorizedAt(chain)}${wasGood ? '' : ', and no token of it was ever accepted: two authorizations at once, or a fault of the provider'}.`,
    };
  }
  return {
    code: 'reauthorized_elsewhere',
    evidence: `${said} Up to then the chain was good, and its last authorization here was at ${authorizedAt(chain)}: another one of the same app and account ended it, or it was revoked there.`,
  };
}

function authorizedAt(chain: Chain): string {
  return chain.authorizedAt ? when(chain.authorizedAt.at) : 'an unknown time';
}

function notRotating(policy: RotationPolicy, refused: Refused): Found {
  const { tokensPerUserClient: cap } = policy.caps;
  const orEvicted = Number.isFinite(cap)
    ? ` Or the provider dropped it for newer ones of the same app and account: it keeps ${cap}.`
    : '';
  return { code: 'revoked', evidence: `${nameOf(refused)} does not rotate and had not expired.${orEvicted}` };
}

/** An imported token that no exchange from here ever succeeded with. */
function wasNeverAccepted(chain: Chain, refused: Refused): boolean {
  return chain.by === 'import' && refused.counter === 0 && refused.status !== 'proven';
}

function importedDead(chain: Chain, refused: Refused): Found {
  return {
    code: 'used_elsewhere',
    evidence: `The refresh token was imported at ${authorizedAt(chain)} and never accepted here; it was refused at ${when(refused.refusal.at.at)}. The program that it came from has used it since, or it was dead before.`,
  };
}

/** A provider that gives a new refresh token each time gave none. */
function successorWithheld(refused: Refused, answer: Link): Found {
  return {
    code: 'successor_lost',
    evidence: `The answer of ${when(answer.receivedAt.at)} named no new refresh token, although this provider gives one each time; so ${nameOf(refused).replace('T', 't')} was presented again at ${when(refused.refusal.at.at)}, and refused. The provider was at fault.`,
  };
}

/** Whether its predecessor could still be exchanged, which would have put another successor in this one's place. */
function isSupersedable(policy: RotationPolicy, { refusal, counter, status }: Refused): boolean {
  const { successorUnused, answer } = policy.overlap;
  if (refusal.means !== 'superseded' || counter === 0 || status === 'proven') return false;
  return successorUnused || answer === 'replace';
}

function supersededUnused(chain: Chain, refused: Refused): Found {
  const before = chain.links.find((link) => link.id === refused.parent);
  const byUs = (before?.uses ?? 1) > 1 ? ', which was presented from here more than once' : '';
  const byOthers = byUs === '' ? ' by a request that was doubled on its way or by another program that holds it' : '';
  return {
    code: 'superseded',
    evidence: `${nameOf(refused)}, received at ${when(refused.receivedAt.at)}, was newer than the active one but was replaced before it was used: token ${refused.counter - 1}${byUs} was exchanged a second time${byOthers}.`,
  };
}

function usedElsewhere(policy: RotationPolicy, refused: Refused): Found {
  const activated = refused.status === 'proven' ? ', activated by an API call' : '';
  const revokes = policy.onReuse.refresh === 'reject' ? '' : ' Its use by someone else ends the whole chain there.';
  return {
    code: 'used_elsewhere',
    evidence: `${nameOf(refused)}, received at ${when(refused.receivedAt.at)}${activated}, was the newest of this chain and had given nothing newer here before ${when(refused.refusal.at.at)}: it was older than the active one, so a newer one was made elsewhere, the authorization was revoked, or the provider had handed out a dead one.${revokes}`,
  };
}

/** The diagnosis of a chain that is intact and waits; null where nothing was put off. */
export function explainDeferral(chain: Chain, policy: RotationPolicy): Diagnosis | null {
  const { deferral } = chain;
  if (!deferral) return null;
  const { why, count, since, said } = deferral;
  const code = deferralOf(why);
  const evidence = `Put off ${times(count)} in a row, last at ${when(since.at)} for ${span(deferral.forMs)}.`;
  return {
    code,
    since: since.at,
    said,
    evidence: `${evidence}${why === 'too_early' ? earlyEvidence(chain, since, policy) : ''}`,
  };
}

/** The diagnosis that a deferral stands for; the codes are the public ones. */
function deferralOf(why: Deferral['why']): DiagnosisCode {
  return why === 'throttled' || why === 'upstream_unavailable' ? 'upstream_fault' : why;
}
