/** The moves of a node that is up, one for each place at which its process may stop. */
import { type Attempt, type Chain, type ChainEvent, publishedLink } from '../../core/chain.ts';
import { deferralMs, HORIZON_MS, REQUEST_TIMEOUT_MS, SEND_WITHIN_MS, type Step } from '../../core/next-step.ts';
import { classOf, rejectsReuse } from '../../core/rotation-policy.ts';
import { momentOfAge } from './moments.ts';
import type { Note, Scene } from './moves.ts';
import { type Answer, bit, DEAD, TOO_EARLY } from './provider.ts';
import { fingerprintOf, linkName, NODES, SEALED, tokenOf } from './shared-store.ts';
import { type Exchange, IDLE, type JournalRecord, type NodeState, type Task } from './world.ts';

const SAID = { status: 400, error: 'invalid_grant', description: null } as const;

export function nodeMoves(scene: Scene, me: 0 | 1): void {
  const node = scene.node(me);
  const { task } = node;
  if (scene.rules.mutant === 'calls a journal read while its node awaits an answer') rejoinEarly(scene, me);
  switch (task.at) {
    case 'idle':
      if (node.hasLease) work(scene, me);
      else rejoin(scene, me);
      return;
    case 'merging':
      merge(scene, me, task);
      return;
    case 'intended':
      send(scene, me, task.exchange);
      return;
    case 'unconfirmed':
      append(scene, me, `take back ${task.exchange.link}`, notSent(task.exchange), { task: IDLE });
      return;
    case 'sent':
      answer(scene, me, task.exchange);
      return;
    case 'silent':
      if (task.forMs >= REQUEST_TIMEOUT_MS) {
        move(scene, me, 'awaits it no longer', { task: { at: 'unanswered', exchange: task.exchange } });
      }
      return;
    case 'unanswered':
      append(scene, me, `lost ${task.exchange.link}`, lost(task.exchange.link, 'no_answer', false), { task: IDLE });
      return;
    case 'answered':
      move(scene, me, 'receives the answer', { task: { ...task, at: 'received' } });
      return;
    case 'received':
      keep(scene, me, task);
      return;
    case 'journaled':
    case 'unjournaled':
      enter(scene, me, task);
      return;
    case 'stored':
      move(scene, me, 'settles its record', { task: IDLE, journal: settled(scene, node, task.exchange.link) });
  }
}

type Answered = Extract<Task, { answer: Answer }>;

function move(scene: Scene, me: 0 | 1, what: string, change: Partial<NodeState>, note?: Note): void {
  scene.emit({
    name: `${NODES[me]} ${what}`,
    cause: 'keeper',
    world: scene.with({ me: [me, change] }),
    ...(note ? { note } : {}),
  });
}

function append(scene: Scene, me: 0 | 1, name: string, event: () => ChainEvent, change: Partial<NodeState>): void {
  const stored = scene.ground.store.append(scene.world.stored, name, event);
  scene.emit({ name: `${NODES[me]}: ${name}`, cause: 'keeper', world: scene.with({ stored, me: [me, change] }) });
}

/** An idle node with a lease: the other's attempts first, then whatever the chain wants. */
function work(scene: Scene, me: 0 | 1): void {
  const { store } = scene.ground;
  const { chain } = store.get(scene.world.stored);
  const other = me === 0 ? 1 : 0;
  const cut = chain.attempts.find((one) => one.lost === null && one.node === NODES[other]);
  if (cut && !scene.node(other).hasLease) takeOver(scene, me, other, cut);
  else decide(scene, me, stepOf(scene));
  prove(scene, me);
}

function takeOver(scene: Scene, me: 0 | 1, other: 0 | 1, cut: Attempt): void {
  const isRead =
    scene.node(other).life === 'given_up' || scene.rules.mutant === 'closes an attempt before its journal is read';
  const name = `takes over ${cut.id}${isRead ? '' : ', unread'}`;
  append(scene, me, name, lost(numberOf(cut.id), 'crash', !isRead), {});
}

