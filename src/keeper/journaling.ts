/**
 * What is written into the journal beside the answers of exchanges: how chains begin and grants end, and what is about to
 * be sent. With that, a store that is restored from an older backup gets the grants that were made since, loses again
 * those that were ended, and hears which tokens were presented and never answered.
 */
import type { ChainEvent } from '../core/chain.ts';
import type { GrantId, LinkId } from '../core/id.ts';
import type { BegunRecord, IntentRecord, JournalRecord, NoteRecord } from '../ports/journal.ts';
import { Bell } from './bell.ts';
import { freshId, type KeeperParts } from './parts.ts';
import type { GrantRecord } from './records.ts';

/** A disk that hangs is not waited for longer: less than the time in which a request is sent after its intent. */
const DISK_MS = 2_000;

/** What the journal does goes on; who waits for it does so for a while. */
async function forAWhile({ clock }: KeeperParts, work: Promise<unknown>): Promise<void> {
  const over = new Bell();
  const late = clock.sleep(DISK_MS, over).then(() => {
    if (!over.aborted) throw new Error('The disk does not answer.');
  });
  try {
    await Promise.race([work, late]);
  } finally {
    over.ring();
  }
}

/** The journal is the first of two copies; where it cannot be written, the store alone must do. Never rejects. */
export async function toJournal(parts: KeeperParts, record: JournalRecord): Promise<void> {
  const { grant, purpose } = record;
  try {
    await forAWhile(parts, parts.journal.append(record));
  } catch (cause) {
    parts.log.error('The journal cannot be written; this goes to the store alone.', { grant, purpose }, cause);
  }
}

/** What makes a grant again where it is not known, as the store has it now. */
async function bodiesOf(
  parts: KeeperParts,
  grant: GrantId,
): Promise<Pick<BegunRecord, 'app' | 'grantBody' | 'appBody'>> {
  const { records } = parts.store;
  const kept = await records.get('grant', grant);
  if (!kept) throw new Error(`The grant ${grant} is not there.`);
  const { app } = JSON.parse(kept.body) as GrantRecord;
  const registration = await records.get('app', app);
  if (!registration) throw new Error(`The app ${app} is not there.`);
  return { app, grantBody: kept.body, appBody: registration.body };
}

/** Journals the beginning of a chain before the store is asked to keep it. */
export async function journalBeginning(
  parts: KeeperParts,
  grant: GrantId,
  generation: number,
  event: Extract<ChainEvent, { type: 'authorized' }>,
): Promise<void> {
  const { at, by, link: received, answer } = event;
  try {
    const bodies = await bodiesOf(parts, grant);
    const { node } = parts;
    const record = { grant, link: received.id, generation, node, at, by, received, answer, ...bodies } as const;
    await toJournal(parts, { purpose: 'begun', ...record });
  } catch (cause) {
    parts.log.error('Nothing is known of a grant that begins; the journal goes without.', { grant }, cause);
  }
}

/** Journals that a grant is over; to be called settled once the store has it. */
export async function journalEnd(parts: KeeperParts, grant: GrantId, purpose: 'ended' | 'removed'): Promise<LinkId> {
  const { node, clock } = parts;
  const link = freshId(parts, 'lnk');
  await toJournal(parts, { purpose, grant, link, generation: null, node, at: clock.moment() });
  return link;
}

/**
 * The same of a grant and of those that it has taken in: a store that goes back further knows them apart. Gives what is to
 * be called once the store has it.
 */
export async function journalEnds(parts: KeeperParts, { id, joined = [] }: GrantRecord): Promise<() => void> {
  const told: LinkId[] = [];
  for (const grant of [id, ...joined.map((one) => one.grant)]) told.push(await journalEnd(parts, grant, 'ended'));
  return () => {
    for (const link of told) parts.journal.settled(link, 'nothing');
  };
}

/** The exchange that something is noted of. */
export type Noted = Pick<IntentRecord, 'grant' | 'generation' | 'attempt'>;

type Untold<R> = R extends unknown ? Omit<R, 'link' | 'node'> : never;

/** Notes something of an exchange. The store knows it as well, so a journal that takes nothing stops no exchange. */
export async function note(parts: KeeperParts, record: Untold<NoteRecord>): Promise<void> {
  const { journal, node, log } = parts;
  try {
    await forAWhile(parts, journal.note({ ...record, link: freshId(parts, 'lnk'), node }));
  } catch (cause) {
    log.warn('The journal took no note of an exchange.', { grant: record.grant, why: String(cause) });
  }
}
