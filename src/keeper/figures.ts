/**
 * What happened to chains on this node since it started, counted for operators: how often an authorization ends in a
 * break, of what, and how long it takes until it is whole again; and how often a person was needed who knew of it.
 *
 * State: the counts. They see every event that this node appends, and no other.
 */
import { wasAnnounced } from '../core/announcement.ts';
import type { Chain, ChainEvent } from '../core/chain.ts';
import type { DiagnosisCode } from '../core/diagnosis.ts';
import type { GrantId } from '../core/id.ts';
import type { Instant } from '../core/instant.ts';
import type { Chains, Store } from '../ports/store.ts';
import { type GrantRecord, parseRecord } from './records.ts';

export interface Figures {
  /** New chains: by a person, or imported. */
  readonly authorizations: number;
  /** By how they ended: `tokens`, `lost`, `not_sent`, or what the refusal meant. */
  readonly exchanges: Readonly<Record<string, number>>;
  /** Chains that broke, by diagnosis. */
  readonly breaks: Readonly<Partial<Record<DiagnosisCode, number>>>;
  /** Broken chains that are whole again, and the time that all of them took together, in milliseconds. */
  readonly repairs: { readonly count: number; readonly tookMs: number };
  /** By provider. */
  readonly announcements: Readonly<Record<string, number>>;
  /** By provider: how often a person was needed. */
  readonly renewals: Readonly<Record<string, Renewals>>;
}

export interface Renewals {
  /** The date was told ahead: renewed before it, or broken at it. */
  readonly announced: number;
  /** Broken without a word before. */
  readonly unannounced: number;
}

export interface Counted {
  readonly store: Store;
  figures(): Figures;
}

/** The same store; what is appended to its chains is counted once it is there. */
export function counted(store: Store): Counted {
  let authorizations = 0;
  const exchanges: Record<string, number> = {};
  const breaks: Partial<Record<DiagnosisCode, number>> = {};
  const repairs = { count: 0, tookMs: 0 };
  const announcements: Record<string, number> = {};
  const renewals: Record<string, Renewals> = {};

  function count(event: ChainEvent, brokenSince: Instant | null): void {
    const outcome = outcomeOf(event);
    if (outcome) exchanges[outcome] = (exchanges[outcome] ?? 0) + 1;
    if (event.type === 'authorized') authorizations++;
    if (event.type === 'broken') breaks[event.diagnosis.code] = (breaks[event.diagnosis.code] ?? 0) + 1;
    if (brokenSince === null) return;
    repairs.count++;
    repairs.tookMs += Math.max(0, event.at.at - brokenSince);
  }

  async function countByProvider(grant: GrantId, what: 'announcement' | keyof Renewals): Promise<void> {
    const provider = await providerOf(store, grant);
    const known = renewals[provider] ?? { announced: 0, unannounced: 0 };
    if (what === 'announcement') announcements[provider] = (announcements[provider] ?? 0) + 1;
    else renewals[provider] = { ...known, [what]: known[what] + 1 };
  }

  const append: Chains['append'] = async (grant, expected, event, dueOf) => {
    // An authorization is rare enough to look first at what it mends.
    const before = event.type === 'authorized' ? await store.chains.read(grant).catch(() => null) : null;
    const appended = await store.chains.append(grant, expected, event, dueOf);
    const end = before?.chain.end;
    // A version that stays says that this was counted before.
    const isNew = appended.outcome === 'appended' && appended.version !== before?.version;
    if (!isNew) return appended;
    count(event, end?.kind === 'broken' && !appended.chain.end ? end.diagnosis.since : null);
    const need = event.type === 'announced' ? 'announcement' : needOf(event, before?.chain, appended.chain);
    if (need) await countByProvider(grant, need);
    return appended;
  };

  return {
    store: withAppend(store, append),
    figures: () => ({
      authorizations,
      exchanges: { ...exchanges },
      breaks: { ...breaks },
      repairs: { ...repairs },
      announcements: { ...announcements },
      renewals: { ...renewals },
    }),
  };
}

/** Spelled out, method by method: whatever goes through here is asked for at every exchange, and at every look. */
function withAppend(store: Store, append: Chains['append']): Store {
  const { records, nodes, isShared } = store;
  const chains: Chains = {
    append,
    read: (grant) => store.chains.read(grant),
    answer: (grant, link) => store.chains.answer(grant, link),
    holders: (fingerprint) => store.chains.holders(fingerprint),
    history: (grant, page) => store.chains.history(grant, page),
    unsettled: () => store.chains.unsettled(),
    due: (by, limit) => store.chains.due(by, limit),
    reschedule: (grant, expected, at) => store.chains.reschedule(grant, expected, at),
    count: () => store.chains.count(),
  };
  return {
    chains,
    records,
    nodes,
    isShared,
    watch: (listener) => store.watch(listener),
    heardAgoMs: () => store.heardAgoMs(),
    check: () => store.check(),
    close: () => store.close(),
  };
}

/** Whether this event shows that a person was needed, and whether that had been announced; null: it does not. */
function needOf(event: ChainEvent, before: Chain | undefined, chain: Chain): keyof Renewals | null {
  if (event.type === 'broken') return wasAnnounced(chain, event.at.at) ? 'announced' : 'unannounced';
  // What had broken before was counted when it did.
  return event.type === 'authorized' && before?.announced && !before.end ? 'announced' : null;
}

/** Read only on events that are rare. */
async function providerOf(store: Store, grant: GrantId): Promise<string> {
  const record = await store.records.get('grant', grant).catch(() => null);
  return record ? parseRecord<GrantRecord>(record).value.provider : 'unknown';
}

function outcomeOf(event: ChainEvent): string | null {
  switch (event.type) {
    case 'received':
      return 'tokens';
    case 'lost':
    case 'not_sent':
      return event.type;
    case 'refused':
      return event.means;
    default:
      return null;
  }
}
