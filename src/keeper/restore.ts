/**
 * One record of a journal, brought into a store that may not know of it, may know it long since, or may know of later
 * things. The same for a crash a moment ago, for a database restored from an older backup, and for the journal of a node
 * that will not come back.
 */
import type { Chain, ChainEvent } from '../core/chain.ts';
import { EvergrantError } from '../core/errors.ts';
import type { GrantId } from '../core/id.ts';
import type { AnswerRecord, BegunRecord, EndedRecord, IntentRecord, JournalRecord } from '../ports/journal.ts';
import type { StoredChain, Term } from '../ports/store.ts';
import { openAnswer } from './answers.ts';
import { keep, recordAnswer, type Work } from './exchange.ts';
import { type GrantRegistry, insert } from './grants.ts';
import {
  answerIn,
  beginIn,
  claimOf,
  isEmpty,
  isOlderSibling,
  type Join,
  joinOf,
  type OtherHolder,
  otherHolder,
} from './join.ts';
import type { KeeperParts } from './parts.ts';
import { readAnswer } from './reading.ts';
import { recall } from './recall.ts';
import { type AppRecord, appTerms, type GrantRecord } from './records.ts';

/** What is needed to record something in a chain; rejects where app or provider of the grant are not here. */
export type WorkOf = (grant: GrantId) => Promise<Work>;

/**
 * tokens, nothing: the store has what this record gave, or needs it no more. waiting: it has to come after a record that
 * is not here yet. awaited: whoever uses it takes it from the journal.
 */
export type BroughtIn = 'tokens' | 'nothing' | 'waiting' | 'awaited';

/** What bringing one record needs. */
interface Bringing {
  readonly parts: KeeperParts;
  readonly registry: GrantRegistry;
  readonly workOf: WorkOf;
  readonly mayWait: boolean;
  readonly intents: readonly IntentRecord[];
}

/**
 * `mayWait`: other journals are still to come. `intents`: those of its grant that nothing had followed before this record.
 */
export async function bringIn(
  parts: KeeperParts,
  registry: GrantRegistry,
  workOf: WorkOf,
  record: Exclude<JournalRecord, IntentRecord>,
  mayWait: boolean,
  intents: readonly IntentRecord[],
): Promise<BroughtIn> {
  const stored = await parts.store.chains.read(record.grant);
  const join = isEmpty(stored.chain) ? await joinOf(parts, record.grant) : null;
  const bringing = { parts, registry, workOf, mayWait, intents };
  return join ? bringJoined(bringing, record, join) : bringOwn(bringing, record, stored);
}

/** A record of a grant that is part of another one by now. */
async function bringJoined(
  bringing: Bringing,
  record: Exclude<JournalRecord, IntentRecord>,
  join: Join,
): Promise<BroughtIn> {
  const { parts, registry } = bringing;
  const own = await parts.store.chains.read(record.grant);
  const into = await parts.store.chains.read(join.into);
  switch (record.purpose) {
    case 'exchange': {
      const received = answerIn(parts, join, record);
      if (isOlderSibling(into.chain, received)) return 'nothing';
      return bringExchange(bringing, received, into.chain);
    }
    case 'unsent':
      return bringOwn(bringing, { ...record, grant: join.into }, into);
    case 'begun':
      if (record.link === join.joined.link) return 'tokens';
      break;
    case 'ended':
      // It was ended before its token came here again.
      if (into.chain.end?.kind !== 'revoked') await registry.letGo(join.into, record.grant);
      break;
    default:
  }
  return bringOwn(bringing, record, own);
}

async function bringOwn(
  bringing: Bringing,
  record: Exclude<JournalRecord, IntentRecord>,
  stored: StoredChain,
): Promise<BroughtIn> {
  const { parts, registry } = bringing;
  const { chain } = stored;
  switch (record.purpose) {
    case 'exchange':
      return bringExchange(bringing, record, chain);
    case 'unsent':
      if (chain.attempts.some((one) => one.id === record.attempt)) {
        const at = parts.clock.moment();
        const reason = 'the journal says so';
        await parts.store.chains.append(record.grant, 'any', { type: 'not_sent', at, id: record.attempt, reason });
      }
      return 'nothing';
    case 'authorization':
      return 'awaited';
    case 'begun':
      return bringBeginning(bringing, record, stored);
    case 'ended':
    case 'removed':
      return bringEnd(parts, registry, record, chain);
  }
}

