/** What one event does to a stored chain, and which rows follow from it: the same for every store. Pure. */
import { apply, type Chain, type ChainEvent, type ChainEventWithoutAnswer } from '../core/chain.ts';
import { isFatal } from '../core/diagnosis.ts';
import type { LinkId } from '../core/id.ts';
import { unpublishedLink } from '../core/next-step.ts';
import type { Fingerprint, Sealed } from '../core/secret.ts';
import type { StoredChain } from '../ports/store.ts';

/**
 * What the store knows of a link. `joined`: it is or was part of the chain. `orphan`: it was received, but its parent
 * is not in the chain (a store restored from an older backup); it joins once its parent does.
 */
export type Seen = 'joined' | 'orphan' | null;

export interface Folded extends StoredChain {
  /** What the history shows of it; null where it shows nothing new. */
  readonly recorded: ChainEventWithoutAnswer | null;
  readonly answer: { readonly link: LinkId; readonly sealed: Sealed } | null;
  readonly holder: {
    readonly link: LinkId;
    readonly fingerprint: Fingerprint;
    readonly seen: Exclude<Seen, null>;
  } | null;
  /**
   * Set where nothing came of what `recorded` tells: the attempt that it ends, if it ends one. Of such events, and of
   * the starts of such attempts, a store keeps the newest alone (`PASSING_KEPT`).
   */
  readonly passes: { readonly attempt: LinkId | null } | null;
  /** Links whose answers go now. */
  readonly wiped: readonly LinkId[];
  /** Answers of orphans go too: a new authorization or the end of the grant makes them useless. */
  readonly wipesOrphans: boolean;
}

export function fold(before: StoredChain, event: ChainEvent, seen: Seen): Folded {
  const recorded = withoutAnswer(event);
  const isJoinedAlready = seen === 'joined';
  const chain = isJoinedAlready ? before.chain : apply(before.chain, recorded);
  const isRepeated = isJoinedAlready || (seen === 'orphan' && chain === before.chain);
  return {
    version: isRepeated ? before.version : before.version + 1,
    chain,
    recorded: isRepeated || isRepeatedDeferral(before.chain, event) ? null : recorded,
    passes: passing(event),
    ...kept(chain, event, isJoinedAlready),
    wiped: wiped(before.chain, chain),
    wipesOrphans: event.type === 'ended' || (event.type === 'authorized' && chain !== before.chain),
  };
}

function kept(chain: Chain, event: ChainEvent, isJoinedAlready: boolean): Pick<Folded, 'answer' | 'holder'> {
  if (event.type !== 'received' && event.type !== 'authorized') return { answer: null, holder: null };
  const { id } = event.link;
  const link = chain.links.find((one) => one.id === id);
  // The answer of a link that left the chain was wiped and stays so; an orphan's is kept, for it may be the live one.
  const keepsAnswer = link !== undefined || (!isJoinedAlready && chain.end?.kind !== 'revoked');
  const fingerprint = link?.fingerprint ?? event.link.fingerprint;
  const seen = link !== undefined || isJoinedAlready ? 'joined' : 'orphan';
  return {
    answer: keepsAnswer ? { link: id, sealed: event.answer } : null,
    holder: fingerprint === null ? null : { link: id, fingerprint, seen },
  };
}

function wiped(before: Chain, { links }: Chain): readonly LinkId[] {
  const gone = before.links.filter(({ id }, i) => links[i]?.id !== id && !links.some((link) => link.id === id));
  return gone.map(({ id }) => id);
}

/** A provider that is away for a night would fill the history with one sentence. */
function isRepeatedDeferral(before: Chain, event: ChainEvent): boolean {
  return event.type === 'deferred' && before.deferral?.why === event.deferral.why;
}

/** Events of a grant of which nothing came, and that its history keeps. All that tell of tokens are kept for good. */
export const PASSING_KEPT = 200;

function passing(event: ChainEvent): Folded['passes'] {
  switch (event.type) {
    case 'not_sent':
    case 'lost':
      return { attempt: event.id };
    case 'refused':
      return isFatal(event.means) ? null : { attempt: event.id };
    case 'deferred':
    case 'resumed':
    case 'held':
    case 'consulted':
    case 'released':
      return { attempt: null };
    default:
      return null;
  }
}

function withoutAnswer(event: ChainEvent): ChainEventWithoutAnswer {
  if (event.type !== 'received' && event.type !== 'authorized') return event;
  const { answer: _, ...rest } = event;
  return rest;
}

/** Whether a start must take this chain up: something was under way when the process ended. */
export function isUnsettled(chain: Chain): boolean {
  if (chain.attempts.some((attempt) => attempt.lost === null)) return true;
  return chain.end === null && (chain.attempts.length > 0 || unpublishedLink(chain) !== null);
}

/** The link that an event brings an answer for; null for other events. */
export function linkOf(event: ChainEvent): LinkId | null {
  return event.type === 'received' || event.type === 'authorized' ? event.link.id : null;
}
