/**
 * Taking up what the last run left, once the journal is merged: every attempt of this node that was cut off, and then the
 * chains in doubt, at once, for their windows may be closing. What other nodes have under way is theirs.
 */
import type { GrantId } from '../core/id.ts';
import type { KeeperParts } from './parts.ts';

/** `wake` takes a chain as far as it goes. */
export async function resume(parts: KeeperParts, wake: (grant: GrantId) => void): Promise<void> {
  const grants = await parts.store.chains.unsettled();
  for (const grant of grants) await closeAttempts(parts, grant);
  if (grants.length > 0) parts.log.info('Chains are taken up where the last run left them.', { chains: grants.length });
  for (const grant of grants) wake(grant);
}

/**
 * Attempts of earlier runs can be answered no more: their process is gone, and what it received is in the store by now,
 * or in the journal of the node that it was.
 */
async function closeAttempts(parts: KeeperParts, grant: GrantId): Promise<void> {
  const { chain } = await parts.store.chains.read(grant);
  for (const { id, lost, node, run } of chain.attempts) {
    const isOwn = node === parts.node;
    if (lost || run === parts.run || (!isOwn && parts.store.isShared)) continue;
    const at = parts.clock.moment();
    const unread = isOwn ? {} : { isUnread: true as const };
    await parts.store.chains.append(grant, 'any', { type: 'lost', at, id, reason: 'crash', said: null, ...unread });
  }
}
