/** Several nodes on one store: what they do together, what one does when another dies, and what no node may do. */
import { describe, expect, test } from 'vitest';
import { POLICIES } from '../src/core/policies.fixture.ts';
import { Secret } from '../src/core/secret.ts';
import type { Keeper } from '../src/keeper/keeper.ts';
import { type BenchNode, type ClusterBench, clusterBench, startedOn } from './support/cluster-bench.ts';
import { json } from './support/scripted-upstream.ts';
import { codeOf } from './support/refusal.ts';

const WISH = { minTtlMs: 5_000, waitMs: 30_000 };

async function tokenOf({ keeper }: { readonly keeper: Keeper }, clock: ClusterBench['clock'], waitMs = 30_000) {
  return (await clock.until(keeper.tokens.get('eol', { ...WISH, waitMs }))).accessToken.reveal();
}

function refusalOf({ keeper }: BenchNode, clock: ClusterBench['clock'], waitMs = 0): Promise<string> {
  return clock.until(
    keeper.tokens.get('eol', { ...WISH, waitMs }).then(
      (live) => live.accessToken.reveal(),
      (error: unknown) => codeOf(error),
    ),
  );
}

/** The node dies when its exchange gets to this step. */
function diesAt(node: BenchNode, step: string): void {
  node.onStep = (reached) => {
    if (reached === step) node.die();
  };
}

describe('several nodes', () => {
  test('make one exchange a rotation for 1,000 callers on three nodes, who all get the same token [S84]', async () => {
    const { clock, upstream, nodes, imported } = await clusterBench();
    await imported();
    for (let rotation = 1; rotation <= 5; rotation++) {
      await clock.advance(600_000);
      const callers = Array.from({ length: 1_000 }, (_, i) =>
        (nodes[i % 3] ?? nodes[0]).keeper.tokens.get('eol', WISH),
      );
      const answers = await clock.until(Promise.all(callers));
      expect(new Set(answers.map((live) => live.accessToken.reveal()))).toEqual(new Set([`at-${rotation}`]));
      expect(upstream.presented.length).toBe(rotation);
    }
  });

  test('keep the spacing of the provider together [S25]', async () => {
    const { clock, upstream, nodes, imported } = await clusterBench();
    await imported();
    await clock.advance(573_000);
    expect(await clock.until(nodes[1].keeper.tokens.refresh('eol').then((live) => live.accessToken.reveal()))).toBe(
      'at-1',
    );
    for (const node of nodes)
      expect(codeOf(await clock.until(node.keeper.tokens.refresh('eol').catch(String)))).toContain(
        'allows no exchange yet',
      );
    expect(upstream.presented.length).toBe(1);
  });

  test('serve what another node exchanged, at once', async () => {
    const { clock, upstream, nodes, imported } = await clusterBench();
    await imported();
    expect(await tokenOf(nodes[1], clock)).toBe('at-0-eol');
    await clock.advance(573_000);
    await clock.until(nodes[0].keeper.tokens.refresh('eol'));
    // At Exact Online the older access token may be dead from now on.
    expect(nodes[1].keeper.tokens.peek('eol', 0)).toBeNull();
    expect(await tokenOf(nodes[1], clock)).toBe('at-1');
    expect(upstream.presented.length).toBe(1);
  });

  test('stop serving a grant that was ended on another one', async () => {
    const { clock, nodes, imported } = await clusterBench();
    await imported();
    expect(await tokenOf(nodes[1], clock)).toBe('at-0-eol');
    await nodes[0].keeper.grants.end('eol');
    expect(await refusalOf(nodes[1], clock)).toBe('grant_revoked');
  });

  test('use the client secret and the alias that were changed on another one', async () => {
    const { clock, upstream, nodes, app, imported } = await clusterBench();
    await imported();
    expect(await tokenOf(nodes[1], clock)).toBe('at-0-eol');
    await nodes[0].keeper.apps.update(app.id, { clientSecret: new Secret('client secret', 'another-secret') });
    await nodes[0].keeper.grants.update('eol', { alias: 'other' });
    let sent = '';
    upstream.script.push((request) => {
      sent = request.get('client_secret') ?? '';
      return upstream.tokens();
    });
    await clock.advance(600_000);
    expect(await refusalOf(nodes[1], clock)).toBe('not_found');
    expect((await clock.until(nodes[1].keeper.tokens.get('other', WISH))).accessToken.reveal()).toBe('at-1');
    expect(sent).toBe('another-secret');
  });

  test('that cannot reach the store serve a live token for a while, and start nothing', async () => {
    const { clock, upstream, nodes, imported, store } = await clusterBench();
    await imported();
    // Also what the first one does in the background after an import.
    await clock.advance(1_000);
    expect(await tokenOf(nodes[1], clock)).toBe('at-0-eol');
    nodes[1].freeze();
    await clock.advance(60_000);
    expect(nodes[1].keeper.tokens.peek('eol', 0)?.accessToken.reveal()).toBe('at-0-eol');
    void nodes[1].keeper.tokens.refresh('eol').catch(() => undefined);
    await clock.advance(60_000);
    expect(upstream.presented).toEqual([]);
    expect((await store.nodes.view()).nodes.find((one) => one.id === 'node-2')?.leaseLeftMs).toBe(0);
  });
});

