import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Fingerprint } from '../../core/secret.ts';
import { storeContract } from '../contract.ts';
import { boundedHistoryContract } from '../contract-of-history.ts';
import { answered, authorized, GRANT, sealedAnswer } from '../story.fixture.ts';
import { openDatabase } from './database.ts';
import { MIGRATIONS } from './migrations/index.ts';
import { peekKeyCheck, verifyKeyCheck } from './key-check.ts';
import { openSqliteStore } from './store.ts';

let folder: string;
let file: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'evergrant-sqlite-'));
  file = join(folder, 'evergrant.db');
});
afterEach(() => rmSync(folder, { recursive: true }));

storeContract('the store in SQLite', async () => openSqliteStore(file));
boundedHistoryContract('histories in SQLite', async () => openSqliteStore(file));

const setting = expect.objectContaining({ code: 'setting', exitCode: 78 });

describe('opening a database', () => {
  test('one that cannot be kept in WAL is refused', () => {
    expect(() => openSqliteStore(':memory:')).toThrow(setting);
  });

  test('every commit waits for the disk: synchronous is FULL, and deleted content is overwritten', () => {
    const db = openDatabase(file);
    const read = (name: string) => Object.values(db.prepare(`PRAGMA ${name}`).get() ?? {})[0];
    expect([read('synchronous'), read('journal_mode'), read('secure_delete'), read('foreign_keys')]).toEqual([
      2,
      'wal',
      1,
      1,
    ]);
    db.close();
  });

  test('a database of a newer program is refused and left as it is', async () => {
    await openSqliteStore(file).close();
    openDatabase(file, [
      { version: 1, sql: '' },
      { version: 7, sql: 'CREATE TABLE later (x)' },
    ]).close();
    const before = readFileSync(file);
    expect(() => openSqliteStore(file)).toThrow(setting);
    expect(() => openSqliteStore(file)).toThrow('schema 7');
    expect(readFileSync(file).equals(before)).toBe(true);
  });

  test('a migration that fails leaves the schema as it was', async () => {
    await openSqliteStore(file).close();
    const broken = { version: 99, sql: 'CREATE TABLE half (x); CREATE TABLE half (x)' };
    expect(() => openDatabase(file, [{ version: 1, sql: '' }, broken])).toThrow(setting);
    await openSqliteStore(file).close();
  });

  test('a database of another program, and a file that is none, are refused and left as they are', () => {
    const foreign = new DatabaseSync(file);
    foreign.exec('CREATE TABLE theirs (x)');
    foreign.close();
    const before = readFileSync(file);
    expect(() => openSqliteStore(file)).toThrow('belongs to another program');
    expect(readFileSync(file).equals(before)).toBe(true);
    writeFileSync(join(folder, 'text'), 'this is no database, and long enough to be looked at'.repeat(40));
    expect(() => openSqliteStore(join(folder, 'text'))).toThrow(setting);
  });

  test('only the owner may read it', async () => {
    const store = openSqliteStore(file);
    await store.check();
    for (const name of [file, `${file}-wal`]) expect(statSync(name).mode & 0o077, name).toBe(0);
    await store.close();
  });
});

describe('the key check', () => {
  test('[S33] is kept by the first start; another root key is refused and nothing is written', async () => {
    expect(peekKeyCheck(file)).toBeNull();
    const first = openSqliteStore(file);
    verifyKeyCheck(first.meta, 'check of this key');
    verifyKeyCheck(first.meta, 'check of this key');
    await first.close();
    expect(peekKeyCheck(file)).toBe('check of this key');
    const before = readFileSync(file);
    const second = openSqliteStore(file);
    expect(() => verifyKeyCheck(second.meta, 'check of another key')).toThrow(setting);
    await second.close();
    expect(readFileSync(file).equals(before)).toBe(true);
    expect(peekKeyCheck(file)).toBe('check of this key');
  });

  test('can be read while only the write-ahead log holds it', async () => {
    const store = openSqliteStore(file);
    verifyKeyCheck(store.meta, 'check of this key');
    expect(peekKeyCheck(file)).toBe('check of this key');
    await store.close();
  });
});

