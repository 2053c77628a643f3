/**
 * The explored world: one chain in a store, one family at a provider, two nodes with a journal each, and what lies
 * between them. A world is five numbers; each stands for a part whose rules are elsewhere.
 */
import { REQUEST_TIMEOUT_MS } from '../../core/next-step.ts';
import { createInterner, type Interner, remembered, rememberedOfTwo } from './interner.ts';
import type { Subject } from './classes.ts';
import { type Answer, bit, createProvider, type Provider } from './provider.ts';
import { createSharedStore, type SharedStore } from './shared-store.ts';

/** An exchange as the node that makes it knows it. */
export interface Exchange {
  /** Names its attempt, its journal record and the link it will give. */
  readonly link: number;
  /** The link whose refresh token is presented, and that token. */
  readonly presented: number;
  readonly token: number;
  readonly sequence: number;
  readonly startedAgoMs: number;
}

/** Where a node stands, in the order of `keeper/exchange`. A crash may come at each of these places. */
export type Task =
  | { readonly at: 'idle' }
  /** It has (again) a lease, and brings its journal into the store, record by record. */
  | { readonly at: 'merging'; readonly next: number; readonly isRestart: boolean; readonly isWhole: boolean }
  | { readonly at: 'intended'; readonly exchange: Exchange }
  /** The store did not confirm the intent: nothing is sent, and it is taken back. */
  | { readonly at: 'unconfirmed'; readonly exchange: Exchange }
  | { readonly at: 'sent'; readonly exchange: Exchange }
  /** No answer will come, and it is awaited still. */
  | { readonly at: 'silent'; readonly exchange: Exchange; readonly forMs: number }
  /** The connection ended without an answer. */
  | { readonly at: 'unanswered'; readonly exchange: Exchange }
  /** answered: on the wire. received: in memory. journaled, unjournaled: the journal has it, or refused it. */
  | {
      readonly at: 'answered' | 'received' | 'journaled' | 'unjournaled' | 'stored';
      readonly exchange: Exchange;
      readonly answer: Answer;
      readonly answeredAgoMs: number;
    };

export interface JournalRecord {
  readonly exchange: Exchange;
  readonly answer: Answer;
  readonly answeredAgoMs: number;
  readonly isSettled: boolean;
}

export interface NodeState {
  /** gone: for good, and its journal with it. given_up: an operator said so. */
  readonly life: 'up' | 'down' | 'gone' | 'given_up';
  readonly hasLease: boolean;
  /** It was paused, and has done nothing since. Told apart only where time counts: elsewhere any pause may last. */
  readonly isAsleep: boolean;
  readonly task: Task;
  readonly journal: readonly JournalRecord[];
}

/** Everything else that a world remembers. */
export interface Rest {
  /** Requests on their way whose sender no longer listens: the token that each presents. */
  readonly strays: readonly number[];
  /** Nodes, as bits, that have not merged their journals since the store was restored. */
  readonly restoring: number;
  readonly wasRestored: boolean;
  /** Whether the nodes know that it was. */
  readonly isRestoreKnown: boolean;
  /** Refresh tokens, as bits, whose access token left the keeper. */
  readonly served: number;
  readonly servedSequence: number;
  /** Exchanges of unused tokens that were started. */
  readonly rounds: number;
  readonly exchanges: number;
  readonly faults: number;
  /** A stop of everything was longer than a window leaves room for. */
  readonly wasLate: boolean;
  /** Since the provider's spacing is over after an exchange: time in which faults let nobody do anything. */
  readonly stoodStillMs: number;
}

export interface World {
  readonly stored: number;
  readonly family: number;
  readonly nodes: readonly [number, number];
  readonly rest: number;
}

/** What all worlds of one exploration share. */
export interface Ground {
  readonly subject: Subject;
  readonly store: SharedStore;
  readonly provider: Provider;
  readonly nodes: Interner<NodeState>;
  readonly rests: Interner<Rest>;
  readonly start: World;
  readonly nodeId: (node: NodeState) => number;
  readonly restId: (rest: Rest) => number;
  /** Refresh tokens, as bits, that a node has on disk. */
  readonly journalTokens: (node: number) => number;
  /** Refresh tokens, as bits, that a node has in memory or will read from an open connection. */
  readonly volatileTokens: (node: number) => number;
  agedNode(node: number, byMs: number): number;
  /** Without records that nobody will read again, where these tokens (as bits) are in the store for good. */
  shedNode(node: number, tokens: number): number;
  /** The same world with its nodes in one order of the two: they are alike, so half of all worlds need no look. */
  ordered(world: World): { readonly world: World; readonly isSwapped: boolean };
}

/** A lease lasts this long after the last sign of life. */
export const LEASE_MS = 10_000;

export const IDLE: Task = { at: 'idle' };

