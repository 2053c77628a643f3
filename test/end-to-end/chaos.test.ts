/** Servers of their own processes, killed, frozen and starved while clients ask all the time: `npm run chaos`, in short. */
import { expect, test } from 'vitest';
import { chaos, summary } from '../chaos/chaos.ts';
import { POLICY_NAMES } from '../chaos/policies.ts';

/** A slow machine only takes longer. */
const TIMEOUT_MS = 900_000;

test('60 kills of a server on SQLite lose no chain that could have been kept, hide no call, and publish nothing twice [S39] [S91] [S106] [S113]', {
  timeout: TIMEOUT_MS,
}, async () => {
  const lines: string[] = [];
  const report = await chaos({
    store: 'sqlite',
    kills: 60,
    seed: '2026',
    policies: POLICY_NAMES,
    tell: (line) => lines.push(line),
  });
  console.log(summary(report));
  expect(report.wrongs, lines.join('\n')).toEqual([]);
  expect(report.kills).toBe(60);
  expect(report.exchanges).toBeGreaterThan(10 * report.kills);
});
