/** Several nodes on a store that goes back to an older backup, and nodes that were all down and cannot know whether it did. */
import { describe, expect, test } from 'vitest';
import type { EvergrantError } from '../src/core/errors.ts';
import type { GrantId } from '../src/core/id.ts';
import { POLICIES } from '../src/core/policies.fixture.ts';
import { Secret } from '../src/core/secret.ts';
import { StoreFailure } from '../src/ports/store.ts';
import { type BenchNode, type ClusterBench, clusterBench } from './support/cluster-bench.ts';
import { codeOf } from './support/refusal.ts';
import { json } from './support/scripted-upstream.ts';

const WISH = { minTtlMs: 5_000, waitMs: 30_000 };

async function tokenOf({ keeper }: BenchNode, clock: ClusterBench['clock'], waitMs = 30_000) {
  return (await clock.until(keeper.tokens.get('eol', { ...WISH, waitMs }))).accessToken.reveal();
}

function refusalOf({ keeper }: BenchNode, clock: ClusterBench['clock'], waitMs = 0): Promise<string> {
  const asked = keeper.tokens.get('eol', { ...WISH, waitMs });
  return clock.until(asked.then((live) => live.accessToken.reveal(), codeOf));
}

/** The store forgot the exchange that the first node made; none of them runs. */
async function restoredWhileNoneRuns() {
  const bench = await clusterBench(POLICIES.oneTimeRevoking);
  const { clock, store, nodes } = bench;
  await bench.imported();
  store.backup();
  await clock.advance(600_000);
  expect(await tokenOf(nodes[0], clock)).toBe('at-1');
  await clock.advance(600_000);
  for (const node of nodes) node.die();
  await store.restore();
  await clock.advance(20_000);
  return bench;
}

