/** What every store must do, whatever it keeps things in. Each store's test file runs all of it. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { ChainEvent, ChainEventWithoutAnswer } from '../core/chain.ts';
import type { Instant } from '../core/instant.ts';
import type { Sealed } from '../core/secret.ts';
import type { DueOf, Records, Store, StoredRecord, Term } from '../ports/store.ts';
import { nodeRules } from './contract-of-nodes.ts';
import {
  answered,
  at,
  authorized,
  deferred,
  ENDED,
  fingerprintOf,
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

/** Exchanges `from` for `to` and publishes it. */
async function rotate(store: Store, from: string, to: string): Promise<void> {
  const { chain } = await store.chains.append(GRANT, 'any', started(to, from));
  await store.chains.append(GRANT, 'any', answered(to, from, chain.nextSequence - 1));
  await store.chains.append(GRANT, 'any', published(to));
}

async function historyTypes(store: Store): Promise<readonly ChainEventWithoutAnswer['type'][]> {
  const { items } = await store.chains.history(GRANT, { limit: 1000, after: null });
  return items.map((one) => one.event.type);
}

async function insertGrant(store: Store, id: string, terms: readonly Term[] = []): Promise<void> {
  expect(await store.records.insert('grant', id, `{"id":"${id}"}`, terms)).toEqual({ outcome: 'written', version: 1 });
}

async function idsBy(records: Records, terms: readonly Term[]): Promise<readonly string[]> {
  const page = await records.list('grant', { terms, limit: 100, after: null });
  return page.items.map((one) => one.id);
}

/** Runs every rule against stores that `open` makes; they are closed after each. */
export function storeContract(name: string, open: () => Promise<Store>): void {
  describe(name, () => {
    let store: Store;
    beforeEach(async () => {
      store = await open();
      await store.nodes.join(ME, 'folder', LEASE_MS);
    });
    afterEach(() => store.close());

    describe('appending to a chain', () => appendRules(() => store));
    describe('keeping answers', () => answerRules(() => store));
    describe('history', () => historyRules(() => store));
    describe('states', () => stateRules(() => store));
    describe('what is due', () => dueRules(() => store));
    describe('records', () => recordRules(() => store));
    describe('terms', () => termRules(() => store));
    describe('nodes', () => nodeRules(() => store));

    test('a store that was opened can be written to, and one that was closed rejects', async () => {
      await expect(store.check()).resolves.toBeUndefined();
      await store.close();
      await expect(store.check()).rejects.toThrow();
      await expect(store.chains.read(GRANT)).rejects.toThrow();
    });
  });
}