async function bringExchange(bringing: Bringing, record: AnswerRecord, chain: Chain): Promise<BroughtIn> {
  const { parts, workOf, mayWait } = bringing;
  const { grant, link, presented, sequence, generation } = record;
  const before = generation === null ? 0 : generation - chain.generation;
  if (chain.end?.kind === 'revoked' || presented === null || sequence === null || before < 0) return 'nothing';
  if (chain.links.some((one) => one.id === link)) return 'tokens';
  if (mayWait && before > 0) return 'waiting';
  if (chain.generation === 0) return 'nothing';
  const work = await workOf(grant);
  const answer = openAnswer(parts.sealer, grant, link, record.answer);
  const reading = readAnswer(answer, work.upstream.provider, record.receivedAt.at, []);
  const gave = reading.kind;
  if (gave !== 'tokens' && !(await isAwaiting(bringing, record))) return 'nothing';
  const { node, requestedAt } = record;
  const sent = { id: link, present: presented, sequence, generation, node, requestedAt };
  await recordAnswer(work, sent, record.receivedAt, answer, record.answer, { reading });
  parts.log.info('An answer was brought from the journal into the store.', { grant, link });
  return gave === 'tokens' ? 'tokens' : 'nothing';
}

/**
 * Whether the chain waits for this answer, perhaps since it was told of the attempt that the store had forgotten. What
 * was refused in a time of which nothing is known says nothing about the token that the chain holds by now.
 */
async function isAwaiting({ parts, workOf, intents }: Bringing, { grant, link }: AnswerRecord): Promise<boolean> {
  for (const intent of intents) await recall(parts, workOf, intent, false);
  const { chain } = await parts.store.chains.read(grant);
  return chain.attempts.some((attempt) => attempt.id === link);
}

async function bringBeginning(
  bringing: Bringing,
  record: BegunRecord,
  { chain, version }: StoredChain,
): Promise<BroughtIn> {
  const { parts, registry, workOf } = bringing;
  const { grant, link, at, by, received } = record;
  if (chain.end?.kind === 'revoked' || !isNewer(record, chain)) return 'nothing';
  const answer = openAnswer(parts.sealer, grant, link, record.answer);
  const other = await makeAgain(parts, registry, record);
  if (other) return joinTo(bringing, record, other);
  const event: ChainEvent & { type: 'authorized' } = {
    type: 'authorized',
    at,
    by,
    link: received,
    answer: record.answer,
  };
  const work = await workOf(grant).catch(() => null);
  const kept = await keep(parts, grant, event, answer, version, work?.dueOf);
  // Another node was faster, with this or with another one.
  if (!kept.chain.links.some((one) => one.id === link)) return bringBeginning(bringing, record, kept);
  parts.log.info('An authorization was brought from the journal into the store.', { grant, link });
  return 'tokens';
}

/** An authorization that the chain does not have. Of two that were made at the same time, the later one counts. */
function isNewer({ generation, received }: BegunRecord, chain: Chain): boolean {
  if (generation === null || generation > chain.generation) return true;
  return generation === chain.generation && received.receivedAt.at > (chain.authorizedAt?.at ?? 0);
}

/**
 * The store may be of a time when neither grant nor app were there, or the account was not known. Gives the grant that has
 * the token already; then none is made.
 */