test('a node keeps its place although looking through all that is undecided takes longer than its lease lasts', async () => {
  const { clock, store, nodes } = await clusterBench();
  nodes[1].onAnswered = (call) => (call === 'chains.unsettled' ? clock.sleep(15_000) : undefined);
  const left: (number | undefined)[] = [];
  for (let second = 0; second < 120; second++) {
    await clock.advance(1_000);
    left.push((await store.nodes.view()).nodes.find((one) => one.id === 'node-2')?.leaseLeftMs);
  }
  expect(left).not.toContain(0);
});

describe('when a node dies with an exchange under way', () => {
  test('another one takes it over within 15 s, and a window of 60 s is met [S84] [S111]', async () => {
    const { clock, upstream, nodes, imported } = await clusterBench(POLICIES.window60s);
    await imported();
    await clock.advance(600_000);
    diesAt(nodes[0], 'received');
    void nodes[0].keeper.tokens.get('eol', WISH).catch(() => undefined);
    await clock.advance(1_000);
    expect(upstream.presented).toEqual(['rt-0-eol']);
    const died = clock.now();
    // Nobody asks for it: the others see to it by themselves.
    while (upstream.presented.length < 2 && clock.now() - died < 60_000) await clock.advance(500);
    expect(upstream.presented).toEqual(['rt-0-eol', 'rt-0-eol']);
    expect(clock.now() - died).toBeLessThanOrEqual(15_000);
    expect(await tokenOf(nodes[2], clock)).toBe('at-2');
  });

  test.each([1, 2] as const)(
    'and then another one (%i) too, which may have taken it over, the last one still meets the window',
    async (second) => {
      const { clock, upstream, nodes, imported } = await clusterBench();
      await imported();
      await clock.advance(600_000);
      diesAt(nodes[0], 'received');
      void nodes[0].keeper.tokens.get('eol', WISH).catch(() => undefined);
      await clock.advance(60_000);
      expect(upstream.presented).toEqual(['rt-0-eol']);
      nodes[second].die();
      // The old token lives until ten minutes after it was presented.
      await clock.advance(535_000);
      expect(upstream.presented).toEqual(['rt-0-eol', 'rt-0-eol']);
    },
  );

  test('and the provider revokes on reuse, nothing is presented before its journal was read; then its answer is served', async () => {
    const { clock, upstream, nodes, imported } = await clusterBench(POLICIES.oneTimeRevoking);
    await imported();
    await clock.advance(600_000);
    diesAt(nodes[0], 'journaled');
    void nodes[0].keeper.tokens.get('eol', WISH).catch(() => undefined);
    await clock.advance(3_600_000);
    expect(upstream.presented).toEqual(['rt-0-eol']);
    expect(await refusalOf(nodes[1], clock)).toBe('held');
    expect((await nodes[1].keeper.grants.get('eol')).state).toBe('held');
    await nodes[0].restart();
    // The access token of that answer has ended meanwhile; its refresh token lives.
    expect(await tokenOf(nodes[1], clock)).toBe('at-2');
    expect(upstream.presented).toEqual(['rt-0-eol', 'rt-1']);
  });

  test('and nothing of it in its journal, the token is presented again once that is known', async () => {
    const { clock, upstream, nodes, imported } = await clusterBench(POLICIES.oneTimeRevoking);
    await imported();
    await clock.advance(600_000);
    diesAt(nodes[0], 'sending');
    void nodes[0].keeper.tokens.get('eol', WISH).catch(() => undefined);
    await clock.advance(60_000);
    expect(upstream.presented).toEqual([]);
    await nodes[0].restart();
    await clock.advance(180_000);
    expect(upstream.presented).toEqual(['rt-0-eol']);
    expect(await tokenOf(nodes[2], clock)).toBe('at-1');
  });

  test('and dies again once that is known, another one presents it', async () => {
    const { clock, upstream, nodes, imported } = await clusterBench(POLICIES.oneTimeRevoking);
    await imported();
    await clock.advance(600_000);
    diesAt(nodes[0], 'sending');
    void nodes[0].keeper.tokens.get('eol', WISH).catch(() => undefined);
    await clock.advance(20_000);
    await nodes[0].restart();
    await clock.advance(1_000);
    nodes[0].die();
    await clock.advance(180_000);
    expect(upstream.presented).toEqual(['rt-0-eol']);
  });

  test('and a second presentation is refused without harm, the refusal is not final while its journal is unread', async () => {
    const { clock, upstream, nodes, imported } = await clusterBench(POLICIES.oneTime);
    await imported();
    await clock.advance(600_000);
    diesAt(nodes[0], 'journaled');
    void nodes[0].keeper.tokens.get('eol', WISH).catch(() => undefined);
    await clock.advance(1_000);
    upstream.script.push(() => json(400, { error: 'invalid_grant' }));
    await clock.advance(120_000);
    expect(upstream.presented).toEqual(['rt-0-eol', 'rt-0-eol']);
    expect((await nodes[1].keeper.grants.get('eol')).state).toBe('held');
    await nodes[0].restart();
    await clock.advance(10_000);
    expect((await nodes[1].keeper.grants.get('eol')).state).toBe('active');
    expect(await tokenOf(nodes[1], clock)).toBe('at-1');
  });
});

