/** The promise of the simulation, for tests: so many exchanges with the rules of a provider, and nothing found. */
import { expect, test } from 'vitest';
import { type Figures, simulate } from '../../src/simulate.ts';

/** Of each of the seven classes; together 100,000. */
export const CI_EXCHANGES = 14_300;
const LEAST_STRUCK = 0.05;

/** What was found, with the command that replays it. */
export function findings(all: readonly Figures[]): readonly string[] {
  return all.flatMap(({ policy, found }) =>
    found.map(({ seed, violation }) => {
      return `${violation.invariant}: ${violation.what} (npm run sim -- --policy ${policy} --exchanges ${CI_EXCHANGES} --seed ${seed})`;
    }),
  );
}

export function losesNothing(policy: string): void {
  test(`with the rules of ${policy} no chain is lost in ${CI_EXCHANGES} exchanges that could have been saved, whatever fails [S39] [S92] [S104] [S105] [S106] [S121]`, async () => {
    const all = await simulate({ policy, exchanges: CI_EXCHANGES, seed: '1', rate: 0.1 }, () => undefined);
    expect(findings(all)).toEqual([]);
    const [{ exchanges, struck, avoidable } = { exchanges: 0, struck: 0, avoidable: -1 }] = all;
    expect(exchanges).toBeGreaterThanOrEqual(CI_EXCHANGES);
    expect(struck).toBeGreaterThan(exchanges * LEAST_STRUCK);
    expect(avoidable).toBe(0);
  }, 300_000);
}