export function createGround(subject: Subject, isWhole: boolean): Ground {
  const store = createSharedStore(subject, isWhole);
  const provider = createProvider(subject);
  const nodes = createInterner<NodeState>();
  const rests = createInterner<Rest>();
  const nodeId = (node: NodeState): number => nodes.id(keyOfNode(node), () => node);
  const restId = (rest: Rest): number => rests.id(keyOfRest(rest), () => rest);
  const oldMs = subject.timing?.oldMs ?? 0;
  const first = nodeId({ life: 'up', hasLease: true, isAsleep: false, task: IDLE, journal: [] });
  const swappedRest = remembered((id: number) => {
    const rest = rests.get(id);
    return restId({ ...rest, restoring: ((rest.restoring & 1) << 1) | (rest.restoring >> 1) });
  });
  const olderNode = rememberedOfTwo((node, byMs) => nodeId(agedNode(nodes.get(node), byMs, oldMs)));
  const shedNode = rememberedOfTwo((node, stored) => nodeId(shedRecords(nodes.get(node), stored)));
  const journaled: number[] = [];
  const volatile: number[] = [];
  return {
    subject,
    store,
    provider,
    nodes,
    rests,
    start: {
      stored: store.first,
      family: provider.first,
      nodes: [first, first],
      rest: restId({
        strays: [],
        restoring: 0,
        wasRestored: false,
        isRestoreKnown: false,
        served: bit(0),
        servedSequence: 1,
        rounds: 0,
        exchanges: 0,
        faults: 0,
        wasLate: false,
        stoodStillMs: 0,
      }),
    },
    nodeId,
    restId,
    journalTokens: (node) => (journaled[node] ??= tokensOnDisk(nodes.get(node))),
    volatileTokens: (node) => (volatile[node] ??= tokensInMemory(nodes.get(node))),
    agedNode: (node, byMs) => (subject.timing ? olderNode(node, byMs) : node),
    shedNode,
    ordered(world) {
      const [a, b] = world.nodes;
      if (a <= b) return { world, isSwapped: false };
      const stored = store.swapped(world.stored);
      return { world: { ...world, stored, nodes: [b, a], rest: swappedRest(world.rest) }, isSwapped: true };
    },
  };
}

function tokensOnDisk({ life, journal }: NodeState): number {
  if (life === 'gone' || life === 'given_up') return 0;
  return journal.reduce((bits, { answer }) => (answer >= 0 ? bits | bit(answer) : bits), 0);
}

function tokensInMemory({ life, task }: NodeState): number {
  if (life !== 'up' || !('answer' in task) || task.at === 'stored') return 0;
  return task.answer >= 0 ? bit(task.answer) : 0;
}

function agedNode(node: NodeState, byMs: number, oldMs: number): NodeState {
  const older = (agoMs: number): number => Math.min(oldMs, agoMs + byMs);
  const olderExchange = (one: Exchange): Exchange => ({ ...one, startedAgoMs: older(one.startedAgoMs) });
  const { task } = node;
  const hasLease = node.hasLease && (node.life === 'up' || byMs < LEASE_MS);
  return {
    ...node,
    hasLease,
    task: !('exchange' in task)
      ? task
      : {
          ...task,
          exchange: olderExchange(task.exchange),
          ...('answer' in task ? { answeredAgoMs: older(task.answeredAgoMs) } : {}),
          ...(task.at === 'silent' ? { forMs: Math.min(REQUEST_TIMEOUT_MS, task.forMs + byMs) } : {}),
        },
    journal: node.journal.map((one) => ({
      ...one,
      exchange: olderExchange(one.exchange),
      answeredAgoMs: older(one.answeredAgoMs),
    })),
  };
}

function shedRecords(node: NodeState, tokens: number): NodeState {
  const { task, journal } = node;
  if (task.at === 'merging' && task.isWhole) return node;
  const isRead = ({ isSettled, answer }: JournalRecord): boolean =>
    !isSettled || (answer >= 0 && !(tokens & bit(answer)));
  const kept = journal.filter(isRead);
  if (kept.length === journal.length) return node;
  const next =
    task.at === 'merging' ? { task: { ...task, next: journal.slice(0, task.next).filter(isRead).length } } : {};
  return { ...node, ...next, journal: kept };
}

function keyOfExchange(one: Exchange): string {
  return `${one.link},${one.presented},${one.token},${one.sequence},${one.startedAgoMs}`;
}

function keyOfNode({ life, hasLease, isAsleep, task, journal }: NodeState): string {
  let key = `${life}${hasLease ? '+' : '-'}${isAsleep ? 'z' : ''}${task.at}`;
  if ('exchange' in task) key += `:${keyOfExchange(task.exchange)}`;
  if ('answer' in task) key += `:${task.answer},${task.answeredAgoMs}`;
  if (task.at === 'silent') key += `:${task.forMs}`;
  if (task.at === 'merging') key += `:${task.next},${task.isRestart},${task.isWhole}`;
  for (const one of journal) {
    key += `|${keyOfExchange(one.exchange)},${one.answer},${one.answeredAgoMs},${one.isSettled}`;
  }
  return key;
}

function keyOfRest(rest: Rest): string {
  const flags = (rest.wasRestored ? 1 : 0) + (rest.isRestoreKnown ? 2 : 0) + (rest.wasLate ? 4 : 0);
  return `${rest.strays.join(',')}|${rest.restoring},${flags},${rest.served},${rest.servedSequence},${rest.rounds},${rest.exchanges},${rest.faults},${rest.stoodStillMs}`;
}
