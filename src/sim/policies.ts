/** The rules that are simulated: one policy of each class, all with tokens that die when they lie unused for a month. */
import { POLICIES } from '../core/policies.fixture.ts';
import { type RotationPolicy, rejectsReuse } from '../core/rotation-policy.ts';
import type { Fault } from './faults.ts';

export interface SimulatedPolicy {
  readonly name: string;
  readonly about: string;
  readonly policy: RotationPolicy;
}

const MONTH_MS = 30 * 86_400_000;

function simulated(name: string, about: string, policy: RotationPolicy): SimulatedPolicy {
  return { name, about, policy: { ...policy, life: { ...policy.life, idleMs: MONTH_MS } } };
}

export const SIMULATED_POLICIES: readonly SimulatedPolicy[] = [
  simulated('durable', 'does not rotate', POLICIES.durable),
  simulated('window', 'the old token works for 60 s, then presenting it revokes', POLICIES.window60s),
  simulated('until-successor-used', 'the old token works until the new one is used', POLICIES.untilSuccessorUsed),
  simulated('exact-online', 'the same, and at most ten minutes; one exchange in 9.5 minutes', POLICIES.exact),
  simulated('last-n', 'the last three tokens work', POLICIES.lastThree),
  simulated('one-time', 'the old token is dead at once', POLICIES.oneTime),
  simulated('one-time-revoking', 'and presenting it again revokes everything', POLICIES.oneTimeRevoking),
];

/** A lie about a token is known of providers that forgive to ask again; elsewhere it would be the provider's own end. */
export function canStrike(fault: Fault, policy: RotationPolicy): boolean {
  return fault !== 'chain_unknown' || rejectsReuse(policy);
}
