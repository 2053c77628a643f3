/** The simulation: real nodes, a provider, clients and faults from a seed, and judges that know everything. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { type Figures, promises, promiseTable, simulate } from '../src/simulate.ts';
import { BEGIN, END } from './simulate.ts';
import { losesNothing } from './support/simulated.ts';

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
}, 300_000);

for (const policy of ['durable', 'window', 'until-successor-used', 'exact-online']) losesNothing(policy);

test('the table of promises in the README says what the code promises, for every fault and kind of provider [S19] [S113]', () => {
  const page = readFileSync(join(import.meta.dirname, '..', 'README.md'), 'utf8');
  const table = page.split(BEGIN)[1]?.split(END)[0] ?? '';
  // Figures are those of the run that wrote it; the words are held here.
  const words = (text: string): string => text.replaceAll(/\(\d+( of \d+ lost)?\)/g, '()').replaceAll(/\s+/g, ' ');
  expect(words(table)).toContain(words(promiseTable(promises())));
  expect(table).toMatch(/\(\d+\)/);
});
