/** Opens stores in PostgreSQL as a server does, with what a test wants otherwise. */
import pg from 'pg';
import type { Clock } from '../../../src/ports/clock.ts';
import type { Store } from '../../../src/ports/store.ts';
import { connectPostgres, openPostgresStore } from '../../../src/storage/postgres/store.ts';
import { createLog } from '../../../src/world/pino-log.ts';
import { systemClock } from '../../../src/world/system-clock.ts';

export interface StoreOptions {
  readonly listenUrl?: string;
  readonly connections?: number;
  readonly answerMs?: number;
  readonly keyCheck?: string;
  readonly clock?: Clock;
}

export async function openStoreAt(url: string, options: StoreOptions = {}): Promise<Store> {
  const { listenUrl = null, connections = 4, keyCheck = 'of the test', clock = systemClock, ...rest } = options;
  const db = await connectPostgres({ url, connections, clock, ...rest });
  return openPostgresStore({ db, keyCheck, listenUrl, clock, log: createLog({ level: 'silent' }) });
}

/** Takes everything out of a database that stores were open on: quicker than another database. */
export async function empty(url: string): Promise<void> {
  await ask(
    url,
    `DO $$ DECLARE name text; BEGIN
      FOR name IN SELECT tablename FROM pg_tables WHERE tablename LIKE 'evergrant%' LOOP
        IF name <> 'evergrant_schema_version' THEN EXECUTE 'DELETE FROM ' || name; END IF;
      END LOOP;
    END $$`,
  );
}

/** The first row of the answer, its values joined by commas. */
export async function ask(url: string, sql: string, values: readonly unknown[] = []): Promise<string> {
  return (await askAll(url, sql, values)).split('\n')[0] ?? '';
}

/** All rows of the answer, one a line. */
export async function askAll(url: string, sql: string, values: readonly unknown[] = []): Promise<string> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  try {
    const result = await client.query({ text: sql, values: [...values], rowMode: 'array' });
    return result.rows.map(String).join('\n');
  } finally {
    await client.end();
  }
}
