/**
 * What is explored: one policy of each class, and the jumps of time that the class tells apart. Where a class asks for
 * no elapsed time, time is left out: every wait is over sooner or later, and whatever may happen before it may happen.
 */
import { POLICIES } from '../../core/policies.fixture.ts';
import { classOf, type PolicyClass, type RotationPolicy } from '../../core/rotation-policy.ts';

/** How time passes where it decides something. */
export interface Timing {
  /** A stop of everything that a keeper must outlast. */
  readonly shortStallMs: number;
  /** Stops that may cost the chain: longer than its window leaves room for. */
  readonly longStallsMs: readonly number[];
  /** Stops within a window that add up to more than this may cost the chain: the window less a step of its retries. */
  readonly outlastedMs: number;
  /** Ages beyond this one are all alike to both ends. */
  readonly oldMs: number;
}

export interface Subject {
  /** The class, and the variant where one class has several. */
  readonly name: string;
  readonly policy: RotationPolicy;
  readonly rule: PolicyClass;
  readonly timing: Timing | null;
}

function subject(policy: RotationPolicy, variant: string | null, timing: Timing | null): Subject {
  const rule = classOf(policy);
  return { name: variant ? `${rule.class} (${variant})` : rule.class, policy, rule, timing };
}

function answering(policy: RotationPolicy, answer: RotationPolicy['overlap']['answer']): RotationPolicy {
  return { ...policy, overlap: { ...policy.overlap, answer } };
}

/** All seven classes; where a repeated presentation may be answered in several ways, each of them. */
export const SUBJECTS: readonly Subject[] = [
  subject(POLICIES.durable, null, null),
  subject(POLICIES.window60s, null, {
    shortStallMs: 15_000,
    longStallsMs: [70_000],
    outlastedMs: 54_000,
    oldMs: 600_000,
  }),
  subject(answering(POLICIES.untilSuccessorUsed, 'replace'), 'replace', null),
  subject(answering(POLICIES.untilSuccessorUsed, 'fork'), 'fork', null),
  subject(answering(POLICIES.untilSuccessorUsed, 'same'), 'same', null),
  subject(answering(POLICIES.exact, 'replace'), 'Exact Online', {
    shortStallMs: 5_000,
    longStallsMs: [115_000, 700_000],
    outlastedMs: 10_000,
    oldMs: 800_000,
  }),
  subject(POLICIES.lastThree, null, null),
  subject(POLICIES.oneTime, null, null),
  subject(POLICIES.oneTimeRevoking, null, null),
];

/** The subject of this name. */
export function subjectOf(name: string): Subject {
  const found = SUBJECTS.find((one) => one.name === name);
  if (!found) throw new Error(`There is no class "${name}": ${SUBJECTS.map((one) => one.name).join(', ')}.`);
  return found;
}
