/**
 * One refresh token that was imported twice: the store went back to a backup that had forgotten the first import, so the
 * second one was let in; then the journal of the node that had made the first one comes back.
 */
import { describe, expect, test } from 'vitest';
import { POLICIES } from '../src/core/policies.fixture.ts';
import { Secret } from '../src/core/secret.ts';
import { type BenchNode, type ClusterBench, clusterBench } from './support/cluster-bench.ts';
import { codeOf } from './support/refusal.ts';
import { restorable } from './support/restorable.ts';
import { json, LOST } from './support/scripted-upstream.ts';

const WISH = { minTtlMs: 5_000, waitMs: 30_000 };
/** Longer than a node waits for missing ones. */
const AWAKE_MS = 90_000;
/** Longer than an access token lives, and than any provider's spacing. */
const OVER_MS = 700_000;
type Policy = keyof typeof POLICIES;

/** What was done with a grant before the journal of the first one came back. */
type Did = 'nothing' | 'exchanged' | 'lost' | 'refused';

function importInto({ clock, app }: ClusterBench, { keeper }: BenchNode, alias: string) {
  const refreshToken = new Secret('refresh token', 'theirs');
  return clock.until(keeper.grants.import({ app: app.id, alias, refreshToken, takeover: false }));
}

async function ask({ clock }: ClusterBench, { keeper }: BenchNode, name: string, afterMs = OVER_MS): Promise<string> {
  await clock.advance(afterMs);
  return clock.until(keeper.tokens.get(name, WISH).then((live) => live.accessToken.reveal(), codeOf));
}

async function use(bench: ClusterBench, node: BenchNode, name: string, did: Did): Promise<void> {
  if (did === 'lost') bench.upstream.script.push(() => LOST);
  if (did === 'refused') bench.upstream.script.push(() => json(400, { error: 'invalid_grant' }));
  if (did === 'lost' || did === 'refused') {
    await bench.clock.advance(AWAKE_MS);
    void node.keeper.tokens.get(name, { ...WISH, waitMs: 0 }).catch(() => undefined);
    await bench.clock.advance(200);
  }
  if (did === 'exchanged') expect(await ask(bench, node, name, AWAKE_MS)).toMatch(/^at-/);
}

/** Both imports are done, and the first node, which made the one that was forgotten, is not there yet. */
async function importedTwice(policy: Policy, first: Did, second: Did, times = 1) {
  const bench = await clusterBench(POLICIES[policy]);
  const { clock, store, nodes, upstream } = bench;
  store.backup();
  const one = await importInto(bench, nodes[0], 'one');
  for (let i = 0; i < times; i++) {
    if (i > 0) await clock.advance(OVER_MS);
    await use(bench, nodes[0], 'one', first);
  }
  for (const node of nodes) node.die();
  await clock.advance(20_000);
  await store.restore();
  upstream.presented.length = 0;
  await nodes[1].restart();
  await nodes[2].restart();
  const two = await importInto(bench, nodes[1], 'two');
  await use(bench, nodes[1], 'two', second);
  return { ...bench, one, two };
}

/** Both names, of either import, lead to one grant on every node. */
async function expectOne(bench: Awaited<ReturnType<typeof importedTwice>>): Promise<void> {
  const { clock, nodes, one, two } = bench;
  for (const { keeper } of nodes) {
    const { items } = await clock.until(keeper.grants.list({ limit: 10, after: null }));
    expect(items.map(({ id }) => id)).toEqual([two.id]);
    for (const name of [one.id, two.id, 'one', 'two']) expect((await keeper.grants.get(name)).id).toBe(two.id);
  }
}

