/**
 * What the provider's ledger and the chain's history say of one grant, laid side by side: every request to the token
 * endpoint belongs to an attempt that the history knows, and every answer that the history knows to a request.
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
  /** The event that closed it first. */
  closed: number | null;
}

/** A presentation of a refresh token, by the ledger. */
export interface Presentation {
  readonly at: number;
  readonly entry: LedgerEntry;
  readonly attempt: Attempt | null;
}

/** The grant, as far as it is judged. */
export interface JudgedRing extends Pick<Ring, 'alias'> {
  readonly provider: Pick<Ring['provider'], 'policy'>;
}

export interface Account {
  readonly ring: JudgedRing;
  readonly attempts: readonly Attempt[];
  readonly presentations: readonly Presentation[];
  /** Authorizations in the ledger, oldest first. */
  readonly authorizations: readonly LedgerEntry[];
  readonly history: readonly HistoryItem[];
}

/** How far a node's clock, or the database's by which it goes, may be from the provider's. */
const CLOCKS_APART_MS = 1_000;

export function accountOf(ring: Ring, history: readonly HistoryItem[]): Account {
  const own = ring.provider.emulator.control
    .ledger()
    .filter((one) => one.endpoint === 'token' && one.user?.toLowerCase() === ring.user);
  return layOut(ring, own, history);
}

/** `own`: what the ledger says of the token endpoint and this account. */
export function layOut(ring: JudgedRing, own: readonly LedgerEntry[], history: readonly HistoryItem[]): Account {
  const authorizations = own.filter((one) => one.decision === 'authorized');
  const attempts = attemptsIn(history);
  return { ring, attempts, presentations: paired(own, attempts), authorizations, history };
}

/**
 * Requests arrive in the order of their attempts, one for each or none. From the last one backwards each takes the
 * newest attempt that is left and was begun by then: so as many as can have an attempt have one, however late a busy
 * provider wrote them down.
 */
function paired(own: readonly LedgerEntry[], attempts: readonly Attempt[]): readonly Presentation[] {
  const left = attempts.filter((one) => one.outcome !== 'not_sent');
  return own
    .filter((one) => one.decision !== 'authorized')
    .toReversed()
    .map((entry) => {
      const at = Date.parse(entry.time);
      const index = left.findLastIndex(
        (one) => one.at <= at + CLOCKS_APART_MS && (one.outcome !== 'tokens' || entry.issued.length > 0),
      );
      const attempt = left[index] ?? null;
      if (attempt) left.splice(index);
      return { at, entry, attempt };
    })
    .toReversed();
}

function attemptsIn(history: readonly HistoryItem[]): readonly Attempt[] {
  const attempts = new Map<string, Attempt>();
  for (const { type, link, parent, at, version, generation, node, outcome } of history) {
    if (link === null) continue;
    const known = attempts.get(link);
    if (type === 'started') {
      const started = { link, presented: parent ?? '', at: Date.parse(at), version, generation, node: node ?? '' };
      attempts.set(link, { ...started, outcome: null, closed: null });
    } else if (known && ['not_sent', 'lost', 'received', 'refused'].includes(type)) {
      known.closed ??= version;
      // An answer that comes after it was given up counts.
      if (known.outcome !== 'tokens') known.outcome = outcome;
    }
  }
  return [...attempts.values()];
}