function appendRules(store: () => Store): void {
  test('a grant nobody appended to has an empty chain at version 0', async () => {
    expect(await store().chains.read(GRANT)).toMatchObject({ version: 0, chain: { generation: 0, links: [] } });
  });

  test('every event counts the version up, and reading gives what appending gave', async () => {
    const first = await store().chains.append(GRANT, 0, authorized('a'));
    const second = await store().chains.append(GRANT, 1, started('b', 'a'));
    expect([first.version, second.version]).toEqual([1, 2]);
    const { outcome, ...stored } = second;
    expect(outcome).toBe('appended');
    expect(await store().chains.read(GRANT)).toEqual(stored);
  });

  test('an append decided on an older version changes nothing and shows how the chain stands', async () => {
    await store().chains.append(GRANT, 0, authorized('a'));
    await store().chains.append(GRANT, 1, started('b', 'a'));
    const before = await store().chains.read(GRANT);
    expect(await store().chains.append(GRANT, 1, started('c', 'a'))).toEqual({ outcome: 'conflict', ...before });
    expect(await store().chains.read(GRANT)).toEqual(before);
    expect(await historyTypes(store())).toEqual(['started', 'authorized']);
  });

  test('of ten exchanges claimed at once on one version, one is started', async () => {
    await store().chains.append(GRANT, 0, authorized('a'));
    const claims = Array.from({ length: 10 }, (_, i) => store().chains.append(GRANT, 1, started(`b${i}`, 'a')));
    const outcomes = (await Promise.all(claims)).map((one) => one.outcome);
    expect(outcomes.filter((one) => one === 'appended')).toHaveLength(1);
    expect((await store().chains.read(GRANT)).chain.attempts).toHaveLength(1);
  });

  test('what was received is appended although the chain moved on meanwhile', async () => {
    await store().chains.append(GRANT, 0, authorized('a'));
    await store().chains.append(GRANT, 1, started('b', 'a'));
    await store().chains.append(GRANT, 2, {
      type: 'lost',
      at: at(3),
      id: linkNamed('b'),
      reason: 'no_answer',
      said: null,
    });
    await store().chains.append(GRANT, 3, started('c', 'a'));
    expect(await store().chains.append(GRANT, 2, answered('b', 'a'))).toMatchObject({ outcome: 'conflict' });
    expect(await store().chains.append(GRANT, 'any', answered('b', 'a'))).toMatchObject({
      outcome: 'appended',
      version: 5,
    });
    await store().chains.append(GRANT, 'any', answered('c', 'a', 3));
    const { chain } = await store().chains.read(GRANT);
    expect(chain.links.map((link) => link.id)).toEqual(['a', 'b', 'c'].map(linkNamed));
    for (const name of ['a', 'b', 'c']) {
      expect(await store().chains.answer(GRANT, linkNamed(name))).toBe(sealedAnswer(name));
    }
  });

  test('appending the same link again changes nothing but its answer, which is written anew', async () => {
    await store().chains.append(GRANT, 0, authorized('a'));
    await rotate(store(), 'a', 'b');
    const before = await store().chains.read(GRANT);
    const again = { ...answered('b', 'a'), answer: 'sealed once more' as Sealed } as ChainEvent;
    expect(await store().chains.append(GRANT, 'any', again)).toEqual({ outcome: 'appended', ...before });
    expect(await store().chains.read(GRANT)).toEqual(before);
    expect(await store().chains.answer(GRANT, linkNamed('b'))).toBe('sealed once more');
    expect(await store().chains.holders(fingerprintOf('b'))).toHaveLength(1);
    expect(await historyTypes(store())).toEqual(['published', 'received', 'started', 'authorized']);
  });

  test('chains of two grants do not touch each other', async () => {
    await store().chains.append(GRANT, 0, authorized('a'));
    await store().chains.append(OTHER, 0, authorized('a'));
    await store().chains.append(OTHER, 1, ENDED);
    expect((await store().chains.read(GRANT)).chain.links).toHaveLength(1);
    expect(await store().chains.answer(GRANT, linkNamed('a'))).toBe(sealedAnswer('a'));
  });
}

function answerRules(store: () => Store): void {
  test('answers of links that left the chain are wiped, the fingerprints of their tokens stay', async () => {
    await store().chains.append(GRANT, 0, authorized('0'));
    for (let i = 0; i < 12; i++) await rotate(store(), String(i), String(i + 1));
    const kept = (await store().chains.read(GRANT)).chain.links.map((link) => link.id);
    expect(kept).not.toContain(linkNamed('1'));
    expect(kept.length).toBeGreaterThan(1);
    for (let i = 0; i <= 12; i++) {
      const answer = await store().chains.answer(GRANT, linkNamed(String(i)));
      expect(answer !== null, `answer ${i}`).toBe(kept.includes(linkNamed(String(i))));
      expect(await store().chains.holders(fingerprintOf(String(i)))).toEqual([
        { grant: GRANT, link: linkNamed(String(i)) },
      ]);
    }
  });

  test('a link that left the chain does not come back when a journal brings it again', async () => {
    await store().chains.append(GRANT, 0, authorized('0'));
    for (let i = 0; i < 12; i++) await rotate(store(), String(i), String(i + 1));
    const before = await store().chains.read(GRANT);
    await store().chains.append(GRANT, 'any', answered('1', '0'));
    await store().chains.append(GRANT, 'any', authorized('0'));
    expect(await store().chains.read(GRANT)).toEqual(before);
    expect(await store().chains.answer(GRANT, linkNamed('1'))).toBeNull();
  });

  test('a new authorization wipes the answers of the old chain', async () => {
    await store().chains.append(GRANT, 0, authorized('a'));
    await rotate(store(), 'a', 'b');
    await store().chains.append(GRANT, 'any', authorized('c'));
    expect(await store().chains.answer(GRANT, linkNamed('a'))).toBeNull();
    expect(await store().chains.answer(GRANT, linkNamed('b'))).toBeNull();
    expect(await store().chains.answer(GRANT, linkNamed('c'))).toBe(sealedAnswer('c'));
  });

  test('ending a grant wipes every answer, and one that arrives later is not kept', async () => {
    await store().chains.append(GRANT, 0, authorized('a'));
    await store().chains.append(GRANT, 1, started('b', 'a'));
    await store().chains.append(GRANT, 'any', ENDED);
    await store().chains.append(GRANT, 'any', answered('b', 'a'));
    expect(await store().chains.answer(GRANT, linkNamed('a'))).toBeNull();
    expect(await store().chains.answer(GRANT, linkNamed('b'))).toBeNull();
    expect(await store().chains.holders(fingerprintOf('b'))).toEqual([{ grant: GRANT, link: linkNamed('b') }]);
  });

  test('an answer whose parent is not known yet is kept, and joins the chain once the parent is there', async () => {
    await store().chains.append(GRANT, 0, authorized('a'));
    await store().chains.append(GRANT, 'any', answered('c', 'b', 3));
    expect(await store().chains.answer(GRANT, linkNamed('c'))).toBe(sealedAnswer('c'));
    const orphaned = await store().chains.read(GRANT);
    expect(await store().chains.append(GRANT, 'any', answered('c', 'b', 3))).toMatchObject({
      version: orphaned.version,
    });
    await store().chains.append(GRANT, 'any', answered('b', 'a'));
    await store().chains.append(GRANT, 'any', answered('c', 'b', 3));
    const { chain } = await store().chains.read(GRANT);
    expect(chain.links.map((link) => link.id)).toEqual(['a', 'b', 'c'].map(linkNamed));
  });

  test('a token that two grants held names both', async () => {
    await store().chains.append(GRANT, 0, authorized('a'));
    await store().chains.append(OTHER, 0, authorized('a'));
    expect(await store().chains.holders(fingerprintOf('a'))).toEqual([
      { grant: GRANT, link: linkNamed('a') },
      { grant: OTHER, link: linkNamed('a') },
    ]);
    expect(await store().chains.holders(fingerprintOf('never held'))).toEqual([]);
  });
}

