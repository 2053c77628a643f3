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
import { readAnswer } from './reading.ts';
import type { Upstreams } from './upstream.ts';

export async function resume(
  parts: KeeperParts,
  registry: GrantRegistry,
  minders: Minders,
  upstreams: Upstreams,
): Promise<void> {
  await mergeJournal(parts, registry, upstreams);
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

/**
 * Brings into the store what the journal has and the store has not: the answers that came just before a crash, and,
 * where the store was restored from an older backup, all that came since. Oldest first: each is the parent of the next.
 */
async function mergeJournal(parts: KeeperParts, registry: GrantRegistry, upstreams: Upstreams): Promise<void> {
  const unsettled = new Set(parts.journal.unsettled().map((record) => record.link));
  const chains = new Map<GrantId, Chain>();
  for (const record of await parts.journal.everything()) {
    const { grant, link } = record;
    if (record.purpose !== 'exchange') continue;
    const chain = chains.get(grant) ?? (await parts.store.chains.read(grant)).chain;
    chains.set(grant, chain);
    const isForgotten = !unsettled.has(link) && isUnknownTo(chain, record);
    if (unsettled.has(link) || isForgotten) chains.delete(grant);
    try {
      if (unsettled.has(link) || (isForgotten && (await givesTokens(parts, registry, upstreams, record)))) {
        await mergeOne(parts, registry, upstreams, record, chain);
      }
    } catch (cause) {
      // One grant that cannot be read, its provider file gone or its record damaged, must not stop all others. The
      // record stays in the journal, and the next start tries again.
      parts.log.error('An answer in the journal could not be brought into the store.', { grant, link }, cause);
    }
  }
}

/** The store counts every exchange before it is sent: it forgot those that it would count anew, or still waits for. */
function isUnknownTo(chain: Chain, { link, sequence }: JournalRecord): boolean {
  if (isGone(chain) || sequence === null) return false;
  return sequence >= chain.nextSequence || chain.attempts.some((attempt) => attempt.id === link);
}

/** What was refused before the store was restored says nothing about the token that the chain holds by now. */
async function givesTokens(
  parts: KeeperParts,
  registry: GrantRegistry,
  upstreams: Upstreams,
  { grant, link, answer, receivedAt }: JournalRecord,
): Promise<boolean> {
  const { value } = await registry.record(grant);
  const { provider } = await upstreams.of(value.app);
  return readAnswer(openAnswer(parts.sealer, grant, link, answer), provider, receivedAt.at, []).kind === 'tokens';
}

async function mergeOne(
  parts: KeeperParts,
  registry: GrantRegistry,
  upstreams: Upstreams,
  record: JournalRecord,
  chain: Chain,
): Promise<void> {
  const { grant, link, presented, sequence, requestedAt } = record;
  if (!isGone(chain) && presented && sequence !== null && !isKept(chain, record)) {
    const { value } = await registry.record(grant);
    const answer = openAnswer(parts.sealer, grant, link, record.answer);
    const sent = { id: link, present: presented, sequence, requestedAt };
    const upstream = await upstreams.of(value.app);
    await recordAnswer(parts, grant, sent, record.receivedAt, upstream, answer, record.answer);
    parts.log.info('An answer was brought from the journal into the store.', { grant, link });
  }
  parts.journal.settled(link);
}

/** Nothing is to be kept alive: the grant is not here, or was ended. */
function isGone(chain: Chain): boolean {
  return chain.generation === 0 || chain.end?.kind === 'revoked';
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