describe('a token that was imported twice, because a restored store had forgotten the first time', () => {
  test.each<readonly [Policy, Did, Did, string, readonly string[]]>([
    // policy, the first grant, the second one, what is served once all is back, what was presented from then on
    ['oneTimeRevoking', 'nothing', 'nothing', 'at-1', ['theirs']],
    ['oneTimeRevoking', 'nothing', 'exchanged', 'at-2', ['rt-1']],
    ['oneTimeRevoking', 'exchanged', 'nothing', 'at-2', ['rt-1']],
    ['oneTimeRevoking', 'exchanged', 'lost', 'at-2', ['rt-1']],
    ['oneTimeRevoking', 'exchanged', 'refused', 'at-2', ['rt-1']],
    ['revokingAccount', 'exchanged', 'nothing', 'at-2', ['rt-1']],
    ['revokingAccount', 'lost', 'nothing', 'authorization_required', []],
    ['revokingAccount', 'refused', 'nothing', 'authorization_required', []],
    ['revokingAccount', 'nothing', 'refused', 'authorization_required', []],
    ['oneTime', 'exchanged', 'refused', 'at-2', ['rt-1']],
    ['oneTime', 'nothing', 'exchanged', 'at-2', ['rt-1']],
    // The provider takes the first token until its successor is used: the newer successor displaced the older one.
    ['untilSuccessorUsed', 'exchanged', 'exchanged', 'at-3', ['rt-2']],
    ['window60s', 'exchanged', 'refused', 'at-2', ['rt-1']],
    ['exact', 'exchanged', 'nothing', 'at-2', ['rt-1']],
    ['lastThree', 'exchanged', 'exchanged', 'at-3', ['rt-2']],
    ['durable', 'exchanged', 'exchanged', 'at-3', ['rt-2']],
  ])('goes on with its newest token, under all its names (%s; the first: %s, the second: %s)', async (...row) => {
    const [policy, first, second, served, presented] = row;
    const bench = await importedTwice(policy, first, second);
    bench.upstream.presented.length = 0;
    await bench.clock.until(bench.nodes[0].restart());
    expect(await ask(bench, bench.nodes[2], 'one')).toBe(served);
    expect(bench.upstream.presented).toEqual(presented);
    await expectOne(bench);
    // Whoever asks by the other name gets the same.
    if (served.startsWith('at-')) expect(await ask(bench, bench.nodes[1], 'two')).toMatch(/^at-/);
    expect(new Set(bench.upstream.presented).size).toBe(bench.upstream.presented.length);
  });

  test('gets all that was received since the first import, whoever received it', async () => {
    const bench = await importedTwice('oneTimeRevoking', 'exchanged', 'nothing', 3);
    await bench.clock.until(bench.nodes[0].restart());
    expect(await ask(bench, bench.nodes[0], bench.one.id)).toBe('at-4');
    expect(bench.upstream.presented).toEqual(['rt-3']);
    await expectOne(bench);
  });

  test('keeps what the second grant receives while the first one comes back', async () => {
    const bench = await importedTwice('oneTime', 'nothing', 'nothing');
    const { clock, nodes, upstream, one } = bench;
    await clock.advance(OVER_MS);
    const gate = Promise.withResolvers<void>();
    upstream.gate = () => gate.promise;
    const asked = nodes[1].keeper.tokens.get('two', WISH);
    await clock.advance(1_000);
    expect(upstream.presented).toEqual(['theirs']);
    await clock.until(nodes[0].restart(), 5_000);
    gate.resolve();
    expect((await clock.until(asked)).accessToken.reveal()).toBe('at-1');
    expect(await ask(bench, nodes[0], one.id)).toBe('at-2');
    expect(upstream.presented).toEqual(['theirs', 'rt-1']);
    await expectOne(bench);
  });

  test('is one grant also where two nodes bring both imports back at once', async () => {
    const bench = await importedTwice('oneTimeRevoking', 'nothing', 'nothing');
    const { clock, store, nodes, one, two, upstream } = bench;
    for (const node of nodes) node.die();
    await clock.advance(20_000);
    await store.restore();
    // Each looks whether somebody has the token before the other one has taken it.
    const looked = Promise.withResolvers<void>();
    let looks = 0;
    for (const node of [nodes[0], nodes[1]]) {
      node.onAnswered = (call) => {
        if (call !== 'chains.holders' || looks === 2) return undefined;
        if (++looks === 2) looked.resolve();
        return Promise.race([looked.promise, clock.sleep(60_000)]);
      };
    }
    await clock.until(Promise.all(nodes.map((node) => node.restart())));
    expect(looks).toBe(2);
    expect(await ask(bench, nodes[2], 'one')).toBe('at-1');
    expect(await ask(bench, nodes[2], 'two')).toBe('at-2');
    expect(upstream.presented).toEqual(['theirs', 'rt-1']);
    const { items } = await nodes[2].keeper.grants.list({ limit: 10, after: null });
    expect(items).toHaveLength(1);
    for (const name of [one.id, two.id]) expect((await nodes[2].keeper.grants.get(name)).id).toBe(items[0]?.id);
  });

  // Every fourth call of each; both together see each second one.
  test.each([
    ['before', 0],
    ['after', 2],
  ] as const)(
    'is one grant with its newest token, whichever call the node that brings the first one dies at (%s its effect)',
    async (effect, from) => {
      for (let calls = from, isOver = false; !isOver; calls += 4) {
        const bench = await importedTwice('oneTimeRevoking', 'exchanged', 'nothing');
        const { clock, nodes, upstream } = bench;
        const [node] = nodes;
        // Set once it runs: its start clears what an earlier run was to die at.
        const started = node.restart();
        Object.assign(node, { callsLeft: calls, effect });
        await clock.until(Promise.race([started, clock.sleep(1_000)]), 2_000);
        isOver = (node.callsLeft ?? 0) > 0;
        await clock.until(node.restart());
        await clock.advance(AWAKE_MS);
        const renewed = await clock.until(nodes[1].keeper.tokens.refresh('one'));
        expect(renewed.accessToken.reveal(), `call ${calls}`).toBe('at-2');
        expect(upstream.presented, `call ${calls}`).toEqual(['rt-1']);
        await expectOne(bench);
        if (isOver) expect(calls).toBeGreaterThan(10);
      }
    },
    300_000,
  );

  test('stays ended where it was ended, also in a store that knows of neither import', async () => {
    const bench = await importedTwice('oneTime', 'exchanged', 'nothing');
    const { clock, store, nodes, one, two, upstream } = bench;
    await clock.until(nodes[0].restart());
    await clock.until(nodes[2].keeper.grants.end('one'));
    expect((await nodes[1].keeper.grants.get(one.id)).state).toBe('revoked');
    for (const node of nodes) node.die();
    await clock.advance(20_000);
    await store.restore();
    for (const node of nodes) await clock.until(node.restart());
    await clock.advance(OVER_MS);
    for (const name of [one.id, two.id]) {
      const state = await nodes[0].keeper.grants.get(name).then((grant) => grant.state, codeOf);
      expect(state).toMatch(/^(revoked|not_found)$/);
    }
    expect(upstream.presented).toEqual([]);
    // Its token is free again.
    expect((await importInto(bench, nodes[0], 'three')).state).toBe('active');
  });

  test('is found by its names also on nodes that had served the first grant, and ran while the store went back', async () => {
    const bench = await clusterBench(POLICIES.oneTime);
    const { clock, store, nodes } = bench;
    store.backup();
    const one = await importInto(bench, nodes[0], 'one');
    for (const node of nodes) expect(await ask(bench, node, 'one')).toMatch(/^at-/);
    nodes[0].die();
    await clock.advance(20_000);
    await store.restore();
    await clock.advance(20_000);
    // It is not known any more, and an alias that nobody has may be given again.
    expect(await ask(bench, nodes[2], one.id)).toMatch(/^(not_found|authorization_pending)$/);
    const two = await importInto(bench, nodes[1], 'one');
    await clock.advance(20_000);
    for (const { keeper } of nodes.slice(1)) {
      const told = await clock.until(keeper.tokens.get('one', { ...WISH, waitMs: 0 }).then(() => 'served', codeOf));
      expect(told).not.toBe('authorization_pending');
    }
    await clock.until(nodes[0].restart());
    for (const node of nodes) {
      for (const name of ['one', one.id, two.id]) expect(await ask(bench, node, name), name).toMatch(/^at-/);
    }
  });

  test('leaves an alias to whoever has it by now', async () => {
    const bench = await importedTwice('oneTime', 'nothing', 'nothing');
    const { clock, nodes, app, one, two } = bench;
    const refreshToken = new Secret('refresh token', 'of somebody else');
    const other = await nodes[1].keeper.grants.import({ app: app.id, alias: 'one', refreshToken, takeover: false });
    await clock.until(nodes[0].restart());
    await clock.advance(OVER_MS);
    expect((await nodes[0].keeper.grants.get('one')).id).toBe(other.id);
    expect((await nodes[0].keeper.grants.get(one.id)).id).toBe(two.id);
  });
});