function historyRules(store: () => Store): void {
  test('the history shows the newest event first, page by page, and no answer', async () => {
    await store().chains.append(GRANT, 0, authorized('a'));
    await rotate(store(), 'a', 'b');
    const first = await store().chains.history(GRANT, { limit: 3, after: null });
    expect(first.items.map((one) => one.version)).toEqual([4, 3, 2]);
    const second = await store().chains.history(GRANT, { limit: 3, after: first.next });
    expect(second.items.map((one) => one.event.type)).toEqual(['authorized']);
    expect(second.next).toBeNull();
    expect(JSON.stringify([first, second])).not.toContain('sealed answer');
  });

  test('a page that ends with the last event has no next one', async () => {
    await store().chains.append(GRANT, 0, authorized('a'));
    expect((await store().chains.history(GRANT, { limit: 1, after: null })).next).toBeNull();
  });

  test('a run of deferrals for one reason is one line of the history, and is counted all the same', async () => {
    await store().chains.append(GRANT, 0, authorized('a'));
    for (let i = 0; i < 5; i++) await store().chains.append(GRANT, 'any', deferred('upstream_unavailable'));
    await store().chains.append(GRANT, 'any', deferred('throttled'));
    const { version, chain } = await store().chains.read(GRANT);
    expect([version, chain.deferral?.count]).toEqual([7, 6]);
    expect(await historyTypes(store())).toEqual(['deferred', 'deferred', 'authorized']);
  });
}

