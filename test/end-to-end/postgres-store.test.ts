/** The store in PostgreSQL: all that every store must do, and what only a server over a wire can do to it. */
import { afterAll, beforeAll } from 'vitest';
import { storeContract } from '../../src/storage/contract.ts';
import { boundedHistoryContract } from '../../src/storage/contract-of-history.ts';
import { sharedStoreContract } from '../../src/storage/contract-of-nodes.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';
import { empty, openStoreAt } from './support/postgres-store.ts';

let server: TestPostgres;
let database: string;
beforeAll(async () => {
  server = await startPostgres();
  database = await server.freshDatabase();
});
afterAll(() => server?.close());

storeContract('the store in PostgreSQL', async () => {
  await empty(database);
  return openStoreAt(database);
});

sharedStoreContract('two stores in one PostgreSQL database', async () => {
  await empty(database);
  return Promise.all([openStoreAt(database), openStoreAt(database)]);
});

boundedHistoryContract('histories in PostgreSQL', async () => {
  await empty(database);
  return openStoreAt(database);
});
