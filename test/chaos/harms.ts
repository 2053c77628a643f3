/** What is done to a world, drawn from a seed. A harm is over when it resolves: everything is up again. */
import { setTimeout as sleep } from 'node:timers/promises';
import { EXCHANGE_STEPS, type ExchangeStep } from '../../src/keeper/parts.ts';
import type { FaultSpec } from '../../src/emulator.ts';
import type { Chance } from '../../src/sim/chance.ts';
import type { RealNode } from './real-node.ts';
import type { World } from './world.ts';

/** Really, between two seconds that pass by a jump. */
const TURN_MS = 100;
/** Everybody has been answered for so long: the step is not reached any more. */
const IDLE_MS = 500;

/** How long the process stays away, in seconds. */
type Down = { readonly downS: number };

export type Harm =
  | ({ readonly kind: 'killed at a step'; readonly step: ExchangeStep; readonly nth: number } & Down)
  | ({ readonly kind: 'killed at random'; readonly afterMs: number } & Down)
  | ({
      readonly kind: 'killed with exchanges in flight';
      readonly commit: 'before' | 'after';
      readonly many: number;
    } & Down)
  | { readonly kind: 'frozen'; readonly afterMs: number; readonly forS: number }
  | { readonly kind: 'told to stop'; readonly afterMs: number }
  | { readonly kind: 'disk full'; readonly isKilled: boolean };

/** What only a database on a wire can suffer. */
export type DatabaseHarm =
  | {
      readonly kind: 'database restarted';
      readonly how: 'fast' | 'immediate';
      readonly awayMs: number;
      readonly afterMs: number;
    }
  | { readonly kind: 'database frozen'; readonly forMs: number; readonly afterMs: number }
  | { readonly kind: 'acknowledgements lost'; readonly count: number }
  | { readonly kind: 'connections broken'; readonly afterMs: number }
  | { readonly kind: 'a node cut off'; readonly forS: number; readonly afterMs: number };

export type AnyHarm = Harm | DatabaseHarm;

/** What the world is made of, as far as it can be harmed. */
export interface Target {
  readonly rings: number;
  readonly hasDisk: boolean;
  readonly hasCluster: boolean;
}

/** On a cluster the others take over meanwhile. */
function drawDownS(chance: Chance, { hasCluster }: Target): number {
  if (hasCluster) return chance.occurs(0.15) ? TAKEN_OVER_S : 0;
  if (chance.occurs(0.6)) return 0;
  return chance.occurs(0.6) ? chance.between(5, 50) : chance.between(100, 900);
}

/** A lease of ten seconds, and a look at the others every two and a half. */
const TAKEN_OVER_S = 14;

export function drawHarm(chance: Chance, target: Target): AnyHarm {
  if (target.hasCluster && chance.occurs(0.2)) return drawDatabaseHarm(chance);
  const downS = drawDownS(chance, target);
  const afterMs = chance.between(0, 400);
  const drawn = chance.share();
  if (drawn < 0.5) {
    const nth = chance.between(1, Math.max(1, Math.floor(target.rings / (target.hasCluster ? 6 : 2))));
    return { kind: 'killed at a step', step: chance.pick(EXCHANGE_STEPS), nth, downS };
  }
  if (drawn < 0.68) return { kind: 'killed at random', afterMs, downS };
  if (drawn < 0.84) {
    const commit = chance.occurs(0.5) ? 'before' : 'after';
    return { kind: 'killed with exchanges in flight', commit, many: chance.between(1, 3), downS };
  }
  if (drawn < 0.9) return { kind: 'frozen', afterMs, forS: target.hasCluster ? TAKEN_OVER_S : chance.between(12, 200) };
  if (drawn < 0.95 || !target.hasDisk) return { kind: 'told to stop', afterMs };
  return { kind: 'disk full', isKilled: chance.occurs(0.5) };
}

function drawDatabaseHarm(chance: Chance): DatabaseHarm {
  const afterMs = chance.between(0, 400);
  switch (chance.between(0, 4)) {
    case 0:
      return {
        kind: 'database restarted',
        how: chance.pick(['fast', 'immediate']),
        awayMs: chance.between(0, 6_000),
        afterMs,
      };
    case 1:
      return { kind: 'database frozen', forMs: chance.between(1_000, 14_000), afterMs };
    case 2:
      return { kind: 'acknowledgements lost', count: chance.between(1, 6) };
    case 3:
      return { kind: 'connections broken', afterMs };
    default:
      return { kind: 'a node cut off', forS: chance.between(1, TAKEN_OVER_S), afterMs };
  }
}

/** A provider that is slow, by the clock of the world. */
export const SLOW_MS = 60_000;

/** Faults of the provider, on a few accounts. */
export function drawFaults(
  chance: Chance,
  world: World,
): readonly { readonly ring: number; readonly fault: FaultSpec }[] {
  if (chance.occurs(0.5)) return [];
  return Array.from({ length: chance.between(1, 3) }, () => {
    const ring = chance.between(0, world.rings.length - 1);
    const user = world.rings[ring]?.user ?? '';
    const times = chance.between(1, 2);
    return { ring, fault: { ...drawFault(chance), times, match: { endpoint: 'token', user } } };
  });
}

function drawFault(chance: Chance): FaultSpec {
  const drawn = chance.between(0, 8);
  switch (drawn) {
    case 0:
      return { fault: 'drop-after-commit' };
    case 1:
      return { fault: 'drop-before-commit' };
    case 2:
      return { fault: 'http-500', commit: 'after' };
    case 3:
      return { fault: 'http-503', retry_after: 3 };
    case 4:
      return { fault: 'http-429', retry_after: 5 };
    case 5:
      return { fault: 'truncate-body', at: 'after-refresh-token' };
    case 6:
      return { fault: 'reset-mid-body' };
    case 7:
      return { fault: 'slow-drip', ms: 5 };
    default:
      return { fault: 'delay', ms: SLOW_MS };
  }
}

/** Kills it where it is still alive, and counts what it did not do while it is away. */
export async function kill(world: World, node: RealNode): Promise<void> {
  const from = world.time.nowMs;
  await node.end('SIGKILL');
  world.began(node, 'killed', from);
}

/** Resolves when the node has ended itself; false where it did not within this time. */
export async function endsItself(world: World, node: RealNode, withinMs: number): Promise<boolean> {
  const over = new AbortController();
  const gone = node.ended().then(() => true);
  const late = sleep(withinMs, false, { signal: over.signal }).catch(() => false);
  const idle = Promise.all(world.clients.map((client) => client.next()))
    .then(() => sleep(IDLE_MS))
    .then(() => false);
  const ended = await Promise.race([gone, late, idle]);
  over.abort();
  if (ended) world.began(node, 'killed');
  return ended;
}

/** `meanwhile`: what happens to time. */
export async function freeze(world: World, node: RealNode, meanwhile: () => Promise<void>): Promise<void> {
  node.freeze();
  world.began(node, 'frozen');
  await meanwhile();
  await node.thaw();
  world.ended(node);
}

/** Time passes in steps of a second or so, and everybody can act in between. */
export async function pass(world: World, steps: number, stepS = 1): Promise<void> {
  for (let left = steps; left > 0; left--) {
    await world.jump(stepS * 1_000);
    await sleep(TURN_MS);
  }
}
