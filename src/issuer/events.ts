/**
 * What happened to a client's tokens, with the true reasons that the wire does not show. Each event is a line in the
 * log at once; the newest of each client are also kept in one small record, written together with the other batches.
 */
import type { ClientId, FamilyId, GrantId } from '../core/id.ts';
import type { Instant } from '../core/instant.ts';
import type { IssuerParts } from './parts.ts';

export type ClientEventType =
  | 'refresh_token_issued'
  /** It had no key, and now has that of the first proof that came with it. */
  | 'refresh_token_bound'
  | 'refresh_token_refused'
  /** A dead token came back, and its family was ended for it. */
  | 'refresh_token_reused'
  | 'refresh_token_revoked'
  | 'refresh_tokens_cleaned_up'
  | 'code_replayed'
  | 'client_refused'
  | 'dpop_proof_refused';

export interface ClientEvent {
  readonly type: ClientEventType;
  readonly at: Instant;
  readonly grant?: GrantId;
  /** All that succeeded one refresh token share this. */
  readonly familyId?: FamilyId;
  /** The presented token was the so-manieth of its family … */
  readonly tokenCounter?: number;
  /** … when so many had been issued. */
  readonly latestCounter?: number;
  readonly reason?: string;
  /** Of a clean-up: live tokens before it, ended by it, and left. */
  readonly start?: number;
  readonly removedCount?: number;
  readonly endCount?: number;
  /** How often this very thing happened, the last time at `at`; left out: once. */
  readonly times?: number;
}

/** Of different kinds: who sends the same wrong thing again and again pushes nothing else out. */
const KEPT = 50;
/** Clients of which something waits to be written; more than this is somebody trying names. */
const MOST_PENDING = 10_000;

export class ClientEvents {
  readonly #parts: IssuerParts;
  readonly #onEvent: () => void;
  readonly #pending = new Map<ClientId, readonly ClientEvent[]>();

  /** `onEvent`: there is something to be written. */
  constructor(parts: IssuerParts, onEvent: () => void) {
    this.#parts = parts;
    this.#onEvent = onEvent;
  }

  /** Null: nobody knows whose it is; then it is in the log alone. */
  note(client: ClientId | null, event: Omit<ClientEvent, 'at'>): void {
    const { familyId, tokenCounter, latestCounter, removedCount, endCount, ...rest } = event;
    const counters = {
      family_id: familyId,
      token_counter: tokenCounter,
      latest_counter: latestCounter,
      removed_count: removedCount,
      end_count: endCount,
    };
    const level = event.type === 'refresh_token_issued' || event.type === 'refresh_token_bound' ? 'info' : 'warn';
    this.#parts.log[level]('client event', { client, ...rest, ...counters });
    if (client === null || (this.#pending.size >= MOST_PENDING && !this.#pending.has(client))) return;
    this.#pending.set(client, newest([...this.#pendingOf(client), { ...event, at: this.#parts.clock.now() }]));
    this.#onEvent();
  }

  /** Newest first. */
  async list(client: ClientId): Promise<readonly ClientEvent[]> {
    const record = await this.#parts.records.get('client-events', client);
    return newest([...eventsIn(record?.body), ...this.#pendingOf(client)]).toReversed();
  }

  async forget(client: ClientId): Promise<void> {
    this.#pending.delete(client);
    await this.#parts.records.remove('client-events', client);
  }

  async flush(): Promise<void> {
    for (const client of this.#pending.keys()) {
      const events = this.#pendingOf(client);
      this.#pending.delete(client);
      try {
        await this.#write(client, events);
      } catch (cause) {
        this.#pending.set(client, newest([...events, ...this.#pendingOf(client)]));
        throw cause;
      }
    }
  }

  #pendingOf(client: ClientId): readonly ClientEvent[] {
    return this.#pending.get(client) ?? [];
  }

  async #write(client: ClientId, events: readonly ClientEvent[]): Promise<void> {
    const { records } = this.#parts;
    for (;;) {
      const record = await records.get('client-events', client);
      const body = JSON.stringify(newest([...eventsIn(record?.body), ...events]));
      const written = record
        ? await records.update('client-events', client, record.version, body, [])
        : await records.insert('client-events', client, body, []);
      if (written.outcome === 'written') return;
    }
  }
}

function eventsIn(body: string | undefined): readonly ClientEvent[] {
  return body === undefined ? [] : (JSON.parse(body) as ClientEvent[]);
}

/** The last ones; of those that are the same but for their time, the last one, with their number. */
function newest(events: readonly ClientEvent[]): readonly ClientEvent[] {
  const kinds = new Map<string, ClientEvent>();
  for (const event of events) {
    const { at, times = 1, ...what } = event;
    const kind = JSON.stringify(what, Object.keys(what).toSorted());
    const before = kinds.get(kind);
    // The one that happened last stands last.
    kinds.delete(kind);
    kinds.set(kind, before ? { ...what, at, times: times + (before.times ?? 1) } : event);
  }
  return [...kinds.values()].slice(-KEPT);
}
