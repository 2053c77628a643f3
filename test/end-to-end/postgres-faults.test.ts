/** What only a server over a wire can do to a store: restart, freeze, lose an answer, lead through a pooler. */
import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { GrantId } from '../../src/core/id.ts';
import type { Instant } from '../../src/core/instant.ts';
import type { Clock } from '../../src/ports/clock.ts';
import type { Change, Store } from '../../src/ports/store.ts';
import { storeContract } from '../../src/storage/contract.ts';
import { sharedStoreContract } from '../../src/storage/contract-of-nodes.ts';
import {
  answered,
  authorized,
  GRANT,
  linkNamed,
  ME,
  OTHER,
  published,
  sealedAnswer,
  started,
} from '../../src/storage/story.fixture.ts';
import { Database } from '../../src/storage/postgres/database.ts';
import { endOfTurn } from '../../src/world/event-loop.ts';
import { systemClock } from '../../src/world/system-clock.ts';
import { faultProxy } from '../support/fault-proxy.ts';
import { type Pooler, startPooler } from '../support/pooler.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';
import { ask, empty, openStoreAt, type StoreOptions } from './support/postgres-store.ts';

const LEASE_MS = 3_600_000;
const END = 'SELECT pg_terminate_backend($1)';
/** After three times as long the server has ended a transaction that stood still. */
const PATIENCE_MS = 1_000;
/** Long enough for a busy machine, and short enough to wait for. */
const ANSWER_MS = 2_500;

/** What the server says where it cannot extend a file. */
const FULL = [
  `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'; END $$`,
  'CREATE TRIGGER "full" BEFORE INSERT ON evergrant_answers FOR EACH ROW EXECUTE FUNCTION refuse()',
];

let server: TestPostgres;
beforeAll(async () => {
  server = await startPostgres();
});
afterAll(() => server?.close());

const open: Store[] = [];
afterEach(async () => {
  for (const store of open.splice(0)) await store.close();
});

async function openAt(url: string, options?: StoreOptions): Promise<Store> {
  const store = await openStoreAt(url, options);
  open.push(store);
  await store.nodes.join(ME, 'folder', LEASE_MS);
  return store;
}

/** In bytes, of what is still in use. */
function heapUsed(): number {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
  return process.memoryUsage().heapUsed;
}

/** Resolves once such a change is heard. */
function heard(store: Store, kind: Change['kind'], id?: string): Promise<void> {
  return new Promise((resolve) => {
    const end = store.watch((change) => {
      if (change.kind !== kind || (change.kind !== 'unsure' && change.id !== id)) return;
      end();
      resolve();
    });
  });
}

