/** What the tests of the cluster stand on: a real PostgreSQL that stops, freezes and loses answers when told to. */
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { faultProxy } from '../support/fault-proxy.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';

let server: TestPostgres;
beforeAll(async () => {
  server = await startPostgres();
});
afterAll(() => server?.close());

async function ask(url: string, sql: string): Promise<string> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  try {
    const result = await client.query({ text: sql, rowMode: 'array' });
    return String(result.rows[0]);
  } finally {
    await client.end();
  }
}

test('the server syncs what it commits, and keeps it over a loss of power', async () => {
  const url = await server.freshDatabase();
  expect(await ask(url, 'SHOW fsync')).toBe('on');
  await ask(url, 'CREATE TABLE kept (n int)');
  await ask(url, 'INSERT INTO kept VALUES (7)');
  await server.restart('immediate');
  expect(await ask(url, 'SELECT n FROM kept')).toBe('7');
  await server.restart();
  expect(await ask(url, 'SELECT n FROM kept')).toBe('7');
});

test('a paused server answers once it is resumed, and not before', async () => {
  const client = new pg.Client({ connectionString: server.url });
  await client.connect();
  server.pause();
  let isAnswered = false;
  const answer = client.query('SELECT 1').then(() => (isAnswered = true));
  await new Promise((done) => setTimeout(done, 200));
  expect(isAnswered).toBe(false);
  server.resume();
  expect(await answer).toBe(true);
  await client.end();
});

test('a lost acknowledgement leaves the change made, and breaks the connection', async () => {
  const url = await server.freshDatabase();
  await ask(url, 'CREATE TABLE kept (n int)');
  await using proxy = await faultProxy(url);
  const client = new pg.Client({ connectionString: proxy.url });
  client.on('error', () => undefined);
  await client.connect();
  proxy.loseNextCommits(1);
  await client.query('BEGIN');
  await client.query('INSERT INTO kept VALUES (1)');
  await expect(client.query('COMMIT')).rejects.toThrow(/terminated/);
  expect(await ask(proxy.url, 'SELECT count(*) FROM kept')).toBe('1');
  expect(proxy.lost).toBe(1);
});

test('a cut wire refuses, a mended one carries again, and a frozen one goes on where it stopped', async () => {
  await using proxy = await faultProxy(server.url);
  proxy.cut();
  await expect(ask(proxy.url, 'SELECT 1')).rejects.toThrow();
  proxy.mend();
  expect(await ask(proxy.url, 'SELECT 1')).toBe('1');
  proxy.freeze();
  const answer = ask(proxy.url, 'SELECT 2');
  proxy.mend();
  expect(await answer).toBe('2');
  proxy.delay(5);
  expect(await ask(proxy.url, 'SELECT 3')).toBe('3');
});
