/**
 * `npm run chaos`: real servers, harmed. `--kills N --seed S --store sqlite|postgres --policy P`; `--nightly` is ten
 * thousand kills on SQLite and two thousand on PostgreSQL. Without a store: both.
 */
import { parseArgs } from 'node:util';
import { chaos, summary } from './chaos.ts';
import { POLICY_NAMES } from './policies.ts';

const KILLS = { sqlite: 60, postgres: 20 } as const;
const NIGHTLY_KILLS = { sqlite: 10_000, postgres: 2_000 } as const;
const STORES = ['sqlite', 'postgres'] as const;

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      kills: { type: 'string' },
      seed: { type: 'string', default: String(Date.now() % 1_000_000) },
      store: { type: 'string' },
      policy: { type: 'string' },
      nightly: { type: 'boolean', default: false },
    },
  });
  const policies = POLICY_NAMES.filter((one) => values.policy === undefined || values.policy === one);
  if (policies.length === 0) throw new Error(`--policy is one of ${POLICY_NAMES.join(', ')}`);
  const stores = STORES.filter((one) => values.store === undefined || values.store === one);
  if (stores.length === 0) throw new Error(`--store is one of ${STORES.join(', ')}`);
  let wrongs = 0;
  for (const store of stores) {
    const kills = Number(values.kills ?? (values.nightly ? NIGHTLY_KILLS : KILLS)[store]);
    const report = await chaos({
      store,
      kills,
      seed: values.seed,
      policies,
      tell: (line) => console.log(`${Math.round(performance.now() / 1000)} s ${line}`),
    });
    console.log(`${store}: ${summary(report)}`);
    wrongs += report.wrongs.length;
  }
  return wrongs === 0 ? 0 : 1;
}

process.exitCode = await main();
