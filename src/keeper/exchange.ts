/**
 * One exchange of a refresh token, from the open connection to the kept answer. The order is the promise:
 *
 *   connect → intent durable → send once → raw answer sealed and journaled → read → stored → read back
 *
 * Nothing is published here, and nobody who waits for the result can stop it. Whatever goes wrong ends as an event of
 * the chain, so that `nextStep` can decide what follows.
 */
import type { Chain, ChainEvent, LossReason, ReceivedLink } from '../core/chain.ts';
import { isFatal, type Said } from '../core/diagnosis.ts';
import type { GrantId, LinkId, NodeId } from '../core/id.ts';
import { elapsed, type Moment } from '../core/instant.ts';
import { deferralMs, REQUEST_TIMEOUT_MS, SEND_WITHIN_MS } from '../core/next-step.ts';
import type { AccessToken, RefreshToken, Sealed } from '../core/secret.ts';
import { refreshUrlOf } from '../oauth/token-request.ts';
import type { TokenResponse } from '../oauth/token-response.ts';
import type { Connection, HttpAnswer } from '../ports/network.ts';
import { type DueOf, LeaseLost, type StoredChain } from '../ports/store.ts';
import { isSealed, type KeptAnswer, keepable, sealAnswer } from './answers.ts';
import { heldAnswer } from './held-answers.ts';
import { type Noted, note, toJournal } from './journaling.ts';
import { freshId, type KeeperParts, reach } from './parts.ts';
import { readAnswer, tokensOf } from './reading.ts';
import { persistently } from './persistently.ts';
import { secretsIn } from './schemes/credential.ts';
import { nextRequest } from './schemes/token-request.ts';
import type { Upstream } from './upstream.ts';

const CONNECT_TIMEOUT_MS = 10_000;

/** The chain that is worked on, and how. */
export interface Work {
  readonly parts: KeeperParts;
  readonly grant: GrantId;
  readonly upstream: Upstream;
  /** When the chain wants something done although nobody asks. */
  readonly dueOf: DueOf;
  /** The intent is stored, and this is the version of the chain with it. */
  readonly onIntended?: (version: number) => void;
  /** Told of the access token of a new link, once its answer is stored, was read back, and is what was received. */
  readonly onKept?: (link: LinkId, accessToken: AccessToken) => void;
}

/** The chain as it stands after the exchange, however that went. Rejects with `LeaseLost` where nothing was begun. */
export async function exchange(work: Work, stored: StoredChain, present: LinkId): Promise<StoredChain> {
  const { parts, grant, upstream } = work;
  const url = refreshUrlOf(upstream.provider);
  const connection = await parts.network.open(url, upstream.provider.reach, CONNECT_TIMEOUT_MS);
  if (connection.kind === 'not_sent') return defer(work, stored, 'upstream_unavailable', null, null);
  try {
    await reach(parts, 'connected', grant);
    return await exchangeOver(connection, work, stored, present);
  } finally {
    connection.close();
  }
}

async function exchangeOver(
  connection: Connection,
  work: Work,
  stored: StoredChain,
  present: LinkId,
): Promise<StoredChain> {
  const { parts, grant, upstream } = work;
  const token = await refreshTokenOf(parts, grant, present, upstream);
  if (!token) return parts.store.chains.read(grant);
  // Before the intent: where it cannot be made, nothing is in doubt.
  const request = nextRequest(parts, upstream, token);
  const intended = await intend(work, stored, present);
  if (intended === 'conflict') return parts.store.chains.read(grant);
  if (intended === 'unconfirmed') return defer(work, stored, 'storage_fault', null, null);
  const { id, at: requestedAt, sequence } = intended;
  await reach(parts, 'intended', grant);
  const { generation } = stored.chain;
  const noted = { grant, generation, attempt: id };
  await note(parts, { purpose: 'intent', ...noted, at: requestedAt, presented: present, sequence, run: parts.run });
  if (elapsed(requestedAt, parts.clock.moment()).atMostMs > SEND_WITHIN_MS) {
    return notSent(work, noted, 'the intent took too long');
  }
  await reach(parts, 'sending', grant);
  const outcome = await connection.send(request, REQUEST_TIMEOUT_MS);
  if (outcome.kind === 'answer') {
    return await settle(work, { id, present, sequence, generation, node: parts.node, requestedAt }, token, outcome);
  }
  if (outcome.kind === 'lost') return lose(work, id, 'no_answer', null);
  const unsent = await notSent(work, noted, outcome.reason);
  return defer(work, unsent, 'upstream_unavailable', null, null);
}

async function notSent(work: Work, noted: Noted, reason: string): Promise<StoredChain> {
  const { parts } = work;
  const at = parts.clock.moment();
  // Not waited for: a disk that hangs must not keep the store from hearing it.
  void note(parts, { purpose: 'unsent', ...noted, at });
  return append(work, { type: 'not_sent', at, id: noted.attempt, reason });
}

