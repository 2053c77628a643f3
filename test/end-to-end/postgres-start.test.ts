/** Starting on a PostgreSQL database: its schema, its root key, and what a server must be like to be trusted. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type RunningApp, type Settings, startApp } from '../../src/app.ts';
import type { Instant } from '../../src/core/instant.ts';
import { CHAIN_SQL } from '../../src/storage/postgres/chains.ts';
import type { Database } from '../../src/storage/postgres/database.ts';
import { migrate } from '../../src/storage/postgres/migrate.ts';
import { MIGRATIONS, type Migration } from '../../src/storage/postgres/migrations/index.ts';
import { connectPostgres } from '../../src/storage/postgres/store.ts';
import { authorized, GRANT, published } from '../../src/storage/story.fixture.ts';
import { systemClock } from '../../src/world/system-clock.ts';
import { own, startPostgres, type TestPostgres } from '../support/postgres.ts';
import { settingsFor } from '../support/settings.ts';
import { ask, askAll, openStoreAt } from './support/postgres-store.ts';

const setting = expect.objectContaining({ code: 'setting', exitCode: 78 });

let server: TestPostgres;
let url: string;
beforeAll(async () => {
  server = await startPostgres();
});
afterAll(() => server?.close());
beforeEach(async () => {
  url = await server.freshDatabase();
});

describe('the schema', () => {
  const open: Database[] = [];
  afterEach(async () => {
    for (const db of open.splice(0)) await db.close();
  });
  async function connect(): Promise<Database> {
    const db = await connectPostgres({ url, connections: 2, clock: systemClock });
    open.push(db);
    return db;
  }

  const LAST = MIGRATIONS.at(-1)?.version ?? 0;
  /** What the next release may add: it reads a column that older programs do not know of. */
  const expanding: Migration = {
    version: LAST + 1,
    compatibleWith: LAST,
    sql: `ALTER TABLE evergrant_chains ADD COLUMN added text NOT NULL DEFAULT 'x'`,
  };
  /** What a later release takes away once nobody uses it. */
  const contracting: Migration = {
    version: LAST + 2,
    compatibleWith: LAST + 1,
    sql: 'ALTER TABLE evergrant_chains DROP COLUMN chain',
  };

  test('nodes that start at once on an empty database make it once', async () => {
    const stores = await Promise.all(Array.from({ length: 6 }, () => openStoreAt(url)));
    expect(await ask(url, 'SELECT count(*) FROM evergrant_schema_version')).toBe(String(MIGRATIONS.length));
    for (const store of stores) await store.close();
  });

  test('a newer program upgrades the schema while an older one works on, and the older one may start again', async () => {
    const older = await openStoreAt(url);
    await older.chains.append(GRANT, 0, authorized('a'));
    await migrate(await connect(), [...MIGRATIONS, expanding]);
    expect(await older.chains.append(GRANT, 1, published('a'))).toMatchObject({ outcome: 'appended', version: 2 });
    expect(await older.chains.append('grt_9', 0, authorized('z'))).toMatchObject({ outcome: 'appended' });
    const again = await openStoreAt(url);
    expect((await again.chains.read(GRANT)).version).toBe(2);
    await older.close();
    await again.close();
  });

  test('an older program refuses a schema that it is too old for, and leaves it as it is', async () => {
    const newer = [...MIGRATIONS, expanding, contracting];
    await migrate(await connect(), newer);
    await expect(openStoreAt(url)).rejects.toThrow(setting);
    await expect(openStoreAt(url)).rejects.toThrow(`schema ${LAST + 2}`);
    await migrate(await connect(), newer.slice(0, -1));
    expect(await ask(url, 'SELECT max(version) FROM evergrant_schema_version')).toBe(String(LAST + 2));
  });

  test('a migration that fails leaves the schema as it was', async () => {
    await migrate(await connect());
    const broken = { ...expanding, sql: 'CREATE TABLE evergrant_half (x int); CREATE TABLE evergrant_half (x int)' };
    await expect(migrate(await connect(), [...MIGRATIONS, broken])).rejects.toThrow('already exists');
    expect(await ask(url, `SELECT to_regclass('evergrant_half') IS NULL`)).toBe('true');
    expect(await ask(url, 'SELECT max(version) FROM evergrant_schema_version')).toBe(String(LAST));
  });
});

