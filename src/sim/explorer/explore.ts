/**
 * Breadth-first through every world that can be reached, each judged once. Then liveness: along moves that are no fault
 * every path must end, and end well.
 */
import type { Subject } from './classes.ts';
import { type Judge, judge } from './judges.ts';
import { type Move, type Rules, Scene } from './moves.ts';
import { nodeMoves } from './node-moves.ts';
import { createWorldTable, type WorldTable } from './world-table.ts';
import { worldMoves } from './world-moves.ts';
import { createGround, type Ground, type World } from './world.ts';

export interface Explored {
  readonly subject: Subject;
  readonly states: number;
  readonly moves: number;
  /** The first finding of each judge, as the moves that lead to it. */
  readonly findings: ReadonlyMap<Judge, readonly string[]>;
  /** The fewest faults after which a chain was declared broken; null: never. */
  readonly faultsToBreak: number | null;
  /** What was said of broken chains. */
  readonly diagnoses: ReadonlySet<string>;
  /** Not everything was seen: the search was stopped at so many states. */
  readonly isCut: boolean;
}

export interface Limits {
  readonly mostStates: number;
  /** Stop at the first finding: it is the shortest. */
  readonly stopsAtFinding: boolean;
}

export function explore(subject: Subject, rules: Rules, limits: Limits): Explored {
  const ground = createGround(subject);
  const search = new Search(ground, rules);
  search.add(ground.start, -1, 'start', 0);
  for (let at = 0; at < search.table.size && search.table.size < limits.mostStates; at++) {
    search.expand(at);
    if (limits.stopsAtFinding && search.findings.size > 0) break;
  }
  const isCut = search.expanded < search.table.size;
  if (!isCut) search.judgeLiveness();
  return search.result(isCut);
}

const SLIPS: ReadonlySet<Judge> = new Set(['published before it was durable', 'a copy of a live token was dropped']);

/** Marks a move after which the nodes stand in the other order. */
const SWAPPED = ' ⇄';

function otherOf(node: string): string {
  return node === 'A' ? 'B' : 'A';
}

class Search {
  readonly ground: Ground;
  readonly rules: Rules;
  readonly table: WorldTable = createWorldTable();
  readonly findings = new Map<Judge, readonly string[]>();
  readonly #diagnoses = new Set<string>();
  readonly #names = new Map<string, number>();
  readonly #nameOf: string[] = [];
  /** For each world: the one it was first reached from, and the number of the move. */
  readonly #from: number[] = [];
  readonly #by: number[] = [];
  /** Moves that are no fault, in pairs of worlds. */
  readonly #edgeFrom: number[] = [];
  readonly #edgeTo: number[] = [];
  #faultsToBreak: number | null = null;
  #moves = 0;
  expanded = 0;

  constructor(ground: Ground, rules: Rules) {
    this.ground = ground;
    this.rules = rules;
  }

  /** The number of a world, which is new or known. */
  add(reached: World, from: number, name: string, cost: number): number {
    const { world, isSwapped } = this.ground.ordered(reached);
    const { id, isNew } = this.table.add(world);
    if (isNew) {
      this.#from.push(from);
      this.#by.push(this.#nameId(isSwapped ? `${name}${SWAPPED}` : name));
    }
    if (cost === 0 && from >= 0) {
      this.#edgeFrom.push(from);
      this.#edgeTo.push(id);
    }
    return id;
  }

  expand(at: number): void {
    const world = this.table.get(at);
    this.expanded = at + 1;
    const faults = this.ground.rests.get(world.rest).faults;
    const scene = new Scene(this.ground, this.rules, world, (move) => this.#take(at, world, faults, move));
    if (scene.nodes[0].life === 'up') nodeMoves(scene, 0);
    if (scene.nodes[1].life === 'up') nodeMoves(scene, 1);
    worldMoves(scene);
  }

  #take(at: number, before: World, faults: number, move: Move): void {
    this.#moves++;
    const verdict = judge(this.ground, this.rules, before, move);
    if (verdict) this.#find(verdict, at, move.name);
    const after = this.ground.rests.get(move.world.rest).faults;
    if (move.note?.isBroken) {
      this.#diagnoses.add(move.name.replace(/^[AB]: /, ''));
      this.#faultsToBreak = Math.min(this.#faultsToBreak ?? faults, faults);
    }
    // What follows a loss is not explored: it is wrong already. What follows a mere slip shows what it costs.
    if (!verdict || SLIPS.has(verdict)) this.add(move.world, at, move.name, after - faults);
  }

