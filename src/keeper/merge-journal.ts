/**
 * Bringing into the store what the journal has and the store has not: what came just before a crash, and, where the
 * store was restored from an older backup, all that came since. Oldest first, for each is the parent of the next; every
 * record may be brought again without harm, and one that cannot be brought stops no other.
 */
import type { NodeId } from '../core/id.ts';
import type { Journal, NumberedRecord } from '../ports/journal.ts';
import { StoreFailure } from '../ports/store.ts';
import type { GrantRegistry } from './grants.ts';
import type { KeeperParts } from './parts.ts';
import { type Intent, Intents, recall } from './recall.ts';
import { bringIn, type BroughtIn, type WorkOf } from './restore.ts';

export interface Merged {
  readonly brought: number;
  /** They stay in the journal, and the next merge tries them again. */
  readonly failed: number;
  /** Their chain began in the journal of another node, which has not been merged yet. */
  readonly waiting: number;
}

/**
 * Brings in every record above `since`, the number that the store keeps for this node. To be called again once the
 * other nodes have merged too: what was waiting for them joins then. `isAnyMissing`: one that is not here yet may know of
 * a restore.
 */
export async function mergeJournal(
  parts: KeeperParts,
  registry: GrantRegistry,
  workOf: WorkOf,
  since: number,
  isAnyMissing: boolean,
): Promise<Merged> {
  const { journal, log } = parts;
  journal.continueAfter(since);
  // A restore that comes while this goes on is not yet merged for.
  const { restore } = await parts.store.nodes.view();
  const mayWait = isAnyMissing || (await othersAreToMerge(parts, new Set([parts.node])));
  const counts = { brought: 0, failed: 0, waiting: 0 };
  const intents = new Intents<NumberedRecord>();
  for await (const numbered of journal.since(Math.min(since, journal.settledUpTo()))) {
    const { record } = numbered;
    const before = intents.next(record, numbered);
    if (record.purpose === 'intent') continue;
    const told = before.map(({ intent }) => intent);
    const work = () => bringIn(parts, registry, workOf, record, mayWait, told);
    counts[await bringOne(parts, numbered, before, work)]++;
  }
  for (const { intent, held } of intents.left()) {
    counts[await bringOne(parts, held, [], () => recall(parts, workOf, intent, mayWait))]++;
  }
  // A node alone keeps its store telling of the restore for a while; see `Cluster`.
  if (parts.store.isShared || !isStoreOlder(journal, since)) await tell(parts, journal.settledUpTo());
  await tellRestored(parts, restore, counts.waiting > 0);
  if (counts.waiting > 0)
    log.warn('Records of the journal wait for those of other nodes.', { records: counts.waiting });
  return counts;
}

/** So often a record is tried while the store works otherwise. */
const TRIES = 3;

/**
 * Brings one record. That the store fails is no fault of the record: it is tried again, and where the store is away this
 * rejects, and everything is to be done again. Resolves with the reason where the record cannot be brought.
 */
export async function brought(
  { store }: KeeperParts,
  bring: () => Promise<BroughtIn>,
): Promise<BroughtIn | { readonly failed: unknown }> {
  for (let triesLeft = TRIES - 1; ; triesLeft--) {
    try {
      return await bring();
    } catch (cause) {
      if (!(cause instanceof StoreFailure) || triesLeft === 0) return { failed: cause };
      await store.check();
    }
  }
}

/** The intents go with the record that ended them: where it has to be brought again, so have they. */
async function bringOne(
  parts: KeeperParts,
  numbered: NumberedRecord,
  intents: readonly Intent<NumberedRecord>[],
  bring: () => Promise<BroughtIn>,
): Promise<keyof Merged> {
  const { journal, log } = parts;
  const { grant, link } = numbered.record;
  const all = [...intents.map(({ held }) => held), numbered];
  const outcome = await brought(parts, bring);
  if (typeof outcome === 'object') {
    // One grant that cannot be read, its provider file gone or its record damaged, must not stop all others.
    log.error('A record of the journal could not be brought into the store.', { grant, link }, outcome.failed);
    for (const one of all) journal.pending(one);
    return 'failed';
  }
  if (outcome === 'awaited') return 'brought';
  if (outcome === 'waiting') for (const one of all) journal.pending(one);
  else for (const { record } of all) journal.settled(record.link, record.purpose === 'intent' ? 'nothing' : outcome);
  return outcome === 'waiting' ? 'waiting' : 'brought';
}

/** Tells the store how far the journal is merged by now, where that is further than it was told, or it forgot it. */
export async function noteMerged(parts: KeeperParts, again?: 'again'): Promise<void> {
  const upTo = parts.journal.settledUpTo();
  if (again || upTo > parts.journal.lastTold) await tell(parts, upTo);
}

async function tell({ store, journal, node }: KeeperParts, upTo: number): Promise<void> {
  await store.nodes.merged(node, upTo);
  journal.told(upTo);
}

/**
 * After a restore: that this node has brought its whole journal, or only how its chains began, because what came later
 * waits for those of other nodes. Once all have come that far, nothing is left to wait for.
 */
async function tellRestored({ store, node }: KeeperParts, restore: string | null, isWaiting: boolean): Promise<void> {
  if (restore !== null) await store.nodes.mergedFor(node, isWaiting ? begunMark(restore) : restore);
}

function begunMark(restore: string): string {
  return `${restore} begun`;
}

/** Whether a store that keeps this number for this node forgot what it was told: it was restored from an older backup. */
export function isStoreOlder(journal: Journal, merged: number): boolean {
  return merged < journal.lastTold;
}

/** Other nodes than these remember things of before a restore, and have not brought them yet. */
export async function othersAreToMerge({ store }: KeeperParts, but: ReadonlySet<NodeId>): Promise<boolean> {
  const { nodes, restore } = await store.nodes.view();
  const enough: readonly (string | null)[] = restore === null ? [null] : [restore, begunMark(restore)];
  return nodes.some((one) => !but.has(one.id) && !one.isGivenUp && !enough.includes(one.mergedFor));
}
