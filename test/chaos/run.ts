/** `npm run chaos`: real servers, harmed. `--kills N --seed S --policy P`; `--nightly` is ten thousand kills. */
import { parseArgs } from 'node:util';
import { chaos, summary } from './chaos.ts';
import { POLICY_NAMES } from './policies.ts';

const NIGHTLY_KILLS = 10_000;

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      kills: { type: 'string' },
      seed: { type: 'string', default: String(Date.now() % 1_000_000) },
      policy: { type: 'string' },
      nightly: { type: 'boolean', default: false },
    },
  });
  const policies = POLICY_NAMES.filter((one) => values.policy === undefined || values.policy === one);
  if (policies.length === 0) throw new Error(`--policy is one of ${POLICY_NAMES.join(', ')}`);
  const kills = Number(values.kills ?? (values.nightly ? NIGHTLY_KILLS : 60));
  const report = await chaos({ kills, seed: values.seed, policies, tell: (line) => console.log(line) });
  console.log(summary(report));
  return report.wrongs.length === 0 ? 0 : 1;
}

process.exitCode = await main();