describe('a server that comes and goes', () => {
  test.each(['fast', 'immediate'] as const)('a store goes on after a restart of the server (%s)', async (how) => {
    const store = await openAt(await server.freshDatabase());
    await Promise.all(Array.from({ length: 8 }, (_, i) => store.chains.append(`grt_${i}`, 0, authorized(`a${i}`))));
    await server.restart(how);
    expect(await store.chains.append('grt_0', 1, published('a0'))).toMatchObject({ outcome: 'appended', version: 2 });
    expect(await store.records.insert('app', 'app_1', '{}', [])).toMatchObject({ outcome: 'written' });
    expect(await store.nodes.beat(ME, LEASE_MS)).toMatchObject({ outcome: 'kept' });
    expect(await store.chains.unsettled()).toEqual(['grt_1', 'grt_2', 'grt_3', 'grt_4', 'grt_5', 'grt_6', 'grt_7']);
  });

  test('while the server is away every call rejects, and the store works again once it is back', async () => {
    const store = await openAt(await server.freshDatabase());
    await server.stop();
    await expect(store.check()).rejects.toThrow();
    await expect(store.chains.append(GRANT, 0, authorized('a'))).rejects.toThrow();
    await expect(store.nodes.beat(ME, LEASE_MS)).rejects.toThrow();
    await server.start();
    expect(await store.chains.append(GRANT, 0, authorized('a'))).toMatchObject({ outcome: 'appended', version: 1 });
  });

  test('a frozen server hangs nobody: calls reject, and work once it goes on', async () => {
    const store = await openAt(await server.freshDatabase(), { answerMs: ANSWER_MS });
    await store.chains.append(GRANT, 0, authorized('a'));
    server.pause();
    const calls = [
      store.chains.read(GRANT),
      store.chains.append(GRANT, 'any', published('a')),
      store.records.get('app', 'app_1'),
      ...Array.from({ length: 20 }, () => store.nodes.beat(ME, LEASE_MS)),
    ];
    const outcomes = await Promise.allSettled(calls);
    expect(new Set(outcomes.map((one) => one.status))).toEqual(new Set(['rejected']));
    server.resume();
    await store.chains.append(GRANT, 'any', published('a'));
    expect((await store.chains.read(GRANT)).version).toBeGreaterThanOrEqual(2);
  });

  test('[S105] what a full disk refuses leaves nothing half made, and is kept once there is room', async () => {
    const url = await server.freshDatabase();
    const store = await openAt(url);
    await store.chains.append(GRANT, 0, authorized('a'));
    await store.chains.append(GRANT, 1, started('b', 'a'));
    for (const sql of FULL) await ask(url, sql);
    await expect(store.chains.append(GRANT, 'any', answered('b', 'a'))).rejects.toThrow('No space left on device');
    expect((await store.chains.read(GRANT)).version).toBe(2);
    await ask(url, 'DROP TRIGGER "full" ON evergrant_answers');
    expect(await store.chains.append(GRANT, 'any', answered('b', 'a'))).toMatchObject({ version: 3 });
    expect(await store.chains.answer(GRANT, linkNamed('b'))).toBe(sealedAnswer('b'));
  });

  test('a server that became a standby is not used, and a promoted one is', async () => {
    const own = await startPostgres();
    try {
      const store = await openAt(await own.freshDatabase());
      await store.chains.append(GRANT, 0, authorized('a'));
      await own.demote();
      await expect(store.chains.read(GRANT)).rejects.toThrow('standby');
      await expect(store.check()).rejects.toThrow('standby');
      await expect(openStoreAt(own.url)).rejects.toMatchObject({ code: 'setting', exitCode: 78 });
      await own.promote();
      expect(await store.chains.append(GRANT, 1, published('a'))).toMatchObject({ outcome: 'appended', version: 2 });
    } finally {
      for (const store of open.splice(0)) await store.close();
      await own.close();
    }
  });
});