describe('a store that goes back to an older backup while the nodes run', () => {
  for (const name of ['oneTimeRevoking', 'window60s', 'exact', 'untilSuccessorUsed', 'oneTime', 'lastThree'] as const) {
    test(`is noticed, and nothing is presented that was presented before (${name}) [S84]`, async () => {
      const { clock, upstream, store, nodes, imported } = await clusterBench(POLICIES[name]);
      await imported();
      for (let i = 0; i < 3; i++) {
        await clock.advance(600_000);
        await tokenOf(nodes[i % 3] ?? nodes[0], clock);
        if (i === 0) store.backup();
      }
      const presented = [...upstream.presented];
      await store.restore();
      await clock.advance(600_000);
      for (const node of nodes) expect(await tokenOf(node, clock)).toBe('at-4');
      expect(upstream.presented).toEqual([...presented, 'rt-3']);
    });
  }

  test('is noticed by a node that did nothing itself, before it presents anything', async () => {
    const { clock, upstream, store, nodes, imported } = await clusterBench(POLICIES.oneTimeRevoking);
    await imported();
    store.backup();
    await clock.advance(600_000);
    expect(await tokenOf(nodes[2], clock)).toBe('at-1');
    await clock.advance(600_000);
    await store.restore();
    // The node whose journal is ahead is away at this moment; the others know from their last look that it was.
    nodes[2].freeze();
    expect(await refusalOf(nodes[1], clock, 5_000)).not.toMatch(/^at-/);
    await clock.advance(60_000);
    expect(await refusalOf(nodes[0], clock)).toBe('held');
    expect(upstream.presented).toEqual(['rt-0-eol']);
    nodes[2].wake();
    // What was on its way when a node last noticed that has arrived by now.
    await clock.advance(70_000);
    expect(await tokenOf(nodes[0], clock)).toBe('at-2');
  });

  test('lets what was held go on, although the store failed in the moment in which nothing held it any more', async () => {
    const { clock, store, nodes, imported } = await clusterBench(POLICIES.oneTimeRevoking);
    await imported();
    store.backup();
    await clock.advance(600_000);
    await tokenOf(nodes[2], clock);
    await clock.advance(600_000);
    await store.restore();
    nodes[2].freeze();
    await clock.advance(60_000);
    expect(await refusalOf(nodes[0], clock)).toBe('held');
    for (const node of nodes) {
      let failures = 1;
      node.onAnswered = (call) =>
        call === 'records.list' && failures-- > 0 ? Promise.reject(new StoreFailure(new Error('gone'))) : undefined;
    }
    nodes[2].wake();
    await clock.advance(70_000);
    const { items } = await store.records.list('grant', { limit: 1, after: null });
    expect((await store.chains.read(items[0]?.id as GrantId)).chain.hold).toBeUndefined();
  });

  test('leaves what may be on its way a minute to arrive, also on a node that starts meanwhile', async () => {
    const { clock, upstream, store, nodes, imported } = await clusterBench(POLICIES.oneTimeRevoking);
    await imported();
    store.backup();
    await clock.advance(600_000);
    await tokenOf(nodes[0], clock);
    await clock.advance(600_000);
    await store.restore();
    await clock.advance(20_000);
    await nodes[0].restart();
    await clock.advance(10_000);
    for (const node of nodes) expect(await refusalOf(node, clock, 1_000)).not.toMatch(/^at-/);
    expect(upstream.presented).toEqual(['rt-0-eol']);
    await clock.advance(60_000);
    expect(await tokenOf(nodes[0], clock)).toBe('at-2');
  });

  test('while none of them runs, is noticed before the first presents what only another one knows of', async () => {
    const { clock, upstream, nodes } = await restoredWhileNoneRuns();
    await nodes[1].restart();
    expect(await refusalOf(nodes[1], clock, 30_000)).not.toMatch(/^at-/);
    await nodes[0].restart();
    await nodes[2].restart();
    await clock.advance(80_000);
    expect(await tokenOf(nodes[1], clock)).toBe('at-2');
    expect(upstream.presented).toEqual(['rt-0-eol', 'rt-1']);
  });

  test('while none of them runs, is noticed although all but the one that knows are started first', async () => {
    const { clock, upstream, nodes } = await restoredWhileNoneRuns();
    await nodes[1].restart();
    await nodes[2].restart();
    expect(await refusalOf(nodes[2], clock, 30_000)).toBe('held');
    await nodes[0].restart();
    await clock.advance(80_000);
    expect(await tokenOf(nodes[2], clock)).toBe('at-2');
    expect(upstream.presented).toEqual(['rt-0-eol', 'rt-1']);
  });

  test('waits for an answer that is under way, which the store has forgotten', async () => {
    const { clock, upstream, store, nodes, imported } = await clusterBench(POLICIES.oneTimeRevoking);
    await imported();
    await clock.advance(600_000);
    store.backup();
    await clock.advance(5_000);
    const gate = Promise.withResolvers<void>();
    upstream.gate = () => gate.promise;
    void nodes[0].keeper.tokens.get('eol', WISH).catch(() => undefined);
    await clock.advance(1_000);
    await store.restore();
    await clock.advance(60_000);
    expect(await refusalOf(nodes[1], clock)).not.toMatch(/^at-/);
    expect(upstream.presented).toEqual(['rt-0-eol']);
    gate.resolve();
    await clock.advance(20_000);
    expect(await tokenOf(nodes[1], clock)).toBe('at-1');
    expect(upstream.presented).toEqual(['rt-0-eol']);
  });

  test('hears from every journal what was sent and never answered, whoever held the token that was sent', async () => {
    const { clock, upstream, store, nodes, imported } = await clusterBench(POLICIES.revokingAccount);
    await imported();
    store.backup();
    await clock.advance(600_000);
    expect(await tokenOf(nodes[0], clock)).toBe('at-1');
    await clock.advance(600_000);
    nodes[1].onStep = (step) => {
      if (step === 'received') nodes[1].die();
    };
    void nodes[1].keeper.tokens.get('eol', WISH).catch(() => undefined);
    await clock.advance(1_000);
    expect(upstream.presented).toEqual(['rt-0-eol', 'rt-1']);
    for (const node of nodes) node.die();
    await store.restore();
    await clock.advance(20_000);
    // What presents the token is merged before what received it.
    await nodes[1].restart();
    await nodes[0].restart();
    await nodes[2].restart();
    await clock.advance(120_000);
    expect(await refusalOf(nodes[2], clock, 30_000)).toBe('authorization_required');
    expect((await nodes[2].keeper.grants.get('eol')).diagnosis?.code).toBe('successor_lost');
    expect(upstream.presented).toEqual(['rt-0-eol', 'rt-1']);
  });

  test('holds what another node may have exchanged, until that node is back or given up', async () => {
    const { clock, upstream, store, nodes, imported } = await clusterBench(POLICIES.oneTimeRevoking);
    await imported();
    store.backup();
    await clock.advance(600_000);
    expect(await tokenOf(nodes[2], clock)).toBe('at-1');
    nodes[2].die();
    await store.restore();
    await clock.advance(600_000);
    expect(await refusalOf(nodes[0], clock)).toBe('held');
    await clock.advance(3_600_000);
    expect(upstream.presented).toEqual(['rt-0-eol']);
    await nodes[2].restart();
    await clock.advance(10_000);
    expect(await tokenOf(nodes[0], clock)).toBe('at-2');
    expect(upstream.presented).toEqual(['rt-0-eol', 'rt-1']);
  });
});

