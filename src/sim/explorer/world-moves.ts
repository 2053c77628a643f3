/** The moves of everything that is no node: faults, time, clients, stray requests, an operator. */
import type { Step } from '../../core/next-step.ts';
import { isUndecided } from '../../core/due.ts';
import { HORIZON_MS, REQUEST_TIMEOUT_MS } from '../../core/next-step.ts';
import { consulted, missing, nodeMoves } from './node-moves.ts';
import type { Timing } from './classes.ts';
import { type Cause, Scene } from './moves.ts';
import { bit } from './provider.ts';
import { NODES } from './shared-store.ts';
import { IDLE, LEASE_MS, type NodeState, type Rest, type Task, type World } from './world.ts';

const BOTH = [0, 1] as const;

export function worldMoves(scene: Scene): void {
  for (const me of BOTH) {
    revive(scene, me);
    if (!scene.hasFaultsLeft) continue;
    crash(scene, me);
    disturb(scene, me);
  }
  strays(scene);
  clients(scene);
  time(scene);
  if (scene.hasFaultsLeft) restore(scene);
}

/** A process that is gone comes back; its lease ends; an operator gives up what will never come back. */
function revive(scene: Scene, me: 0 | 1): void {
  const { life, hasLease } = scene.node(me);
  if (life === 'up' || life === 'given_up') return;
  if (hasLease && mayLeaseEnd(scene, me === 0 ? 1 : 0)) {
    const world = scene.stopped({ me: [me, { hasLease: false }] }, LEASE_MS);
    scene.emit({ name: `the lease of ${NODES[me]} ends`, cause: 'repair', world });
  }
  if (life === 'down') {
    const isWhole = (scene.rest.restoring & bit(me)) !== 0 && scene.rules.mutant !== 'restores without journals';
    restart(scene, me, isWhole);
  } else if (!hasLease) giveUp(scene, me);
}

/**
 * Where time counts, a lease ends ten seconds later, and nobody who has something to do stands still so long beside: a
 * pause has cost its own ten seconds, and a longer stop is a fault of its own.
 */
function mayLeaseEnd(scene: Scene, other: 0 | 1): boolean {
  if (!scene.ground.subject.timing || scene.node(other).life !== 'up') return true;
  return !hasMoves(scene, other);
}

function hasMoves({ ground, rules, world }: Scene, me: 0 | 1): boolean {
  let has = false;
  const asked = new Scene(ground, rules, world, () => {
    has = true;
  });
  nodeMoves(asked, me);
  return has;
}

function restart(scene: Scene, me: 0 | 1, isWhole: boolean): void {
  const task = { at: 'merging', next: 0, isRestart: true, isWhole } as const;
  const world = scene.with({ me: [me, { life: 'up', hasLease: true, task }] });
  scene.emit({ name: `${NODES[me]} starts again`, cause: 'repair', world });
}

function giveUp(scene: Scene, me: 0 | 1): void {
  const stored = scene.ground.store.append(scene.world.stored, `consulted ${NODES[me]}`, consulted(me));
  const restoring = scene.rest.restoring & ~bit(me);
  const world = scene.with({ stored, me: [me, { life: 'given_up', journal: [] }], rest: { restoring } });
  scene.emit({ name: `an operator gives up the journal of ${NODES[me]}`, cause: 'repair', world });
}

/** The process ends; what it sent may still arrive. Or the whole machine is gone. */
function crash(scene: Scene, me: 0 | 1): void {
  const { life, task } = scene.node(me);
  if (life !== 'up') return;
  const stray = task.at === 'sent' ? { strays: withStray(scene.rest, task.exchange.token) } : {};
  const rest = { ...scene.fault, ...stray };
  const down = scene.with({ me: [me, { life: 'down', task: IDLE }], rest });
  scene.emit({ name: `${NODES[me]} crashes`, cause: 'loss', world: down });
  const gone = scene.with({ me: [me, { life: 'gone', task: IDLE, journal: [] }], rest });
  scene.emit({ name: `${NODES[me]} is gone for good`, cause: 'destruction', world: gone });
}

function withStray({ strays: before }: Rest, token: number): readonly number[] {
  return [...before, token].toSorted((a, b) => a - b);
}

