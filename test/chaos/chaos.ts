/** Worlds of real processes that are harmed from a seed, and what came of it. */
import { Director, type Figures } from './director.ts';
import { alone, together } from './ground.ts';
import type { PolicyName } from './policies.ts';
import { World } from './world.ts';

export interface ChaosOptions {
  readonly store: 'sqlite' | 'postgres';
  readonly kills: number;
  readonly seed: string;
  readonly policies: readonly PolicyName[];
  /** Told what is done, line by line. */
  readonly tell: (line: string) => void;
}

export interface ChaosReport extends Figures {
  exchanges: number;
  calls: number;
  /** What must not be, in sentences, and how to see it again. */
  readonly wrongs: string[];
}

/** A world that lives long has seen everything, and ledgers grow. */
const KILLS_OF_ONE_WORLD = 50;
const WORLDS_AT_ONCE = 2;
/** On each provider. */
const GRANTS = 2;

/** As many worlds as it takes, some at a time. One world has the seed itself; of several, each has one of its own. */
export async function chaos(options: ChaosOptions): Promise<ChaosReport> {
  const total: ChaosReport = { ...noFigures(), exchanges: 0, calls: 0, wrongs: [] };
  const sizes = sizesOf(options.kills);
  const worlds = sizes.map((kills, i) => ({
    kills,
    seed: sizes.length === 1 ? options.seed : `${options.seed}.${i + 1}`,
  }));
  await Promise.all(
    Array.from({ length: WORLDS_AT_ONCE }, async () => {
      for (let next = worlds.shift(); next; next = worlds.shift()) {
        const one = { ...options, ...next };
        const report = await oneWorld(one).catch((error: unknown) => ended(error, one));
        for (const wrong of report.wrongs) options.tell(`WRONG ${wrong}`);
        add(total, report);
      }
    }),
  );
  return total;
}

function sizesOf(kills: number): readonly number[] {
  const worlds = Math.ceil(kills / KILLS_OF_ONE_WORLD);
  return Array.from({ length: worlds }, (_, i) => Math.floor((kills + i) / worlds));
}

async function oneWorld(options: ChaosOptions): Promise<ChaosReport> {
  const { store, kills, seed, policies, tell } = options;
  await using ground = await (store === 'sqlite' ? alone() : together(seed));
  const world = await World.create({ seed, policies, grants: GRANTS, hasClients: true, ...ground.place });
  const replay = replayOf(options);
  try {
    const director = new Director(world, seed, { ...ground, tell: (line) => tell(`[${seed}] ${line}`) });
    while (director.figures.kills < kills) await director.round();
    const wrongs = (await director.finish()).map((wrong) => `${wrong} (${replay})`);
    const calls = world.clients.reduce((sum, client) => sum + client.calls, 0);
    return { ...director.figures, exchanges: director.exchanges(), calls, wrongs };
  } finally {
    await world.close();
  }
}

/** A world that came to an end of itself is a finding, and others go on. */
function ended(error: unknown, options: ChaosOptions): ChaosReport {
  const wrongs = [`the world ended: ${String(error).slice(0, 2_000)} (${replayOf(options)})`];
  return { ...noFigures(), exchanges: 0, calls: 0, wrongs };
}

function replayOf({ store, kills, seed, policies }: ChaosOptions): string {
  const only = policies.length === 1 ? ` --policy ${policies[0]}` : '';
  return `npm run chaos -- --store ${store} --kills ${kills} --seed ${seed}${only}`;
}

function noFigures(): Figures {
  return { kills: 0, faults: 0, rounds: 0, losses: [], harms: new Map() };
}

function add(total: ChaosReport, more: ChaosReport): void {
  for (const name of ['kills', 'faults', 'rounds', 'exchanges', 'calls'] as const) total[name] += more[name];
  total.losses.push(...more.losses);
  total.wrongs.push(...more.wrongs);
  for (const [harm, count] of more.harms) total.harms.set(harm, (total.harms.get(harm) ?? 0) + count);
}

/** The figures, to read. */
export function summary({ kills, faults, rounds, exchanges, calls, losses, harms, wrongs }: ChaosReport): string {
  const avoidable = losses.filter((one) => one.isAvoidable);
  const reasons = Map.groupBy(losses, ({ why, isAvoidable }) => `${isAvoidable ? 'AVOIDABLE' : 'unavoidable'}: ${why}`);
  return [
    `${kills} kills, ${faults} faults of providers, ${rounds} rounds, ${exchanges} exchanges, ${calls} calls of clients`,
    ...[...harms].map(([harm, count]) => `  ${count} × ${harm}`),
    `${losses.length} chains lost, ${avoidable.length} of them avoidable`,
    ...[...reasons].map(([why, of]) => `  ${of.length} × ${why}`),
    ...(wrongs.length === 0 ? ['Nothing that must not be.'] : wrongs.map((wrong) => `WRONG: ${wrong}`)),
  ].join('\n');
}
