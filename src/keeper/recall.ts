/**
 * Exchanges of which a restored store has forgotten that they were made. The journal says what was about to be sent, and
 * then what came of it; where nothing did, the chain hears that its token may have been used.
 */
import type { GrantId } from '../core/id.ts';
import type { IntentRecord, JournalRecord } from '../ports/journal.ts';
import { intentIn, isEmpty, joinOf } from './join.ts';
import type { KeeperParts } from './parts.ts';
import type { BroughtIn, WorkOf } from './restore.ts';

export interface Intent<N> {
  readonly intent: IntentRecord;
  /** As the journal holds it. */
  readonly held: N;
}

/** The intents of a journal, while it is read from its oldest record to its newest: those that nothing has followed. */
export class Intents<N> {
  readonly #open = new Map<GrantId, readonly Intent<N>[]>();

  /** Takes the next record; gives the intents that it ends: it tells more of their chain than they do. */
  next(record: JournalRecord, held: N): readonly Intent<N>[] {
    const { grant } = record;
    const before = this.#open.get(grant) ?? [];
    switch (record.purpose) {
      case 'intent':
        this.#open.set(grant, [...before, { intent: record, held }]);
        return [];
      case 'unsent':
        this.#open.set(
          grant,
          before.filter(({ intent }) => intent.attempt !== record.attempt),
        );
        return before.filter(({ intent }) => intent.attempt === record.attempt);
      case 'authorization':
        return [];
      default:
        this.#open.delete(grant);
        return before;
    }
  }

  /** Those that are left at the end: of each grant in the order in which they were written. */
  left(): readonly Intent<N>[] {
    return [...this.#open.values()].flat();
  }
}

/** The chain hears of an exchange whose answer is not known. One that it knows, or that a later one followed, is let be. */
export async function recall(
  parts: KeeperParts,
  workOf: WorkOf,
  intent: IntentRecord,
  mayWait: boolean,
): Promise<BroughtIn> {
  const { grant, generation, attempt, presented, sequence, node, run, at: startedAt } = intent;
  const { chain } = await parts.store.chains.read(grant);
  const join = isEmpty(chain) ? await joinOf(parts, grant) : null;
  if (join) return recall(parts, workOf, intentIn(join, intent), mayWait);
  const before = generation === null ? 0 : generation - chain.generation;
  if (chain.end || before !== 0) return mayWait && before > 0 ? 'waiting' : 'nothing';
  if (chain.attempts.some((one) => one.id === attempt)) return 'nothing';
  if (chain.nextSequence > sequence && !chain.attempts.some((one) => one.isRecalled)) return 'nothing';
  const { dueOf } = await workOf(grant);
  const sent = { id: attempt, presented, sequence, node, run, startedAt } as const;
  await parts.store.chains.append(grant, 'any', { type: 'recalled', at: parts.clock.moment(), ...sent }, dueOf);
  parts.log.warn('An exchange that the store had forgotten may have been made.', { grant, node });
  return 'nothing';
}
