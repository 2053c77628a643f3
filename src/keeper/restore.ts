/**
 * One record of a journal, brought into a store that may not know of it, may know it long since, or may know of later
 * things. The same for a crash a moment ago, for a database restored from an older backup, and for the journal of a node
 * that will not come back.
 */
import type { Chain, ChainEvent } from '../core/chain.ts';
import type { GrantId } from '../core/id.ts';
import type { AnswerRecord, BegunRecord, EndedRecord, IntentRecord, JournalRecord } from '../ports/journal.ts';
import type { Term } from '../ports/store.ts';
import { openAnswer } from './answers.ts';
import { keep, recordAnswer, type Work } from './exchange.ts';
import { type GrantRegistry, insert } from './grants.ts';
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
  const { chain } = await parts.store.chains.read(record.grant);
  switch (record.purpose) {
    case 'exchange':
      return bringExchange(parts, workOf, record, chain, mayWait, intents);
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
      return bringBeginning(parts, registry, workOf, record, chain);
    case 'ended':
    case 'removed':
      return bringEnd(parts, registry, record, chain);
  }
}

async function bringExchange(
  parts: KeeperParts,
  workOf: WorkOf,
  record: AnswerRecord,
  chain: Chain,
  mayWait: boolean,
  intents: readonly IntentRecord[],
): Promise<BroughtIn> {
  const { grant, link, presented, sequence, generation } = record;
  const before = generation === null ? 0 : generation - chain.generation;
  if (chain.end?.kind === 'revoked' || presented === null || sequence === null || before < 0) return 'nothing';
  if (chain.links.some((one) => one.id === link)) return 'tokens';
  if (mayWait && before > 0) return 'waiting';
  if (chain.generation === 0) return 'nothing';
  const work = await workOf(grant);
  const answer = openAnswer(parts.sealer, grant, link, record.answer);
  const gave = readAnswer(answer, work.upstream.provider, record.receivedAt.at, []).kind;
  if (gave !== 'tokens' && !(await isAwaiting(parts, workOf, record, intents))) return 'nothing';
  const { node, requestedAt } = record;
  const sent = { id: link, present: presented, sequence, generation, node, requestedAt };
  await recordAnswer(work, sent, record.receivedAt, answer, record.answer);
  parts.log.info('An answer was brought from the journal into the store.', { grant, link });
  return gave === 'tokens' ? 'tokens' : 'nothing';
}

/**
 * Whether the chain waits for this answer, perhaps since it was told of the attempt that the store had forgotten. What
 * was refused in a time of which nothing is known says nothing about the token that the chain holds by now.
 */
async function isAwaiting(
  parts: KeeperParts,
  workOf: WorkOf,
  { grant, link }: AnswerRecord,
  intents: readonly IntentRecord[],
): Promise<boolean> {
  for (const intent of intents) await recall(parts, workOf, intent, false);
  const { chain } = await parts.store.chains.read(grant);
  return chain.attempts.some((attempt) => attempt.id === link);
}

async function bringBeginning(
  parts: KeeperParts,
  registry: GrantRegistry,
  workOf: WorkOf,
  record: BegunRecord,
  chain: Chain,
): Promise<BroughtIn> {
  const { grant, link, at, by, received } = record;
  if (chain.end?.kind === 'revoked' || !isNewer(record, chain)) return 'nothing';
  const answer = openAnswer(parts.sealer, grant, link, record.answer);
  await makeAgain(parts, registry, record);
  const event: ChainEvent = { type: 'authorized', at, by, link: received, answer: record.answer };
  const work = await workOf(grant).catch(() => null);
  await keep(parts, grant, event, answer, 'any', work?.dueOf);
  parts.log.info('An authorization was brought from the journal into the store.', { grant, link });
  return 'tokens';
}

/** An authorization that the chain does not have. Of two that were made at the same time, the later one counts. */
function isNewer({ generation, received }: BegunRecord, chain: Chain): boolean {
  if (generation === null || generation > chain.generation) return true;
  return generation === chain.generation && received.receivedAt.at > (chain.authorizedAt?.at ?? 0);
}

/** The store may be of a time when neither grant nor app were there, or the account was not known. */
async function makeAgain(parts: KeeperParts, registry: GrantRegistry, record: BegunRecord): Promise<void> {
  const { records } = parts.store;
  const app = JSON.parse(record.appBody) as AppRecord;
  await records.insert('app', record.app, record.appBody, appTerms(app));
  const kept = JSON.parse(record.grantBody) as GrantRecord;
  const held = await records.get('grant', record.grant);
  if (held) return noteAccount(registry, record.grant, kept);
  const imported: readonly Term[] =
    record.by === 'import' ? [{ name: 'imported', value: record.received.fingerprint, unique: true }] : [];
  await insertSomehow(parts, registry, kept, imported);
  parts.log.warn('A grant that the store did not know was made again from the journal.', { grant: record.grant });
}

/**
 * A name that is taken by now is no reason to lose a chain: it goes without, as a grant does whose name was given on. Nor
 * is another node that has made the grant at the same time, from a journal of its own.
 */
async function insertSomehow(
  parts: KeeperParts,
  registry: GrantRegistry,
  grant: GrantRecord,
  terms: readonly Term[],
): Promise<void> {
  const { records } = parts.store;
  try {
    await insertFree(parts, registry, grant, terms);
  } catch (cause) {
    if ((await records.get('grant', grant.id)) !== null) return;
    const isTaken = grant.alias !== null && (await records.find('grant', 'alias', grant.alias)) !== null;
    if (!isTaken) throw cause;
    parts.log.warn('The alias of a grant in the journal is taken; the grant goes without.', { grant: grant.id });
    await insertFree(parts, registry, { ...grant, alias: null }, terms);
  }
}

/** Without an account, or another term, that somebody else has. */
async function insertFree(
  parts: KeeperParts,
  registry: GrantRegistry,
  grant: GrantRecord,
  terms: readonly Term[],
): Promise<void> {
  const { accountKey } = grant;
  const holder = accountKey === null ? null : await parts.store.records.find('grant', 'account', accountKey);
  const free = { ...grant, accountKey: holder ? null : accountKey };
  await insert(parts, registry, free, await freeTerms(parts, terms));
}

async function freeTerms(parts: KeeperParts, terms: readonly Term[]): Promise<readonly Term[]> {
  const { records } = parts.store;
  const found = await Promise.all(terms.map(({ name, value }) => records.find('grant', name, value)));
  return terms.filter((_, i) => found[i] === null);
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
  const held = isThere ? (await registry.record(grant)).value : null;
  if (held?.accountKey != null) await registry.change(grant, (value) => ({ ...value, accountKey: null }));
  return 'nothing';
}