describe('a lost acknowledgement', () => {
  test('[S121] an answer whose COMMIT was not acknowledged is kept once, and appending it again is harmless', async () => {
    await using proxy = await faultProxy(await server.freshDatabase());
    const store = await openAt(proxy.url);
    await store.chains.append(GRANT, 0, authorized('a'));
    await store.chains.append(GRANT, 1, started('b', 'a'));
    proxy.loseNextCommits(1);
    await expect(store.chains.append(GRANT, 'any', answered('b', 'a'))).rejects.toThrow();
    expect(proxy.lost).toBe(1);
    const after = await store.chains.read(GRANT);
    expect([after.version, after.chain.links.map((one) => one.id)]).toEqual([3, ['a', 'b'].map(linkNamed)]);
    expect(await store.chains.append(GRANT, 'any', answered('b', 'a'))).toEqual({ outcome: 'appended', ...after });
    expect(await store.chains.answer(GRANT, linkNamed('b'))).toBe(sealedAnswer('b'));
    expect((await store.chains.history(GRANT, { limit: 10, after: null })).items).toHaveLength(3);
  });

  test('a claim whose COMMIT was not acknowledged is seen by whoever claims again, so nothing is sent twice', async () => {
    await using proxy = await faultProxy(await server.freshDatabase());
    const store = await openAt(proxy.url);
    await store.chains.append(GRANT, 0, authorized('a'));
    proxy.loseNextCommits(1);
    await expect(store.chains.append(GRANT, 1, started('b', 'a'))).rejects.toThrow();
    const again = await store.chains.append(GRANT, 1, started('b', 'a'));
    expect(again.outcome).toBe('conflict');
    expect(again.chain.attempts.map((one) => one.id)).toEqual([linkNamed('b')]);
  });

  test('a record whose COMMIT was not acknowledged is there once', async () => {
    await using proxy = await faultProxy(await server.freshDatabase());
    const store = await openAt(proxy.url);
    proxy.loseNextCommits(1);
    const alias = { name: 'alias', value: 'eol', unique: true };
    await expect(store.records.insert('grant', GRANT, '{}', [alias])).rejects.toThrow();
    expect(await store.records.insert('grant', GRANT, '{}', [alias])).toMatchObject({ outcome: 'taken', by: GRANT });
    expect((await store.records.find('grant', 'alias', 'eol'))?.id).toBe(GRANT);
  });

  test('a connection that breaks before COMMIT was sent costs the caller nothing', async () => {
    await using proxy = await faultProxy(await server.freshDatabase());
    const store = await openAt(proxy.url);
    await store.chains.append(GRANT, 0, authorized('a'));
    proxy.breakAll();
    expect(await store.chains.append(GRANT, 1, published('a'))).toMatchObject({ outcome: 'appended', version: 2 });
  });

  test.each([
    ['the server ended', async (url: string, pid: unknown) => void (await ask(url, END, [pid]))],
    ['a pause of the node outlasted', () => sleep(3 * PATIENCE_MS)],
  ])('a connection that %s between two statements costs the caller nothing', async (_how, harm) => {
    const url = await server.freshDatabase();
    const db = new Database({ url, connections: 2, clock: systemClock, answerMs: PATIENCE_MS });
    try {
      let tries = 0;
      const answer = await db.transaction(async (query) => {
        const [own] = await query('SELECT pg_backend_pid() AS pid');
        if (tries++ === 0) {
          await harm(url, own?.pid);
          // It may hear of its end.
          await sleep(200);
        }
        return query('SELECT 7 AS seven');
      });
      expect([tries, answer]).toEqual([2, [{ seven: 7 }]]);
    } finally {
      await db.close();
    }
  });
});

