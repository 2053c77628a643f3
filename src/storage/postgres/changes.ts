/**
 * What the nodes tell each other through LISTEN and NOTIFY. A change is told in the transaction that makes it, so it is
 * heard once it is there. Listening needs a connection of its own that leads to the server itself; whether it does is
 * not believed but tried: twice a second this store tells itself something and waits to hear it. What others told before
 * comes before it on the same connection, so then all of that has been heard.
 *
 * States: apart (no connection, or nothing is heard over it) ⇄ listening. Every time it begins to listen, and once a
 * second while it cannot although the database answers, all may have changed: `unsure`.
 */
import { randomUUID } from 'node:crypto';
import pg from 'pg';
import type { Clock } from '../../ports/clock.ts';
import type { Log } from '../../ports/log.ts';
import type { Change, RecordKind } from '../../ports/store.ts';
import type { Database } from './database.ts';

/** How a transaction tells others what it changed: `pg_notify(channel, message)` for each message. */
export interface Telling {
  readonly channel: string;
  messages(changes: readonly Change[]): readonly string[];
}

export interface ChangesParts {
  readonly db: Database;
  /** A connection that leads to the server itself; null: the one of the database is tried. */
  readonly listenUrl: string | null;
  readonly clock: Clock;
  readonly log: Log;
}

/** Every Evergrant of one database uses the same name; ids of another one mean nothing here. */
const CHANNEL = 'evergrant';
/** Less than the 8000 bytes that a notification may have. */
const MESSAGE_BYTES = 7_000;
/** How long a message to itself may take, and how often one is sent. */
const ECHO_MS = 3_000;
const ECHO_EVERY_MS = 500;
/** How often a node that cannot listen takes it that anything may have changed. */
const POLL_MS = 1_000;
const RETRY_LEAST_MS = 100;
const RETRY_MOST_MS = 30_000;

export class Changes implements Telling {
  readonly channel = CHANNEL;
  readonly #parts: ChangesParts;
  /** Tells own messages from those of others. */
  readonly #me = randomUUID();
  readonly #listeners = new Set<(change: Change) => void>();
  readonly #closing = new AbortController();
  readonly #tried = Promise.withResolvers<void>();
  #isListening = false;
  /** When the last message to itself was sent that came back, by the clock that nobody sets. */
  #heardAtMs = Number.NEGATIVE_INFINITY;
  #ended: Promise<unknown> = Promise.resolve();

  constructor(parts: ChangesParts) {
    this.#parts = parts;
  }

  /** Resolves once it listens, or was found not to be able to for now. */
  async start(): Promise<void> {
    this.#ended = Promise.all([this.#keepListening(), this.#poll()]);
    await this.#tried.promise;
  }

  watch(listener: (change: Change) => void): () => void {
    // One of its own for every call, so that ending one ends no other.
    const own = (change: Change): void => listener(change);
    this.#listeners.add(own);
    return () => this.#listeners.delete(own);
  }

  heardAgoMs(): number {
    return this.#uptimeMs() - this.#heardAtMs;
  }

  messages(changes: readonly Change[]): readonly string[] {
    const messages: string[] = [];
    let together: (readonly [string, string])[] = [];
    const write = (): void => {
      if (together.length > 0) messages.push(JSON.stringify({ by: this.#me, changed: together }));
      together = [];
    };
    let bytes = 0;
    for (const change of changes) {
      const told = nameOf(change);
      const size = Buffer.byteLength(JSON.stringify(told)) + 1;
      if (bytes + size > MESSAGE_BYTES) {
        write();
        bytes = 0;
      }
      together.push(told);
      bytes += size;
    }
    write();
    return messages;
  }

  async close(): Promise<void> {
    this.#closing.abort();
    this.#tried.resolve();
    await this.#ended;
  }

  async #keepListening(): Promise<void> {
    const { log, clock } = this.#parts;
    const { signal } = this.#closing;
    let failures = 0;
    while (!signal.aborted) {
      const why = await this.#listen(() => {
        failures = 0;
      });
      if (signal.aborted) return;
      failures += 1;
      if (failures === 1) log.warn('Changes by other nodes are not heard; they are looked for instead.', { why });
      this.#tried.resolve();
      await clock.sleep(Math.min(RETRY_MOST_MS, RETRY_LEAST_MS * 2 ** failures), signal);
    }
  }

