/**
 * What the walk leaves out because it cannot matter, each with its reason. Nearly all worlds are those in which no fault
 * is left to strike, so most reasons rest on that. `isWhole` walks leave nothing out, and tests hold both to the same
 * findings.
 *
 * 1. **Own affairs** (a partial order). A step that changes nothing but the node that takes it, and is its only one, is
 *    taken before anything else happens. Nobody else can see or prevent it: a crash or a pause could, and none is left.
 *    It commutes with what others do, and with the passing of time, for a record has the ages of the task that it is made
 *    of. The judges see no difference, but that an answer in a journal is one more reason why nothing may be called
 *    broken yet: so a journal is written early, and nothing that they would find is missed. Each such step leads on
 *    towards `idle`, so none is put off for ever. Idle nodes are left alone, for a lease that is taken again ends what
 *    others may do.
 * 2. **Dead records**. A record in a journal that is settled is read again only after a restore. Once none can follow, and
 *    its token is in the store, it is as good as gone.
 *
 * Beside these, whatever the walk: the two nodes are alike, so one order of the two stands for both (`Ground.ordered`);
 * and what no rule asks for is not in a state (`essence` of the store and the provider).
 */
import { durable } from './judges.ts';
import { type Move, type Rules, Scene } from './moves.ts';
import { nodeMoves } from './node-moves.ts';
import type { Ground, Task, World } from './world.ts';

const BOTH = [0, 1] as const;
/** Where the next step may be one of these; everywhere else it reads or writes what others do too. */
const OWN: ReadonlySet<Task['at']> = new Set(['intended', 'answered', 'received', 'stored', 'merging']);

/** What a node does next, if it can do nothing else and it is nobody's affair but its own. */
export function ownAffair(ground: Ground, rules: Rules, world: World): Move | null {
  if (ground.rests.get(world.rest).faults < rules.mostFaults) return null;
  for (const me of BOTH) {
    const { life, task } = ground.nodes.get(world.nodes[me]);
    if (life !== 'up' || !OWN.has(task.at)) continue;
    const moves: Move[] = [];
    const scene = new Scene(ground, rules, world, (move) => moves.push(move));
    nodeMoves(scene, me);
    const [move, another] = moves;
    if (move && !another && isOwn(world, me, move) && !isDropping(scene, move)) return move;
  }
  return null;
}

function isOwn(before: World, me: 0 | 1, { world: after }: Move): boolean {
  const other = me === 0 ? 1 : 0;
  return (
    after.stored === before.stored &&
    after.family === before.family &&
    after.rest === before.rest &&
    after.nodes[other] === before.nodes[other]
  );
}

/** Whether a copy goes that is nowhere else: no keeper does that, and where one does, the judges have to see when. */
function isDropping({ ground, world }: Scene, move: Move): boolean {
  return (durable(ground, world) & ~durable(ground, move.world)) !== 0;
}

/** The world without dead records. */
export function withoutDeadRecords(ground: Ground, rules: Rules, world: World): World {
  const { restoring, wasRestored, isRestoreKnown, faults } = ground.rests.get(world.rest);
  const mayBeRead = restoring !== 0 || (wasRestored ? !isRestoreKnown : faults < rules.mostFaults);
  if (mayBeRead) return world;
  const tokens = ground.store.tokens(world.stored);
  const [a, b] = world.nodes;
  return { ...world, nodes: [ground.shedNode(a, tokens), ground.shedNode(b, tokens)] };
}
