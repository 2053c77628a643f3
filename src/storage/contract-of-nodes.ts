/** What every store must do for the nodes that use it, and for those that share it. Part of the store's contract. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { GrantId, NodeId } from '../core/id.ts';
import { type Change, LeaseLost, type NodeRecord, type NodeRun, type Store, type Term } from '../ports/store.ts';
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
} from './story.fixture.ts';

/** Longer than any run of these tests. */
const LEASE_MS = 3_600_000;
/** A lease that is over as soon as it begins. */
const OVER_MS = 0;

const FIRST: NodeRun = { id: 'node-a', run: 'first' };
/** A later run of the same node. */
const SECOND: NodeRun = { id: 'node-a', run: 'second' };
const OTHER_NODE: NodeRun = { id: 'node-b', run: 'first' };

async function nodeIn(store: Store, id: NodeId): Promise<NodeRecord | undefined> {
  return (await store.nodes.view()).nodes.find((one) => one.id === id);
}

export function nodeRules(store: () => Store): void {
  test('a node that joins is here, and nothing of its journal is merged yet', async () => {
    const joined = await store().nodes.join(FIRST, 'folder', LEASE_MS);
    expect(joined).toMatchObject({ outcome: 'joined', view: { restore: null, restoredAt: null } });
    const node = await nodeIn(store(), FIRST.id);
    expect(node).toMatchObject({ ...FIRST, merged: 0, mergedFor: null, isGivenUp: false });
    expect(node?.leaseLeftMs).toBeGreaterThan(0);
    expect(node?.leaseLeftMs).toBeLessThanOrEqual(LEASE_MS);
    const seen = joined.outcome === 'joined' ? joined.view.nodes.map((one) => one.id) : [];
    expect(seen).toContain(FIRST.id);
  });

  test('a node id that lives in another folder is in use, and its lease stays as it was', async () => {
    await store().nodes.join(FIRST, 'folder', LEASE_MS);
    expect(await store().nodes.join(SECOND, 'another folder', LEASE_MS)).toEqual({ outcome: 'in_use' });
    expect(await nodeIn(store(), FIRST.id)).toMatchObject(FIRST);
    expect(await store().nodes.beat(FIRST, LEASE_MS)).toMatchObject({ outcome: 'kept' });
  });

  test('a later run of the same folder takes over at once', async () => {
    await store().nodes.join(FIRST, 'folder', LEASE_MS);
    expect(await store().nodes.join(SECOND, 'folder', LEASE_MS)).toMatchObject({ outcome: 'joined' });
    expect(await nodeIn(store(), FIRST.id)).toMatchObject(SECOND);
  });

  test('a node id moves to another folder once its lease is over, or was given back', async () => {
    await store().nodes.join(FIRST, 'folder', OVER_MS);
    expect(await store().nodes.join(SECOND, 'second folder', LEASE_MS)).toMatchObject({ outcome: 'joined' });
    await store().nodes.leave(SECOND);
    expect(await nodeIn(store(), FIRST.id)).toMatchObject({ leaseLeftMs: 0 });
    expect(await store().nodes.join(FIRST, 'third folder', LEASE_MS)).toMatchObject({ outcome: 'joined' });
  });

  test('a beat prolongs the lease, also one that was over while nobody else took it', async () => {
    await store().nodes.join(FIRST, 'folder', OVER_MS);
    expect(await nodeIn(store(), FIRST.id)).toMatchObject({ leaseLeftMs: 0 });
    const beaten = await store().nodes.beat(FIRST, LEASE_MS);
    expect(beaten.outcome).toBe('kept');
    expect(beaten.view.nodes.find((one) => one.id === FIRST.id)?.leaseLeftMs).toBeGreaterThan(0);
  });

  test('a run whose place another one took, or that the store does not know, has lost its lease', async () => {
    expect(await store().nodes.beat(FIRST, LEASE_MS)).toMatchObject({ outcome: 'lost' });
    expect(await nodeIn(store(), FIRST.id)).toBeUndefined();
    await store().nodes.join(FIRST, 'folder', LEASE_MS);
    await store().nodes.join(SECOND, 'folder', LEASE_MS);
    expect(await store().nodes.beat(FIRST, LEASE_MS)).toMatchObject({ outcome: 'lost' });
    await store().nodes.leave(FIRST);
    expect(await store().nodes.beat(SECOND, LEASE_MS)).toMatchObject({ outcome: 'kept' });
  });

  test('how far a journal is merged never goes back, also not with a new run', async () => {
    await store().nodes.join(FIRST, 'folder', LEASE_MS);
    await store().nodes.merged(FIRST.id, 7);
    await store().nodes.merged(FIRST.id, 3);
    expect(await nodeIn(store(), FIRST.id)).toMatchObject({ merged: 7 });
    await store().nodes.join(SECOND, 'folder', LEASE_MS);
    expect(await nodeIn(store(), FIRST.id)).toMatchObject({ merged: 7 });
    await store().nodes.merged('nobody', 9);
    expect(await nodeIn(store(), 'nobody')).toBeUndefined();
  });

  test('a restore is named for all, and each node says for which it has merged its journal', async () => {
    await store().nodes.join(FIRST, 'folder', LEASE_MS);
    await store().nodes.join(OTHER_NODE, 'folder of b', LEASE_MS);
    const first = await store().nodes.declareRestore();
    const view = await store().nodes.view();
    expect(view.restore).toBe(first);
    expect(view.restoredAt).toBeLessThanOrEqual(view.now);
    expect(view.restoredAt).toBeGreaterThan(view.now - 60_000);
    await store().nodes.mergedFor(FIRST.id, first);
    await store().nodes.join(SECOND, 'folder', LEASE_MS);
    expect(await nodeIn(store(), FIRST.id)).toMatchObject({ mergedFor: first });
    expect(await nodeIn(store(), OTHER_NODE.id)).toMatchObject({ mergedFor: null });
    const second = await store().nodes.declareRestore();
    expect(second).not.toBe(first);
    expect((await store().nodes.view()).restore).toBe(second);
  });

  test('a journal that was given up is waited for no more, until its node joins again', async () => {
    await store().nodes.join(FIRST, 'folder', LEASE_MS);
    expect(await store().nodes.giveUp(FIRST.id)).toBe(true);
    expect(await nodeIn(store(), FIRST.id)).toMatchObject({ isGivenUp: true });
    await store().nodes.join(SECOND, 'folder', LEASE_MS);
    expect(await nodeIn(store(), FIRST.id)).toMatchObject({ isGivenUp: false });
    expect(await store().nodes.giveUp('nobody')).toBe(false);
  });
}