test('a journal that is merged from its folder brings no second grant for a token that is here', async () => {
  await using run = await restorable(POLICIES.oneTimeRevoking);
  const { world } = run;
  const importAs = (alias: string) => {
    const refreshToken = new Secret('refresh token', 'theirs');
    return world.clock.until(world.keeper.grants.import({ app: world.app.id, alias, refreshToken, takeover: false }));
  };
  const backup = run.backup();
  const one = await importAs('one');
  await run.use('one');
  const { records } = world.journal;
  await run.restore(backup, []);
  const two = await importAs('two');
  const merged = await world.keeper.journals.merge(records, []);
  expect(merged).toMatchObject({ failed: 0, waiting: 0, unreadable: 0 });
  expect(await run.use('two')).toBe('at-2');
  expect(await run.use('one')).toBe('at-3');
  expect(world.upstream.presented).toEqual(['rt-1', 'rt-2']);
  // Also in the next run, and its names can be given on.
  await world.restart();
  expect((await world.keeper.grants.get(one.id)).id).toBe(two.id);
  expect((await world.keeper.grants.update('two', { alias: 'one' })).alias).toBe('one');
  await world.keeper.grants.end(one.id);
  const again = await importAs('one');
  expect((await world.keeper.grants.get('one')).id).toBe(again.id);
});