function stateRules(store: () => Store): void {
  test('a chain is unsettled while an answer is awaited or a link is not published', async () => {
    await store().chains.append(OTHER, 0, authorized('z'));
    await store().chains.append(OTHER, 1, published('z'));
    expect(await store().chains.unsettled()).toEqual([]);
    await store().chains.append(GRANT, 0, authorized('a'));
    expect(await store().chains.unsettled()).toEqual([GRANT]);
    await store().chains.append(GRANT, 1, published('a'));
    expect(await store().chains.unsettled()).toEqual([]);
    await store().chains.append(GRANT, 2, started('b', 'a'));
    expect(await store().chains.unsettled()).toEqual([GRANT]);
    await store().chains.append(GRANT, 3, { type: 'lost', at: at(3), id: linkNamed('b'), reason: 'crash', said: null });
    expect(await store().chains.unsettled()).toEqual([GRANT]);
    await store().chains.append(GRANT, 4, ENDED);
    expect(await store().chains.unsettled()).toEqual([]);
  });

  test('grants are listed and counted by the state that their chains are in', async () => {
    await insertGrant(store(), GRANT, [{ name: 'alias', value: 'eol', unique: true }]);
    await insertGrant(store(), OTHER);
    expect(await store().chains.count()).toEqual({ pending: 2 });
    await store().chains.append(GRANT, 0, authorized('a'));
    expect(await store().chains.count()).toEqual({ pending: 1, active: 1 });
    await store().chains.append(GRANT, 1, started('b', 'a'));
    expect(await idsBy(store().records, [{ name: 'state', value: 'in_doubt' }])).toEqual([GRANT]);
    expect(await idsBy(store().records, [{ name: 'state', value: 'active' }])).toEqual([]);
    expect(await idsBy(store().records, [{ name: 'state', value: 'pending' }])).toEqual([OTHER]);
  });

  test('changing a grant leaves its state, whatever terms it is given', async () => {
    await insertGrant(store(), GRANT);
    await store().chains.append(GRANT, 0, authorized('a'));
    await store().records.update('grant', GRANT, 1, '{}', [{ name: 'state', value: 'broken' }]);
    expect(await idsBy(store().records, [{ name: 'state', value: 'active' }])).toEqual([GRANT]);
    expect(await idsBy(store().records, [{ name: 'state', value: 'broken' }])).toEqual([]);
  });

  test('a grant whose chain was there first gets the state of that chain, and is counted from then on', async () => {
    await store().chains.append(GRANT, 0, authorized('a'));
    expect(await store().chains.count()).toEqual({});
    await store().chains.append(OTHER, 0, authorized('z'));
    await store().chains.append(GRANT, 1, started('b', 'a'));
    expect(await store().chains.count()).toEqual({});
    await insertGrant(store(), GRANT);
    expect(await store().chains.count()).toEqual({ in_doubt: 1 });
    await insertGrant(store(), OTHER);
    expect(await store().chains.count()).toEqual({ in_doubt: 1, active: 1 });
  });

  test('removing a grant takes chain, answers and history along; fingerprints stay, and nothing comes back', async () => {
    await insertGrant(store(), GRANT);
    await store().chains.append(GRANT, 0, authorized('a'));
    expect(await store().records.remove('grant', GRANT)).toBe(true);
    expect(await store().records.remove('grant', GRANT)).toBe(false);
    await store().chains.append(GRANT, 'any', authorized('a'));
    expect(await store().chains.read(GRANT)).toMatchObject({ version: 0, chain: { generation: 0 } });
    expect(await store().chains.answer(GRANT, linkNamed('a'))).toBeNull();
    expect(await historyTypes(store())).toEqual([]);
    expect(await store().chains.unsettled()).toEqual([]);
    expect(await store().chains.count()).toEqual({});
    expect(await store().chains.holders(fingerprintOf('a'))).toEqual([{ grant: GRANT, link: linkNamed('a') }]);
  });
}