test('a grant that two nodes make again at once from their journals has the newest of its authorizations', async () => {
  const { clock, store, app, nodes, upstream } = await clusterBench(POLICIES.oneTime);
  store.backup();
  const grant = await nodes[0].keeper.grants.create({ app: app.id, alias: 'eol' });
  for (const [i, finishing] of [nodes[0], nodes[1]].entries()) {
    const { ticket } = await nodes[2].keeper.authorizations.begin(grant.id, {});
    const { location, browserCookie } = await nodes[2].keeper.authorizations.open(ticket);
    const code = new Secret('authorization code', `code-${i}`);
    const state = new URL(location).searchParams.get('state');
    const callback = { state, code, error: null, errorDescription: null, iss: null };
    expect(await clock.until(finishing.keeper.authorizations.finish(callback, browserCookie))).toMatchObject({
      outcome: 'done',
    });
  }
  await clock.advance(20_000);
  for (const node of nodes) node.die();
  await store.restore();
  // Each looks for the grant before the other one has made it.
  const looked = Promise.withResolvers<void>();
  let looks = 0;
  for (const node of [nodes[0], nodes[1]]) {
    node.onAnswered = (call) => {
      if (call !== 'records.find' || looks === 2) return undefined;
      if (++looks === 2) looked.resolve();
      return Promise.race([looked.promise, clock.sleep(60_000)]);
    };
  }
  await Promise.all(nodes.map((node) => node.restart()));
  await clock.advance(620_000);
  expect(looks).toBe(2);
  expect(await tokenOf(nodes[2], clock)).toBe('at-3');
  expect(upstream.presented).toEqual(['code-0', 'code-1', 'rt-2']);
});