describe('a claim that the store takes only after the process that made it is gone', () => {
  interface Claim {
    readonly node: string;
    readonly run: string;
    /** The run that has the node's place by now, and the lease that is left of it. */
    readonly now: string;
    readonly leaseMs: number;
  }

  /** As a database that was slow with its commit does: the lease lasted when it was looked at. */
  async function claim({ store, clock }: ClusterBench, { node, run, now, leaseMs }: Claim): Promise<void> {
    const grant = await grantOf(store);
    await store.nodes.join({ id: node, run }, node, 10_000);
    const { chain, version } = await store.chains.read(grant);
    const presented = chain.links[0]?.id ?? 'lnk_none';
    const started = { type: 'started', at: clock.moment(), id: 'lnk_late', presented, node, run } as const;
    expect(await store.chains.append(grant, version, started)).toMatchObject({ outcome: 'appended' });
    await store.nodes.join({ id: node, run: now }, node, leaseMs);
  }

  async function grantOf(store: ClusterBench['store']): Promise<`grt_${string}`> {
    const { items } = await store.records.list('grant', { limit: 1, after: null });
    return items[0]?.id as `grt_${string}`;
  }

  test('of another node, is taken over, however much later that is [S84]', async () => {
    const bench = await clusterBench(POLICIES.oneTime);
    const { clock, nodes, imported } = bench;
    await imported();
    nodes[1].die();
    await clock.advance(600_000);
    await claim(bench, { node: 'node-2', run: 'node-2-run-1', now: 'node-2-run-1', leaseMs: 0 });
    await clock.advance(90_000);
    expect(await tokenOf(nodes[0], clock)).toBe('at-1');
  });

  test('of an earlier run of a node that is back, is taken over too', async () => {
    const bench = await clusterBench(POLICIES.oneTime);
    const { clock, nodes, imported } = bench;
    await imported();
    await nodes[1].restart();
    await clock.advance(600_000);
    await claim(bench, { node: 'node-2', run: 'node-2-run-1', now: 'node-2-run-2', leaseMs: 10_000 });
    await clock.advance(90_000);
    expect(await tokenOf(nodes[0], clock)).toBe('at-1');
  });
});

