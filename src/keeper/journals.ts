/**
 * The journals of all nodes, as an operator looks after them: whose is awaited, what to do with that of a node that will
 * not come back. Each node merges its own; another's is brought in from its folder, or given up.
 */
import { EvergrantError } from '../core/errors.ts';
import type { GrantId, NodeId } from '../core/id.ts';
import type { JournalRecord } from '../ports/journal.ts';
import { SealBroken } from '../ports/sealer.ts';
import type { ClusterView, NodeRecord } from '../ports/store.ts';
import { chainsWaitingFor, consult, grantsByNode } from './consult.ts';
import type { GrantRegistry } from './grants.ts';
import { joinOf } from './join.ts';
import type { Journals, MergedRecords } from './keeper.ts';
import { brought, othersAreToMerge } from './merge-journal.ts';
import type { KeeperParts } from './parts.ts';
import { Intents, recall } from './recall.ts';
import { grantsWith } from './records.ts';
import { bringIn, type BroughtIn, type WorkOf } from './restore.ts';

/** `wake` takes a chain as far as it goes; `changed` has it read again when it is next needed. */
export function journals(
  parts: KeeperParts,
  registry: GrantRegistry,
  workOf: WorkOf,
  wake: (grant: GrantId) => void,
  changed: (grant: GrantId) => void,
): Journals {
  const { store, journal } = parts;

  return {
    async status() {
      const view = await store.nodes.view();
      const waiting = await grantsByNode(parts);
      const figures = await journal.figures();
      return {
        node: parts.node,
        isRestoring: view.restore !== null && view.nodes.some((one) => !isThrough(one, view)),
        journal: { ...figures, settledUpTo: journal.settledUpTo(), told: journal.lastTold },
        nodes: view.nodes.map((one) => ({
          id: one.id,
          isHere: isHere(parts, one),
          merged: one.merged,
          isGivenUp: one.isGivenUp,
          isAwaited: !isThrough(one, view),
          grants: waiting.get(one.id) ?? 0,
        })),
      };
    },

    async merge(records, of) {
      const mine = new Set([...of, ...records.map((one) => one.node)]);
      const view = await store.nodes.view();
      for (const one of view.nodes) if (mine.has(one.id) && one.id !== parts.node) assertGone(parts, one);
      const mayWait = await othersAreToMerge(parts, mine);
      const merged = await bringAll(parts, registry, workOf, records, mayWait);
      for (const grant of new Set(records.map((one) => one.grant))) {
        changed(grant);
        const join = await joinOf(parts, grant);
        if (join) changed(join.into);
      }
      for (const node of of) {
        if (node !== parts.node) await store.nodes.giveUp(node);
        if (view.restore !== null) await store.nodes.mergedFor(node, view.restore);
        merged.grants.push(...(await consult(parts, workOf, node, wake)));
      }
      return merged;
    },

    async abandon(node) {
      const view = await store.nodes.view();
      const known = view.nodes.find((one) => one.id === node);
      if (!known) throw noSuchNode();
      assertGone(parts, known);
      const isAwaited = !isThrough(known, view);
      const concerned = isAwaited ? await markAll(parts, node, changed) : [...(await chainsWaitingFor(parts, node))];
      await store.nodes.giveUp(node);
      await consult(parts, workOf, node, wake);
      parts.log.warn('The journal of a node was given up.', { node, grants: concerned.length });
      return { grants: concerned, isAfterRestore: isAwaited };
    },
  };
}

/** Nobody waits for this node after a restore; also where there was none. */
function isThrough(node: NodeRecord, { restore }: ClusterView): boolean {
  return restore === null || node.isGivenUp || node.mergedFor === restore;
}

/** Where the store is not shared, nobody but this node can be running. */
function isHere({ store, node }: KeeperParts, { id, leaseLeftMs }: NodeRecord): boolean {
  return id === node || (store.isShared && leaseLeftMs > 0);
}

function assertGone(parts: KeeperParts, node: NodeRecord): void {
  if (!isHere(parts, node)) return;
  throw new EvergrantError('in_use', `The node ${node.id} is running, and merges its journal itself.`, {
    remedy: 'Nothing to do. If it is to go, stop it first.',
  });
}

function noSuchNode(): EvergrantError {
  return new EvergrantError('not_found', 'There is no node with this id.', {
    remedy: 'See which there are: evergrant journal status',
  });
}

interface Bringing extends MergedRecords {
  readonly grants: GrantId[];
}

async function bringAll(
  parts: KeeperParts,
  registry: GrantRegistry,
  workOf: WorkOf,
  records: readonly JournalRecord[],
  mayWait: boolean,
): Promise<Bringing> {
  const counts = { brought: 0, waiting: 0, failed: 0, unreadable: 0 };
  const intents = new Intents<null>();
  for (const record of records) {
    const before = intents.next(record, null).map(({ intent }) => intent);
    if (record.purpose === 'intent') continue;
    const outcome = await bringOne(parts, record, () => bringIn(parts, registry, workOf, record, mayWait, before));
    counts[outcome] += 1 + before.length;
  }
  for (const { intent } of intents.left()) {
    counts[await bringOne(parts, intent, () => recall(parts, workOf, intent, mayWait))]++;
  }
  const sealed = records.filter((record) => 'answer' in record).length;
  if (sealed > 0 && counts.unreadable === sealed) throw anotherKey();
  return { ...counts, grants: [] };
}

async function bringOne(
  parts: KeeperParts,
  { grant, link }: JournalRecord,
  bring: () => Promise<BroughtIn>,
): Promise<'brought' | 'waiting' | 'failed' | 'unreadable'> {
  const outcome = await brought(parts, bring);
  if (typeof outcome === 'string') return outcome === 'waiting' ? 'waiting' : 'brought';
  parts.log.error('A record of the journal of another node could not be brought in.', { grant, link }, outcome.failed);
  return outcome.failed instanceof SealBroken ? 'unreadable' : 'failed';
}

function anotherKey(): EvergrantError {
  return new EvergrantError(
    'invalid_request',
    'These records were sealed with another root key. Nothing was changed.',
    {
      remedy: 'Merge the journal of a node of this cluster, or give this server the root key of that one.',
    },
  );
}

/** After a restore nobody can know which chains had newer tokens in a journal that is given up: all of them are told. */
async function markAll(parts: KeeperParts, node: NodeId, changed: (grant: GrantId) => void): Promise<GrantId[]> {
  const { chains } = parts.store;
  const marked: GrantId[] = [];
  for await (const grant of grantsWith(parts.store, [])) {
    const { chain } = await chains.read(grant);
    if (chain.end || chain.generation === 0) continue;
    await chains.append(grant, 'any', { type: 'abandoned', at: parts.clock.moment(), node });
    changed(grant);
    marked.push(grant);
  }
  return marked;
}
