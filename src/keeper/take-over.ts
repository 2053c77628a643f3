/**
 * What a node that is gone had under way, or an earlier run of this one. Its open attempts are closed, once, by whoever is
 * first; the answers may lie in the journal of the node that is gone, and `core/next-step` decides what may be presented
 * before that was read.
 */
import type { Attempt } from '../core/chain.ts';
import type { GrantId, NodeId } from '../core/id.ts';
import type { NodeRecord } from '../ports/store.ts';
import type { KeeperParts } from './parts.ts';

/** `wake` takes a chain on whose attempts were closed. */
export async function takeOver(
  parts: KeeperParts,
  gone: ReadonlyMap<NodeId, NodeRecord>,
  wake: (grant: GrantId) => void,
): Promise<void> {
  for (const grant of await parts.store.chains.unsettled()) {
    if (await closeAttemptsOf(parts, gone, grant)) wake(grant);
  }
}

async function closeAttemptsOf(
  parts: KeeperParts,
  gone: ReadonlyMap<NodeId, NodeRecord>,
  grant: GrantId,
): Promise<boolean> {
  let { chain, version } = await parts.store.chains.read(grant);
  let isClosed = false;
  for (const attempt of chain.attempts) {
    if (attempt.lost || !isOver(parts, gone, attempt)) continue;
    const closed = await parts.store.chains.append(grant, version, lostWith(parts, attempt, gone.get(attempt.node)));
    // Somebody else was faster, or its answer has come after all; the next look finds what is left.
    if (closed.outcome === 'conflict') return isClosed;
    ({ chain, version } = closed);
    isClosed = true;
    parts.log.info('An exchange of a node that is gone was taken over.', { grant, node: attempt.node });
  }
  return isClosed;
}

function isOver({ node, run }: KeeperParts, gone: ReadonlyMap<NodeId, NodeRecord>, attempt: Attempt): boolean {
  return attempt.node === node ? attempt.run !== run : gone.has(attempt.node);
}

/** Where the node is this one, its journal was read when it started. */
function lostWith(parts: KeeperParts, { id }: Attempt, gone: NodeRecord | undefined) {
  const unread = gone && !gone.isGivenUp ? { isUnread: true as const } : {};
  return { type: 'lost' as const, at: parts.clock.moment(), id, reason: 'crash' as const, said: null, ...unread };
}
