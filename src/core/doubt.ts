/**
 * Why a chain that is not broken stands still: what was put off, and what was presented without an answer, with time, step
 * and what is tried next.
 */
import { type Attempt, type Chain, newestLink } from './chain.ts';
import type { Diagnosis } from './diagnosis.ts';
import { nameOf, triedEvidence, when } from './evidence.ts';
import { explainDeferral } from './explain.ts';
import { after, type Moment } from './instant.ts';
import { nextStep } from './next-step.ts';
import type { RotationPolicy } from './rotation-policy.ts';

/** Null where nothing is wrong. */
export function explainLiving(chain: Chain, policy: RotationPolicy, now: Moment): Diagnosis | null {
  if (chain.end || chain.generation === 0) return null;
  const deferred = explainDeferral(chain, policy);
  const doubt = explainDoubt(chain, policy, now);
  return deferred && doubt ? { ...deferred, evidence: `${deferred.evidence} ${doubt.evidence}` } : (deferred ?? doubt);
}

function explainDoubt(chain: Chain, policy: RotationPolicy, now: Moment): Diagnosis | null {
  const answered = newestLink(chain)?.sequence ?? 0;
  const lost = chain.attempts.filter((one) => one.lost && (one.sequence > answered || one.lost.isUnread));
  const [first] = lost;
  if (!first) return null;
  const said = lost.at(-1)?.lost?.said ?? null;
  const evidence = `${triedEvidence(chain, lost)}. ${whatNext(chain, policy, now, first)}`.trim();
  return { code: 'in_doubt', since: first.startedAt.at, said, evidence };
}

function whatNext(chain: Chain, policy: RotationPolicy, now: Moment, first: Attempt): string {
  const step = nextStep(chain, policy, now);
  switch (step.step) {
    case 'exchange': {
      const token = chain.links.find((link) => link.id === step.present);
      const which =
        step.present === first.presented || !token ? 'It is presented again' : `${nameOf(token)} is presented`;
      return `${which} ${step.waitMs > 0 ? `at ${when(after(now.at, step.waitMs))} at the earliest` : 'now'}.`;
    }
    case 'hold':
      return step.node
        ? `Its answer may lie in the journal of node ${step.node}: nothing that could end the chain is presented before that was read.`
        : 'Nothing is presented before all nodes have brought in their journals.';
    case 'await':
      return 'It is being presented again.';
    default:
      return '';
  }
}
