/**
 * The answers that a chain holds, as they are needed again. A database may give back something else than it was given:
 * then it is asked once more, then the journal, which has a copy of everything of the last day. Where none can be
 * opened, that is a fact of the chain, and `core/next-step` decides what is left.
 */
import type { Link } from '../core/chain.ts';
import type { GrantId, LinkId } from '../core/id.ts';
import type { Sealed } from '../core/secret.ts';
import { SealBroken } from '../ports/sealer.ts';
import { type KeptAnswer, openAnswer } from './answers.ts';
import type { KeeperParts } from './parts.ts';

const READS = 3;

/** The answer of a link; null where the link has left its chain, or its answer is lost for good, which is recorded. */
export async function heldAnswer(parts: KeeperParts, grant: GrantId, link: LinkId): Promise<KeptAnswer | null> {
  for (let read = 0; read < READS; read++) {
    const answer = opened(parts, grant, link, await parts.store.chains.answer(grant, link));
    if (answer) return answer;
  }
  const { chain } = await parts.store.chains.read(grant);
  const held = chain.links.find((one) => one.id === link);
  return held && !held.damagedAt ? fromJournal(parts, grant, held) : null;
}

/** Null where there is nothing, or nothing that opens. */
function opened(parts: KeeperParts, grant: GrantId, link: LinkId, sealed: Sealed | null): KeptAnswer | null {
  try {
    return sealed && openAnswer(parts.sealer, grant, link, sealed);
  } catch (cause) {
    if (cause instanceof SealBroken) return null;
    throw cause;
  }
}

/** Puts the journal's copy back into the store. */
async function fromJournal(parts: KeeperParts, grant: GrantId, link: Link): Promise<KeptAnswer | null> {
  const { chains } = parts.store;
  const at = parts.clock.moment();
  const copy = await parts.journal.find(grant, link.id);
  const answer = copy ? opened(parts, grant, link.id, copy.answer) : null;
  if (!copy || !answer) {
    parts.log.error('What is kept of a token cannot be opened, and no copy is left.', { grant, link: link.id });
    await chains.append(grant, 'any', { type: 'damaged', at, link: link.id });
    return null;
  }
  parts.log.warn('What the store had of a token was damaged, and is taken from the journal.', { grant, link: link.id });
  const { sequence, parent } = link;
  // Known to the chain already: appending it again only writes its answer anew.
  await chains.append(grant, 'any', {
    type: 'received',
    at,
    link,
    parent: parent ?? link.id,
    sequence,
    answer: copy.answer,
  });
  return answer;
}
