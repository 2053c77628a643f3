/**
 * What a node that is gone had under way. Its open attempts are closed, once, by whoever is first; the answers may lie in
 * its journal, and `core/next-step` decides what may be presented before that was read.
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
    const node = gone.get(attempt.node);
    if (attempt.lost || !node) continue;
    const closed = await parts.store.chains.append(grant, version, lostWith(parts, attempt, node));
    // Somebody else was faster, or its answer has come after all; the next look finds what is left.
    if (closed.outcome === 'conflict') return isClosed;
    ({ chain, version } = closed);
    isClosed = true;
    parts.log.info('An exchange of a node that is gone was taken over.', { grant, node: attempt.node });
  }
  return isClosed;
}

function lostWith(parts: KeeperParts, { id }: Attempt, { isGivenUp }: NodeRecord) {
  const unread = isGivenUp ? {} : { isUnread: true as const };
  return { type: 'lost' as const, at: parts.clock.moment(), id, reason: 'crash' as const, said: null, ...unread };
}
