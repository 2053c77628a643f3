/**
 * One refresh token that was imported twice: a restored store had forgotten the first import, so the second one was let
 * in, and then a journal brings the first one. Two grants with one chain would present one token twice. So the grant that
 * is here takes the other one in: it gets what the journal knows of the chain, and answers to the names of both.
 *
 * What the other one received is older than what this one got with the same token, and newer than the token itself.
 */
import type { Chain, ChainEvent } from '../core/chain.ts';
import type { GrantId, LinkId } from '../core/id.ts';
import { isBefore } from '../core/instant.ts';
import type { AnswerRecord, BegunRecord, IntentRecord } from '../ports/journal.ts';
import type { Term } from '../ports/store.ts';
import { openAnswer, sealAnswer } from './answers.ts';
import { keep, type Work } from './exchange.ts';
import type { KeeperParts } from './parts.ts';
import { type GrantRecord, type JoinedGrant, parseRecord } from './records.ts';

/** The grant that took another one in. */
export interface Join {
  readonly into: GrantId;
  readonly joined: JoinedGrant;
}

export async function joinOf({ store }: KeeperParts, grant: GrantId): Promise<Join | null> {
  const stored = await store.records.find('grant', 'joined', grant);
  if (!stored) return null;
  const { value } = parseRecord<GrantRecord>(stored);
  const joined = value.joined?.find((one) => one.grant === grant);
  return joined ? { into: value.id, joined } : null;
}

/** What the other grant was about to send, as this one would have sent it. */
export function intentIn({ into, joined }: Join, record: IntentRecord): IntentRecord {
  return { ...record, grant: into, presented: linkIn(joined, record.presented) };
}

/** What the other grant received, as this one would have received it. */
export function answerIn({ sealer }: KeeperParts, { into, joined }: Join, record: AnswerRecord): AnswerRecord {
  const { grant, link, presented } = record;
  const answer = sealAnswer(sealer, into, link, openAnswer(sealer, grant, link, record.answer));
  return { ...record, grant: into, presented: presented && linkIn(joined, presented), answer };
}

function linkIn({ link, as }: JoinedGrant, presented: LinkId): LinkId {
  return presented === link ? as : presented;
}

/** Whether the chain has got something with the same token since. */
export function isOlderSibling({ links }: Chain, { link, presented, requestedAt }: AnswerRecord): boolean {
  return links.some((one) => one.parent === presented && one.id !== link && isBefore(requestedAt, one.requestedAt));
}

/** A grant here that has this token; `as` is null where it was made for it and has no chain yet. */
export interface OtherHolder {
  readonly grant: GrantId;
  readonly as: LinkId | null;
}

/** Who else was given the token of this import and lives. One credential may well serve two grants. */
export async function otherHolder(parts: KeeperParts, record: BegunRecord): Promise<OtherHolder | null> {
  const { chains, records } = parts.store;
  const { fingerprint } = record.received;
  if (!isOfToken(record)) return null;
  for (const { grant, link } of await chains.holders(fingerprint)) {
    if (grant === record.grant) continue;
    const { chain } = await chains.read(grant);
    if (chain.end?.kind !== 'revoked' && chain.generation > 0 && isImported(chain, link)) return { grant, as: link };
  }
  const claimed = await records.find('grant', 'imported', fingerprint);
  const grant = claimed && (claimed.id as GrantId);
  if (grant === null || grant === record.grant) return null;
  return isEmpty((await chains.read(grant)).chain) ? { grant, as: null } : null;
}

/** Whether it is about a refresh token that one grant alone may have. */
function isOfToken({ by, grantBody }: BegunRecord): boolean {
  return by === 'import' && (JSON.parse(grantBody) as GrantRecord).scheme === undefined;
}

/** A token that came by an exchange or from a person went to another grant by a way that journals know of. */
function isImported({ links, by }: Chain, id: LinkId): boolean {
  const link = links.find((one) => one.id === id);
  return !link || (link.parent === null && by === 'import');
}

export function isEmpty({ generation, end }: Chain): boolean {
  return generation === 0 && end === null;
}

/** By this term a grant keeps others from the token that it is about to get. */
export function claimOf(record: BegunRecord): readonly Term[] {
  return isOfToken(record) ? [{ name: 'imported', value: record.received.fingerprint, unique: true }] : [];
}

/** The grant that was made for this token, and never got it, gets it now. Gives the link that has the token there. */
export async function beginIn(
  parts: KeeperParts,
  workOf: (grant: GrantId) => Promise<Work>,
  into: GrantId,
  record: BegunRecord,
): Promise<LinkId | null> {
  const { grant, link, at, by, received } = record;
  const answer = openAnswer(parts.sealer, grant, link, record.answer);
  const sealed = sealAnswer(parts.sealer, into, link, answer);
  const event: ChainEvent & { type: 'authorized' } = { type: 'authorized', at, by, link: received, answer: sealed };
  const work = await workOf(into).catch(() => null);
  const { chain } = await keep(parts, into, event, answer, 0, work?.dueOf);
  return chain.links.find((one) => one.fingerprint === received.fingerprint)?.id ?? null;
}
