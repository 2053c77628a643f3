/**
 * The client's end of rotation: what a chain of refresh tokens holds, and what may be presented next.
 *
 * A chain is the fold of its events (`apply`), and every decision is a function of the chain, the policy and the
 * moment (`nextStep`). No token is in here: links name their answers, which lie sealed in the store.
 *
 * States, as the API shows them:
 *
 *   pending ──authorized──▶ active ──started──▶ in_doubt ──received──▶ active
 *                             │ ▲                  │ lost: stays in doubt, and may present the same token again
 *                deferred     ▼ │ received         │ refused: another link, or
 *                           waiting                ▼
 *   any ──authorized──▶ active                   broken          any ──ended──▶ revoked
 *
 *   any but broken and revoked ──held──▶ held ──consulted, released, received──▶ as before
 *
 * Rules that everything else rests on:
 * 1. A link that was received is appended, whatever else happened meanwhile; none is overwritten.
 * 2. A link is published only once it is durable, and never after a later one: what leaves the keeper activates.
 * 3. Older links stay until a newer one is proven, for they may be the only live ones.
 * 4. A refusal is final only while no attempt is unresolved.
 */
import type { Announcement, ChainEvent, ChainEventWithoutAnswer, ReceivedLink } from './chain-event.ts';
import { type Diagnosis, isFatal, type Meaning } from './diagnosis.ts';
import type { LinkId, NodeId } from './id.ts';
import { elapsed, type Instant, isBefore, type Moment } from './instant.ts';
import type { Attempt, Deferral, Gap, Hold, Link, Loss, PastRefusal } from './link.ts';
import type { Fingerprint } from './secret.ts';

export type { ChainEvent, ChainEventWithoutAnswer, ReceivedLink, RecordedEvent } from './chain-event.ts';
export type { Attempt, Deferral, Gap, Hold, Link, Loss, LossReason, PastRefusal, Refusal } from './link.ts';

/** How many links a chain remembers; the oldest proven ones leave first, and their answers are wiped. */
export const LINKS_KEPT = 8;
/** How many attempts without an answer it remembers, the first among them: an outage may last for weeks. */
const ATTEMPTS_KEPT = 128;
/** How many refusals of a generation it remembers, each kind in a row being one. */
const REFUSALS_KEPT = 8;

export interface Chain {
  readonly generation: number;
  /** When the present generation was authorized; null before the first. */
  readonly authorizedAt: Moment | null;
  /** How the present generation came here; not there in chains of older versions. */
  readonly by?: 'code' | 'import';
  /** What was refused in the present generation, oldest first; not there: nothing that is remembered. */
  readonly refusals?: readonly PastRefusal[];
  /** Exchanges that gave tokens, over all generations. */
  readonly exchanges: number;
  readonly nextSequence: number;
  /** Of the present generation, by sequence. */
  readonly links: readonly Link[];
  /** Those without an answer, by sequence. */
  readonly attempts: readonly Attempt[];
  readonly published: LinkId | null;
  readonly deferral: Deferral | null;
  /** Not there: nothing is held back. */
  readonly hold?: Hold;
  /** Not there: nothing that the chain once held is known to be lost. */
  readonly gap?: Gap;
  /** The last one of the present generation; not there: none was made. */
  readonly announced?: Announcement & { readonly at: Instant };
  readonly end: { readonly kind: 'broken'; readonly diagnosis: Diagnosis } | { readonly kind: 'revoked' } | null;
  readonly stateSince: Instant;
}

export const EMPTY_CHAIN: Chain = {
  generation: 0,
  authorizedAt: null,
  exchanges: 0,
  nextSequence: 1,
  links: [],
  attempts: [],
  published: null,
  deferral: null,
  end: null,
  stateSince: 0 as Instant,
};

export type ChainState = 'pending' | 'active' | 'in_doubt' | 'waiting' | 'recovering' | 'held' | 'broken' | 'revoked';

/** The state as the API shows it. It follows from the events alone, so a list of grants can be kept by state. */
export function stateOf(chain: Chain): ChainState {
  if (chain.end) return chain.end.kind;
  if (chain.generation === 0) return 'pending';
  if (chain.hold) return 'held';
  if (isInDoubt(chain)) return 'in_doubt';
  return chain.deferral ? 'waiting' : 'active';
}

