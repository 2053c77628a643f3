/**
 * A PostgreSQL database behind a pool of connections. Nothing here needs a session: every statement stands alone or in
 * its transaction, none is prepared under a name, and what a transaction sets ends with it. So a pooler that gives each
 * transaction another connection may stand in between.
 *
 * States: open, then closed; a closed one rejects everything. Connections come and go meanwhile: after one was lost, or
 * did not answer in time, all others are given up too and made anew as they are needed, for they may lead to the same
 * dead server.
 */
import pg from 'pg';
import type { Clock } from '../../ports/clock.ts';

/** Longest wait for the answer to one statement. Below the time that a node's lease lasts. */
const ANSWER_MS = 5_000;
const CONNECT_MS = 3_000;
const IDLE_MS = 30_000;
/** A connection is not kept longer than this, so that load spreads again after a failover. */
const LONGEST_LIFE_S = 1_800;
/** How often a transaction is tried that met another one, or lost its connection before its end. */
const TRIES = 5;

export interface DatabaseOptions {
  /** With user, password and TLS, as `postgres://user:password@host:5432/name?sslmode=verify-full`. */
  readonly url: string;
  /** Most connections. */
  readonly connections: number;
  /** Longest wait for the answer to one statement, and for a connection; then it rejects. */
  readonly answerMs?: number;
  readonly clock: Clock;
}

interface Waiting {
  readonly sinceMs: number;
  readonly resolve: () => void;
  readonly reject: (reason: Error) => void;
}

export type Row = Readonly<Record<string, unknown>>;
type Value = string | number | boolean | null | readonly (string | number | boolean | null)[];
/** Runs one statement. */
export type Query = (sql: string, values?: readonly Value[]) => Promise<readonly Row[]>;

/** Another transaction came first; the same work done again will see what it did. */
export class Overtaken extends Error {}

export class Database {
  readonly #config: pg.PoolConfig;
  readonly #clock: Clock;
  readonly #answerMs: number;
  readonly #begin: string;
  /** Who waits for a connection; the pool never sees them, so it can be given up. */
  readonly #waiting: Waiting[] = [];
  #free: number;
  #pool: pg.Pool;
  #isOpen = true;

  constructor({ url, connections, answerMs = ANSWER_MS, clock }: DatabaseOptions) {
    this.#config = {
      connectionString: url,
      max: connections,
      query_timeout: answerMs,
      connectionTimeoutMillis: Math.min(CONNECT_MS, answerMs),
      idleTimeoutMillis: IDLE_MS,
      maxLifetimeSeconds: LONGEST_LIFE_S,
      keepAlive: true,
      application_name: 'evergrant',
    };
    this.#clock = clock;
    this.#answerMs = answerMs;
    this.#begin = beginning(answerMs);
    this.#free = connections;
    this.#pool = this.#makePool();
  }

  /** Options for a connection beside the pool. */
  get connection(): pg.ClientConfig {
    return this.#config;
  }

  /** One statement by itself, which must be harmless to repeat: it is, where the connection is lost. */
  query: Query = async (sql, values) => {
    try {
      return await this.#once(sql, values);
    } catch (error) {
      if (!isConnectionLost(error)) throw error;
      return this.#once(sql, values);
    }
  };

  /**
   * All or nothing, and durable when it resolves. `work` may run several times. It is not repeated once COMMIT was
   * sent: when that is not answered, the change may or may not have been made, and this rejects.
   */
  async transaction<T>(work: (query: Query) => Promise<T>): Promise<T> {
    let losses = 0;
    for (let tries = 1; ; tries++) {
      try {
        return await this.#attempt(work);
      } catch (error) {
        if (isConnectionLost(error)) losses += 1;
        const isRepeated =
          error instanceof Overtaken || isOvertaken(error) || (isConnectionLost(error) && losses === 1);
        if (!isRepeated || tries === TRIES) throw error instanceof Unacknowledged ? error.cause : error;
      }
    }
  }

  /** As `transaction`, once, with statements that may take longer: for changes of the schema. */
  async migration<T>(work: (query: Query) => Promise<T>, answerMs: number): Promise<T> {
    return this.#attempt(work, answerMs);
  }

  async close(): Promise<void> {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    await this.#pool.end();
  }

  async #once(sql: string, values: readonly Value[] = []): Promise<readonly Row[]> {
    const { pool, client } = await this.#connect();
    try {
      const { rows } = await client.query<Row>(sql, values.map(storable));
      this.#giveBack(pool, client, true);
      return rows;
    } catch (error) {
      this.#giveBack(pool, client, !isDead(error));
      throw error;
    }
  }

  async #attempt<T>(work: (query: Query) => Promise<T>, answerMs?: number): Promise<T> {
    const { pool, client } = await this.#connect();
    const longer = answerMs === undefined ? {} : { query_timeout: answerMs };
    const query: Query = async (sql, values = []) => {
      // Without values by the simple protocol, which takes several statements at once.
      const asked = values.length === 0 ? { text: sql } : { text: sql, values: values.map(storable) };
      return (await client.query<Row>({ ...asked, ...longer })).rows;
    };
    try {
      await query(answerMs === undefined ? this.#begin : beginning(answerMs));
      const result = await work(query);
      await commit(client);
      this.#giveBack(pool, client, true);
      return result;
    } catch (error) {
      this.#giveBack(pool, client, !isDead(error) && (await isRolledBack(client)));
      throw error;
    }
  }

  async #connect(): Promise<{ readonly pool: pg.Pool; readonly client: pg.PoolClient }> {
    await this.#enter();
    try {
      if (!this.#isOpen) throw new Error('The store is closed');
      const pool = this.#pool;
      return { pool, client: await pool.connect() };
    } catch (error) {
      this.#leave();
      throw error;
    }
  }

  #giveBack(pool: pg.Pool, client: pg.PoolClient, isUsable: boolean): void {
    client.release(!isUsable);
    this.#leave();
    if (isUsable || pool !== this.#pool || !this.#isOpen) return;
    this.#pool = this.#makePool();
    pool.end().catch(() => undefined);
  }

  async #enter(): Promise<void> {
    if (this.#free === 0) {
      await new Promise<void>((resolve, reject) => {
        this.#waiting.push({ sinceMs: this.#clock.moment().uptimeMs, resolve, reject });
      });
    } else {
      this.#free -= 1;
    }
  }

  /** Lets the next one in. Whoever waited too long by now is told so, lest a dead server holds them for ever. */
  #leave(): void {
    for (let next = this.#waiting.shift(); next; next = this.#waiting.shift()) {
      if (this.#clock.moment().uptimeMs - next.sinceMs <= this.#answerMs) {
        next.resolve();
        return;
      }
      next.reject(new Error('No connection to the database was free in time'));
    }
    this.#free += 1;
  }

  #makePool(): pg.Pool {
    const pool = new pg.Pool({ ...this.#config, verify: refuseStandby });
    // A connection that breaks is replaced when it is needed. Whoever uses it hears of that by what they asked.
    pool.on('error', () => undefined);
    pool.on('connect', (client) => client.on('error', () => undefined));
    return pool;
  }
}

