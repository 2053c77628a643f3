/**
 * When the journal of a node was read, or given up, nothing more can come of the attempts that it never told the end
 * of. Their chains hear that, and go on.
 */
import type { Chain } from '../core/chain.ts';
import type { GrantId, NodeId } from '../core/id.ts';
import type { KeeperParts } from './parts.ts';
import type { WorkOf } from './restore.ts';

/** Which chains wait for what the journal of this node may hold. */
export async function chainsWaitingFor(parts: KeeperParts, node: NodeId): Promise<readonly GrantId[]> {
  const found: GrantId[] = [];
  for (const grant of await parts.store.chains.unsettled()) {
    const { chain } = await parts.store.chains.read(grant);
    if (waitsFor(chain, node)) found.push(grant);
  }
  return found;
}

/** How many chains wait for the journal of each node. */
export async function grantsByNode(parts: KeeperParts): Promise<ReadonlyMap<NodeId, number>> {
  const counts = new Map<NodeId, number>();
  for (const grant of await parts.store.chains.unsettled()) {
    const { chain } = await parts.store.chains.read(grant);
    const nodes = chain.attempts.flatMap(({ node, lost }) => (lost?.isUnread ? [node] : []));
    for (const node of new Set(nodes)) counts.set(node, (counts.get(node) ?? 0) + 1);
  }
  return counts;
}

/**
 * Call it when that journal is in the store, or nobody will ever read it. `wake` is told each chain that may go on.
 * `isUnderWay`: an exchange of that node still waits for its answer, which no journal can have yet; those are left out.
 */
export async function consult(
  parts: KeeperParts,
  workOf: WorkOf,
  node: NodeId,
  wake: (grant: GrantId) => void,
  isUnderWay: (grant: GrantId) => boolean = () => false,
): Promise<readonly GrantId[]> {
  const waiting = (await chainsWaitingFor(parts, node)).filter((grant) => !isUnderWay(grant));
  for (const grant of waiting) {
    // Whoever takes it on may end before it is decided: it is due for all.
    const work = await workOf(grant).catch(() => null);
    const consulted = { type: 'consulted', at: parts.clock.moment(), node } as const;
    await parts.store.chains.append(grant, 'any', consulted, work?.dueOf);
    wake(grant);
  }
  return waiting;
}

function waitsFor({ attempts }: Chain, node: NodeId): boolean {
  return attempts.some((attempt) => attempt.node === node && attempt.lost?.isUnread);
}