/** The refresh token of a link, opened for the wire; null where nothing of the link can be read any more. */
async function refreshTokenOf(
  parts: KeeperParts,
  grant: GrantId,
  link: LinkId,
  upstream: Upstream,
): Promise<RefreshToken | null> {
  const answer = await heldAnswer(parts, grant, link);
  if (!answer) return null;
  const { refreshToken } = tokensOf(answer, upstream.provider, parts.clock.now());
  if (!refreshToken) throw new Error(`The answer of ${link} holds no refresh token.`);
  return refreshToken;
}

/**
 * Records that the token is about to be presented, unless somebody else was first. When the store does not confirm,
 * nothing is sent, and the record, should it be there after all, is taken back as soon as the store answers.
 */
async function intend(
  work: Work,
  stored: StoredChain,
  presented: LinkId,
): Promise<{ readonly id: LinkId; readonly at: Moment; readonly sequence: number } | 'conflict' | 'unconfirmed'> {
  const { parts, grant } = work;
  const id = freshId(parts, 'lnk');
  const at = parts.clock.moment();
  const event: ChainEvent = { type: 'started', at, id, presented, node: parts.node, run: parts.run };
  try {
    const { outcome, version } = await parts.store.chains.append(grant, stored.version, event, work.dueOf);
    if (outcome === 'appended') work.onIntended?.(version);
    return outcome === 'appended' ? { id, at, sequence: stored.chain.nextSequence } : 'conflict';
  } catch (cause) {
    if (cause instanceof LeaseLost) throw cause;
    parts.log.error('The store did not confirm an exchange; nothing is sent.', { grant }, cause);
    await append(work, { type: 'not_sent', at, id, reason: 'the store did not confirm the intent' });
    return 'unconfirmed';
  }
}

/** What is known of an exchange besides its answer. */
export interface Sent {
  readonly id: LinkId;
  readonly present: LinkId;
  readonly sequence: number;
  readonly generation: number | null;
  readonly node: NodeId;
  readonly requestedAt: Moment;
}

/** Keeps the answer before reading it, then records what it says. */
async function settle(work: Work, sent: Sent, token: RefreshToken, raw: HttpAnswer): Promise<StoredChain> {
  const { parts, grant } = work;
  await reach(parts, 'received', grant);
  const receivedAt = parts.clock.moment();
  const answer = keepable(raw);
  const sealed = sealAnswer(parts.sealer, grant, sent.id, answer);
  const { id: link, present: presented, ...told } = sent;
  await toJournal(parts, { purpose: 'exchange', grant, link, presented, ...told, receivedAt, answer: sealed });
  await reach(parts, 'journaled', grant);
  const settled = await recordAnswer(work, sent, receivedAt, answer, sealed, { token });
  parts.journal.settled(sent.id, settled.chain.links.some((one) => one.id === sent.id) ? 'tokens' : 'nothing');
  return settled;
}

/** What is at hand besides an answer: the token that was presented; or, of one that was opened and read, what it says. */
export interface AtHand {
  readonly token?: RefreshToken;
  readonly reading?: TokenResponse;
}

/**
 * Records an answer in the chain: the same whether it has just arrived or is found in a journal later. Appending is
 * never fenced, and repeating it is harmless.
 */
export async function recordAnswer(
  work: Work,
  sent: Sent,
  receivedAt: Moment,
  answer: KeptAnswer,
  sealed: Sealed,
  atHand: AtHand,
): Promise<StoredChain> {
  const { parts, grant, upstream } = work;
  const reading = await readingOf(work, sent, receivedAt, answer, atHand);
  switch (reading.kind) {
    case 'tokens': {
      const link = receivedLink(parts, sent, receivedAt, upstream, reading);
      const { present: parent, sequence } = sent;
      const event: ChainEvent = { type: 'received', at: receivedAt, link, parent, sequence, answer: sealed };
      const opened = atHand.reading ? sealed : null;
      const stored = await keep(parts, grant, event, answer, 'any', work.dueOf, opened);
      if (reading.accessToken) work.onKept?.(link.id, reading.accessToken);
      return stored;
    }
    case 'refused': {
      const { means, said, retryAfterMs } = reading;
      const refused = await append(work, { type: 'refused', at: receivedAt, id: sent.id, means, said });
      if (isFatal(means)) return refused;
      return defer(work, refused, deferralFor(means), said, retryAfterMs, receivedAt);
    }
    case 'unreadable':
      return lose(work, sent.id, reading.reason, reading.said);
  }
}

/** An answer with an access token repeats nothing; only any other is read beside what was sent. */
async function readingOf(
  { parts, grant, upstream }: Work,
  { present }: Sent,
  receivedAt: Moment,
  answer: KeptAnswer,
  { token, reading }: AtHand,
): Promise<TokenResponse> {
  const first = reading ?? readAnswer(answer, upstream.provider, receivedAt.at, []);
  if (first.kind === 'tokens' && first.accessToken) return first;
  const presented = token ?? (await refreshTokenOf(parts, grant, present, upstream).catch(() => null));
  const within = presented && upstream.scheme ? secretsIn(presented) : [];
  const secrets = [presented, upstream.clientSecret, ...within].filter((secret) => secret !== null);
  return readAnswer(answer, upstream.provider, receivedAt.at, secrets);
}