describe('a node id', () => {
  test('of a node that is running is refused to another data folder, with what to do', async () => {
    const { store } = await clusterBench();
    const joined = await store.nodes.join({ id: 'node-1', run: 'another-run' }, 'another-folder', 10_000);
    expect(joined).toEqual({ outcome: 'in_use' });
    const error = await startedOn(store, 'node-1', 'another-folder').catch((cause: unknown) => cause);
    expect(error).toMatchObject({ code: 'setting', message: expect.stringContaining('"node-1"') as string });
  });
});

describe('a node that stands still with an exchange under way', () => {
  test('stores its answer when it goes on, although its lease is over [S84]', async () => {
    const { clock, upstream, nodes, imported } = await clusterBench(POLICIES.oneTime);
    await imported();
    await clock.advance(600_000);
    nodes[0].onStep = (step) => {
      if (step === 'received') nodes[0].freeze();
    };
    void nodes[0].keeper.tokens.get('eol', WISH).catch(() => undefined);
    await clock.advance(1_000);
    upstream.script.push(() => json(400, { error: 'invalid_grant' }));
    await clock.advance(60_000);
    expect((await nodes[1].keeper.grants.get('eol')).state).toBe('held');
    nodes[0].onStep = undefined;
    nodes[0].wake();
    await clock.advance(20_000);
    expect(await tokenOf(nodes[1], clock)).toBe('at-1');
    expect(await tokenOf(nodes[0], clock)).toBe('at-1');
  });

  test('is not overtaken while its answer is still on the way, where reuse revokes', async () => {
    const { clock, upstream, nodes, imported } = await clusterBench(POLICIES.oneTimeRevoking);
    await imported();
    await clock.advance(600_000);
    nodes[0].onStep = (step) => {
      if (step === 'sending') nodes[0].freeze();
    };
    upstream.script.push(async () => {
      await clock.sleep(100_000);
      return json(200, { access_token: 'at-late', refresh_token: 'rt-late', expires_in: 600 });
    });
    void nodes[0].keeper.tokens.get('eol', WISH).catch(() => undefined);
    await clock.advance(20_000);
    nodes[0].onStep = undefined;
    nodes[0].wake();
    await clock.advance(90_000);
    expect(upstream.presented).toEqual(['rt-0-eol']);
    await clock.advance(20_000);
    expect(await tokenOf(nodes[1], clock)).toBe('at-late');
  });

  test('is taken over each time it does so', async () => {
    const { clock, upstream, nodes, imported } = await clusterBench(POLICIES.window60s);
    await imported();
    for (const round of [1, 2]) {
      await clock.advance(600_000);
      nodes[0].onStep = (step) => {
        if (step === 'received') nodes[0].freeze();
      };
      const presented = upstream.presented.length;
      void nodes[0].keeper.tokens.get('eol', WISH).catch(() => undefined);
      await clock.advance(30_000);
      expect(upstream.presented.length, `round ${round}`).toBe(presented + 2);
      nodes[0].onStep = undefined;
      nodes[0].wake();
      await clock.advance(30_000);
    }
  });

  test('takes its place again, and goes on exchanging', async () => {
    const { clock, nodes, imported } = await clusterBench();
    await imported();
    nodes[0].freeze();
    await clock.advance(60_000);
    nodes[0].wake();
    await clock.advance(540_000);
    expect(await tokenOf(nodes[0], clock)).toBe('at-1');
  });
});