describe('a batch of appends', () => {
  const HALF = () => 0.5 as Instant;

  test('an event that the database refuses fails alone', async () => {
    const store = await openAt(await server.freshDatabase());
    const grants = Array.from({ length: 20 }, (_, i): GrantId => `grt_${i}`);
    const appends = grants.map((grant, i) =>
      store.chains.append(grant, 0, authorized(`a${i}`), i === 7 ? HALF : undefined),
    );
    const outcomes = await Promise.allSettled(appends);
    expect(outcomes.flatMap((one, i) => (one.status === 'rejected' ? [i] : []))).toEqual([7]);
    for (const [i, grant] of grants.entries()) {
      expect((await store.chains.read(grant)).version, grant).toBe(i === 7 ? 0 : 1);
    }
  });

  test('an event without a lease fails alone, and events of one chain are folded in the order of their asking', async () => {
    const store = await openAt(await server.freshDatabase());
    const stranger = { ...started('x', 'a'), node: 'node-9' } as ReturnType<typeof started>;
    const outcomes = await Promise.allSettled([
      store.chains.append(GRANT, 0, authorized('a')),
      store.chains.append(GRANT, 1, stranger),
      store.chains.append(GRANT, 1, started('b', 'a')),
      store.chains.append(GRANT, 1, started('c', 'a')),
      store.chains.append(GRANT, 'any', answered('b', 'a')),
      store.chains.append(OTHER, 0, authorized('z')),
    ]);
    expect(outcomes.map((one) => (one.status === 'fulfilled' ? one.value.outcome : one.reason.name))).toEqual([
      'appended',
      'LeaseLost',
      'appended',
      'conflict',
      'appended',
      'appended',
    ]);
    expect((await store.chains.read(GRANT)).chain.links.map((one) => one.id)).toEqual(['a', 'b'].map(linkNamed));
  });

  test('a chain that another transaction holds fails alone, and its turn comes once that is over', async () => {
    const url = await server.freshDatabase();
    const store = await openAt(url, { answerMs: ANSWER_MS });
    await store.chains.append(GRANT, 0, authorized('a'));
    const holder = new pg.Client({ connectionString: url });
    await holder.connect();
    await holder.query('BEGIN');
    await holder.query('SELECT FROM evergrant_chains WHERE grant_id = $1 FOR UPDATE', [GRANT]);
    const [held, free] = await Promise.allSettled([
      store.chains.append(GRANT, 1, published('a')),
      store.chains.append(OTHER, 0, authorized('z')),
    ]);
    expect([held.status, free.status]).toEqual(['rejected', 'fulfilled']);
    await holder.end();
    expect(await store.chains.append(GRANT, 1, published('a'))).toMatchObject({ outcome: 'appended' });
  });

  test('a thousand appends at once take far fewer commits than a thousand', async () => {
    const url = await server.freshDatabase();
    const store = await openAt(url);
    const commits = async () => Number(await ask(url, 'SELECT count(DISTINCT xmin::text) FROM evergrant_chains'));
    await Promise.all(Array.from({ length: 1000 }, (_, i) => store.chains.append(`grt_${i}`, 0, authorized(`a${i}`))));
    expect(await commits()).toBeLessThan(50);
  });
});

test('[S84] of appends that many stores race for, exactly one is appended for each version', async () => {
  const url = await server.freshDatabase();
  const stores = await Promise.all(Array.from({ length: 4 }, () => openAt(url)));
  const versions = new Map<number, number>();
  for (let round = 0; round < 15; round++) {
    const { version } = await (stores[0] as Store).chains.read(GRANT);
    const event = version === 0 ? authorized('a') : started(`b${round}`, 'a');
    const outcomes = await Promise.all(stores.map((store) => store.chains.append(GRANT, version, event)));
    versions.set(version, outcomes.filter((one) => one.outcome === 'appended').length);
  }
  expect([...versions]).toEqual(Array.from({ length: 15 }, (_, version) => [version, 1]));
  expect((await (stores[0] as Store).chains.read(GRANT)).version).toBe(15);
});

test('[S84] a chain that many stores begin at once is begun by one of them, and all others are shown what it began', async () => {
  const url = await server.freshDatabase();
  const stores = await Promise.all(Array.from({ length: 4 }, () => openAt(url)));
  for (let round = 0; round < 200; round++) {
    const grant: GrantId = `grt_begun${round}`;
    const outcomes = await Promise.all(stores.map((store) => store.chains.append(grant, 0, authorized('a'))));
    expect(outcomes.map((one) => one.outcome).toSorted()).toEqual(['appended', 'conflict', 'conflict', 'conflict']);
    for (const one of outcomes) expect([one.version, one.chain.links.length]).toEqual([1, 1]);
  }
});

