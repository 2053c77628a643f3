/**
 * What a node that is gone had under way, or an earlier run of this one. Its open attempts are closed, once, by whoever is
 * first; the answers may lie in the journal of the node that is gone, and `core/next-step` decides what may be presented
 * before that was read.
 */
import type { Attempt } from '../core/chain.ts';
import type { GrantId, NodeId } from '../core/id.ts';
import type { NodeRecord } from '../ports/store.ts';
import type { KeeperParts } from './parts.ts';
import type { WorkOf } from './restore.ts';

/** `wake` takes a chain on whose attempts were closed. */
export async function takeOver(
  parts: KeeperParts,
  workOf: WorkOf,
  gone: ReadonlyMap<NodeId, NodeRecord>,
  wake: (grant: GrantId) => void,
): Promise<void> {
  for (const grant of await parts.store.chains.unsettled()) {
    if (await closeAttemptsOf(parts, workOf, gone, grant)) wake(grant);
  }
}

async function closeAttemptsOf(
  parts: KeeperParts,
  workOf: WorkOf,
  gone: ReadonlyMap<NodeId, NodeRecord>,
  grant: GrantId,
): Promise<boolean> {
  let { chain, version } = await parts.store.chains.read(grant);
  const over = chain.attempts.filter((one) => !one.lost && isOver(parts, gone, one));
  // Whoever takes it on may end too before it is decided: it is due for all.
  const work = over.length > 0 ? await workOf(grant).catch(() => null) : null;
  let isClosed = false;
  for (const attempt of over) {
    const lost = lostWith(parts, attempt, gone.get(attempt.node));
    const closed = await parts.store.chains.append(grant, version, lost, work?.dueOf);
    // Somebody else was faster, or its answer has come after all; the next look finds what is left.
    if (closed.outcome === 'conflict') return isClosed;
    ({ chain, version } = closed);
    isClosed = true;
    parts.log.info('An exchange of a node that is gone was taken over.', { grant, node: attempt.node });
  }
  return isClosed;
}

/** Where the store is not shared, no other node is here, whatever its lease says. */
function isOver({ node, run, store }: KeeperParts, gone: ReadonlyMap<NodeId, NodeRecord>, attempt: Attempt): boolean {
  if (attempt.node === node) return attempt.run !== run;
  return gone.has(attempt.node) || !store.isShared;
}

/** Where the node is this one, its journal was read when it started. */
function lostWith(parts: KeeperParts, { id, node }: Attempt, gone: NodeRecord | undefined) {
  const isUnread = node !== parts.node && !gone?.isGivenUp;
  const unread = isUnread ? { isUnread: true as const } : {};
  return { type: 'lost' as const, at: parts.clock.moment(), id, reason: 'crash' as const, said: null, ...unread };
}