/** Runs the rules for stores that several nodes share: `openTwo` gives two of one empty database. */
export function sharedStoreContract(name: string, openTwo: () => Promise<readonly [Store, Store]>): void {
  describe(name, () => {
    let here: Store;
    let there: Store;
    beforeEach(async () => {
      [here, there] = await openTwo();
    });
    afterEach(async () => {
      await here.close();
      await there.close();
    });

    describe('leases', () => leaseRules(() => [here, there]));
    describe('what one changes', () => sharingRules(() => [here, there]));
    describe('what both do at once', () => racingRules(() => [here, there]));
    describe('watching', () => watchRules(() => [here, there]));
  });
}

type Two = () => readonly [here: Store, there: Store];

function leaseRules(two: Two): void {
  test('it is kept when a node last joined while no other one was here, and not what joined beside others', async () => {
    const [here, there] = two();
    const joined = await here.nodes.join(FIRST, 'folder', LEASE_MS);
    const first = joined.outcome === 'joined' ? joined.view : null;
    expect(first?.wokenAt).toBeGreaterThan((first?.now ?? 0) - 60_000);
    expect(first?.wokenAt).toBeLessThanOrEqual(first?.now ?? 0);
    await there.nodes.join(OTHER_NODE, 'folder of b', LEASE_MS);
    await here.nodes.join(SECOND, 'folder', LEASE_MS);
    expect((await there.nodes.view()).wokenAt).toBe(first?.wokenAt);
    await there.nodes.leave(OTHER_NODE);
    await here.nodes.leave(SECOND);
    const before = (await here.nodes.view()).now;
    await there.nodes.join(OTHER_NODE, 'folder of b', OVER_MS);
    expect((await here.nodes.view()).wokenAt).toBeGreaterThanOrEqual(before);
  });

  test('without a lease no exchange is started, and nothing was changed', async () => {
    const [here] = two();
    await here.chains.append(GRANT, 0, authorized('a'));
    const before = await here.chains.read(GRANT);
    const dueOf = () => before.chain.stateSince;
    await expect(here.chains.append(GRANT, 1, started('b', 'a'), dueOf)).rejects.toThrow(LeaseLost);
    await here.nodes.join(ME, 'folder', OVER_MS);
    await expect(here.chains.append(GRANT, 1, started('b', 'a'), dueOf)).rejects.toThrow(LeaseLost);
    await here.nodes.join({ ...ME, run: 'a later run' }, 'folder', LEASE_MS);
    await expect(here.chains.append(GRANT, 1, started('b', 'a'), dueOf)).rejects.toThrow(LeaseLost);
    expect(await here.chains.read(GRANT)).toEqual(before);
    expect((await here.chains.history(GRANT, { limit: 10, after: null })).items).toHaveLength(1);
    expect(await here.chains.due(before.chain.stateSince, 10)).toEqual([]);
  });

  test('with its lease a node starts exchanges, over whichever connection', async () => {
    const [here, there] = two();
    await here.nodes.join(ME, 'folder', LEASE_MS);
    await here.chains.append(GRANT, 0, authorized('a'));
    expect(await there.chains.append(GRANT, 1, started('b', 'a'))).toMatchObject({ outcome: 'appended', version: 2 });
  });

  test('what was received is kept after the lease is lost, and so is everything else but a start', async () => {
    const [here] = two();
    await here.nodes.join(ME, 'folder', LEASE_MS);
    await here.chains.append(GRANT, 0, authorized('a'));
    await here.chains.append(GRANT, 1, started('b', 'a'));
    await here.nodes.leave(ME);
    expect(await here.chains.append(GRANT, 'any', answered('b', 'a'))).toMatchObject({ outcome: 'appended' });
    expect(await here.chains.append(GRANT, 3, published('b'))).toMatchObject({ outcome: 'appended' });
    expect(await here.chains.answer(GRANT, linkNamed('b'))).toBe(sealedAnswer('b'));
  });

  test('a node id that lives in another folder is in use for every other connection', async () => {
    const [here, there] = two();
    await here.nodes.join(FIRST, 'folder', LEASE_MS);
    expect(await there.nodes.join(SECOND, 'another folder', LEASE_MS)).toEqual({ outcome: 'in_use' });
  });
}

