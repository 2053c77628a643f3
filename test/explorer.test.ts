import { describe, expect, test } from 'vitest';
import { subjectOf } from '../src/sim/explorer/classes.ts';
import { type Explored, explore } from '../src/sim/explorer/explore.ts';
import { MUTANTS, type Mutant } from '../src/sim/explorer/moves.ts';
import { nameOf, outcome, plan, travel } from '../src/sim/explorer/plan.ts';

const LONG_MS = 300_000;
const AC = 'until-successor-used (replace)';

/** The fewest faults after which a chain is lost for good, by the lower bounds of docs/protocol.md; null: not by two. */
const FEWEST: Readonly<Record<string, number | null>> = {
  durable: null,
  'window, with short stops': 2,
  'window, with long stops': 1,
  [AC]: 2,
  'until-successor-used (fork)': 2,
  'until-successor-used (same)': 2,
  'until-successor-used-within (Exact Online), with short stops': 2,
  'until-successor-used-within (Exact Online), with long stops': 2,
  'last-n': null,
  'one-time': 1,
  'one-time-revoking': 1,
};

describe('in every state of two nodes after up to two faults', () => {
  test.each(plan(false).map((journey) => [nameOf(journey), journey] as const))(
    'no token is lost that could be kept, and a live one leads on: %s [S112]',
    (name, journey) => {
      const explored = travel(journey);
      console.log(`${name}: ${explored.states} states, ${explored.moves} moves, ${journey.mostFaults} faults`);
      expect(report(explored)).toEqual([]);
      expect(explored.isCut).toBe(false);
      expect(explored.faultsToBreak).toBe(FEWEST[name]);
    },
    LONG_MS,
  );
});

/** Where each deviation shows, and after how many faults. */
const CAUGHT: Readonly<Record<(typeof MUTANTS)[number], readonly [subject: string, faults: number, judge: string]>> = {
  'publishes before it is durable': [AC, 0, 'published before it was durable'],
  'overwrites instead of appending': [AC, 0, 'a copy of a live token was dropped'],
  'refuses to append without the lease': ['one-time', 1, 'avoidable loss'],
  'breaks while an attempt is unresolved': ['one-time', 1, 'broken although it lives'],
  'closes an attempt before its journal is read': ['one-time-revoking', 1, 'harmful presentation'],
  'restores without journals': ['one-time-revoking', 1, 'harmful presentation'],
  'calls a journal read while its node awaits an answer': ['one-time-revoking', 1, 'harmful presentation'],
  'notices a restore only by what its own journal has': ['one-time-revoking', 1, 'harmful presentation'],
};

/** Classes of which a walk with nothing left out is short enough for every test run; the others: `-- --compare`. */
const SHORT = ['durable', 'one-time', 'one-time-revoking'];

describe('what the walk leaves out could not matter: with nothing left out it finds the same', () => {
  test.each(plan(false).map((journey) => [nameOf(journey), journey] as const))('%s', (name, journey) => {
    const fewer = { ...journey, mostFaults: SHORT.includes(name) ? 2 : 1 };
    const whole = travel(fewer, { isWhole: true });
    const explored = travel(fewer);
    expect(outcome(explored)).toBe(outcome(whole));
    expect(explored.states).toBeLessThan(whole.states);
  });

  test.each(MUTANTS)('of a keeper that %s', (mutant) => {
    const [name, mostFaults] = CAUGHT[mutant];
    const whole = exploreMutant(name, mostFaults, mutant, true);
    expect(outcome(exploreMutant(name, mostFaults, mutant))).toBe(outcome(whole));
  });
});

describe('a keeper that deviates from the protocol is caught', () => {
  test.each(MUTANTS)('one that %s', (mutant) => {
    const [name, mostFaults, judge] = CAUGHT[mutant];
    const found = exploreMutant(name, mostFaults, mutant);
    expect([...found.findings.keys()]).toContain(judge);
    if (mostFaults > 0) expect(report(exploreMutant(name, mostFaults - 1, mutant))).toEqual([]);
    expect(report(exploreMutant(name, mostFaults, 'none'))).toEqual([]);
  });

  test.each(['publishes before it is durable', 'overwrites instead of appending'] as const)(
    'and one fault later the chain is lost by one that %s',
    (mutant) => {
      expect([...exploreMutant(AC, 0, mutant).findings.keys()]).not.toContain('avoidable loss');
      expect([...exploreMutant(AC, 1, mutant).findings.keys()]).toContain('avoidable loss');
    },
  );
});

function exploreMutant(name: string, mostFaults: number, mutant: Mutant, isWhole = false): Explored {
  const rules = { mostFaults, mostRounds: 2, isTimely: true, mutant, isWhole };
  return explore(subjectOf(name), rules, { mostStates: 2_000_000, stopsAtFinding: false });
}

/** Each finding as one text that a person can follow. */
function report({ findings }: Explored): readonly string[] {
  return [...findings].map(([judge, moves]) => `${judge}:\n  ${moves.join('\n  ')}`);
}