describe('a server that is not fit', () => {
  test('one that runs with fsync off is refused', async () => {
    const careless = await startPostgres({ fsync: 'off' });
    try {
      await expect(openStoreAt(careless.url)).rejects.toThrow(setting);
      await expect(openStoreAt(careless.url)).rejects.toThrow('fsync');
    } finally {
      await careless.close();
    }
  });

  test('a database in another encoding than UTF-8 is refused', async () => {
    await ask(server.url, `CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0`);
    await expect(openStoreAt(server.url.replace(/\/postgres$/, '/latin'))).rejects.toThrow('LATIN1');
  });

  test('a wrong password and a missing database are wrong settings; a server that is away is tried later', async () => {
    const wrong = new URL(url);
    wrong.password = 'geheim';
    await expect(openStoreAt(wrong.href)).rejects.toThrow(setting);
    await expect(openStoreAt(wrong.href)).rejects.not.toThrow('geheim');
    await expect(openStoreAt(server.url.replace(/\/postgres$/, '/nothing'))).rejects.toThrow(setting);
    await expect(openStoreAt('postgres://me:geheim@127.0.0.1:1/evergrant')).rejects.toMatchObject({ exitCode: 75 });
  });

  test('where the default is not to wait for the disk, transactions of the store wait all the same', async () => {
    const name = new URL(url).pathname.slice(1);
    await ask(server.url, `ALTER DATABASE ${name} SET synchronous_commit = off`);
    expect(await ask(url, 'SHOW synchronous_commit')).toBe('off');
    const db = await connectPostgres({ url, connections: 2, clock: systemClock });
    const [row] = await db.transaction((query) => query('SHOW synchronous_commit'));
    expect(row).toEqual({ synchronous_commit: 'on' });
    expect(await db.query('SHOW synchronous_commit')).toEqual([{ synchronous_commit: 'off' }]);
    await db.close();
  });
});

test('a node that stops in the middle of a transaction keeps its locks for seconds only', async () => {
  const db = await connectPostgres({ url, connections: 2, clock: systemClock });
  const [row] = await db.transaction((query) => query('SHOW idle_in_transaction_session_timeout'));
  expect(row).toEqual({ idle_in_transaction_session_timeout: '5s' });
  await db.close();
});

test('what is due and what is unsettled are found by an index, however many chains there are', async () => {
  const store = await openStoreAt(url);
  await ask(
    url,
    `INSERT INTO evergrant_chains SELECT 'grt_' || n, 1, 'active', n % 1000 = 0, n, true, '' FROM generate_series(1, 20000) n`,
  );
  await ask(url, 'ANALYZE evergrant_chains');
  const plan = (sql: string, values: readonly unknown[]) => askAll(url, `EXPLAIN ${sql}`, values);
  expect(await plan(CHAIN_SQL.due, [20_000, 10])).toMatch(/Index .*(?:on|using) evergrant_chains_due/);
  expect(await plan(CHAIN_SQL.unsettled, [])).toMatch(/Index .*(?:on|using) evergrant_chains_unsettled/);
  expect((await store.chains.due(3 as Instant, 10)).map((one) => one.grant)).toEqual(['grt_1', 'grt_2', 'grt_3']);
  expect(await store.chains.unsettled()).toHaveLength(20);
  await store.close();
});