function stepOf({ ground, world, rules }: Scene): Step {
  const step = ground.store.step(world.stored);
  if (rules.mutant !== 'breaks while an attempt is unresolved' || step.step !== 'hold') return step;
  const hasty = ground.store.hastyStep(world.stored);
  return hasty.step === 'give_up' ? hasty : step;
}

function decide(scene: Scene, me: 0 | 1, step: Step): void {
  switch (step.step) {
    case 'publish':
      publish(scene, me, numberOf(step.link));
      return;
    case 'give_up': {
      if (scene.rest.restoring) return;
      const event: ChainEvent = { type: 'broken', at: momentOfAge(0), diagnosis: step.diagnosis };
      const stored = scene.ground.store.append(scene.world.stored, 'broken', () => event);
      const name = `${NODES[me]}: broken (${step.diagnosis.code})`;
      scene.emit({ name, cause: 'keeper', world: scene.with({ stored }), note: { isBroken: true } });
      return;
    }
    case 'exchange':
      if (step.waitMs === 0) start(scene, me, step);
      return;
    case 'none':
    case 'await':
    case 'hold':
      return;
  }
}

function publish(scene: Scene, me: 0 | 1, link: number): void {
  const { store } = scene.ground;
  const { chain } = store.get(scene.world.stored);
  const found = chain.links.find((one) => one.id === linkName(link));
  if (!found) return;
  const event: ChainEvent = { type: 'published', at: momentOfAge(0), link: found.id };
  const stored = store.append(scene.world.stored, `publish ${link}`, () => event);
  const token = tokenOf(found.fingerprint);
  const { sequence } = found;
  scene.emit({
    name: `${NODES[me]}: publish ${link}`,
    cause: 'keeper',
    world: scene.with({ stored, rest: { served: scene.rest.served | bit(token), servedSequence: sequence } }),
    note: { published: { token, sequence } },
  });
}

function start(scene: Scene, me: 0 | 1, step: Step & { step: 'exchange' }): void {
  const { rest, rules, ground, world } = scene;
  const isNext = step.because === 'next';
  if (!mayStart(scene) || (isNext && rest.rounds >= rules.mostRounds)) return;
  // After the horizon a request that is still on its way counts as delayed by a fault.
  const isDelayed = !ground.subject.timing && waitsForHorizon(scene) && !isNext && rest.strays.length > 0;
  if (isDelayed && !scene.hasFaultsLeft) return;
  const { chain } = ground.store.get(world.stored);
  const presented = chain.links.find((one) => one.id === step.present);
  if (!presented) return;
  const exchange: Exchange = {
    link: rest.exchanges + 1,
    presented: numberOf(step.present),
    token: tokenOf(presented.fingerprint),
    sequence: chain.nextSequence,
    startedAgoMs: 0,
  };
  const event: ChainEvent = {
    type: 'started',
    at: momentOfAge(0),
    id: linkName(exchange.link),
    presented: step.present,
    node: NODES[me],
    run: 'run',
  };
  const stored = ground.store.append(world.stored, `start ${NODES[me]} ${exchange.link} ${step.present}`, () => event);
  const after = {
    exchanges: exchange.link,
    rounds: rest.rounds + (isNext ? 1 : 0),
    ...(isDelayed ? scene.fault : {}),
  };
  const name = `${NODES[me]}: start ${exchange.link} with t${exchange.token} (${step.because})`;
  const note = { presented: exchange.token };
  const cause = 'keeper';
  scene.emit({
    name,
    cause,
    world: scene.with({ stored, rest: after, me: [me, { task: { at: 'intended', exchange } }] }),
    note,
  });
  if (!scene.hasFaultsLeft || isDelayed) return;
  const task: Task = { at: 'unconfirmed', exchange };
  scene.emit({
    name: `${name}, unconfirmed`,
    cause,
    world: scene.with({ stored, rest: { ...after, ...scene.fault }, me: [me, { task }] }),
  });
}