describe('a store that fails for a moment while a restored one is told what it forgot', () => {
  /** The first node knows of an exchange that the store has forgotten; its n-th call of this name fails when it starts. */
  async function restartedWhere(call: string, nth: number) {
    const bench = await restoredWhileNoneRuns();
    const [node] = bench.nodes;
    let calls = 0;
    node.onAnswered = (name) => {
      if (name !== call || ++calls !== nth) return undefined;
      return Promise.reject(new StoreFailure(new Error('the connection broke')));
    };
    await bench.clock.until(node.restart().catch(() => node.restart()));
    for (const other of bench.nodes.slice(1)) await other.restart();
    await bench.clock.advance(90_000);
    return { ...bench, struck: calls >= nth };
  }

  test.each(['chains.read', 'chains.append'])(
    'gets it all the same, before anything older is presented, whichever call fails (%s)',
    async (call) => {
      for (let nth = 1; ; nth++) {
        const { clock, nodes, upstream, struck } = await restartedWhere(call, nth);
        expect(await tokenOf(nodes[1], clock), `the ${nth}th`).toBe('at-2');
        expect(upstream.presented).toEqual(['rt-0-eol', 'rt-1']);
        if (!struck) return expect(nth).toBeGreaterThan(2);
      }
    },
  );
});

describe('a chain of which an older store has no living token', () => {
  /** Only the first node knows the token that lives; the second one is started, and what it presents is dead. */
  async function refusedMeanwhile() {
    const bench = await clusterBench(POLICIES.oneTime);
    const { clock, store, nodes, upstream } = bench;
    await bench.imported();
    store.backup();
    await clock.advance(600_000);
    expect(await tokenOf(nodes[0], clock)).toBe('at-1');
    for (const node of nodes) node.die();
    await store.restore();
    await clock.advance(600_000);
    upstream.script.push(() => json(400, { error: 'invalid_grant' }));
    await nodes[1].restart();
    expect(await refusalOf(nodes[1], clock, 30_000)).toBe('held');
    return bench;
  }

  test('is not given up while a node is missing that may know of a restore; then it goes on', async () => {
    const { clock, nodes, upstream } = await refusedMeanwhile();
    await nodes[0].restart();
    await nodes[2].restart();
    await clock.advance(10_000);
    expect(await tokenOf(nodes[1], clock)).toBe('at-2');
    expect(upstream.presented).toEqual(['rt-0-eol', 'rt-0-eol', 'rt-1']);
  });

  test('is given up where that node does not come within a minute, without anybody asking', async () => {
    const { clock, nodes } = await refusedMeanwhile();
    await clock.advance(70_000);
    expect((await nodes[1].keeper.grants.get('eol')).state).toBe('broken');
    // And it comes back to life with that node.
    await nodes[0].restart();
    await clock.advance(20_000);
    expect(await tokenOf(nodes[1], clock)).toBe('at-2');
  });
});

test('an answer whose grant another journal has waits for that node, although its own does not tell of a restore', async () => {
  const bench = await clusterBench(POLICIES.oneTime);
  const { clock, store, nodes, upstream } = bench;
  store.backup();
  await bench.imported();
  await clock.advance(600_000);
  expect(await tokenOf(nodes[1], clock)).toBe('at-1');
  for (const node of nodes) node.die();
  await store.restore();
  await clock.advance(20_000);
  // Nothing tells it of the restore: the store had not yet been told how far its journal was merged.
  await nodes[1].restart();
  await clock.advance(5_000);
  await nodes[0].restart();
  await nodes[2].restart();
  await clock.advance(600_000);
  expect(await tokenOf(nodes[0], clock)).toBe('at-2');
  expect(upstream.presented).toEqual(['rt-0-eol', 'rt-1']);
});