describe('hearing of changes', () => {
  test('a store whose listening connection was ended listens again, and says that anything may have changed', async () => {
    const url = await server.freshDatabase();
    const [here, there] = [await openAt(url), await openAt(url)];
    const unsure = heard(there, 'unsure');
    expect(
      await ask(url, `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'`),
    ).toBe('2');
    await unsure;
    const told = heard(there, 'chain', GRANT);
    await here.chains.append(GRANT, 0, authorized('a'));
    await told;
  });

  test('a store that listens for a month takes no more memory for it', async () => {
    const turns = { made: 0, wanted: 500, reached: Promise.withResolvers<void>() };
    const clock: Clock = {
      ...systemClock,
      // Half a second lies between two looks at the connection: here, none.
      async sleep(ms, signal) {
        if (ms !== 500) return systemClock.sleep(ms, signal);
        turns.made += 1;
        if (turns.made >= turns.wanted) turns.reached.resolve();
        await endOfTurn();
      },
    };
    await openAt(await server.freshDatabase(), { clock });
    await turns.reached.promise;
    const before = heapUsed();
    Object.assign(turns, { made: 0, wanted: 2_000, reached: Promise.withResolvers<void>() });
    await turns.reached.promise;
    expect((heapUsed() - before) / turns.made).toBeLessThan(300);
  });

  test('many changes of one transaction are all heard, however long their names', async () => {
    const url = await server.freshDatabase();
    const [here, there] = [await openAt(url), await openAt(url)];
    const grants = Array.from({ length: 120 }, (_, i): GrantId => `grt_${String(i).padStart(100, '0')}`);
    const all = Promise.all(grants.map((grant) => heard(there, 'chain', grant)));
    await Promise.all(grants.map((grant, i) => here.chains.append(grant, 0, authorized(`a${i}`))));
    await all;
  });

  test('what other programs say on the channel is not listened to', async () => {
    const url = await server.freshDatabase();
    const [here, there] = [await openAt(url), await openAt(url)];
    const changes: Change[] = [];
    there.watch((change) => changes.push(change));
    for (const said of ['', 'null', '{"by":1}', '{"by":"x","changed":7}', 'no JSON']) {
      await ask(url, `SELECT pg_notify('evergrant', $1)`, [said]);
    }
    const told = heard(there, 'chain', GRANT);
    await here.chains.append(GRANT, 0, authorized('a'));
    await told;
    expect(changes).toEqual([{ kind: 'chain', id: GRANT }]);
  });
});

describe('behind a transaction pooler', () => {
  test('a node that cannot listen through it takes it every second that anything may have changed', async () => {
    await using pooler = await startPooler(await server.freshDatabase());
    const store = await openAt(pooler.url);
    await heard(store, 'unsure');
    await heard(store, 'unsure');
    expect(store.heardAgoMs()).toBe(Number.POSITIVE_INFINITY);
    await store.close();
  });

  test('with a URL of its own for listening, it hears each change', async () => {
    const url = await server.freshDatabase();
    await using pooler = await startPooler(url);
    const [here, there] = [await openAt(pooler.url), await openAt(pooler.url, { listenUrl: url })];
    const told = heard(there, 'chain', GRANT);
    await here.chains.append(GRANT, 0, authorized('a'));
    await told;
    for (const store of open.splice(0)) await store.close();
  });

  test('a server that became a standby is not read from, once a change was tried', async () => {
    const own = await startPostgres();
    try {
      const url = await own.freshDatabase();
      await using pooler = await startPooler(url);
      const store = await openAt(pooler.url, { listenUrl: url });
      await store.chains.append(GRANT, 0, authorized('a'));
      await own.demote();
      await expect(store.check()).rejects.toThrow();
      await expect(store.chains.read(GRANT)).rejects.toThrow('standby');
      for (const one of open.splice(0)) await one.close();
    } finally {
      await own.close();
    }
  });
});

describe('through a pooler', () => {
  let url: string;
  let pooler: Pooler;
  beforeAll(async () => {
    url = await server.freshDatabase();
    pooler = await startPooler(url);
  });
  afterAll(() => pooler?.close());

  storeContract('the store', async () => {
    await empty(url);
    return openStoreAt(pooler.url, { listenUrl: url });
  });
  sharedStoreContract('two stores', async () => {
    await empty(url);
    const [listenUrl, pooled] = [url, pooler.url];
    return Promise.all([openStoreAt(pooled, { listenUrl }), openStoreAt(pooled, { listenUrl })]);
  });
});
