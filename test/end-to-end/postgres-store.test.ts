/** The store in PostgreSQL: all that every store must do, and what only a server over a wire can do to it. */
import { afterAll, beforeAll } from 'vitest';
import type { Store } from '../../src/ports/store.ts';
import { storeContract } from '../../src/storage/contract.ts';
import { sharedStoreContract } from '../../src/storage/contract-of-nodes.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';
import { ask, openStoreAt } from './support/postgres-store.ts';

let server: TestPostgres;
let database: string;
let schemas = 0;
beforeAll(async () => {
  server = await startPostgres();
  database = await server.freshDatabase();
});
afterAll(() => server?.close());

/** Tables of its own, by the search path of its URL: quicker than a database of its own. */
async function freshSchema(): Promise<string> {
  schemas += 1;
  await ask(database, `CREATE SCHEMA test_${schemas}`);
  return `${database}?options=-csearch_path%3Dtest_${schemas}`;
}

storeContract('the store in PostgreSQL', async () => openStoreAt(await freshSchema()));

sharedStoreContract('two stores in one PostgreSQL database', async () => {
  const url = await freshSchema();
  return Promise.all([openStoreAt(url), openStoreAt(url)]) satisfies Promise<[Store, Store]>;
});