/**
 * Something was sent of which nothing is known here. An earlier attempt whose answer may lie in a journal does not count
 * once a later one was answered: the chain goes on without it.
 */
export function isInDoubt(chain: Chain): boolean {
  const answered = newestLink(chain)?.sequence ?? 0;
  return chain.attempts.some((one) => one.lost === null || one.sequence > answered);
}

/** The chain after one more event. Events about attempts or links that are not there change nothing. */
export function apply(chain: Chain, event: ChainEventWithoutAnswer): Chain {
  const next = fold(chain, event);
  return next !== chain && stateOf(next) !== stateOf(chain) ? { ...next, stateSince: event.at.at } : next;
}

function fold(chain: Chain, event: ChainEventWithoutAnswer): Chain {
  switch (event.type) {
    case 'authorized':
      return authorize(chain, event.link, event.by);
    case 'started':
      return start(chain, event);
    case 'recalled':
      return recall(chain, event);
    case 'not_sent':
      return forgetAttempt(chain, event.id);
    case 'lost':
      return lose(chain, event);
    case 'received':
      return receive(chain, event);
    case 'refused':
      return refuse(chain, event);
    case 'published':
      return publish(chain, event.link);
    case 'proven':
      return withLink(chain, event.link, (link) => ({ ...link, status: 'proven' }));
    case 'deferred':
      return { ...chain, deferral: { ...event.deferral, since: event.at, count: (chain.deferral?.count ?? 0) + 1 } };
    case 'held': {
      const { why, node, at: since } = event;
      return chain.end || chain.generation === 0 ? chain : { ...chain, hold: { why, node, since } };
    }
    case 'consulted':
      return consult(chain, event.node);
    case 'abandoned':
      return abandon(chain, event);
    case 'released':
      return chain.hold?.why === 'restore' ? withoutHold(chain) : chain;
    case 'announced':
      return { ...chain, announced: { ...event.announcement, at: event.at.at } };
    case 'damaged':
      return withLink(chain, event.link, (link) => ({ ...link, damagedAt: event.at }));
    case 'resumed':
      return { ...chain, deferral: null };
    case 'broken':
      return chain.end ? chain : { ...withoutHold(chain), end: { kind: 'broken', diagnosis: event.diagnosis } };
    case 'ended':
      return {
        ...withoutHold(chain),
        end: { kind: 'revoked' },
        links: [],
        attempts: [],
        published: null,
        deferral: null,
      };
  }
}

function authorize(chain: Chain, received: ReceivedLink & { fingerprint: Fingerprint }, by: 'code' | 'import'): Chain {
  if (chain.links.some((link) => link.id === received.id) || chain.end?.kind === 'revoked') return chain;
  const link: Link = {
    ...received,
    generation: chain.generation + 1,
    counter: 0,
    sequence: chain.nextSequence,
    parent: null,
    tokenOf: received.id,
    status: 'received',
    uses: 0,
    firstUsedAt: null,
    refusal: null,
  };
  return {
    ...EMPTY_CHAIN,
    generation: link.generation,
    authorizedAt: received.receivedAt,
    by,
    exchanges: chain.exchanges,
    nextSequence: link.sequence + 1,
    links: [link],
    stateSince: chain.stateSince,
  };
}

function start(chain: Chain, event: ChainEvent & { type: 'started' }): Chain {
  const { id, presented, node, run, at: startedAt } = event;
  const attempt: Attempt = { id, presented, sequence: chain.nextSequence, node, run, startedAt, lost: null };
  const used = withLink(chain, presented, (link) => ({
    ...link,
    uses: link.uses + 1,
    firstUsedAt: link.firstUsedAt ?? startedAt,
  }));
  if (used === chain) return chain;
  return { ...used, attempts: [...used.attempts, attempt], nextSequence: attempt.sequence + 1 };
}

/**
 * A presentation that the store has forgotten, and that is not known to be answered. Where the token that was presented
 * is forgotten as well, all that are here are older, and were used before it.
 */