export function text(row: Row | undefined, column: string): string {
  const value = row?.[column];
  if (typeof value !== 'string') throw new Error(`The column ${column} holds no text`);
  return value;
}

/** Of whichever numeric type: PostgreSQL's large integers arrive as text. */
export function integer(row: Row | undefined, column: string): number {
  const value = Number(row?.[column] ?? Number.NaN);
  if (!Number.isSafeInteger(value)) throw new Error(`The column ${column} holds no whole number`);
  return value;
}

/** The SQLSTATE of an error that the server told; null where the error is another. */
export function sqlState(error: unknown): string | null {
  return error instanceof pg.DatabaseError ? (error.code ?? '') : null;
}

/**
 * Nothing that was acknowledged may be lost, whatever the role's default is, and a node that stops in the middle keeps
 * its locks from nobody for long. The server gives up a statement before the client gives up the connection.
 */
function beginning(answerMs: number): string {
  return `BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;
SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off';
SET LOCAL statement_timeout = ${Math.ceil(answerMs * 0.9)};
SET LOCAL lock_timeout = ${Math.ceil(answerMs * 0.4)};
SET LOCAL idle_in_transaction_session_timeout = ${answerMs}`;
}

/** The answer to COMMIT did not come. */
class Unacknowledged extends Error {}

async function commit(client: pg.PoolClient): Promise<void> {
  let command: string;
  try {
    ({ command } = await client.query('COMMIT'));
  } catch (cause) {
    throw isDead(cause) ? new Unacknowledged('COMMIT was not acknowledged', { cause }) : cause;
  }
  if (command !== 'COMMIT') throw new Error(`The database answered COMMIT with ${command}`);
}

async function isRolledBack(client: pg.PoolClient): Promise<boolean> {
  return client.query('ROLLBACK').then(
    () => true,
    () => false,
  );
}

/** After a failover a name may lead to a server that follows another one: it answers with what was. */
function refuseStandby(client: pg.ClientBase, done: (error?: Error) => void): void {
  client.query<Row>('SELECT pg_is_in_recovery() AS is_standby').then(({ rows }) => {
    const isStandby = rows[0]?.is_standby === true;
    done(isStandby ? new Error('The database is a standby: it cannot be written to') : undefined);
  }, done);
}

/** Serialization failure, deadlock: https://www.postgresql.org/docs/current/mvcc-serialization-failure-handling.html */
function isOvertaken(error: unknown): boolean {
  return ['40001', '40P01'].includes(sqlState(error) ?? '');
}

/** How `pg` says it; the last one, where the connection ended between two statements. */
const LOST = [
  'Connection terminated',
  'Connection terminated unexpectedly',
  'Client has encountered a connection error and is not queryable',
];

/** The connection ended under the statement. */
function isConnectionLost(error: unknown): boolean {
  const state = sqlState(error);
  // 57P01 to 57P03: the server is stopped, crashed or only starting; 08: the connection failed.
  if (state !== null) return /^(57P0[123]|08)/.test(state);
  if (!(error instanceof Error) || error instanceof Unacknowledged) return false;
  const code = 'code' in error ? error.code : null;
  return ['ECONNRESET', 'EPIPE'].includes(String(code)) || LOST.includes(error.message);
}

/** The connection is of no more use. Also one that did not answer in time, or leads to a server that cannot write. */
function isDead(error: unknown): boolean {
  const state = sqlState(error);
  if (error instanceof Unacknowledged || isConnectionLost(error)) return true;
  // A standby: of a change, and of a transaction that is to make one.
  if (state !== null) return state === '25006' || state === '0A000';
  return error instanceof Error && (error.message === 'Query read timeout' || 'errno' in error);
}

/** PostgreSQL keeps every character but NUL, which no name or id of ours has. */
function storable(value: Value): unknown {
  if (typeof value === 'string') return value.replaceAll('\0', '\u{fffd}');
  return Array.isArray(value) ? value.map((one: Value) => storable(one)) : value;
}
