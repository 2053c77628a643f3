/** Servers of their own processes, killed, frozen and starved while clients ask all the time: `npm run chaos`, in short. */
import { expect, test } from 'vitest';
import { chaos, summary } from '../chaos/chaos.ts';
import { POLICY_NAMES } from '../chaos/policies.ts';

/** A slow machine only takes longer. */
const TIMEOUT_MS = 900_000;

async function run(store: 'sqlite' | 'postgres', kills: number) {
  const lines: string[] = [];
  const tell = (line: string) => lines.push(line);
  const report = await chaos({ store, kills, seed: '2026', policies: POLICY_NAMES, tell });
  console.log(`${store}: ${summary(report)}`);
  expect(report.wrongs, lines.join('\n')).toEqual([]);
  return report;
}

test.concurrent('60 kills of a server on SQLite lose no chain that could have been kept, hide no call, and publish nothing twice [S39] [S91] [S106] [S113]', {
  timeout: TIMEOUT_MS,
}, async () => {
  const { kills, exchanges } = await run('sqlite', 60);
  expect(kills).toBe(60);
  expect(exchanges).toBeGreaterThan(10 * kills);
});

test.concurrent('20 kills of servers on PostgreSQL, which is harmed too, lose no chain that could have been kept, hide no call, and publish nothing twice [S39] [S84] [S106] [S113]', {
  timeout: TIMEOUT_MS,
}, async () => {
  const { kills } = await run('postgres', 20);
  expect(kills).toBe(20);
});