/** Faults of the network, and pauses. */
function disturb(scene: Scene, me: 0 | 1): void {
  const { task, life, hasLease, isAsleep } = scene.node(me);
  if (life !== 'up' || task.at === 'idle' || task.at === 'merging') return;
  const isTimed = scene.ground.subject.timing !== null;
  if (hasLease || (isTimed && !isAsleep)) {
    const world = scene.stopped({ me: [me, { hasLease: false, isAsleep: isTimed }], rest: scene.fault }, LEASE_MS);
    scene.emit({ name: `${NODES[me]} is paused and loses its lease`, cause: 'loss', world });
  }
  if (task.at !== 'sent' && task.at !== 'answered') return;
  const { exchange } = task;
  const stray = task.at === 'sent' ? { strays: withStray(scene.rest, exchange.token) } : {};
  const unanswered: Partial<NodeState> = { isAsleep, task: { at: 'unanswered', exchange } };
  const broken = scene.with({ me: [me, unanswered], rest: { ...scene.fault, ...stray } });
  scene.emit({ name: `the connection of ${NODES[me]} breaks`, cause: 'loss', world: broken });
  if (task.at === 'sent') {
    const twice = scene.with({ rest: { ...scene.fault, ...stray } });
    scene.emit({ name: `the request of ${NODES[me]} is doubled`, cause: 'loss', world: twice });
  }
  if (!isTimed || scene.rules.isTimely || scene.rest.strays.length > 0) return;
  const silent: Partial<NodeState> = { isAsleep, task: { at: 'silent', exchange, forMs: 0 } };
  const world = scene.with({ me: [me, silent], rest: { ...scene.fault, wasLate: true } });
  scene.emit({ name: `nothing will come back to ${NODES[me]}`, cause: 'loss', world });
}

/** A request whose sender no longer listens arrives, or never will. */
function strays(scene: Scene): void {
  const { rest, ground, world } = scene;
  for (const token of new Set(rest.strays)) {
    const at = rest.strays.indexOf(token);
    const others = { strays: rest.strays.toSpliced(at, 1) };
    const { family, answer } = ground.provider.present(world.family, token);
    const dropped = scene.with({ rest: others });
    scene.emit({ name: `a stray request with t${token} is dropped`, cause: 'repair', world: dropped });
    if (family === world.family) continue;
    const arrived = scene.with({ family, rest: { ...others, ...(answer >= 0 ? { stoodStillMs: 0 } : {}) } });
    scene.emit({ name: `a stray request with t${token} arrives`, cause: 'stray', world: arrived });
  }
}

/** Whoever got an access token uses it. */
function clients(scene: Scene): void {
  const { rest, ground, world } = scene;
  for (let token = 0; rest.served >> token > 0; token++) {
    if (!(rest.served & bit(token))) continue;
    const family = ground.provider.use(world.family, token);
    if (family === world.family) continue;
    scene.emit({ name: `the access token of t${token} is used`, cause: 'client', world: scene.with({ family }) });
  }
}

function time(scene: Scene): void {
  const { ground, world, rules, nodes } = scene;
  const { timing } = ground.subject;
  if (!timing) return;
  if (isQuiet(scene)) {
    const step = ground.store.step(world.stored);
    const isHere = nodes.some(({ life, hasLease }) => life === 'up' && hasLease);
    const isDue = isHere && step.step === 'exchange' && step.waitMs > 0;
    awaitInVain(scene, isDue ? step.waitMs : Number.POSITIVE_INFINITY);
    if (isHere) quietTime(scene, step, timing.oldMs);
  }
  if (!rules.isTimely && nodes.every(({ life }) => life !== 'up')) {
    pass(scene, timing.oldMs, 'late', 'nobody is here for long', { wasLate: true });
  }
  if (scene.hasFaultsLeft && isAtStake(scene)) stall(scene, timing);
}

/** Everything stops while something is under way: the keeper's machines, the store, or the network. */
function stall(scene: Scene, { shortStallMs, longStallsMs }: Timing): void {
  if (scene.rules.isTimely) {
    const world = scene.stopped({ rest: scene.fault }, shortStallMs);
    scene.emit({ name: `everything stops for ${shortStallMs / 1_000} s`, cause: 'late', world });
    return;
  }
  if (scene.rest.strays.length > 0) return;
  for (const stallMs of longStallsMs) {
    const name = `everything stops for ${stallMs / 1_000} s`;
    pass(scene, stallMs, 'late', name, { ...scene.fault, wasLate: true });
  }
}

