/**
 * Taking up what the last run left: first the journal, so that nothing is presented while its successor lies there;
 * then every attempt that was cut off; then the chains in doubt, at once, for their windows may be closing.
 */
import type { Chain } from '../core/chain.ts';
import type { GrantId } from '../core/id.ts';
import type { JournalRecord } from '../ports/journal.ts';
import { openAnswer } from './answers.ts';
import { recordAnswer } from './exchange.ts';
import type { GrantRegistry } from './grants.ts';
import type { Minders } from './minders.ts';
import type { KeeperParts } from './parts.ts';
import type { Upstreams } from './upstream.ts';

export async function resume(
  parts: KeeperParts,
  registry: GrantRegistry,
  minders: Minders,
  upstreams: Upstreams,
): Promise<void> {
  for (const record of parts.journal.unsettled()) {
    if (record.purpose === 'exchange') await mergeOne(parts, registry, upstreams, record);
  }
  const grants = await parts.store.chains.unsettled();
  for (const grant of grants) await closeAttempts(parts, grant);
  if (grants.length > 0) parts.log.info('Chains are taken up where the last run left them.', { chains: grants.length });
  for (const grant of grants) {
    const minder = await minders.of(grant);
    minder.forget();
    minder.advance().catch((cause: unknown) => {
      parts.log.error('A chain could not be taken up.', { grant }, cause);
    });
  }
}

/** Brings an answer from the journal into the store, where it is not there yet. */
async function mergeOne(
  parts: KeeperParts,
  registry: GrantRegistry,
  upstreams: Upstreams,
  record: JournalRecord,
): Promise<void> {
  const { grant, link, presented, sequence, requestedAt } = record;
  const { chain } = await parts.store.chains.read(grant);
  const isGone = chain.generation === 0 || chain.end?.kind === 'revoked';
  if (!isGone && presented && sequence !== null && !isKept(chain, record)) {
    const { value } = await registry.record(grant);
    const answer = openAnswer(parts.sealer, grant, link, record.answer);
    const sent = { id: link, present: presented, sequence, requestedAt };
    const upstream = await upstreams.of(value.app);
    await recordAnswer(parts, grant, sent, record.receivedAt, upstream, answer, record.answer);
    parts.log.info('An answer was brought from the journal into the store.', { grant, link });
  }
  parts.journal.settled(link);
}

function isKept(chain: Chain, record: JournalRecord): boolean {
  return chain.links.some((link) => link.id === record.link);
}

/** Attempts of earlier runs can be answered no more: their process is gone, and what it received is in the journal. */
async function closeAttempts(parts: KeeperParts, grant: GrantId): Promise<void> {
  const { chain } = await parts.store.chains.read(grant);
  for (const attempt of chain.attempts) {
    if (attempt.lost || attempt.run === parts.run) continue;
    const at = parts.clock.moment();
    await parts.store.chains.append(grant, 'any', { type: 'lost', at, id: attempt.id, reason: 'crash', said: null });
  }
}
