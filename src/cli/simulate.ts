/** `evergrant simulate`: the deterministic simulation. Prints figures, and the one command that replays a failure. */
import { Command, InvalidArgumentError, Option } from 'commander';
import { type Figures, lossesOf, SIMULATED_POLICIES, simulate } from '../simulate.ts';
import { print, printJson, say } from './output.ts';

interface Flags {
  readonly policy?: string;
  readonly grants: number;
  readonly nodes: number;
  readonly days?: number;
  readonly faults: number;
  readonly seed: string;
  readonly exchanges: number;
  readonly sealed?: boolean;
  readonly json?: boolean;
}

const DAY_MS = 86_400_000;

export function command(): Command {
  const names = SIMULATED_POLICIES.map((one) => one.name);
  return new Command('simulate')
    .description('Run nodes, store, provider and clients on a virtual clock, with faults from a seed')
    .addOption(new Option('--policy <P>', 'the rules of the provider; left out: all of them').choices(names))
    .option('--grants <N>', 'grants at a time in each world', atLeastOne, 8)
    .option('--nodes <N>', 'nodes that share the store', atLeastOne, 1)
    .option('--days <D>', 'simulated days that a world lasts at most', atLeastOne)
    .option('--faults <RATE>', 'share of exchanges that a fault strikes, from 0 to 1', share, 0.1)
    .option('--seed <S>', 'same seed, same run; S.N is world N of seed S alone', '1')
    .option('--exchanges <N>', 'exchanges with each policy', atLeastOne, 10_000)
    .option('--sealed', 'seal with the real cipher')
    .option('--json', 'one line of JSON for each policy')
    .action(run);
}

function atLeastOne(text: string): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= 1) return value;
  throw new InvalidArgumentError('It is a whole number, at least 1.');
}

function share(text: string): number {
  const value = Number(text);
  if (text !== '' && value >= 0 && value <= 1) return value;
  throw new InvalidArgumentError('It is a number from 0 to 1.');
}

async function run(flags: Flags): Promise<void> {
  const { faults: rate, policy, days, sealed, grants, nodes, seed, exchanges } = flags;
  const wish = { rate, grants, nodes, seed, exchanges, isSealed: sealed === true };
  const all = await simulate(
    { ...wish, ...(policy === undefined ? {} : { policy }), ...(days === undefined ? {} : { days }) },
    (figures) => (flags.json ? printJson(asJson(figures)) : print(inWords(figures))),
  );
  const failed = all.filter((figures) => figures.violations > 0);
  if (failed.length === 0) return;
  for (const figures of failed) for (const line of complaints(figures, flags)) say(line);
  process.exitCode = 1;
}

function asJson(figures: Figures) {
  return {
    policy: figures.policy,
    exchanges: figures.exchanges,
    worlds: figures.worlds,
    simulated_days: Math.round(figures.virtualMs / DAY_MS),
    faults: Object.fromEntries(figures.injected),
    struck: figures.struck,
    asked: figures.asked,
    served: figures.served,
    losses: { avoidable: figures.avoidable, unavoidable: Object.fromEntries(figures.unavoidable) },
    violations: figures.violations,
    slowest_recovery_seconds: Math.round(figures.slowestRecoveryMs / 1000),
    trace: figures.trace,
  };
}

function inWords(figures: Figures): string {
  const lost = lossesOf(figures) - figures.avoidable;
  const days = Math.round(figures.virtualMs / DAY_MS);
  return `${figures.policy.padEnd(22)} ${figures.exchanges} exchanges in ${days} days, ${figures.struck} faults; chains lost: ${figures.avoidable} avoidable, ${lost} unavoidable; trace ${figures.trace}`;
}

function complaints(figures: Figures, flags: Flags): readonly string[] {
  return figures.found
    .map(({ violation }) => {
      return `${figures.policy} ${violation.invariant}: ${violation.what}`;
    })
    .concat(`Replay: ${replay(figures, flags)}`);
}

/** The one command that shows the first failure again. */
function replay(figures: Figures | undefined, flags: Flags): string {
  const seed = figures?.found[0]?.seed ?? flags.seed;
  const days = flags.days === undefined ? '' : ` --days ${flags.days}`;
  const sealed = flags.sealed ? ' --sealed' : '';
  return `evergrant simulate --policy ${figures?.policy ?? ''} --grants ${flags.grants} --nodes ${flags.nodes} --faults ${flags.faults} --exchanges ${flags.exchanges}${days}${sealed} --seed ${seed}`;
}