/**
 * Stores a received link, reads it back and compares, and does not rest before both agree. Where a version was expected
 * that the chain no longer has, nothing is stored, and what is there is the result. `opened` is a text that was just
 * opened and gave this answer: where the store has the very same, it is not opened once more.
 */
export async function keep(
  parts: KeeperParts,
  grant: GrantId,
  event: Extract<ChainEvent, { answer: Sealed }>,
  answer: KeptAnswer,
  expected: number | 'any' = 'any',
  dueOf?: DueOf,
  opened: Sealed | null = null,
): Promise<StoredChain> {
  const keptAs = await persistently(parts, 'store a received answer', grant, async () => {
    let stored = await parts.store.chains.append(grant, expected, event, dueOf);
    // An earlier try had its effect, and what it left may not be what was received: it is written anew.
    if (stored.outcome === 'conflict' && stored.chain.links.some((link) => link.id === event.link.id)) {
      stored = await parts.store.chains.append(grant, 'any', event, dueOf);
    }
    await reach(parts, 'stored', grant);
    await readBack(parts, grant, event.link.id, answer, opened);
    return stored;
  });
  await reach(parts, 'verified', grant);
  return keptAs;
}

/** Throws when what the store holds is not what was received. */
async function readBack(
  parts: KeeperParts,
  grant: GrantId,
  link: LinkId,
  answer: KeptAnswer,
  opened: Sealed | null,
): Promise<void> {
  const sealed = await parts.store.chains.answer(grant, link);
  if (sealed && sealed === opened) return;
  if (!sealed && !(await isInChain(parts, grant, link))) return;
  if (!sealed) throw new Error('The store confirmed an answer that it does not hold.');
  if (!isSealed(parts.sealer, grant, link, sealed, answer)) {
    throw new Error('The store holds another answer than the one it was given.');
  }
}

/** A link leaves its chain when a newer authorization replaced it meanwhile, or the grant was ended; so does its answer. */
async function isInChain(parts: KeeperParts, grant: GrantId, link: LinkId): Promise<boolean> {
  const { chain } = await parts.store.chains.read(grant);
  return chain.links.some((one) => one.id === link);
}

function receivedLink(
  parts: KeeperParts,
  sent: Sent,
  receivedAt: Moment,
  upstream: Upstream,
  tokens: Extract<ReturnType<typeof readAnswer>, { kind: 'tokens' }>,
): ReceivedLink {
  return {
    id: sent.id,
    // What lasts is the credential: a refresh token that comes beside it, as with some passwords, is not used.
    fingerprint: tokens.refreshToken && !upstream.scheme ? parts.sealer.fingerprint(tokens.refreshToken) : null,
    node: sent.node,
    requestedAt: sent.requestedAt,
    receivedAt,
    accessTokenLifeMs: accessTokenLifeMs(tokens, upstream),
    scope: tokens.scope,
  };
}

/** Where neither the answer nor the provider file names a life: an hour, and sooner when the API refuses the token. */
const ASSUMED_LIFE_MS = 3_600_000;

export function accessTokenLifeMs(
  tokens: { readonly accessToken: unknown; readonly expiresInMs: number | null },
  upstream: Upstream,
): number | null {
  if (!tokens.accessToken) return null;
  return tokens.expiresInMs ?? upstream.provider.policy.life.accessTokenMs ?? ASSUMED_LIFE_MS;
}

function deferralFor(means: string): 'too_early' | 'throttled' | 'client_rejected' | 'upstream_fault' {
  return means === 'too_early' || means === 'throttled' || means === 'client_rejected' ? means : 'upstream_fault';
}

function lose(work: Work, id: LinkId, reason: LossReason, said: Said | null): Promise<StoredChain> {
  return append(work, { type: 'lost', at: work.parts.clock.moment(), id, reason, said });
}

async function defer(
  work: Work,
  stored: StoredChain,
  why: NonNullable<Chain['deferral']>['why'],
  said: Said | null,
  retryAfterMs: number | null,
  at = work.parts.clock.moment(),
): Promise<StoredChain> {
  const forMs = deferralMs(stored.chain, work.upstream.provider.policy, why, retryAfterMs);
  return append(work, { type: 'deferred', at, deferral: { why, forMs, said } });
}

/** Appends what happened, whatever else did: these events are facts and are never refused. */
function append({ parts, grant, dueOf }: Work, event: ChainEvent): Promise<StoredChain> {
  const { chains } = parts.store;
  return persistently(parts, `record "${event.type}"`, grant, () => chains.append(grant, 'any', event, dueOf));
}