async function makeAgain(
  parts: KeeperParts,
  registry: GrantRegistry,
  record: BegunRecord,
): Promise<OtherHolder | null> {
  const { records } = parts.store;
  const app = JSON.parse(record.appBody) as AppRecord;
  await records.insert('app', record.app, record.appBody, appTerms(app));
  const kept = JSON.parse(record.grantBody) as GrantRecord;
  if (await records.get('grant', record.grant)) {
    await noteAccount(registry, record.grant, kept);
    return null;
  }
  // Of two nodes that bring one token at once, the second is told that it is claimed. A claim may also outlast its grant.
  for (const terms of [claimOf(record), []]) {
    const other = await otherHolder(parts, record);
    if (other) return other;
    if (await insertSomehow(parts, registry, kept, terms)) break;
  }
  parts.log.warn('A grant that the store did not know was made again from the journal.', { grant: record.grant });
  return null;
}

/** The two are one grant from now on. May be repeated. */
async function joinTo(bringing: Bringing, record: BegunRecord, other: OtherHolder): Promise<BroughtIn> {
  const { parts, registry, workOf } = bringing;
  const { grant, link } = record;
  const kept = JSON.parse(record.grantBody) as GrantRecord;
  const as = other.as ?? (await beginIn(parts, workOf, other.grant, record));
  // It got another token meanwhile.
  if (as === null) return bringBeginning(bringing, record, await parts.store.chains.read(grant));
  await registry.takeIn(other.grant, { grant, link, as, alias: kept.alias });
  await noteAccount(registry, other.grant, kept);
  parts.log.warn('A grant of the journal has the token of another one, and is part of it from now on.', {
    grant,
    other: other.grant,
  });
  return 'tokens';
}

/**
 * A name that is taken by now is no reason to lose a chain: it goes without, as a grant does whose name was given on. Nor
 * is another node that has made the grant at the same time, from a journal of its own. False where its token is claimed.
 */
async function insertSomehow(
  parts: KeeperParts,
  registry: GrantRegistry,
  grant: GrantRecord,
  terms: readonly Term[],
): Promise<boolean> {
  const { records } = parts.store;
  try {
    await insertFree(parts, registry, grant, terms);
  } catch (cause) {
    if ((await records.get('grant', grant.id)) !== null) return true;
    if (cause instanceof EvergrantError && cause.code === 'already_held') return false;
    const isTaken = grant.alias !== null && (await records.find('grant', 'alias', grant.alias)) !== null;
    if (!isTaken) throw cause;
    parts.log.warn('The alias of a grant in the journal is taken; the grant goes without.', { grant: grant.id });
    return insertSomehow(parts, registry, { ...grant, alias: null }, terms);
  }
  return true;
}

/** Without an account that somebody else has. */
async function insertFree(
  parts: KeeperParts,
  registry: GrantRegistry,
  grant: GrantRecord,
  terms: readonly Term[],
): Promise<void> {
  const { accountKey } = grant;
  const holder = accountKey === null ? null : await parts.store.records.find('grant', 'account', accountKey);
  await insert(parts, registry, { ...grant, accountKey: holder ? null : accountKey }, terms);
}

async function noteAccount(registry: GrantRegistry, id: GrantId, kept: GrantRecord): Promise<void> {
  const { account, accountKey } = kept;
  const { value } = await registry.record(id);
  if (account === null || value.account !== null) return;
  const holder = accountKey === null ? null : await registry.byAccount(accountKey);
  await registry.change(id, (grant) => ({ ...grant, account, accountKey: holder ? grant.accountKey : accountKey }));
}

/** What was ended stays so, also where the store does not know yet that it ever began. */
async function bringEnd(
  parts: KeeperParts,
  registry: GrantRegistry,
  { purpose, grant, at }: EndedRecord,
  chain: Chain,
): Promise<BroughtIn> {
  const isThere = (await parts.store.records.get('grant', grant)) !== null;
  if (purpose === 'removed') {
    if (isThere && chain.generation === 0) await parts.store.records.remove('grant', grant);
    return 'nothing';
  }
  if (chain.end?.kind !== 'revoked') await parts.store.chains.append(grant, 'any', { type: 'ended', at });
  // Its account and its token are free again.
  if (isThere) await registry.change(grant, (value) => ({ ...value, accountKey: null }));
  return 'nothing';
}