describe('a chain that was read before', () => {
  test('is what its row holds now, also where that was changed behind the store and its version is the same', async () => {
    const store = openSqliteStore(file);
    const { version } = await store.chains.append(GRANT, 'any', authorized('a'));
    const db = new DatabaseSync(file);
    db.exec(`UPDATE chains SET chain = json_set(chain, '$.generation', 41)`);
    db.close();
    expect(await store.chains.read(GRANT)).toMatchObject({ version, chain: { generation: 41 } });
    expect((await store.chains.append(GRANT, version, authorized('b'))).chain.generation).toBe(42);
    await store.close();
  });

  test('is the same however many others were read since', async () => {
    const store = openSqliteStore(file);
    const grants = Array.from({ length: 1_000 }, (_, i) => `grt_${i}` as const);
    await Promise.all(grants.map((grant) => store.chains.append(grant, 'any', authorized('a'))));
    const { chain } = await store.chains.read('grt_0');
    expect(chain.links.map((link) => link.status)).toEqual(['received']);
    await store.close();
  });
});

test('starting up finds what is under way by an index, not by reading every chain', () => {
  const db = openDatabase(file);
  const plan = db
    .prepare('EXPLAIN QUERY PLAN SELECT grant_id FROM chains INDEXED BY chains_unsettled WHERE unsettled = 1')
    .all();
  expect(JSON.stringify(plan)).toContain('USING COVERING INDEX chains_unsettled');
  db.close();
});

test('what is due, and grants by state, are found by an index, not by looking at every chain', () => {
  const db = openDatabase(file);
  const planOf = (sql: string) => JSON.stringify(db.prepare(`EXPLAIN QUERY PLAN ${sql}`).all());
  expect(planOf('SELECT grant_id, due_at FROM chains WHERE due_at <= 1 ORDER BY due_at LIMIT 1')).toContain(
    'USING INDEX chains_due (due_at<?)',
  );
  expect(planOf("SELECT grant_id FROM chains WHERE state = 'x' AND grant_id > '' ORDER BY grant_id LIMIT 1")).toContain(
    'USING COVERING INDEX chains_by_state (state=? AND grant_id>?)',
  );
  db.close();
});

test('a change of one record costs no look at all others of its kind', () => {
  const db = openDatabase(file);
  const planOf = (sql: string) => JSON.stringify(db.prepare(`EXPLAIN QUERY PLAN ${sql}`).all());
  // As `update` does it, and as the foreign key does when a record is removed.
  for (const sql of ['DELETE FROM record_terms', 'SELECT value FROM record_terms']) {
    expect(planOf(`${sql} WHERE kind = 'grant' AND id = 'grt_1'`)).toContain(
      'USING COVERING INDEX record_terms_by_record (kind=? AND id=?)',
    );
  }
  db.close();
});

test('a database of before is brought up to date: grants by state, histories and fingerprints stay', async () => {
  openDatabase(file, MIGRATIONS.slice(0, 2)).close();
  const db = new DatabaseSync(file);
  db.exec(`INSERT INTO records VALUES ('grant', 'grt_01', 1, '{}'), ('grant', 'grt_02', 1, '{}');
    INSERT INTO record_terms VALUES ('grant', 'state', 'active', 'grt_01', 0), ('grant', 'state', 'pending', 'grt_02', 0);
    INSERT INTO chains VALUES ('grt_01', 7, 'active', 0, '{"end":null,"generation":1,"attempts":[],"deferral":null}', NULL);
    INSERT INTO chain_events VALUES ('grt_01', 7, '{"type":"resumed"}');
    INSERT INTO fingerprints VALUES ('grt_01', 'lnk_a', 'of a', 'joined')`);
  db.close();
  const store = openSqliteStore(file);
  expect(await store.chains.count()).toEqual({ active: 1, pending: 1 });
  const terms = [{ name: 'state', value: 'pending' }];
  expect((await store.records.list('grant', { terms, limit: 9, after: null })).items).toMatchObject([{ id: 'grt_02' }]);
  expect(await store.chains.read('grt_01')).toMatchObject({ version: 7 });
  expect((await store.chains.history('grt_01', { limit: 9, after: null })).items).toMatchObject([{ version: 7 }]);
  expect(await store.chains.holders('of a' as Fingerprint)).toEqual([{ grant: 'grt_01', link: 'lnk_a' }]);
  expect(await store.chains.append('grt_02', 0, authorized('a'))).toMatchObject({ version: 1 });
  expect(await store.chains.count()).toEqual({ active: 2 });
  await store.close();
});

