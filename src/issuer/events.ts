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
}

const KEPT = 50;
/** Clients of which something waits to be written; more than this is somebody trying names. */
const MOST_PENDING = 10_000;

export class ClientEvents {
  readonly #parts: IssuerParts;
  readonly #onEvent: () => void;
  readonly #pending = new Map<ClientId, ClientEvent[]>();

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
    const events = this.#pending.get(client) ?? [];
    events.push({ ...event, at: this.#parts.clock.now() });
    this.#pending.set(client, events.slice(-KEPT));
    this.#onEvent();
  }

  /** Newest first. */
  async list(client: ClientId): Promise<readonly ClientEvent[]> {
    const record = await this.#parts.records.get('client-events', client);
    return [...eventsIn(record?.body), ...(this.#pending.get(client) ?? [])].slice(-KEPT).toReversed();
  }

  async forget(client: ClientId): Promise<void> {
    this.#pending.delete(client);
    await this.#parts.records.remove('client-events', client);
  }

  async flush(): Promise<void> {
    for (const client of this.#pending.keys()) {
      const events = this.#pending.get(client) ?? [];
      this.#pending.delete(client);
      try {
        await this.#write(client, events);
      } catch (cause) {
        this.#pending.set(client, [...events, ...(this.#pending.get(client) ?? [])].slice(-KEPT));
        throw cause;
      }
    }
  }

  async #write(client: ClientId, events: readonly ClientEvent[]): Promise<void> {
    const { records } = this.#parts;
    for (;;) {
      const record = await records.get('client-events', client);
      const body = JSON.stringify([...eventsIn(record?.body), ...events].slice(-KEPT));
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
