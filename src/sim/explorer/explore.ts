/**
 * Breadth-first through every world that can be reached, each judged once. Then liveness: along moves that are no fault
 * every path must end, and end well.
 */
import type { Subject } from './classes.ts';
import { type Judge, judge } from './judges.ts';
import { type Move, type Rules, Scene } from './moves.ts';
import { nodeMoves } from './node-moves.ts';
import { findCircle } from './liveness.ts';
import { createNumbers } from './numbers.ts';
import { ownAffair, withoutDeadRecords } from './reductions.ts';
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
  const ground = createGround(subject, rules.isWhole);
  const search = new Search(ground, rules);
  search.begin();
  for (let at = 0; at < search.table.size && search.table.size < limits.mostStates; at++) {
    search.expand(at);
    if (limits.stopsAtFinding && search.findings.size > 0) break;
  }
  const isCut = search.expanded < search.table.size;
  if (!isCut) search.judgeLiveness();
  return search.result(isCut);
}

const SLIPS: ReadonlySet<Judge> = new Set(['published before it was durable', 'a copy of a live token was dropped']);

class Search {
  readonly ground: Ground;
  readonly rules: Rules;
  readonly table: WorldTable = createWorldTable();
  readonly findings = new Map<Judge, readonly string[]>();
  readonly #diagnoses = new Set<string>();
  /** For each world: the one it was first reached from, and by which of its moves. */
  readonly #from = createNumbers();
  readonly #by = createNumbers();
  /** Moves that are no fault. */
  readonly #edges = { starts: createNumbers(), targets: createNumbers() };
  /** Worlds after which nothing follows but faults. */
  readonly #ends = createNumbers();
  #faultsToBreak: number | null = null;
  #moves = 0;
  expanded = 0;

  constructor(ground: Ground, rules: Rules) {
    this.ground = ground;
    this.rules = rules;
  }

  begin(): void {
    this.#add(this.#standing(this.ground.start).world, -1, 0);
  }

  expand(at: number): void {
    const world = this.table.get(at);
    this.expanded = at + 1;
    this.#edges.starts.push(this.#edges.targets.length);
    const faults = this.#faultsOf(world);
    let isEnd = true;
    for (const [i, move] of this.#movesOf(world).entries()) {
      const isFault = this.#faultsOf(move.world) > faults;
      if (!isFault) isEnd = false;
      const reached = this.#reach(at, world, move);
      if (!reached) continue;
      const id = this.#add(reached, at, i);
      if (!isFault) this.#edges.targets.push(id);
    }
    if (isEnd) this.#ends.push(at);
  }

  /** The world after a move, and after what nodes do by themselves then; null: there it was wrong already. */
  #reach(at: number, from: World, first: Move): World | null {
    let before = from;
    const way: Move[] = [];
    for (let move: Move | null = first; move; move = this.#ownMove(before)) {
      way.push(move);
      if (!this.#judge(at, before, way)) return null;
      before = this.#standing(move.world).world;
    }
    return before;
  }

  #faultsOf(world: World): number {
    return this.ground.rests.get(world.rest).faults;
  }

  /** The number of a world, which is new or known. */
  #add(world: World, from: number, by: number): number {
    const id = this.table.add(world);
    if (id === this.#from.length) {
      this.#from.push(from);
      this.#by.push(by);
    }
    return id;
  }

  #movesOf(world: World): readonly Move[] {
    const all: Move[] = [];
    const scene = new Scene(this.ground, this.rules, world, (move) => all.push(move));
    if (scene.nodes[0].life === 'up') nodeMoves(scene, 0);
    if (scene.nodes[1].life === 'up') nodeMoves(scene, 1);
    worldMoves(scene);
    return all;
  }

  #ownMove(world: World): Move | null {
    return this.rules.isWhole ? null : ownAffair(this.ground, this.rules, world);
  }

  /** The world as it is numbered: without dead records, and with its nodes in one order of the two. */
  #standing(reached: World): { readonly world: World; readonly isSwapped: boolean } {
    return this.ground.ordered(this.rules.isWhole ? reached : withoutDeadRecords(this.ground, this.rules, reached));
  }

  /** What follows a loss is not explored: it is wrong already. What follows a mere slip shows what it costs. */
  #judge(at: number, before: World, way: readonly Move[]): boolean {
    const move = way.at(-1);
    if (!move) return true;
    this.#moves++;
    const verdict = judge(this.ground, this.rules, before, move);
    if (verdict) this.#find(verdict, at, way);
    if (move.note?.isBroken) {
      const faults = this.#faultsOf(move.world);
      this.#diagnoses.add(move.name.replace(/^[AB]: /, ''));
      this.#faultsToBreak = Math.min(this.#faultsToBreak ?? faults, faults);
    }
    return !verdict || SLIPS.has(verdict);
  }

  #find(verdict: Judge, at: number, way: readonly Move[], end: readonly string[] = []): void {
    if (!this.findings.has(verdict)) this.findings.set(verdict, [...this.#trace(at, way), ...end]);
  }

  /** The moves that lead to a world and on from it, found again from where each begins, with the nodes as at the start. */
  #trace(at: number, on: readonly Move[]): string[] {
    const worlds = [at];
    for (let i = at; i > 0; i = this.#from.get(i)) worlds.push(this.#from.get(i));
    const moves = worlds.toReversed().flatMap((world, i) => (i === 0 ? [] : this.#wayTo(world)));
    let isSwapped = false;
    return [...moves, ...on].map(({ name, world }) => {
      const told = isSwapped ? name.replace(/\b[AB]\b/g, (node) => (node === 'A' ? 'B' : 'A')) : name;
      if (this.#standing(world).isSwapped) isSwapped = !isSwapped;
      return told;
    });
  }

  /** The moves to a world from the numbered one before it. */
  #wayTo(world: number): readonly Move[] {
    const way: Move[] = [];
    let move = this.#movesOf(this.table.get(this.#from.get(world)))[this.#by.get(world)] ?? null;
    for (; move; move = this.#ownMove(this.#standing(move.world).world)) way.push(move);
    return way;
  }

  /** Along moves that are no fault every path ends, and where nothing follows, all is well. */
  judgeLiveness(): void {
    for (let i = 0; i < this.#ends.length; i++) {
      const end = this.#ends.get(i);
      if (!this.#endsWell(this.table.get(end))) this.#find('dead end', end, [], ['and nothing follows']);
    }
    const circling = findCircle(this.#edges, this.table.size);
    if (circling >= 0) this.#find('goes in circles', circling, [], ['and so on for ever']);
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