function dueRules(store: () => Store): void {
  const second = (n: number): Instant => at(n).at;
  const dueAt = (n: number | null): DueOf => {
    return () => (n === null ? null : second(n));
  };

  test('chains that are due by then are found, the longest due first, and no more than asked for', async () => {
    for (const n of [30, 10, 20, 40]) await store().chains.append(`grt_${n}`, 0, authorized('a'), dueAt(n));
    expect(await store().chains.due(second(30), 10)).toEqual(
      [10, 20, 30].map((n) => ({ grant: `grt_${n}`, at: second(n) })),
    );
    expect(await store().chains.due(second(30), 2)).toEqual(
      [10, 20].map((n) => ({ grant: `grt_${n}`, at: second(n) })),
    );
    expect(await store().chains.due(second(9), 10)).toEqual([]);
  });

  test('an append that says nothing of it leaves when the chain is due; one that says never ends it', async () => {
    await store().chains.append(GRANT, 0, authorized('a'), dueAt(10));
    await store().chains.append(GRANT, 1, published('a'));
    expect(await store().chains.due(second(10), 10)).toEqual([{ grant: GRANT, at: second(10) }]);
    await store().chains.append(GRANT, 2, started('b', 'a'), dueAt(null));
    expect(await store().chains.due(second(1000), 10)).toEqual([]);
  });

  test('another time can be set while nothing happens to the chain, and not once something did', async () => {
    const { version } = await store().chains.append(GRANT, 0, authorized('a'), dueAt(10));
    await store().chains.reschedule(GRANT, version, second(20));
    expect(await store().chains.due(second(20), 10)).toEqual([{ grant: GRANT, at: second(20) }]);
    await store().chains.append(GRANT, 'any', started('b', 'a'), dueAt(30));
    await store().chains.reschedule(GRANT, version, second(5));
    expect(await store().chains.due(second(100), 10)).toEqual([{ grant: GRANT, at: second(30) }]);
    await store().chains.reschedule(GRANT, version + 1, null);
    expect(await store().chains.due(second(100), 10)).toEqual([]);
    await store().chains.reschedule(OTHER, 0, second(1));
    expect(await store().chains.due(second(100), 10)).toEqual([]);
  });

  test('when a chain is due follows from the chain as the event leaves it, even where nothing else changes', async () => {
    const dueOf: DueOf = (chain) => second(chain.links.length);
    await store().chains.append(GRANT, 0, authorized('a'), dueOf);
    await store().chains.append(GRANT, 1, started('b', 'a'), dueOf);
    await store().chains.append(GRANT, 'any', answered('b', 'a'), dueOf);
    expect(await store().chains.due(second(100), 10)).toEqual([{ grant: GRANT, at: second(2) }]);
    await store().chains.append(GRANT, 'any', answered('b', 'a'), dueAt(50));
    expect(await store().chains.due(second(100), 10)).toEqual([{ grant: GRANT, at: second(50) }]);
  });

  test('an append decided on an older version does not change when the chain is due', async () => {
    await store().chains.append(GRANT, 0, authorized('a'), dueAt(10));
    expect(await store().chains.append(GRANT, 0, started('b', 'a'), dueAt(5))).toMatchObject({ outcome: 'conflict' });
    expect(await store().chains.due(second(100), 10)).toEqual([{ grant: GRANT, at: second(10) }]);
  });

  test('a grant that was removed is due no more, whatever is still appended to it', async () => {
    await insertGrant(store(), GRANT);
    await store().chains.append(GRANT, 0, authorized('a'), dueAt(10));
    await store().records.remove('grant', GRANT);
    expect(await store().chains.due(second(100), 10)).toEqual([]);
    await store().chains.append(GRANT, 'any', authorized('a'), dueAt(10));
    expect(await store().chains.due(second(100), 10)).toEqual([]);
  });
}

function recordRules(store: () => Store): void {
  test('a record is read as it was written, under its kind only', async () => {
    await store().records.insert('app', 'app_1', '{"name":"é\\u0000"}', []);
    const kept: StoredRecord = { id: 'app_1', version: 1, body: '{"name":"é\\u0000"}' };
    expect(await store().records.get('app', 'app_1')).toEqual(kept);
    expect(await store().records.get('grant', 'app_1')).toBeNull();
  });

  test('an id that is there is never overwritten by an insert', async () => {
    await store().records.insert('idempotency', 'key', 'first', []);
    expect(await store().records.insert('idempotency', 'key', 'second', [])).toMatchObject({
      outcome: 'taken',
      by: 'key',
    });
    expect((await store().records.get('idempotency', 'key'))?.body).toBe('first');
  });

  test('of two changes decided on one version, one is stale and changes nothing', async () => {
    await store().records.insert('app', 'app_1', '1', [{ name: 'provider', value: 'x' }]);
    const outcomes = await Promise.all([
      store().records.update('app', 'app_1', 1, '2', [{ name: 'provider', value: 'y' }]),
      store().records.update('app', 'app_1', 1, '3', [{ name: 'provider', value: 'z' }]),
    ]);
    const written = outcomes.findIndex((one) => one.outcome === 'written');
    expect(outcomes[written]).toEqual({ outcome: 'written', version: 2 });
    expect(outcomes[1 - written]).toEqual({ outcome: 'stale' });
    const [body, value] = written === 0 ? ['2', 'y'] : ['3', 'z'];
    expect(await store().records.get('app', 'app_1')).toEqual({ id: 'app_1', version: 2, body });
    const query = { terms: [{ name: 'provider', value }], limit: 10, after: null };
    expect((await store().records.list('app', query)).items).toHaveLength(1);
  });

  test('a record that is not there cannot be changed', async () => {
    expect(await store().records.update('app', 'app_1', 1, '{}', [])).toEqual({ outcome: 'stale' });
  });

  test('a list gives every record once, by id, over as many pages as it takes', async () => {
    const ids = Array.from({ length: 25 }, (_, i) => `app_${String(i).padStart(2, '0')}`);
    for (const id of ids.toReversed()) await store().records.insert('app', id, '{}', []);
    const seen: string[] = [];
    let after: string | null = null;
    do {
      const page = await store().records.list('app', { limit: 10, after });
      seen.push(...page.items.map((one) => one.id));
      after = page.next;
    } while (after !== null);
    expect(seen).toEqual(ids);
  });
}