describe('TLS by the URL', () => {
  let folder: string;
  let secured: TestPostgres;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'evergrant-tls-'));
    for (const name of ['server', 'other']) {
      const words = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-subj', '/CN=test', '-days', '2'];
      const names = ['-addext', 'subjectAltName=IP:127.0.0.1'];
      const files = ['-keyout', join(folder, `${name}.key`), '-out', join(folder, `${name}.crt`)];
      spawnSync('openssl', [...words, ...names, ...files], { stdio: 'ignore' });
    }
    for (const path of [folder, join(folder, 'server.key'), join(folder, 'server.crt')]) own(path);
    const [certificate, key] = ['crt', 'key'].map((kind) => join(folder, `server.${kind}`));
    secured = await startPostgres({ ssl: 'on', ssl_cert_file: certificate ?? '', ssl_key_file: key ?? '' });
  });
  afterAll(async () => {
    await secured?.close();
    rmSync(folder, { recursive: true });
  });

  test('a server that proves itself is used, and one that does not is refused', async () => {
    const by = (name: string) => `${secured.url}?sslmode=verify-full&sslrootcert=${join(folder, `${name}.crt`)}`;
    const db = await connectPostgres({ url: by('server'), connections: 2, clock: systemClock });
    expect(await db.query('SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()')).toEqual([{ ssl: true }]);
    await db.close();
    await expect(openStoreAt(by('other'))).rejects.toThrow(setting);
  });
});

describe('one root key for all', () => {
  const folders: string[] = [];
  const running: RunningApp[] = [];
  afterEach(async () => {
    for (const app of running.splice(0)) await app.close();
    for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
  });

  function node(settings: Partial<Settings> = {}): Settings {
    const dataFolder = mkdtempSync(join(tmpdir(), 'evergrant-node-'));
    folders.push(dataFolder);
    return settingsFor(dataFolder, { databaseUrl: url, databaseConnections: 3, ...settings });
  }

  async function start(settings: Settings): Promise<RunningApp> {
    const app = await startApp(settings, 'none');
    running.push(app);
    return app;
  }

  const keys = ['11', '22'].map((byte) => byte.repeat(32));

  test('of two nodes that start at once on an empty database with different keys, one is refused', async () => {
    const outcomes = await Promise.allSettled(keys.map((rootKey) => start(node({ rootKey: rootKey ?? null }))));
    const refused = outcomes.flatMap((one) => (one.status === 'rejected' ? [one.reason] : []));
    expect(refused).toEqual([setting]);
    expect(refused[0].details.remedy).toContain('the root key of the others');
  });

  test('a node without a key makes none for a database that has one', async () => {
    await start(node({ rootKey: keys[0] ?? null }));
    const late = node();
    await expect(start(late)).rejects.toThrow(setting);
    expect(existsSync(join(late.dataFolder, 'root.key'))).toBe(false);
  });

  test('nodes with one key share the grants', async () => {
    const rootKey = keys[0] ?? null;
    const [one, other] = [await start(node({ rootKey })), await start(node({ rootKey }))];
    const path = '/v1/api-keys';
    const authorization = (app: RunningApp) => ({
      authorization: `Bearer ${app.adminKey.text}`,
      'content-type': 'application/json',
    });
    const made = await one.request({ method: 'POST', path, headers: authorization(one), body: '{"name":"shared"}' });
    expect(made.status).toBe(201);
    const seen = await other.request({ method: 'GET', path, headers: authorization(other) });
    expect(seen.body).toContain('"shared"');
  });

  test('the key of another database is refused before anything is written', async () => {
    await start(node({ rootKey: keys[0] ?? null }));
    const before = await ask(url, 'SELECT count(*) FROM evergrant_nodes');
    const stranger = node();
    writeFileSync(join(stranger.dataFolder, 'root.key'), `${keys[1]}\n`, { mode: 0o600 });
    await expect(start(stranger)).rejects.toThrow(setting);
    expect(await ask(url, 'SELECT count(*) FROM evergrant_nodes')).toBe(before);
  });
});
