/**
 * Many worlds of one policy, each with its own mixture of faults, and what came of them. The seed of a world says all:
 * `7.12` is world 12 of seed 7, and runs alone as it ran among the others.
 */
import type { Sealer } from '../ports/sealer.ts';
import { Chance, hashText } from './chance.ts';
import { ALL_FAULTS, ENDINGS, type Fault } from './faults.ts';
import type { Judges, Loss, Violation } from './judges.ts';
import { canStrike, type SimulatedPolicy } from './policies.ts';
import { World } from './world.ts';

const WORLD_EXCHANGES = 2_000;
const YEAR_MS = 365 * 86_400_000;

export interface CampaignOptions {
  readonly policy: SimulatedPolicy;
  readonly seed: string;
  readonly exchanges: number;
  /** Share of exchanges that are struck. */
  readonly rate: number;
  readonly grants: number;
  readonly nodes?: number;
  readonly mostMs?: number;
  /** Left out: each world draws its own mixture. */
  readonly faults?: readonly Fault[];
  readonly sealer: Sealer;
  readonly breathe?: () => Promise<void>;
}

export interface Figures {
  readonly policy: string;
  exchanges: number;
  worlds: number;
  /** Faults that struck, of each kind. */
  readonly injected: Map<Fault, number>;
  struck: number;
  asked: number;
  served: number;
  /** By the rule of the oracle that makes them unavoidable. */
  readonly unavoidable: Map<string, number>;
  avoidable: number;
  violations: number;
  readonly found: { readonly seed: string; readonly violation: Violation }[];
  slowestRecoveryMs: number;
  virtualMs: number;
  trace: string;
}

export async function runCampaign(options: CampaignOptions): Promise<Figures> {
  const figures = newFigures(options.policy.name);
  const [seed = '1', only] = options.seed.split('.');
  for (let i = 0; figures.exchanges < options.exchanges; i++) {
    const nth = only === undefined ? i : Number(only);
    const world = worldOf(options, `${seed}.${nth}`, options.exchanges - figures.exchanges);
    add(figures, world, await world.run());
    if (only !== undefined) break;
  }
  return figures;
}

/** Its own mixture: now everything that leaves a way out, now a few kinds, now the ends too. */
function worldOf(options: CampaignOptions, seed: string, left: number): World {
  const { policy, rate, grants, sealer, breathe } = options;
  const chance = Chance.of(seed, policy.name, 'mixture');
  const nodes = options.nodes ?? 1;
  return new World({
    seed: `${policy.name} ${seed}`,
    policy: policy.policy,
    grants,
    nodes,
    exchanges: seed.includes('.') && left > WORLD_EXCHANGES ? WORLD_EXCHANGES : left,
    mostMs: options.mostMs ?? YEAR_MS,
    faults: (options.faults ?? mixture(chance)).filter((fault) => canStrike(fault, policy.policy)),
    rate,
    sealer,
    storeLatencyMs: nodes > 1 || chance.occurs(0.3) ? chance.pick([1, 5, 20]) : 0,
    ...(breathe ? { breathe } : {}),
  });
}

function mixture(chance: Chance): readonly Fault[] {
  const draw = chance.share();
  const recoverable = ALL_FAULTS.filter((fault) => !ENDINGS.includes(fault));
  if (draw < 0.5) return recoverable;
  if (draw < 0.6) return ALL_FAULTS;
  return Array.from({ length: chance.between(2, 5) }, () => chance.pick(recoverable));
}

export function newFigures(policy: string): Figures {
  return {
    policy,
    exchanges: 0,
    worlds: 0,
    injected: new Map(),
    struck: 0,
    asked: 0,
    served: 0,
    unavoidable: new Map(),
    avoidable: 0,
    violations: 0,
    found: [],
    slowestRecoveryMs: 0,
    virtualMs: 0,
    trace: '',
  };
}

function add(figures: Figures, world: World, judges: Judges): void {
  figures.exchanges += world.upstream.exchanges;
  figures.worlds++;
  for (const [fault, times] of judges.injected) {
    figures.injected.set(fault, (figures.injected.get(fault) ?? 0) + times);
    figures.struck += times;
  }
  figures.asked += judges.asked;
  figures.served += judges.served;
  for (const loss of judges.losses) count(figures, loss);
  figures.violations += judges.violationCount;
  const seed = world.options.seed.split(' ')[1] ?? '';
  for (const violation of judges.violations.slice(0, 3)) figures.found.push({ seed, violation });
  figures.slowestRecoveryMs = Math.max(figures.slowestRecoveryMs, judges.slowestRecoveryMs);
  figures.virtualMs += world.elapsedMs;
  figures.trace = hashText(`${figures.trace} ${judges.traceHash}`, 0x811c9dc5).toString(16).padStart(8, '0');
}

function count(figures: Figures, { rule }: Loss): void {
  if (rule === 'avoidable') figures.avoidable++;
  else figures.unavoidable.set(rule, (figures.unavoidable.get(rule) ?? 0) + 1);
}
