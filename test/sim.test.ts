/** The simulation: real nodes, a provider, clients and faults from a seed, and judges that know everything. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type Figures, promises, promiseTable, SIMULATED_POLICIES, simulate } from '../src/simulate.ts';
import { BEGIN, END } from './simulate.ts';

/** What was found, with the command that replays it. */
function findings(all: readonly Figures[]): readonly string[] {
  return all.flatMap(({ policy, found }) =>
    found.map(({ seed, violation }) => {
      return `${violation.invariant}: ${violation.what} (npm run sim -- --policy ${policy} --seed ${seed})`;
    }),
  );
}

async function run(options: Parameters<typeof simulate>[0]): Promise<readonly Figures[]> {
  return simulate(options, () => undefined);
}

test('the same seed gives the same run, twice', async () => {
  for (const policy of ['exact-online', 'one-time-revoking']) {
    const wish = { policy, exchanges: 600, seed: '81723' };
    const [first] = await run(wish);
    const [second] = await run(wish);
    const [other] = await run({ ...wish, seed: '81724' });
    expect(second?.trace).toBe(first?.trace);
    expect(other?.trace).not.toBe(first?.trace);
  }
}, 60_000);

describe.each(SIMULATED_POLICIES.map((one) => one.name))('with the rules of %s', (policy) => {
  test('no chain is lost that could have been saved, whatever fails [S39] [S92] [S104] [S105] [S106] [S121]', async () => {
    const all = await run({ policy, exchanges: 1_500, seed: '1', rate: 0.1 });
    expect(findings(all)).toEqual([]);
    expect(all[0]?.struck).toBeGreaterThan(75);
  }, 120_000);
});

test('the table of promises in the README says what the code promises, for every fault and kind of provider [S19] [S113]', () => {
  const page = readFileSync(join(import.meta.dirname, '..', 'README.md'), 'utf8');
  const table = page.split(BEGIN)[1]?.split(END)[0] ?? '';
  // Figures are those of the run that wrote it; the words are held here.
  const words = (text: string): string => text.replaceAll(/\(\d+( of \d+ lost)?\)/g, '()').replaceAll(/\s+/g, ' ');
  expect(words(table)).toContain(words(promiseTable(promises())));
  expect(table).toMatch(/\(\d+\)/);
});