function termRules(store: () => Store): void {
  const eol: Term = { name: 'alias', value: 'eol', unique: true };

  test('a unique term belongs to one record; the other is told whose it is, and nothing is written', async () => {
    await insertGrant(store(), 'grt_1', [eol]);
    const taken = await store().records.insert('grant', 'grt_2', '{}', [{ name: 'owner', value: 'o' }, eol]);
    expect(taken).toEqual({ outcome: 'taken', term: eol, by: 'grt_1' });
    expect(await store().records.get('grant', 'grt_2')).toBeNull();
    expect(await idsBy(store().records, [{ name: 'owner', value: 'o' }])).toEqual([]);
  });

  test('of many records that want one unique term at once, one gets it', async () => {
    const inserts = Array.from({ length: 20 }, (_, i) => store().records.insert('grant', `grt_${i}`, '{}', [eol]));
    const outcomes = (await Promise.all(inserts)).map((one) => one.outcome);
    expect(outcomes.filter((one) => one === 'written')).toHaveLength(1);
    expect(await idsBy(store().records, [eol])).toHaveLength(1);
  });

  test('a change to a taken term changes nothing, and a record may keep its own', async () => {
    await insertGrant(store(), 'grt_1', [eol]);
    await insertGrant(store(), 'grt_2', [{ ...eol, value: 'other' }]);
    const changed = await store().records.update('grant', 'grt_2', 1, 'new', [eol]);
    expect(changed).toMatchObject({ outcome: 'taken', by: 'grt_1' });
    expect(await store().records.get('grant', 'grt_2')).toMatchObject({ version: 1 });
    expect(await store().records.update('grant', 'grt_1', 1, 'new', [eol])).toMatchObject({ outcome: 'written' });
    expect((await store().records.find('grant', 'alias', 'other'))?.id).toBe('grt_2');
  });

  test('a unique term is free again once its record was removed or renamed', async () => {
    await insertGrant(store(), 'grt_1', [eol]);
    await store().records.update('grant', 'grt_1', 1, '{}', [{ ...eol, value: 'renamed' }]);
    await insertGrant(store(), 'grt_2', [eol]);
    await store().records.remove('grant', 'grt_2');
    await insertGrant(store(), 'grt_3', [eol]);
    expect((await store().records.find('grant', 'alias', 'eol'))?.id).toBe('grt_3');
    expect((await store().records.find('grant', 'alias', 'renamed'))?.id).toBe('grt_1');
    expect(await store().records.find('grant', 'alias', 'nobody')).toBeNull();
  });

  test('one unique term may be had by records of two kinds', async () => {
    await insertGrant(store(), 'grt_1', [eol]);
    expect(await store().records.insert('app', 'app_1', '{}', [eol])).toMatchObject({ outcome: 'written' });
  });

  test('only unique terms find a record, and each of several of one name does', async () => {
    await insertGrant(store(), 'grt_1', [{ name: 'owner', value: 'o' }, eol, { ...eol, value: 'former' }]);
    expect(await store().records.find('grant', 'owner', 'o')).toBeNull();
    expect((await store().records.find('grant', 'alias', 'former'))?.id).toBe('grt_1');
  });

  test('a list by several terms gives the records that have all of them, page by page', async () => {
    for (let i = 0; i < 12; i++) {
      const terms = [
        { name: 'label', value: i % 2 ? 'odd=1' : 'even=1' },
        { name: 'label', value: `third=${i % 3}` },
      ];
      await insertGrant(store(), `grt_${String(i).padStart(2, '0')}`, terms);
    }
    await store().chains.append('grt_03', 0, authorized('a'));
    const terms = [
      { name: 'label', value: 'odd=1' },
      { name: 'label', value: 'third=0' },
    ];
    const first = await store().records.list('grant', { terms, limit: 1, after: null });
    expect(first).toMatchObject({ items: [{ id: 'grt_03' }], next: 'grt_03' });
    const second = await store().records.list('grant', { terms, limit: 1, after: first.next });
    expect(second).toMatchObject({ items: [{ id: 'grt_09' }], next: null });
    expect(await idsBy(store().records, [...terms, { name: 'state', value: 'active' }])).toEqual(['grt_03']);
  });
}