  #find(verdict: Judge, at: number, last: string): void {
    if (!this.findings.has(verdict)) this.findings.set(verdict, this.#trace(at, last));
  }

  /** The moves that lead to a world, with the nodes named as they were at the start. */
  #trace(at: number, last: string): string[] {
    const names: string[] = [last];
    for (let i = at; i > 0; i = this.#from[i] ?? 0) names.push(this.#nameOf[this.#by[i] ?? 0] ?? '');
    let isSwapped = false;
    return names.toReversed().map((name) => {
      const told = name.replace(SWAPPED, '').replace(/\b[AB]\b/g, (node) => (isSwapped ? otherOf(node) : node));
      if (name.endsWith(SWAPPED)) isSwapped = !isSwapped;
      return told;
    });
  }

  #nameId(name: string): number {
    let id = this.#names.get(name);
    if (id === undefined) {
      id = this.#nameOf.length;
      this.#names.set(name, id);
      this.#nameOf.push(name);
    }
    return id;
  }

  /**
   * Takes worlds away from the ends of paths: where nothing follows, all must be well; what only leads to such worlds is
   * well too; and what is left leads round in circles.
   */
  judgeLiveness(): void {
    const size = this.table.size;
    const following = new Int32Array(size);
    const before = incoming(this.#edgeFrom, this.#edgeTo, following, size);
    const ended: number[] = [];
    for (let i = 0; i < size; i++) {
      if (following[i] !== 0) continue;
      ended.push(i);
      if (!this.#endsWell(this.table.get(i))) this.#find('dead end', i, 'and nothing follows');
    }
    let left = size;
    for (let at = ended.pop(); at !== undefined; at = ended.pop()) {
      left--;
      for (let i = before.starts[at] ?? 0; i < (before.starts[at + 1] ?? 0); i++) {
        const from = before.sources[i] ?? 0;
        following[from] = (following[from] ?? 0) - 1;
        if (following[from] === 0) ended.push(from);
      }
    }
    const circling = left > 0 ? following.findIndex((count) => count > 0) : -1;
    if (circling >= 0) this.#find('goes in circles', circling, 'and so on for ever');
  }

  /** Broken, which was judged; or nothing is left but to exchange an unused token, for which no round is left. */
  #endsWell(world: World): boolean {
    const { store, nodes, rests } = this.ground;
    if (store.get(world.stored).chain.end) return true;
    if (world.nodes.every((id) => nodes.get(id).life === 'given_up')) return true;
    const step = store.step(world.stored);
    const isNext = step.step === 'exchange' && step.because === 'next';
    return isNext && rests.get(world.rest).rounds === this.rules.mostRounds;
  }

  result(isCut: boolean): Explored {
    return {
      subject: this.ground.subject,
      states: this.table.size,
      moves: this.#moves,
      findings: this.findings,
      faultsToBreak: this.#faultsToBreak,
      diagnoses: this.#diagnoses,
      isCut,
    };
  }
}

/** The moves by the world they lead to; counts, on the way, those that lead away. */
function incoming(
  from: readonly number[],
  to: readonly number[],
  following: Int32Array,
  size: number,
): { readonly starts: Int32Array; readonly sources: Int32Array } {
  const starts = new Int32Array(size + 1);
  for (let i = 0; i < from.length; i++) {
    following[from[i] ?? 0] = (following[from[i] ?? 0] ?? 0) + 1;
    starts[(to[i] ?? 0) + 1] = (starts[(to[i] ?? 0) + 1] ?? 0) + 1;
  }
  for (let i = 0; i < size; i++) starts[i + 1] = (starts[i + 1] ?? 0) + (starts[i] ?? 0);
  const places = starts.slice();
  const sources = new Int32Array(from.length);
  for (let i = 0; i < from.length; i++) {
    const place = places[to[i] ?? 0] ?? 0;
    sources[place] = from[i] ?? 0;
    places[to[i] ?? 0] = place + 1;
  }
  return { starts, sources };
}