describe('the watch', () => {
  test('exchanges an idle chain before its idle limit, once, whichever nodes are there [S4]', async () => {
    const policy = { ...POLICIES.exact, life: { ...POLICIES.exact.life, idleMs: 2 * 3_600_000 } };
    const { clock, upstream, nodes, imported } = await clusterBench(policy);
    await imported();
    await clock.advance(3_500_000);
    expect(upstream.presented).toEqual([]);
    nodes[0].die();
    await clock.advance(1_800_000);
    expect(upstream.presented).toEqual(['rt-0-eol']);
  });

  test('keeps a grant fresh that is to be always fresh, and leaves it alone once it is not [S49]', async () => {
    const { clock, upstream, nodes, imported } = await clusterBench();
    await imported();
    await nodes[0].keeper.grants.update('eol', { freshness: { mode: 'always' } });
    await clock.advance(3_600_000);
    expect(upstream.presented.length).toBe(6);
    await nodes[1].keeper.grants.update('eol', { freshness: { mode: 'on_demand' } });
    await clock.advance(3_600_000);
    expect(upstream.presented.length).toBe(6);
  });

  test('has a fresh token ready when a known job begins [S49]', async () => {
    const { clock, upstream, nodes, imported } = await clusterBench();
    await imported();
    const freshness = { mode: 'before', cron: '0 * * * *', timezone: 'UTC' } as const;
    await nodes[0].keeper.grants.update('eol', { freshness });
    const jobAt = Math.ceil((clock.now() + 1) / 3_600_000) * 3_600_000;
    await clock.advance(jobAt - clock.now());
    expect(upstream.presented.length).toBe(1);
    const live = nodes[2].keeper.tokens.peek('eol', 0) ?? (await nodes[2].keeper.tokens.get('eol', WISH));
    expect(live.leftMs).toBeGreaterThan(560_000);
  });

  test('a cron expression or time zone that is none is refused with what is expected', async () => {
    const { nodes, imported } = await clusterBench();
    await imported();
    const wrong = { mode: 'before', cron: '61 * * * *', timezone: 'UTC' } as const;
    const nowhere = { mode: 'before', cron: '0 6 * * *', timezone: 'Europe/Nowhere' } as const;
    for (const freshness of [wrong, nowhere]) {
      expect(codeOf(await nodes[0].keeper.grants.update('eol', { freshness }).catch((error: unknown) => error))).toBe(
        'invalid_request',
      );
    }
  });
});

describe('an authorization through several nodes', () => {
  async function opened({ nodes, app }: ClusterBench) {
    const grant = await nodes[0].keeper.grants.create({ app: app.id, alias: 'eol' });
    const { ticket } = await nodes[0].keeper.authorizations.begin(grant.id, {});
    const { location, browserCookie } = await nodes[1].keeper.authorizations.open(ticket);
    const callback = {
      state: new URL(location).searchParams.get('state'),
      code: new Secret('authorization code', 'the-code'),
      error: null,
      errorDescription: null,
      iss: null,
    };
    return { callback, browserCookie };
  }

  test('may begin at one, go on at another and end at a third', async () => {
    const world = await clusterBench();
    const { clock, nodes, upstream } = world;
    const { callback, browserCookie } = await opened(world);
    expect(await clock.until(nodes[2].keeper.authorizations.finish(callback, browserCookie))).toMatchObject({
      outcome: 'done',
    });
    expect(upstream.presented).toEqual(['the-code']);
    for (const node of nodes) expect(await tokenOf(node, clock)).toBe('at-1');
  });

  test('is not taken from the node that has sent the code, by one that starts or is asked meanwhile', async () => {
    const world = await clusterBench();
    const { clock, nodes, upstream } = world;
    const { callback, browserCookie } = await opened(world);
    const gate = Promise.withResolvers<void>();
    upstream.gate = () => gate.promise;
    const finished = nodes[0].keeper.authorizations.finish(callback, browserCookie);
    await clock.advance(1_000);
    expect(upstream.presented).toEqual(['the-code']);
    await nodes[1].restart();
    const meanwhile = await clock.until(nodes[2].keeper.authorizations.finish(callback, browserCookie));
    expect(meanwhile).toMatchObject({ outcome: 'failed', reason: expect.stringContaining('node-1') as string });
    gate.resolve();
    expect(await clock.until(finished)).toMatchObject({ outcome: 'done' });
    expect(upstream.presented).toEqual(['the-code']);
    expect(await tokenOf(nodes[2], clock)).toBe('at-1');
  });
});
