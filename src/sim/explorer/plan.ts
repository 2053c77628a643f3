/** How far each class is explored: by every test run, and by `npm run explore -- --nightly`. */
import { SUBJECTS, type Subject } from './classes.ts';
import { type Explored, explore } from './explore.ts';

export interface Journey {
  readonly subject: Subject;
  readonly mostFaults: number;
  /** Unused tokens that are exchanged one after the other. */
  readonly mostRounds: number;
  readonly isTimely: boolean;
}

/** Where time decides, there are many more worlds, and a second journey with stops that are longer than a window. */
export function plan(isNightly: boolean): readonly Journey[] {
  return SUBJECTS.flatMap((subject) => {
    const { timing } = subject;
    const hasSpacing = subject.policy.pacing.minSpacingMs > 0;
    const mostRounds = hasSpacing ? 1 : 2;
    const timely = { subject, mostFaults: isNightly ? 3 : 2, mostRounds, isTimely: true };
    if (!timing) return [timely];
    const late = { ...timely, mostFaults: isNightly || !hasSpacing ? 2 : 1, mostRounds: isNightly ? mostRounds : 1 };
    return [timely, { ...late, isTimely: false }];
  });
}

/** Walks the whole way. */
export function travel({ subject, ...journey }: Journey, mostStates = Number.POSITIVE_INFINITY): Explored {
  return explore(subject, { ...journey, mutant: 'none' }, { mostStates, stopsAtFinding: false });
}

/** "window, with long stops". */
export function nameOf({ subject, isTimely }: Journey): string {
  return subject.timing ? `${subject.name}, ${isTimely ? 'with short stops' : 'with long stops'}` : subject.name;
}