/** As `mayStart` of the cluster: while journals are missing, only where a dead token does no more harm than an error. */
function mayStart({ rest, ground }: Scene): boolean {
  const { policy } = ground.subject;
  return rest.restoring === 0 || rejectsReuse(policy) || classOf(policy).class === 'durable';
}

function waitsForHorizon({ ground }: Scene): boolean {
  return !rejectsReuse(ground.subject.policy);
}

/** The account check after an exchange showed that the API takes the access token. */
function prove(scene: Scene, me: 0 | 1): void {
  const { ground, world } = scene;
  const { overlap } = ground.subject.policy;
  if (!overlap.successorUnused || overlap.successorUse === 'refresh') return;
  const { chain } = ground.store.get(world.stored);
  const link = publishedLink(chain);
  if (!link || link.status === 'proven' || link.counter === 0) return;
  if (!ground.provider.isActivated(world.family, tokenOf(link.fingerprint))) return;
  append(scene, me, `proven ${link.id}`, () => ({ type: 'proven', at: momentOfAge(0), link: link.id }), {});
}

/** Back from a pause, or after a restore: the journal first. */
function rejoin(scene: Scene, me: 0 | 1): void {
  const { rest, rules } = scene;
  const notices =
    rest.wasRestored && !rest.isRestoreKnown && scene.node(me).journal.some((one) => one.isSettled && one.answer >= 0);
  const restoring = notices ? missing(scene) : rest.restoring;
  const isWhole = (restoring & bit(me)) !== 0 && rules.mutant !== 'restores without journals';
  const task: Task = { at: 'merging', next: 0, isRestart: false, isWhole };
  scene.emit({
    name: `${NODES[me]} takes its lease again`,
    cause: 'keeper',
    world: scene.with({
      me: [me, { hasLease: true, task }],
      rest: { restoring, isRestoreKnown: rest.isRestoreKnown || notices },
    }),
  });
}

/** Nodes whose journals are waited for after a restore. */
export function missing(scene: Scene): number {
  return scene.nodes.reduce((bits, { life }, i) => (life === 'given_up' ? bits : bits | bit(i)), 0);
}

/** A mutant: the lease comes back, and with it the word that the journal is read, before the exchange is over. */
function rejoinEarly(scene: Scene, me: 0 | 1): void {
  const { hasLease, task } = scene.node(me);
  if (hasLease || !('exchange' in task)) return;
  append(scene, me, `consulted ${NODES[me]}`, consulted(me), { hasLease: true });
}

/** One record of the journal, or what follows when there is none left. */
function merge(scene: Scene, me: 0 | 1, task: Task & { at: 'merging' }): void {
  const node = scene.node(me);
  const at = node.journal.findIndex((one, i) => i >= task.next && isToMerge(one, task.isWhole));
  const record = node.journal[at];
  if (record) {
    const journal = settled(scene, node, record.exchange.link);
    const next = at + 1 - (node.journal.length - journal.length);
    const stored = recorded(scene, eventName('merge', record), record);
    const name = `${NODES[me]}: ${eventName('merge', record)}`;
    scene.emit({
      name,
      cause: 'keeper',
      world: scene.with({ stored, me: [me, { task: { ...task, next }, journal }] }),
    });
    return;
  }
  const { chain } = scene.ground.store.get(scene.world.stored);
  const open = chain.attempts.find((one) => one.node === NODES[me] && one.lost === null);
  if (task.isRestart && open) {
    append(scene, me, `closes ${open.id}`, lost(numberOf(open.id), 'crash', false), {});
    return;
  }
  if (chain.attempts.some((one) => one.node === NODES[me] && one.lost?.isUnread)) {
    append(scene, me, `consulted ${NODES[me]}`, consulted(me), {});
    return;
  }
  // Where the store was restored while it merged, it has to begin anew.
  const restoring = task.isWhole ? scene.rest.restoring & ~bit(me) : scene.rest.restoring;
  const world = scene.with({ me: [me, { task: IDLE }], rest: { restoring } });
  scene.emit({ name: `${NODES[me]} has merged its journal`, cause: 'keeper', world });
}

