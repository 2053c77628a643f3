import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { answered, authorized, GRANT, linkNamed, published, sealedAnswer } from '../story.fixture.ts';
import { GroupCommit } from './group-commit.ts';
import { openSqliteStore, type SqliteStore } from './store.ts';

const WAL_HEADER_BYTES = 32;
const FRAME_BYTES = 4096 + 24;

let folder: string;
let file: string;
let store: SqliteStore;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'evergrant-commits-'));
  file = join(folder, 'evergrant.db');
  store = openSqliteStore(file);
});
afterEach(async () => {
  await store.close();
  rmSync(folder, { recursive: true });
});

/** Every commit writes a frame for each page that it changes. */
function framesWritten(): number {
  return (statSync(`${file}-wal`).size - WAL_HEADER_BYTES) / FRAME_BYTES;
}

/** Done by somebody else with the same file, so that it meets the store unprepared. */
function besides(sql: string): void {
  const other = new DatabaseSync(file);
  other.exec(sql);
  other.close();
}

async function appendMany(names: readonly string[]): Promise<readonly string[]> {
  const appends = names.map((name, i) => store.chains.append(GRANT, 'any', answered(name, 'a', i + 2)));
  const ended = await Promise.allSettled(appends);
  return ended.map((one) => (one.status === 'fulfilled' ? one.value.outcome : String(one.reason.message)));
}

test('what is written in the same turn is one commit, and what comes one after the other is one each', async () => {
  await store.check();
  const before = framesWritten();
  await Promise.all(Array.from({ length: 50 }, () => store.check()));
  expect(framesWritten() - before).toBe(1);
  for (let i = 0; i < 5; i++) await store.check();
  expect(framesWritten() - before).toBe(6);
});

test('more than fit into one commit are all kept, in the order in which they came', async () => {
  await store.chains.append(GRANT, 0, authorized('a'));
  const appends = Array.from({ length: 300 }, () => store.chains.append(GRANT, 'any', published('a')));
  const versions = (await Promise.all(appends)).map((one) => one.version);
  expect(versions).toEqual(Array.from({ length: 300 }, (_, i) => i + 2));
});

test('of writes in one commit, one that fails harms no other', async () => {
  await store.chains.append(GRANT, 0, authorized('a'));
  besides("CREATE TRIGGER bad BEFORE INSERT ON answers WHEN NEW.link = 'lnk_c' BEGIN SELECT RAISE(ABORT, 'bad'); END");
  expect(await appendMany(['b', 'c', 'd'])).toEqual(['appended', 'bad', 'appended']);
  const { version, chain } = await store.chains.read(GRANT);
  expect([version, chain.links.map((link) => link.id)]).toEqual([3, ['a', 'b', 'd'].map(linkNamed)]);
  expect(await store.chains.answer(GRANT, linkNamed('c'))).toBeNull();
  expect(await store.chains.answer(GRANT, linkNamed('d'))).toBe(sealedAnswer('d'));
});

test('a commit that fails rejects all that were in it, and leaves everything as it was', async () => {
  await store.chains.append(GRANT, 0, authorized('a'));
  const before = await store.chains.read(GRANT);
  besides(`CREATE TABLE owed (id TEXT REFERENCES chains (grant_id) DEFERRABLE INITIALLY DEFERRED);
    CREATE TRIGGER late AFTER INSERT ON answers WHEN NEW.link = 'lnk_c' BEGIN INSERT INTO owed VALUES ('nobody'); END`);
  const outcomes = await appendMany(['b', 'c', 'd']);
  expect(outcomes).toEqual(Array(3).fill('FOREIGN KEY constraint failed'));
  expect(await store.chains.read(GRANT)).toEqual(before);
  besides('DROP TRIGGER late');
  expect(await appendMany(['b', 'c'])).toEqual(['appended', 'appended']);
});

test('a commit waits for others as long as every turn brings more, and where it is alone for one turn', async () => {
  const db = new DatabaseSync(file);
  const writes: Promise<unknown>[] = [];
  let turns = 0;
  let more = 3;
  const commits = new GroupCommit(db, async () => {
    turns++;
    if (more-- > 0) writes.push(commits.write(() => turns));
  });
  const first = await commits.write(() => turns);
  expect([first, await Promise.all(writes)]).toEqual([4, [4, 4, 4]]);
  expect(await commits.write(() => turns)).toBe(5);
  db.close();
});

test('where another process writes, all that wait are rejected, and the next ones go well', async () => {
  const db = new DatabaseSync(file, { timeout: 0 });
  const commits = new GroupCommit(db, async () => undefined);
  const other = new DatabaseSync(file);
  other.exec("BEGIN IMMEDIATE; INSERT INTO meta (name, value) VALUES ('theirs', '1')");
  let tries = 0;
  const writes = await Promise.allSettled([1, 2].map(() => commits.write(() => tries++)));
  expect(writes.map((one) => one.status)).toEqual(['rejected', 'rejected']);
  expect(tries).toBe(0);
  other.exec('COMMIT');
  other.close();
  await expect(commits.write(() => 'done')).resolves.toBe('done');
  db.close();
});

test('what is read is committed: nothing of a write before its promise resolves', async () => {
  await store.chains.append(GRANT, 0, authorized('a'));
  let gathered = (): void => undefined;
  const slow = openSqliteStore(
    join(folder, 'slow.db'),
    () =>
      new Promise((resolve) => {
        gathered = resolve;
      }),
  );
  const append = slow.chains.append(GRANT, 0, authorized('a'));
  expect(await slow.chains.read(GRANT)).toMatchObject({ version: 0 });
  gathered();
  await append;
  expect(await slow.chains.read(GRANT)).toMatchObject({ version: 1 });
  await slow.close();
});

test('closing writes what waits, and rejects what comes later', async () => {
  const append = store.chains.append(GRANT, 0, authorized('a'));
  await store.close();
  await expect(append).resolves.toMatchObject({ outcome: 'appended' });
  await expect(store.chains.append(GRANT, 1, published('a'))).rejects.toThrow();
  store = openSqliteStore(file);
  expect(await store.chains.read(GRANT)).toMatchObject({ version: 1 });
});