describe('nodes that were all down', () => {
  async function allDown(): Promise<ClusterBench> {
    const bench = await clusterBench(POLICIES.oneTimeRevoking);
    await bench.imported();
    await bench.clock.advance(600_000);
    for (const node of bench.nodes) node.die();
    await bench.clock.advance(20_000);
    return bench;
  }

  test('serve a grant whose provider revokes on reuse as soon as all are back', async () => {
    const { clock, nodes } = await allDown();
    await nodes[0].restart();
    const asked = nodes[0].keeper.tokens.get('eol', WISH);
    await clock.advance(2_000);
    await nodes[1].restart();
    await nodes[2].restart();
    const backAt = clock.now();
    expect((await clock.until(asked)).accessToken.reveal()).toBe('at-1');
    expect(clock.now() - backAt).toBeLessThan(5_000);
  });

  test('say why there is no token and for how long, while one of them is missing; then serve it', async () => {
    const { clock, nodes, upstream } = await allDown();
    await nodes[0].restart();
    await nodes[1].restart();
    await clock.advance(10_000);
    for (const node of [nodes[0], nodes[1]]) {
      const refused: unknown = await clock.until(node.keeper.tokens.get('eol', { ...WISH, waitMs: 0 }).catch((e) => e));
      expect(refused).toMatchObject({ code: 'held', message: expect.stringContaining('not all are back') as string });
      const { retryAfterMs } = (refused as EvergrantError).details;
      expect(retryAfterMs).toBeGreaterThan(45_000);
      expect(retryAfterMs).toBeLessThanOrEqual(50_000);
    }
    expect(upstream.presented).toEqual([]);
    await clock.advance(50_000);
    expect(await tokenOf(nodes[1], clock, 0)).toBe('at-1');
  });

  test('wait for none that was given up', async () => {
    const { clock, nodes } = await allDown();
    await nodes[0].restart();
    for (const gone of ['node-2', 'node-3']) await nodes[0].keeper.journals.abandon(gone);
    await clock.advance(3_000);
    expect(await tokenOf(nodes[0], clock, 0)).toBe('at-1');
    await clock.advance(600_000);
    nodes[0].die();
    await clock.advance(20_000);
    await nodes[0].restart();
    expect(await tokenOf(nodes[0], clock, 0)).toBe('at-2');
  });

  test('but one after the other: each serves at once', async () => {
    const { clock, nodes, imported } = await clusterBench(POLICIES.oneTimeRevoking);
    await imported();
    for (const [i, node] of nodes.entries()) {
      await clock.advance(600_000);
      await clock.until(node.keeper.drain(5_000));
      await clock.advance(20_000);
      await node.restart();
      expect(await tokenOf(node, clock, 0)).toBe(`at-${i + 1}`);
    }
  });
});

describe('a store that went back nowhere', () => {
  test('is not taken for restored by a node that looks at a chain while it records an exchange of it', async () => {
    const { clock, store, upstream, nodes, imported } = await clusterBench(POLICIES.oneTimeRevoking);
    await imported();
    await clock.advance(600_000);
    const [node] = nodes;
    const sent = Promise.withResolvers<void>();
    node.onStep = (step) => {
      // What is read now is told only after the exchange was recorded.
      if (step === 'connected') {
        node.onAnswered = (call) => (call === 'chains.read' ? sent.promise : undefined);
        store.unsure();
      }
      if (step === 'sending') sent.resolve();
    };
    expect(await tokenOf(node, clock)).toBe('at-1');
    await clock.advance(10_000);
    expect((await store.nodes.view()).restore).toBeNull();
    expect(upstream.presented).toEqual(['rt-0-eol']);
  });

  test('is not taken for restored by a node that hears late what stood there before it had merged', async () => {
    const { clock, store, nodes, imported } = await clusterBench(POLICIES.oneTimeRevoking);
    await imported();
    await clock.advance(600_000);
    const [node] = nodes;
    node.onStep = (step) => {
      if (step === 'proven' || step === 'published') node.die();
    };
    void tokenOf(node, clock).catch(() => undefined);
    await clock.advance(2_000);
    let looks = 0;
    let beats = 0;
    node.onAnswered = (call) => {
      // The merge lasts longer than a beat, and that beat is told when the merge is over.
      if (call === 'nodes.view' && ++looks === 1) return clock.sleep(4_000);
      return call === 'nodes.beat' && ++beats === 2 ? clock.sleep(3_000) : undefined;
    };
    await node.restart();
    await clock.advance(10_000);
    expect([looks > 1, beats > 2]).toEqual([true, true]);
    expect((await store.nodes.view()).restore).toBeNull();
  });
});
