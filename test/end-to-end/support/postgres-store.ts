/** Opens stores in PostgreSQL as a server does, with what a test wants otherwise. */
import pg from 'pg';
import type { Store } from '../../../src/ports/store.ts';
import { connectPostgres, openPostgresStore } from '../../../src/storage/postgres/store.ts';
import { createLog } from '../../../src/world/pino-log.ts';
import { systemClock } from '../../../src/world/system-clock.ts';

export interface StoreOptions {
  readonly listenUrl?: string;
  readonly connections?: number;
  readonly answerMs?: number;
  readonly keyCheck?: string;
}

export async function openStoreAt(url: string, options: StoreOptions = {}): Promise<Store> {
  const { listenUrl = null, connections = 4, keyCheck = 'of the test', ...rest } = options;
  const clock = systemClock;
  const db = await connectPostgres({ url, connections, clock, ...rest });
  return openPostgresStore({ db, keyCheck, listenUrl, clock, log: createLog({ level: 'silent' }) });
}

/** The first row of the answer, its values joined by commas. */
export async function ask(url: string, sql: string, values: readonly unknown[] = []): Promise<string> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  try {
    const result = await client.query({ text: sql, values: [...values], rowMode: 'array' });
    return String(result.rows[0]);
  } finally {
    await client.end();
  }
}