/** What the store may not have; and after a restore, all that gave a token. */
function isToMerge({ isSettled, answer: given }: JournalRecord, isWhole: boolean): boolean {
  return !isSettled || (isWhole && given >= 0);
}

function send(scene: Scene, me: 0 | 1, exchange: Exchange): void {
  const isLate = exchange.startedAgoMs > SEND_WITHIN_MS;
  const isApart = !scene.node(me).hasLease;
  // A process that was paused wakes before or after its last look at the clock.
  if (isLate || isApart) append(scene, me, `take back ${exchange.link}`, notSent(exchange), { task: IDLE });
  if (!isLate || isApart) move(scene, me, `sends t${exchange.token}`, { task: { at: 'sent', exchange } });
}

/** The provider processes the request. */
function answer(scene: Scene, me: 0 | 1, exchange: Exchange): void {
  const { family, answer: given } = scene.ground.provider.present(scene.world.family, exchange.token);
  const task: Task = { at: 'answered', exchange, answer: given, answeredAgoMs: 0 };
  const name = `provider answers ${NODES[me]}: ${given === DEAD ? 'dead' : given === TOO_EARLY ? 'too early' : `t${given}`}`;
  const cause = isOvertaken(scene, exchange) ? 'stray' : 'keeper';
  const { isAsleep } = scene.node(me);
  const rest = given >= 0 ? { stoodStillMs: 0 } : {};
  scene.emit({ name, cause, world: scene.with({ family, me: [me, { isAsleep, task }], rest }) });
}

/** Its sender was paused meanwhile, or it lay on the way, until the others rightly went on without it. */
function isOvertaken({ ground, world }: Scene, { link, startedAgoMs }: Exchange): boolean {
  if (startedAgoMs > HORIZON_MS) return true;
  const { chain } = ground.store.get(world.stored);
  const isOpen = chain.attempts.some((one) => one.id === linkName(link) && one.lost === null);
  return !isOpen && ground.subject.rule.class === 'window';
}

function keep(scene: Scene, me: 0 | 1, task: Answered): void {
  const node = scene.node(me);
  const { exchange, answer: received, answeredAgoMs } = task;
  const record = { exchange, answer: received, answeredAgoMs, isSettled: false };
  move(scene, me, 'journals the answer', { task: { ...task, at: 'journaled' }, journal: [...node.journal, record] });
  if (scene.hasFaultsLeft) {
    const world = scene.with({ me: [me, { task: { ...task, at: 'unjournaled' } }], rest: scene.fault });
    scene.emit({ name: `${NODES[me]}'s journal refuses`, cause: 'loss', world });
  }
  if (scene.rules.mutant === 'publishes before it is durable' && received >= 0)
    serveEarly(scene, me, exchange, received);
}

/** A mutant: the access token leaves before anything is written. */
function serveEarly(scene: Scene, me: 0 | 1, exchange: Exchange, token: number): void {
  if (scene.rest.served & bit(token)) return;
  const world = scene.with({ rest: { served: scene.rest.served | bit(token) } });
  const note = { published: { token, sequence: exchange.sequence } };
  scene.emit({ name: `${NODES[me]} serves before it stores`, cause: 'keeper', world, note });
}