  /** Listens for as long as that works, and gives the reason why it ended. */
  async #listen(onHeard: () => void): Promise<string> {
    const { db, listenUrl, log } = this.#parts;
    const connection = listenUrl === null ? {} : { connectionString: listenUrl };
    const client = new pg.Client({ ...db.connection, ...connection });
    const over = new AbortController();
    const end = (): void => over.abort(new Error('The connection ended'));
    client.on('error', (error) => over.abort(error)).on('end', end);
    this.#closing.signal.addEventListener('abort', end, { once: true });
    let echo: { readonly message: string; readonly heard: () => void } | null = null;
    client.on('notification', ({ channel, payload = '' }) => {
      if (channel !== CHANNEL) return;
      if (payload === echo?.message) echo.heard();
      else this.#hear(payload);
    });
    try {
      await client.connect();
      await client.query(`LISTEN ${CHANNEL}`);
      for (;;) {
        const { promise, resolve } = Promise.withResolvers<void>();
        echo = { message: JSON.stringify({ by: this.#me, echo: randomUUID() }), heard: resolve };
        const askedAtMs = this.#uptimeMs();
        await this.#echo(echo.message, promise, over.signal);
        onHeard();
        this.#heardAtMs = askedAtMs;
        if (!this.#isListening) {
          this.#isListening = true;
          log.debug('Changes by other nodes are heard.');
          this.#tried.resolve();
          this.#tell({ kind: 'unsure' });
        }
        await this.#pause(ECHO_EVERY_MS, over.signal);
      }
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    } finally {
      this.#isListening = false;
      this.#closing.signal.removeEventListener('abort', end);
      // A dead server says no good-bye, so nobody waits for one.
      client.end().catch(() => undefined);
    }
  }

  /** Tells itself a message over another connection, and waits to hear it. */
  async #echo(message: string, heard: Promise<void>, over: AbortSignal): Promise<void> {
    await unlessOver(over, this.#parts.db.query('SELECT pg_notify($1, $2)', [CHANNEL, message]));
    const waited = new AbortController();
    const late = this.#parts.clock.sleep(ECHO_MS, waited.signal).then(() => {
      if (!waited.signal.aborted) throw new Error('Notifications do not arrive: a pooler may stand in between');
    });
    try {
      await unlessOver(over, Promise.race([heard, late]));
    } finally {
      waited.abort();
    }
  }

  async #pause(ms: number, over: AbortSignal): Promise<void> {
    await this.#parts.clock.sleep(ms, over);
    over.throwIfAborted();
  }

  async #poll(): Promise<void> {
    const { clock, db } = this.#parts;
    const { signal } = this.#closing;
    while (!signal.aborted) {
      await clock.sleep(POLL_MS, signal);
      if (signal.aborted || this.#isListening || this.#listeners.size === 0) continue;
      // While the database is away nothing is known to have changed, and nothing could be read again.
      const isThere = await db.query('SELECT 1').then(
        () => true,
        () => false,
      );
      if (isThere && !this.#isListening) this.#tell({ kind: 'unsure' });
    }
  }

  #uptimeMs(): number {
    return this.#parts.clock.moment().uptimeMs;
  }

  #hear(payload: string): void {
    const heard = parse(payload);
    if (heard === null || heard.by === this.#me) return;
    for (const [kind, id] of heard.changed) this.#tell({ kind: kind as RecordKind, id });
  }

  #tell(change: Change): void {
    for (const listener of this.#listeners) listener(change);
  }
}

/**
 * What comes of this work; rejects where the connection is over before. Not a race with one promise for the whole life of
 * the connection: each would leave something with it, twice a second, for months.
 */
async function unlessOver<T>(over: AbortSignal, work: Promise<T>): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const end = (): void => reject(over.reason);
  over.addEventListener('abort', end);
  if (over.aborted) end();
  try {
    return await Promise.race([work, promise]);
  } finally {
    over.removeEventListener('abort', end);
  }
}

function nameOf(change: Change): readonly [string, string] {
  return change.kind === 'unsure' ? [change.kind, ''] : [change.kind, change.id];
}

/** Null for what another program says on this channel, and for echoes. */
function parse(
  payload: string,
): { readonly by: string; readonly changed: readonly (readonly [string, string])[] } | null {
  try {
    const { by, changed } = JSON.parse(payload) as { readonly by: unknown; readonly changed: unknown };
    return typeof by === 'string' && Array.isArray(changed) ? { by, changed } : null;
  } catch {
    return null;
  }
}