function recall(chain: Chain, event: ChainEvent & { type: 'recalled' }): Chain {
  const { id, presented, sequence, node, run, startedAt, at } = event;
  const isKnown = chain.attempts.some((one) => one.id === id) || chain.links.some((link) => link.id === id);
  if (chain.end || chain.generation === 0 || isKnown || !isForgotten(chain, sequence)) return chain;
  const lost: Loss = { at, reason: 'restore', said: null };
  const attempt: Attempt = { id, presented, sequence, node, run, startedAt, lost, isRecalled: true };
  const attempts = [...chain.attempts, attempt].toSorted((a, b) => a.sequence - b.sequence);
  const ofToken = attempts.filter((one) => one.presented === presented);
  const isHere = chain.links.some((link) => link.id === presented);
  const after = isHere
    ? withLink(chain, presented, (link) => usedBy(link, ofToken))
    : { ...chain, links: chain.links.map(perhapsUsed) };
  return withoutSurplus({ ...after, attempts, nextSequence: Math.max(chain.nextSequence, sequence + 1) });
}

/** Whether an exchange of this place is of a time that the chain knows nothing of, but for what journals told. */
function isForgotten(chain: Chain, sequence: number): boolean {
  const answered = newestLink(chain)?.sequence ?? 0;
  const isAmongRecalled = chain.attempts.some((one) => one.isRecalled && one.sequence >= sequence);
  return sequence >= chain.nextSequence || (isAmongRecalled && sequence > answered);
}

/** One more use became known. Where all that are known are these, the first of them was the first. */
function usedBy(link: Link, attempts: readonly Attempt[]): Link {
  const isAll = link.uses < attempts.length;
  return { ...link, uses: link.uses + 1, firstUsedAt: (isAll && attempts[0]?.startedAt) || link.firstUsedAt };
}

function lose(chain: Chain, { id, at, reason, said, isUnread }: ChainEvent & { type: 'lost' }): Chain {
  const loss: Loss = { at, reason, said, ...(isUnread ? { isUnread } : {}) };
  return withoutSurplus(withoutSettled(withAttempt(chain, id, (attempt) => ({ ...attempt, lost: loss }))));
}

/** The first one tells where windows began, the last ones what to wait for. */
function withoutSurplus(chain: Chain): Chain {
  const surplus = chain.attempts.length - ATTEMPTS_KEPT;
  if (surplus <= 0) return chain;
  return { ...chain, attempts: chain.attempts.filter((one, i) => i === 0 || i > surplus || one.lost === null) };
}

/** What other nodes said of attempts of this node is settled: whatever it had received is in the chain by now. */
function consult(chain: Chain, node: NodeId): Chain {
  if (!chain.attempts.some((one) => one.node === node && one.lost?.isUnread)) return chain;
  const attempts = chain.attempts.map((one) => {
    if (one.node !== node || !one.lost?.isUnread) return one;
    const { isUnread: _, ...lost } = one.lost;
    return { ...one, lost };
  });
  return withoutSettled({ ...chain, attempts });
}

function withoutSettled(chain: Chain): Chain {
  const answered = newestLink(chain)?.sequence ?? 0;
  return endUnneededHold({ ...chain, attempts: chain.attempts.filter((one) => isStillOpen(one, answered)) });
}

/**
 * What earlier attempts left open no longer matters once a later one is answered; unless their own answers may lie
 * where nobody has looked: where the provider let one successor displace another, the later answer may be the dead one.
 */
function isStillOpen(attempt: Attempt, answered: number): boolean {
  return attempt.sequence > answered || attempt.lost === null || attempt.lost.isUnread === true;
}

function abandon(chain: Chain, { at, node }: ChainEvent & { type: 'abandoned' }): Chain {
  const newest = newestLink(chain);
  return newest && !chain.end ? { ...chain, gap: { at, node, newest: newest.sequence } } : chain;
}

function endUnneededHold(chain: Chain): Chain {
  return chain.hold?.why === 'journal' && !unreadAttempt(chain) ? withoutHold(chain) : chain;
}

function withoutHold(chain: Chain): Chain {
  if (!chain.hold) return chain;
  const { hold: _, ...rest } = chain;
  return rest;
}

/** An attempt whose answer may lie in a journal that nobody has read. */
export function unreadAttempt(chain: Chain): Attempt | null {
  return chain.attempts.find((one) => one.lost?.isUnread) ?? null;
}