function sharingRules(two: Two): void {
  test('what one node appends or declares, the other one reads', async () => {
    const [here, there] = two();
    await here.nodes.join(FIRST, 'folder', LEASE_MS);
    const restore = await here.nodes.declareRestore();
    const { outcome: _, ...stored } = await here.chains.append(GRANT, 0, authorized('a'));
    expect(await there.chains.read(GRANT)).toEqual(stored);
    expect(await there.chains.answer(GRANT, linkNamed('a'))).toBe(sealedAnswer('a'));
    expect(await there.nodes.view()).toMatchObject({ restore, nodes: [FIRST] });
  });

  test('of exchanges that two nodes claim at once on one version, one is started', async () => {
    const [here, there] = two();
    await here.nodes.join(ME, 'folder', LEASE_MS);
    await here.chains.append(GRANT, 0, authorized('a'));
    const claims = Array.from({ length: 10 }, (_, i) =>
      (i % 2 ? here : there).chains.append(GRANT, 1, started(`b${i}`, 'a')),
    );
    const outcomes = (await Promise.all(claims)).map((one) => one.outcome);
    expect(outcomes.filter((one) => one === 'appended')).toHaveLength(1);
    expect((await there.chains.read(GRANT)).chain.attempts).toHaveLength(1);
  });

  test('events that two nodes append at once are all kept', async () => {
    const [here, there] = two();
    await here.chains.append(GRANT, 0, authorized('a'));
    const appends = Array.from({ length: 10 }, (_, i) =>
      (i % 2 ? here : there).chains.append(GRANT, 'any', answered(`b${i}`, 'a', i + 2)),
    );
    const versions = (await Promise.all(appends)).map((one) => one.version).toSorted((a, b) => a - b);
    expect(versions).toEqual([2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
  });

  test('of two nodes that want one unique term at once, one gets it', async () => {
    const [here, there] = two();
    const eol = { name: 'alias', value: 'eol', unique: true };
    const inserts = Array.from({ length: 10 }, (_, i) =>
      (i % 2 ? here : there).records.insert('grant', `grt_${i}`, '{}', [eol]),
    );
    const outcomes = (await Promise.all(inserts)).map((one) => one.outcome);
    expect(outcomes.filter((one) => one === 'written')).toHaveLength(1);
  });
}

/** Chance decides who comes first: each time with grants that nobody knows yet. */
const ROUNDS = 25;

async function eachRound(
  two: Two,
  race: (stores: ReturnType<Two>, grant: GrantId) => Promise<void>,
  rounds = ROUNDS,
): Promise<void> {
  for (let round = 0; round < rounds; round++) await race(two(), `grt_race${round}`);
}

async function versionsOf(store: Store, grant: GrantId): Promise<readonly number[]> {
  return (await store.chains.history(grant, { limit: 10, after: null })).items.map((one) => one.version);
}

const named = (name: string, value: string): Term => ({ name, value, unique: true });

function racingRules(two: Two): void {
  test('a chain that nobody had begun keeps each link once, whoever brings it, and in whatever order', () =>
    eachRound(two, async ([here, there], grant) => {
      const brought = await Promise.all([
        here.chains.append(grant, 'any', authorized('a')),
        there.chains.append(grant, 'any', authorized('a')),
        here.chains.append(grant, 'any', answered('b', 'a')),
        there.chains.append(grant, 'any', answered('b', 'a')),
      ]);
      expect(brought.map((one) => one.outcome === 'appended' && one.version > 0)).toEqual([true, true, true, true]);
      const { version, chain } = await there.chains.append(grant, 'any', answered('b', 'a'));
      expect(chain.links.map((one) => one.id)).toEqual(['a', 'b'].map(linkNamed));
      expect(await versionsOf(here, grant)).toEqual(Array.from({ length: version }, (_, i) => version - i));
      expect(await here.chains.answer(grant, linkNamed('b'))).toBe(sealedAnswer('b'));
    }));

  test('a grant whose chain is begun while it is made is counted', async () => {
    await eachRound(two, async ([here, there], grant) => {
      const done = await Promise.all([
        here.records.insert('grant', grant, '{}', [named('alias', grant)]),
        there.chains.append(grant, 'any', authorized('a')),
      ]);
      expect(done.map((one) => one.outcome)).toEqual(['written', 'appended']);
      expect((await here.chains.read(grant)).version).toBe(1);
    });
    const counts = Object.values(await two()[0].chains.count());
    expect(counts.reduce((sum, one) => sum + one, 0)).toBe(ROUNDS);
  });

  test('of a grant that is removed while its chain goes on nothing is left', () =>
    eachRound(two, async ([here, there], grant) => {
      await here.records.insert('grant', grant, '{}', [named('alias', grant)]);
      await here.chains.append(grant, 'any', authorized('a'));
      const [isRemoved] = await Promise.all([
        here.records.remove('grant', grant),
        there.chains.append(grant, 'any', authorized('a')),
        there.chains.append(grant, 1, published('a')),
      ]);
      expect([isRemoved, (await there.chains.read(grant)).version]).toEqual([true, 0]);
      expect(await versionsOf(there, grant)).toEqual([]);
      expect(await there.chains.answer(grant, linkNamed('a'))).toBeNull();
      expect(await there.records.find('grant', 'alias', grant)).toBeNull();
    }));

  test('of two that make one record, or change one version of it, one does, and its terms are the ones that are there', () =>
    eachRound(two, async (stores, id) => {
      const found = () =>
        Promise.all(stores.map(async ({ records }, i) => (await records.find('app', 'name', `${id} ${i}`)) !== null));
      const make = stores.map(({ records }, i) => records.insert('app', id, '{}', [named('name', `${id} ${i}`)]));
      const made = (await Promise.all(make)).map((one) => one.outcome);
      expect(made.toSorted()).toEqual(['taken', 'written']);
      expect(await found()).toEqual(made.map((one) => one === 'written'));
      const change = stores.map(({ records }, i) => records.update('app', id, 1, '{}', [named('name', `${id} ${i}`)]));
      const changed = (await Promise.all(change)).map((one) => one.outcome);
      expect(changed.toSorted()).toEqual(['stale', 'written']);
      expect(await found()).toEqual(changed.map((one) => one === 'written'));
    }));

  test('two records that want each other’s unique terms both keep one', () => {
    const wants = async ([here, there]: ReturnType<Two>, id: GrantId) => {
      const [a, b] = [`${id}a`, `${id}b`];
      await here.records.insert('app', a, '{}', [named('name', a)]);
      await here.records.insert('app', b, '{}', [named('name', b)]);
      await Promise.all([
        here.records.update('app', a, 1, '{}', [named('name', b)]),
        there.records.update('app', b, 1, '{}', [named('name', a)]),
      ]);
      const holders = await Promise.all([a, b].map((name) => here.records.find('app', 'name', name)));
      expect(holders.map((one) => String(one?.id)).toSorted()).toEqual([a, b]);
    };
    // A database may take a second to notice that each waits for the other.
    return eachRound(two, wants, 4);
  });

  test('of two nodes with one id that join at once from two folders, one is refused', () =>
    eachRound(two, async (stores, id) => {
      const joins = stores.map(({ nodes }, i) => nodes.join({ id, run: `run ${i}` }, `folder ${i}`, LEASE_MS));
      expect((await Promise.all(joins)).map((one) => one.outcome).toSorted()).toEqual(['in_use', 'joined']);
    }));
}

function watchRules(two: Two): void {
  /** Resolves once the store has told of such a change. */
  function told(store: Store, expected: Change): Promise<void> {
    return new Promise((resolve) => {
      const end = store.watch((change) => {
        if (JSON.stringify(change) !== JSON.stringify(expected)) return;
        end();
        resolve();
      });
    });
  }

  test('a store is told of chains that another one changes', async () => {
    const [here, there] = two();
    const heard = told(there, { kind: 'chain', id: GRANT });
    await here.chains.append(GRANT, 0, authorized('a'));
    await heard;
  });

  test('a store is told of records that another one makes, changes and removes', async () => {
    const [here, there] = two();
    const made = told(there, { kind: 'app', id: 'app_1' });
    await here.records.insert('app', 'app_1', '{}', []);
    await made;
    const changed = told(there, { kind: 'app', id: 'app_1' });
    await here.records.update('app', 'app_1', 1, '{"new":1}', []);
    await changed;
    const removed = told(there, { kind: 'app', id: 'app_1' });
    await here.records.remove('app', 'app_1');
    await removed;
  });

  test('once ended, a listener is told nothing more', async () => {
    const [here, there] = two();
    const heard: Change[] = [];
    const end = there.watch((change) => heard.push(change));
    const first = told(there, { kind: 'chain', id: GRANT });
    await here.chains.append(GRANT, 0, authorized('a'));
    await first;
    end();
    const before = heard.length;
    const second = told(there, { kind: 'chain', id: OTHER });
    await here.chains.append(OTHER, 0, authorized('a'));
    await second;
    expect(heard).toHaveLength(before);
  });
}