/** The answer goes into the chain, whoever holds the lease by now. */
function enter(scene: Scene, me: 0 | 1, task: Answered): void {
  const { mutant } = scene.rules;
  const node = scene.node(me);
  const { exchange } = task;
  if (mutant === 'refuses to append without the lease' && !node.hasLease) {
    move(scene, me, 'drops the answer', { task: IDLE, journal: settled(scene, node, exchange.link, true) });
    return;
  }
  const name = eventName('store', task);
  const isOverwriting = mutant === 'overwrites instead of appending' && task.answer >= 0;
  const stored = isOverwriting
    ? scene.ground.store.overwrite(scene.world.stored, name, eventOf(task))
    : recorded(scene, name, task);
  const done: Partial<NodeState> = { task: { ...task, at: 'stored' } };
  scene.emit({ name: `${NODES[me]}: ${name}`, cause: 'keeper', world: scene.with({ stored, me: [me, done] }) });
  if (!scene.hasFaultsLeft || task.answer < 0) return;
  const world = scene.with({ stored, rest: scene.fault });
  scene.emit({ name: `${NODES[me]}: ${name}, unconfirmed`, cause: 'keeper', world });
}

/** The chain after an answer was recorded in it, whether it has just arrived or is found in a journal. */
function recorded({ ground, world }: Scene, name: string, kept: Kept): number {
  const deferred = (chain: Chain): ChainEvent => {
    const forMs = deferralMs(chain, ground.subject.policy, 'too_early', null);
    return { type: 'deferred', at: momentOfAge(kept.answeredAgoMs), deferral: { why: 'too_early', forMs, said: null } };
  };
  return ground.store.append(world.stored, name, eventOf(kept), kept.answer === TOO_EARLY ? deferred : undefined);
}

/** Without records that nobody will read again: refusals, and all where no restore can follow. `isDropped`: this one. */
function settled(scene: Scene, { journal }: NodeState, link: number, isDropped = false): readonly JournalRecord[] {
  const { wasRestored, restoring } = scene.rest;
  const isUseful = restoring !== 0 || (!wasRestored && scene.hasFaultsLeft);
  const marked = journal.map((one) => (one.exchange.link === link ? { ...one, isSettled: true } : one));
  return marked.filter(
    (one) => !one.isSettled || (isUseful && one.answer >= 0 && !(isDropped && one.exchange.link === link)),
  );
}

interface Kept {
  readonly exchange: Exchange;
  readonly answer: Answer;
  readonly answeredAgoMs: number;
}

function eventName(what: string, { exchange, answer: kept, answeredAgoMs }: Kept): string {
  const { link, presented, sequence, startedAgoMs } = exchange;
  return `${what} ${link}<${presented} #${sequence} ${kept} ${startedAgoMs} ${answeredAgoMs}`;
}

/** What `recordAnswer` appends for an answer, from the wire or from a journal. */
function eventOf({ exchange, answer: kept, answeredAgoMs }: Kept): () => ChainEvent {
  return () => {
    const at = momentOfAge(answeredAgoMs);
    const id = linkName(exchange.link);
    if (kept < 0) return { type: 'refused', at, id, means: kept === DEAD ? 'invalid_grant' : 'too_early', said: SAID };
    const link = {
      id,
      fingerprint: fingerprintOf(kept),
      node: 'any',
      requestedAt: momentOfAge(exchange.startedAgoMs),
      receivedAt: at,
      accessTokenLifeMs: 600_000,
      scope: null,
    };
    const { sequence } = exchange;
    return { type: 'received', at, link, parent: linkName(exchange.presented), sequence, answer: SEALED };
  };
}

function notSent({ link }: Exchange): () => ChainEvent {
  return () => ({ type: 'not_sent', at: momentOfAge(0), id: linkName(link), reason: '' });
}

function lost(link: number, reason: 'no_answer' | 'crash', isUnread: boolean): () => ChainEvent {
  const unread = isUnread ? { isUnread } : {};
  return () => ({ type: 'lost', at: momentOfAge(0), id: linkName(link), reason, said: null, ...unread });
}

export function consulted(me: 0 | 1): () => ChainEvent {
  return () => ({ type: 'consulted', at: momentOfAge(0), node: NODES[me] });
}

function numberOf(link: string): number {
  return Number(link.slice(4));
}