/** The attempt did not reach the token: its presentation does not count. */
function forgetAttempt(chain: Chain, id: LinkId): Chain {
  const attempt = chain.attempts.find((one) => one.id === id);
  if (!attempt) return chain;
  const unused = withLink(chain, attempt.presented, (link) => ({
    ...link,
    uses: link.uses - 1,
    firstUsedAt: link.uses === 1 ? null : link.firstUsedAt,
  }));
  return endUnneededHold({ ...unused, attempts: chain.attempts.filter((one) => one !== attempt) });
}

function receive(chain: Chain, event: Omit<ChainEvent & { type: 'received' }, 'answer'>): Chain {
  const { link: received, parent: parentId, sequence } = event;
  const known = chain.links.find((one) => one.id === parentId);
  const parent = known ?? forgottenParent(chain, event);
  if (!parent || chain.end?.kind === 'revoked' || chain.links.some((link) => link.id === received.id)) return chain;
  const isSameToken = received.fingerprint === null || received.fingerprint === parent.fingerprint;
  const isBeforeGap = chain.links.some((link) => link.isAfterGap && link.sequence > sequence);
  const recalled = chain.attempts.filter((one) => one.presented === received.id);
  const link: Link = {
    ...received,
    generation: parent.generation,
    counter: isSameToken ? parent.counter : parent.counter + 1,
    sequence,
    parent: parent.id,
    tokenOf: isSameToken ? parent.tokenOf : received.id,
    fingerprint: received.fingerprint ?? parent.fingerprint,
    status: 'received',
    uses: Math.max(isBeforeGap ? 1 : 0, recalled.length),
    firstUsedAt: isBeforeGap ? received.receivedAt : (recalled[0]?.startedAt ?? null),
    refusal: null,
    ...(known ? {} : { isAfterGap: true }),
  };
  const before = known
    ? withLink(chain, parent.id, (one) => accepted(one, received.requestedAt))
    : { ...chain, links: chain.links.map(perhapsUsed) };
  // A token that goes on is as good as new (RFC 6749 section 6).
  const renewed = isSameToken ? withLink(before, parent.tokenOf, (one) => ({ ...one, uses: 0 })) : before;
  const links = [...renewed.links, link];
  return endUnneededHold({
    ...chain,
    exchanges: chain.exchanges + 1,
    nextSequence: Math.max(chain.nextSequence, sequence + 1),
    links: forgetOldLinks(links.toSorted((a, b) => a.sequence - b.sequence)),
    attempts: chain.attempts.filter((one) => one.id !== received.id && isStillOpen(one, sequence)),
    deferral: null,
    end: null,
  });
}

/**
 * The answer to a token that is not known here, and newer than all answers that are, is of a time that the store has
 * forgotten: it was restored from an older backup. Exchanges that were tried in vain since say nothing against it.
 */
function forgottenParent(chain: Chain, { link, sequence }: Omit<ChainEvent & { type: 'received' }, 'answer'>) {
  const newest = newestLink(chain);
  return newest && link.fingerprint !== null && sequence > newest.sequence ? newest : null;
}

/** In a time that the store has forgotten, its refresh token may have been presented: it is no unused one any more. */
const perhapsUsed = (one: Link): Link => (one.uses > 0 ? one : { ...one, uses: 1, firstUsedAt: one.receivedAt });

/** Its refresh token was presented and accepted. A refusal before that was wrong. */
function accepted(link: Link, presentedAt: Moment): Link {
  const wasWrong = link.refusal !== null && elapsed(link.refusal.at, presentedAt).atLeastMs > 0;
  const uses = { uses: Math.max(1, link.uses), firstUsedAt: link.firstUsedAt ?? presentedAt };
  return { ...link, ...uses, status: 'proven', refusal: wasWrong ? null : link.refusal };
}

function refuse(chain: Chain, event: ChainEvent & { type: 'refused' }): Chain {
  const attempt = chain.attempts.find((one) => one.id === event.id);
  if (!attempt) return chain;
  const remembered = remember(chain, attempt, event);
  if (!isFatal(event.means)) return forgetAttempt(remembered, event.id);
  const { means, said, at } = event;
  const refused = withLink(remembered, attempt.presented, (link) => ({
    ...link,
    refusal: { means, said, at, ...(link.refusal ? { times: (link.refusal.times ?? 1) + 1 } : {}) },
  }));
  return endUnneededHold({ ...refused, attempts: chain.attempts.filter((one) => one !== attempt) });
}

