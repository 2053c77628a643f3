/**
 * A store that fails by plan, for tests of those who rely on it. The plan is data: which calls, from which one on, how
 * often, and what happens. An error after the effect is the hard one: the change was made, and the caller cannot know.
 *
 * State: how often each fault met a call it is about.
 */
import type { ChainEvent } from '../core/chain.ts';
import type { Sealed } from '../core/secret.ts';
import type { Clock } from '../ports/clock.ts';
import type { Chains, Nodes, Page, Records, Store, StoredRecord } from '../ports/store.ts';

export type StoreCall =
  | `chains.${Exclude<keyof Chains, symbol>}`
  | `records.${Exclude<keyof Records, symbol>}`
  | `nodes.${Exclude<keyof Nodes, symbol>}`
  | 'check';

export interface StoreFault {
  readonly on: StoreCall | 'reads' | 'writes' | 'all';
  /** Of `chains.append`: only events of this type. */
  readonly event?: ChainEvent['type'];
  /** How many such calls go well first; 0 by default. */
  readonly skip?: number;
  /** How many calls it then strikes; 1 by default, Infinity for good. */
  readonly times?: number;
  readonly does:
    | { readonly fault: 'error_before' }
    | { readonly fault: 'error_after' }
    | { readonly fault: 'delay'; readonly ms: number }
    /** Of what is read, one character of an answer or a body is another one. Other calls are left alone. */
    | { readonly fault: 'corrupt' };
}

export class InjectedFault extends Error {
  constructor(call: StoreCall, effect: 'before' | 'after') {
    super(`Injected: ${call} failed ${effect} it took effect`);
    this.name = 'InjectedFault';
  }
}

const WRITES: ReadonlySet<StoreCall> = new Set([
  'chains.append',
  'chains.reschedule',
  'records.insert',
  'records.update',
  'records.remove',
  'nodes.join',
  'nodes.beat',
  'nodes.merged',
  'nodes.declareRestore',
  'nodes.mergedFor',
  'nodes.giveUp',
  'nodes.leave',
  'check',
]);

interface Call {
  readonly name: StoreCall;
  readonly event?: ChainEvent['type'];
}

/** `store` with the faults of a plan. `clock` is asked only by delays. */
export function faultyStore(store: Store, plan: readonly StoreFault[], clock?: Pick<Clock, 'sleep'>): Store {
  const met = plan.map(() => 0);

  function strikes(call: Call): StoreFault[] {
    return plan.filter((fault, i) => {
      if (!isAbout(fault, call)) return false;
      const nth = met[i] ?? 0;
      met[i] = nth + 1;
      const skip = fault.skip ?? 0;
      return nth >= skip && nth < skip + (fault.times ?? 1);
    });
  }

  async function through<T>(call: Call, work: () => Promise<T>, corrupt: (result: T) => T): Promise<T> {
    const faults = strikes(call).map((fault) => fault.does);
    for (const fault of faults) if (fault.fault === 'delay') await clock?.sleep(fault.ms);
    if (faults.some((fault) => fault.fault === 'error_before')) throw new InjectedFault(call.name, 'before');
    const result = await work();
    if (faults.some((fault) => fault.fault === 'error_after')) throw new InjectedFault(call.name, 'after');
    return faults.some((fault) => fault.fault === 'corrupt') ? corrupt(result) : result;
  }

  return {
    chains: faultyChains(store.chains, through),
    records: faultyRecords(store.records, through),
    nodes: faultyNodes(store.nodes, through),
    isShared: store.isShared,
    watch: (listener) => store.watch(listener),
    heardAgoMs: () => store.heardAgoMs(),
    check: () => through({ name: 'check' }, () => store.check(), same),
    close: () => store.close(),
  };
}

type Through = <T>(call: Call, work: () => Promise<T>, corrupt: (result: T) => T) => Promise<T>;

function faultyChains(chains: Chains, through: Through): Chains {
  return {
    read: (grant) => through({ name: 'chains.read' }, () => chains.read(grant), same),
    append: (grant, expected, event, dueOf) =>
      through({ name: 'chains.append', event: event.type }, () => chains.append(grant, expected, event, dueOf), same),
    answer: (grant, link) => through({ name: 'chains.answer' }, () => chains.answer(grant, link), altered),
    holders: (fingerprint) => through({ name: 'chains.holders' }, () => chains.holders(fingerprint), same),
    history: (grant, page) => through({ name: 'chains.history' }, () => chains.history(grant, page), same),
    unsettled: () => through({ name: 'chains.unsettled' }, () => chains.unsettled(), same),
    due: (by, limit) => through({ name: 'chains.due' }, () => chains.due(by, limit), same),
    reschedule: (grant, expected, at) =>
      through({ name: 'chains.reschedule' }, () => chains.reschedule(grant, expected, at), same),
    count: () => through({ name: 'chains.count' }, () => chains.count(), same),
  };
}

function faultyRecords(records: Records, through: Through): Records {
  return {
    insert: (kind, id, body, terms) =>
      through({ name: 'records.insert' }, () => records.insert(kind, id, body, terms), same),
    update: (kind, id, version, body, terms) =>
      through({ name: 'records.update' }, () => records.update(kind, id, version, body, terms), same),
    remove: (kind, id) => through({ name: 'records.remove' }, () => records.remove(kind, id), same),
    get: (kind, id) => through({ name: 'records.get' }, () => records.get(kind, id), alteredRecord),
    find: (kind, name, value) =>
      through({ name: 'records.find' }, () => records.find(kind, name, value), alteredRecord),
    list: (kind, query) => through({ name: 'records.list' }, () => records.list(kind, query), alteredPage),
  };
}

function faultyNodes(nodes: Nodes, through: Through): Nodes {
  return {
    join: (me, folder, leaseMs) => through({ name: 'nodes.join' }, () => nodes.join(me, folder, leaseMs), same),
    beat: (me, leaseMs) => through({ name: 'nodes.beat' }, () => nodes.beat(me, leaseMs), same),
    merged: (node, upTo) => through({ name: 'nodes.merged' }, () => nodes.merged(node, upTo), same),
    declareRestore: () => through({ name: 'nodes.declareRestore' }, () => nodes.declareRestore(), same),
    mergedFor: (node, restore) => through({ name: 'nodes.mergedFor' }, () => nodes.mergedFor(node, restore), same),
    giveUp: (node) => through({ name: 'nodes.giveUp' }, () => nodes.giveUp(node), same),
    leave: (me) => through({ name: 'nodes.leave' }, () => nodes.leave(me), same),
    view: () => through({ name: 'nodes.view' }, () => nodes.view(), same),
  };
}

function isAbout(fault: StoreFault, call: Call): boolean {
  if (fault.event !== undefined && fault.event !== call.event) return false;
  if (fault.on === 'all') return true;
  if (fault.on === 'writes') return WRITES.has(call.name);
  if (fault.on === 'reads') return !WRITES.has(call.name);
  return fault.on === call.name;
}

function same<T>(result: T): T {
  return result;
}

function altered(sealed: Sealed | null): Sealed | null {
  return sealed === null ? null : (flipLast(sealed) as Sealed);
}

function alteredRecord(record: StoredRecord | null): StoredRecord | null {
  return record === null ? null : { ...record, body: flipLast(record.body) };
}

function alteredPage(page: Page<StoredRecord>): Page<StoredRecord> {
  return { ...page, items: page.items.map((one) => ({ ...one, body: flipLast(one.body) })) };
}

function flipLast(text: string): string {
  return `${text.slice(0, -1)}${text.endsWith('A') ? 'B' : 'A'}`;
}