function isAtStake({ ground, world, nodes }: Scene): boolean {
  const { chain } = ground.store.get(world.stored);
  return chain.attempts.length > 0 || chain.deferral !== null || nodes.some(({ task }) => task.at !== 'idle');
}

/** Nobody does anything but wait: for a step that is due later, for an answer that will not come, or for the end of a pause. */
function isQuiet({ nodes }: Scene): boolean {
  return nodes.every(({ life, hasLease, isAsleep, task }) =>
    life === 'up' ? isAsleep || isSilent(task) || (hasLease && task.at === 'idle') : !hasLease,
  );
}

function isSilent(task: Task): boolean {
  return task.at === 'silent' && task.forMs < REQUEST_TIMEOUT_MS;
}

/** Until the time is up, or before that somebody's next step is due. */
function awaitInVain(scene: Scene, dueMs: number): void {
  if (BOTH.some((me) => isAwake(scene.node(me)) && hasMoves(scene, me))) return;
  const left = scene.nodes.map(({ task }) => (task.at === 'silent' ? REQUEST_TIMEOUT_MS - task.forMs : 0));
  const leftMs = Math.min(...left.filter((ms) => ms > 0));
  if (Number.isFinite(leftMs) && leftMs <= dueMs)
    pass(scene, leftMs, 'late', 'nothing comes back until the time is up', {});
}

function isAwake({ life, isAsleep }: NodeState): boolean {
  return life === 'up' && !isAsleep;
}

/** The keeper waits until its next step is due; or has nothing to do, and time passes. */
function quietTime(scene: Scene, step: Step, oldMs: number): void {
  if (step.step === 'exchange' && step.waitMs > 0) {
    const isDelayed = step.waitMs >= HORIZON_MS && isAnythingOnItsWay(scene);
    if (isDelayed && !scene.hasFaultsLeft) return;
    pass(scene, step.waitMs, 'wait', `${step.waitMs / 1_000} s pass`, isDelayed ? scene.fault : {});
  }
  const { chain } = scene.ground.store.get(scene.world.stored);
  // A node that stands still with something unsent makes no long rest: that would be a long stop.
  const isOpen = chain.attempts.length > 0 || isUndecided(chain);
  const isAtRest = !isOpen && step.step === 'exchange' && step.because === 'next';
  if (isAtRest && !isAnythingOnItsWay(scene)) pass(scene, oldMs, 'wait', 'nobody asks for long', {});
}

function isAnythingOnItsWay({ rest, nodes }: Scene): boolean {
  return rest.strays.length > 0 || nodes.some(({ task }) => task.at === 'sent');
}

function pass(scene: Scene, byMs: number, cause: Cause, name: string, rest: Partial<Rest>): void {
  const world = scene.aged(scene.with({ rest }), byMs);
  if (!isSame(world, scene.world)) scene.emit({ name, cause, world });
}

function isSame(a: World, b: World): boolean {
  return (
    a.stored === b.stored &&
    a.family === b.family &&
    a.nodes[0] === b.nodes[0] &&
    a.nodes[1] === b.nodes[1] &&
    a.rest === b.rest
  );
}

/** The store is as it was after the authorization; nobody holds a lease in it. */
function restore(scene: Scene): void {
  const { rest, rules, ground, world, nodes } = scene;
  if (rest.wasRestored || world.stored === ground.store.first) return;
  const isRestoreKnown = rules.mutant !== 'notices a restore only by what its own journal has';
  const apart = nodes.map((node) => ground.nodeId({ ...node, hasLease: false }));
  const [a = 0, b = 0] = apart;
  const known = {
    ...scene.fault,
    wasRestored: true,
    isRestoreKnown,
    restoring: isRestoreKnown && rules.mutant !== 'restores without journals' ? missing(scene) : 0,
    servedSequence: 1,
  };
  scene.emit({
    name: 'the store is restored',
    cause: 'destruction',
    world: {
      stored: ground.store.first,
      family: world.family,
      nodes: [a, b],
      rest: ground.restId({ ...rest, ...known }),
    },
  });
}