/** Keeps the refusal for a later diagnosis, however little it means by itself. */
function remember(chain: Chain, attempt: Attempt, { means, said, at }: ChainEvent & { type: 'refused' }): Chain {
  const counter = chain.links.find((link) => link.id === attempt.presented)?.counter ?? 0;
  const known = chain.refusals ?? [];
  const row = rowOf(chain, means, counter);
  const { startedAt } = attempt;
  const refusal: PastRefusal = row
    ? addedTo(row, { said, at, startedAt })
    : { means, said, at, since: at, sentAt: startedAt, counter, afterAnswerMs: sinceNewestAnswerMs(chain, at) };
  return { ...chain, refusals: [...known.filter((one) => one !== row), refusal].slice(-REFUSALS_KEPT) };
}

/**
 * The refusals of one token of this authorization for one reason, in a row whatever came between: the provider's own
 * faults, and a denial that this one shows to have been false.
 */
export function rowOf({ refusals, authorizedAt }: Chain, means: Meaning, counter: number): PastRefusal | null {
  const isOfThis = ({ since }: PastRefusal): boolean => authorizedAt === null || !isBefore(since, authorizedAt);
  return refusals?.findLast((one) => one.means === means && one.counter === counter && isOfThis(one)) ?? null;
}

/** Answers of several nodes may be told in another order than they came. */
function addedTo(
  row: PastRefusal,
  { said, at, startedAt }: Pick<PastRefusal, 'said' | 'at'> & Pick<Attempt, 'startedAt'>,
) {
  return {
    ...row,
    said,
    at: later(row.at, at),
    since: earlier(row.since, at),
    sentAt: earlier(row.sentAt ?? row.since, startedAt),
    times: (row.times ?? 1) + 1,
  };
}

function later(a: Moment, b: Moment): Moment {
  return isBefore(a, b) ? b : a;
}

function earlier(a: Moment, b: Moment): Moment {
  return isBefore(b, a) ? b : a;
}

function sinceNewestAnswerMs(chain: Chain, now: Moment): number {
  return Math.min(...chain.links.map((link) => elapsed(link.receivedAt, now).atLeastMs));
}

function publish(chain: Chain, id: LinkId): Chain {
  const link = chain.links.find((one) => one.id === id);
  if (!link || link.sequence <= (publishedLink(chain)?.sequence ?? 0)) return chain;
  return withLink({ ...chain, published: id }, id, (one) => ({
    ...one,
    status: one.status === 'received' ? 'published' : one.status,
  }));
}

function withLink(chain: Chain, id: LinkId, change: (link: Link) => Link): Chain {
  const at = chain.links.findIndex((link) => link.id === id);
  const link = chain.links[at];
  return link ? { ...chain, links: chain.links.with(at, change(link)) } : chain;
}

function withAttempt(chain: Chain, id: LinkId, change: (attempt: Attempt) => Attempt): Chain {
  if (!chain.attempts.some((attempt) => attempt.id === id)) return chain;
  return { ...chain, attempts: chain.attempts.map((attempt) => (attempt.id === id ? change(attempt) : attempt)) };
}

/** Forgets the oldest proven links that nothing points to; what is not proven is never forgotten. */
function forgetOldLinks(links: readonly Link[]): readonly Link[] {
  if (links.length <= LINKS_KEPT) return links;
  const newest = links.slice(-LINKS_KEPT);
  const isPointedTo = (id: LinkId): boolean => newest.some(({ tokenOf, parent }) => tokenOf === id || parent === id);
  const older = links.slice(0, -LINKS_KEPT);
  return [...older.filter(({ id, status }) => status === 'received' || isPointedTo(id)), ...newest];
}

export function publishedLink(chain: Chain): Link | null {
  return chain.links.findLast((link) => link.id === chain.published) ?? null;
}

/** The newest link there is, by the order in which exchanges were started. */
export function newestLink(chain: Chain): Link | null {
  return chain.links.at(-1) ?? null;
}

/** Time for which the published access token is surely still good, in milliseconds; 0 when there is none. */
export function accessTokenLeftMs(link: Link, now: Moment): number {
  if (link.accessTokenLifeMs === null) return 0;
  return Math.max(0, link.accessTokenLifeMs - elapsed(link.requestedAt, now).atMostMs);
}