test('counts of states follow every change, and a write that was rolled back changes none', async () => {
  const store = openSqliteStore(file);
  expect(await store.chains.count()).toEqual({});
  await store.records.insert('grant', GRANT, '{}', []);
  expect(await store.chains.count()).toEqual({ pending: 1 });
  const other = new DatabaseSync(file);
  other.exec("CREATE TRIGGER full BEFORE INSERT ON answers BEGIN SELECT RAISE(ABORT, 'disk is full'); END");
  await expect(store.chains.append(GRANT, 0, authorized('a'))).rejects.toThrow('disk is full');
  expect(await store.chains.count()).toEqual({ pending: 1 });
  other.exec('DROP TRIGGER full');
  other.close();
  await store.chains.append(GRANT, 0, authorized('a'));
  expect(await store.chains.count()).toEqual({ active: 1 });
  await store.records.remove('grant', GRANT);
  expect(await store.chains.count()).toEqual({});
  await store.close();
});

test('what was appended is there after closing and opening again', async () => {
  const store = openSqliteStore(file);
  await store.chains.append(GRANT, 0, authorized('a'));
  const before = await store.chains.read(GRANT);
  await store.close();
  const again = openSqliteStore(file);
  expect(await again.chains.read(GRANT)).toEqual(before);
  expect(await again.chains.answer(GRANT, before.chain.links[0]?.id ?? 'lnk_')).toBe(sealedAnswer('a'));
  await again.close();
});

test('an append that fails half way leaves the chain as it was, and the next one goes well', async () => {
  const store = openSqliteStore(file);
  await store.chains.append(GRANT, 0, authorized('a'));
  const other = new DatabaseSync(file);
  other.exec("CREATE TRIGGER full BEFORE INSERT ON answers BEGIN SELECT RAISE(ABORT, 'disk is full'); END");
  const before = await store.chains.read(GRANT);
  await expect(store.chains.append(GRANT, 'any', answered('b', 'a'))).rejects.toThrow('disk is full');
  expect(await store.chains.read(GRANT)).toEqual(before);
  expect((await store.chains.history(GRANT, { limit: 9, after: null })).items).toHaveLength(1);
  other.exec('DROP TRIGGER full');
  other.close();
  expect(await store.chains.append(GRANT, 'any', answered('b', 'a'))).toMatchObject({
    outcome: 'appended',
    version: 2,
  });
  await store.close();
});

/** Appends without end; says the number of each append once it was acknowledged. */
const WRITER = `
  import { openSqliteStore } from ${JSON.stringify(new URL('./store.ts', import.meta.url).href)};
  const store = openSqliteStore(process.argv[1]);
  const moment = { at: 0, boot: 'b', uptimeMs: 0 };
  const link = (i) => ({ id: 'lnk_' + i, fingerprint: 'f' + i, node: 'n', requestedAt: moment, receivedAt: moment, accessTokenLifeMs: 1, scope: null });
  const grant = process.argv[2];
  await store.chains.append(grant, 'any', { type: 'authorized', at: moment, link: link(0), answer: 'answer 0', by: 'code' });
  for (let i = 1; ; i++) {
    await store.chains.append(grant, 'any', { type: 'received', at: moment, link: link(i), parent: 'lnk_' + (i - 1), sequence: i + 1, answer: 'answer ' + i });
    process.stdout.write(i + '\\n');
  }`;

/** Kills a writer once it has acknowledged some appends; gives the last that it acknowledged. */
async function killWriter(child: ChildProcess): Promise<number> {
  let last = 0;
  if (!child.stdout) throw new Error('The writer has no output');
  for await (const line of createInterface(child.stdout)) {
    last = Number(line);
    if (last >= 40) child.kill('SIGKILL');
  }
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  return last;
}

test('[S39] kill -9 of a server that appends loses nothing that was acknowledged', async () => {
  for (let round = 0; round < 5; round++) {
    const grant = `grt_${round}` as const;
    const argv = ['--input-type=module', '-e', WRITER, file, grant];
    const last = await killWriter(spawn(process.execPath, argv, { stdio: ['ignore', 'pipe', 'inherit'] }));
    const store = openSqliteStore(file);
    const { chain } = await store.chains.read(grant);
    const newest = Number(chain.links.at(-1)?.id.slice('lnk_'.length));
    expect(last).toBeGreaterThanOrEqual(40);
    expect(newest).toBeGreaterThanOrEqual(last);
    expect(await store.chains.answer(grant, `lnk_${newest}`)).toBe(`answer ${newest}`);
    await store.close();
  }
}, 60_000);

test('a database that may only be read is refused', async () => {
  await openSqliteStore(file).close();
  // As a URI, so that it holds for root too, whom no file mode keeps from writing.
  expect(() => openSqliteStore(`file:${file}?mode=ro`)).toThrow(setting);
});
