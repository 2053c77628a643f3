/** How far each class is explored: by every test run, and by `npm run explore -- --nightly`. */
import { SUBJECTS, type Subject } from './classes.ts';
import { type Explored, explore, type Limits } from './explore.ts';

export interface Journey {
  readonly subject: Subject;
  readonly mostFaults: number;
  /** Unused tokens that are exchanged one after the other. */
  readonly mostRounds: number;
  readonly isTimely: boolean;
}

/** Where time decides, there are many more worlds, and a second journey with stops that are longer than a window. */
export function plan(isNightly: boolean): readonly Journey[] {
  const mostFaults = isNightly ? 3 : 2;
  return SUBJECTS.flatMap((subject) => {
    const mostRounds = subject.policy.pacing.minSpacingMs > 0 ? 1 : 2;
    const timely = { subject, mostFaults, mostRounds, isTimely: true };
    if (!subject.timing) return [timely];
    return [timely, { subject, mostFaults, mostRounds: isNightly ? mostRounds : 1, isTimely: false }];
  });
}

/** Walks the whole way; `isWhole`: without leaving out what cannot matter. */
export function travel(
  { subject, ...journey }: Journey,
  limits: Partial<Limits & { isWhole: boolean }> = {},
): Explored {
  const { isWhole = false, mostStates = Number.POSITIVE_INFINITY, stopsAtFinding = false } = limits;
  return explore(subject, { ...journey, mutant: 'none', isWhole }, { mostStates, stopsAtFinding });
}

/** What two walks of one journey must agree on. */
export function outcome({ findings, faultsToBreak, diagnoses }: Explored): string {
  const broken =
    faultsToBreak === null ? 'never broken' : `broken after ${faultsToBreak}: ${[...diagnoses].toSorted().join()}`;
  return `${[...findings.keys()].toSorted().join()}; ${broken}`;
}

/** "window, with long stops". */
export function nameOf({ subject, isTimely }: Journey): string {
  return subject.timing ? `${subject.name}, ${isTimely ? 'with short stops' : 'with long stops'}` : subject.name;
}
