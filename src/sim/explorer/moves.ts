/**
 * What may happen next in a world: one move for each step of a node, of a client, of the provider, of time, and for each
 * fault. The steps of nodes are those of `keeper/exchange`, `keeper/minder` and `keeper/cluster`, one move for each place
 * at which a process may stop.
 *
 * Deciding and appending under the version of the decision are one move: had the chain changed in between, the store
 * would have refused, and the node would have decided anew. A write that the store refuses is a move that does not
 * happen yet, so it costs no fault; only where a refusal leads elsewhere it is a move of its own.
 */
import type { Ground, NodeState, Rest, World } from './world.ts';

export type Cause =
  /** A step of a keeper, or the provider's answer to one. */
  | 'keeper'
  /** Somebody uses an access token. */
  | 'client'
  /** Time passes because the keeper waits. */
  | 'wait'
  /** Time passes although something was to be done. */
  | 'late'
  /** An answer, a request or a process's memory is lost. */
  | 'loss'
  /** A request arrives whose sender no longer listens. */
  | 'stray'
  /** A durable copy is destroyed. */
  | 'destruction'
  /** What the world does without harm: a restart, an operator's word, the end of a dead node's lease. */
  | 'repair';

/** What the judges must know of a move beside the two worlds. */
export interface Note {
  readonly published?: { readonly token: number; readonly sequence: number };
  readonly presented?: number;
  readonly isBroken?: true;
}

export interface Move {
  readonly name: string;
  readonly cause: Cause;
  readonly world: World;
  readonly note?: Note;
}

/** Deviations from the protocol, each of which must be found. `none` is the protocol. */
export const MUTANTS = [
  'publishes before it is durable',
  'overwrites instead of appending',
  'refuses to append without the lease',
  'breaks while an attempt is unresolved',
  'closes an attempt before its journal is read',
  'restores without journals',
  'calls a journal read while its node awaits an answer',
  'notices a restore only by what its own journal has',
] as const;
export type Mutant = (typeof MUTANTS)[number] | 'none';

export interface Rules {
  readonly mostFaults: number;
  readonly mostRounds: number;
  /** Without stops that are longer than a window leaves room for. */
  readonly isTimely: boolean;
  readonly mutant: Mutant;
  /** Without the reductions of `reductions.ts`: to show that they hide nothing. */
  readonly isWhole: boolean;
}

export type Emit = (move: Move) => void;

/** A world taken apart, with ways to build the next one. */
export class Scene {
  readonly ground: Ground;
  readonly rules: Rules;
  readonly world: World;
  readonly rest: Rest;
  readonly nodes: readonly [NodeState, NodeState];
  readonly emit: Emit;

  constructor(ground: Ground, rules: Rules, world: World, emit: Emit) {
    this.ground = ground;
    this.rules = rules;
    this.world = world;
    this.rest = ground.rests.get(world.rest);
    this.nodes = [ground.nodes.get(world.nodes[0]), ground.nodes.get(world.nodes[1])];
    this.emit = emit;
  }

  get hasFaultsLeft(): boolean {
    return this.rest.faults < this.rules.mostFaults;
  }

  node(me: 0 | 1): NodeState {
    return this.nodes[me];
  }

  /** The world with these parts changed. */
  with(change: {
    readonly stored?: number;
    readonly family?: number;
    readonly me?: readonly [0 | 1, Partial<NodeState>];
    readonly rest?: Partial<Rest>;
  }): World {
    const { world, ground } = this;
    const { stored = world.stored, family = world.family, me, rest } = change;
    const nodes = me ? this.#withNode(me[0], me[1]) : world.nodes;
    return { stored, family, nodes, rest: rest ? ground.restId({ ...this.rest, ...rest }) : world.rest };
  }

  #withNode(me: 0 | 1, change: Partial<NodeState>): readonly [number, number] {
    const changed = this.ground.nodeId({ ...this.nodes[me], isAsleep: false, ...change });
    return me === 0 ? [changed, this.world.nodes[1]] : [this.world.nodes[0], changed];
  }

  /** The cost of one more fault. */
  get fault(): Partial<Rest> {
    return { faults: this.rest.faults + 1 };
  }

  /** A world in which faults let nobody do anything for so long. */
  stopped(change: Parameters<Scene['with']>[0], byMs: number): World {
    const world = this.aged(this.with(change), byMs);
    const { ground } = this;
    const isCounted = ground.subject.timing !== null && ground.subject.policy.pacing.minSpacingMs > 0;
    if (!isCounted || !ground.provider.isSpacingOver(world.family)) return world;
    const rest = ground.rests.get(world.rest);
    return { ...world, rest: ground.restId({ ...rest, stoodStillMs: rest.stoodStillMs + byMs }) };
  }

  /** A world in which so much time has passed. */
  aged(world: World, byMs: number): World {
    const { ground } = this;
    if (!ground.subject.timing || byMs === 0) return world;
    const [a, b] = world.nodes;
    return {
      stored: ground.store.aged(world.stored, byMs),
      family: ground.provider.aged(world.family, byMs),
      nodes: [ground.agedNode(a, byMs), ground.agedNode(b, byMs)],
      rest: world.rest,
    };
  }
}
