/**
 * What the provider's ledger and the chain's history say of one grant, laid side by side: every request to the token
 * endpoint belongs to an attempt that the history knows.
 */
import type { LedgerEntry } from '../../src/emulator.ts';
import type { HistoryItem } from './api.ts';
import type { Ring } from './world.ts';

/** An exchange as the keeper recorded it. */
export interface Attempt {
  readonly link: string;
  /** The link whose token was presented. */
  readonly presented: string;
  readonly at: number;
  readonly version: number;
  readonly generation: number;
  readonly node: string;
  /** As in `tokens`, `no_answer`, `crash`, `superseded`; null: nothing yet. */
  outcome: string | null;
}

/** A presentation of a refresh token, by the ledger. */
export interface Presentation {
  readonly at: number;
  readonly entry: LedgerEntry;
  readonly attempt: Attempt | null;
}

export interface Account {
  readonly ring: Ring;
  readonly attempts: readonly Attempt[];
  readonly presentations: readonly Presentation[];
  /** Authorizations in the ledger, oldest first. */
  readonly authorizations: readonly LedgerEntry[];
  readonly history: readonly HistoryItem[];
}

/** How far a node's clock, or the database's by which it goes, may be from the provider's. */
const CLOCKS_APART_MS = 500;

export function accountOf(ring: Ring, history: readonly HistoryItem[]): Account {
  const own = ring.provider.emulator.control
    .ledger()
    .filter((one) => one.endpoint === 'token' && one.user?.toLowerCase() === ring.user);
  const authorizations = own.filter((one) => one.decision === 'authorized');
  const attempts = attemptsIn(history);
  const sent = attempts.filter((one) => one.outcome !== 'not_sent');
  const presentations = own
    .filter((one) => one.decision !== 'authorized')
    .map((entry) => {
      const at = Date.parse(entry.time);
      // Of those that were begun by then, the last one: earlier ones never arrived.
      const last = sent.findLastIndex((one) => one.at <= at + CLOCKS_APART_MS);
      const [attempt = null] = sent.splice(0, last + 1).slice(-1);
      return { at, entry, attempt };
    });
  return { ring, attempts, presentations, authorizations, history };
}

function attemptsIn(history: readonly HistoryItem[]): readonly Attempt[] {
  const attempts = new Map<string, Attempt>();
  for (const { type, link, parent, at, version, generation, node, outcome } of history) {
    if (link === null) continue;
    const known = attempts.get(link);
    if (type === 'started') {
      const started = { link, presented: parent ?? '', at: Date.parse(at), version, generation, node: node ?? '' };
      attempts.set(link, { ...started, outcome: null });
    } else if (known && ['not_sent', 'lost', 'received', 'refused'].includes(type)) {
      // An answer that comes after it was given up counts.
      if (known.outcome !== 'tokens') known.outcome = outcome;
    }
  }
  return [...attempts.values()];
}
