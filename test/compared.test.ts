/**
 * The faults under which other keepers of tokens were seen, or read, to lose a chain or to refuse a token that was good
 * (docs/compared.md), one by one: the provider rotates with every exchange and forgives nothing, unless a test says so.
 */
import { describe, expect, test } from 'vitest';
import { POLICIES } from '../src/core/policies.fixture.ts';
import { Secret } from '../src/core/secret.ts';
import { faultyStore } from '../src/storage/faulty.ts';
import { createMemoryStore } from '../src/storage/memory/store.ts';
import { type BenchNode, clusterBench } from './support/cluster-bench.ts';
import { type Bench, bench } from './support/keeper-bench.ts';
import { json, LOST } from './support/scripted-upstream.ts';
import { codeOf } from './support/refusal.ts';

const WISH = { minTtlMs: 5_000, waitMs: 30_000 };
const MINUTE = 60_000;

async function tokenOf({ keeper, clock }: Bench, wish = WISH): Promise<string> {
  return (await clock.until(keeper.tokens.get('eol', wish))).accessToken.reveal();
}

async function tokenAt(node: BenchNode, { clock }: Pick<Bench, 'clock'>): Promise<string> {
  return (await clock.until(node.keeper.tokens.get('eol', WISH))).accessToken.reveal();
}

/** Asks in the background, as a caller that nobody waits for. */
function ask({ keeper }: Pick<Bench, 'keeper'>): void {
  keeper.tokens.get('eol', WISH).catch(() => undefined);
}

async function stateOf({ keeper }: Pick<Bench, 'keeper'>) {
  const { state, diagnosis, exchanges } = await keeper.grants.get('eol');
  return { state, code: diagnosis?.code ?? null, exchanges };
}

/** A chain whose access token has just ended. */
async function dueBench(options: Parameters<typeof bench>[0]): Promise<Bench> {
  const world = await bench(options);
  await world.imported();
  await world.clock.advance(10 * MINUTE);
  return world;
}

describe('A: the provider rotated, and its answer is lost', () => {
  test('where the provider leaves the old token valid, the chain is kept, and the caller gets a token [S104]', async () => {
    const world = await dueBench({ policy: POLICIES.untilSuccessorUsed });
    world.upstream.script.push(() => LOST);
    expect(await tokenOf(world)).toBe('at-1');
    expect(world.upstream.presented).toEqual(['rt-0-eol', 'rt-0-eol']);
  });

  test('where it does not, the loss is told for what it is, and the live access token is served to its end', async () => {
    const world = await bench({ policy: POLICIES.oneTime });
    await world.imported();
    await world.clock.advance(5 * MINUTE);
    world.upstream.script.push(
      () => LOST,
      () => json(400, { error: 'invalid_grant' }),
    );
    await world.clock.until(world.keeper.tokens.refresh('eol').catch(() => undefined));
    await world.clock.advance(2 * MINUTE);
    expect(await stateOf(world)).toMatchObject({ state: 'broken', code: 'successor_lost' });
    expect(await tokenOf(world)).toBe('at-0-eol');
  });
});

describe('B: the process is killed', () => {
  test('B: while the store is still writing the answer, the chain is kept [S106]', async () => {
    const world = await dueBench({ policy: POLICIES.oneTimeRevoking });
    world.atStep((step) => (step === 'journaled' ? new Promise(() => undefined) : undefined));
    ask(world);
    await world.clock.advance(1_000);
    await world.restart();
    expect(await tokenOf(world)).toBe('at-1');
    expect(world.upstream.presented).toEqual(['rt-0-eol']);
  });

  test('B2: after the provider rotated and before its answer came, the restart knows what was under way [S113]', async () => {
    const kept = await dueBench({ policy: POLICIES.window60s });
    kept.atStep((step) => (step === 'received' ? new Promise(() => undefined) : undefined));
    ask(kept);
    await kept.clock.advance(1_000);
    await kept.restart();
    expect(await tokenOf(kept)).toBe('at-2');

    const strict = await dueBench({ policy: POLICIES.oneTime });
    strict.atStep((step) => (step === 'received' ? new Promise(() => undefined) : undefined));
    ask(strict);
    await strict.clock.advance(1_000);
    strict.upstream.script.push(() => json(400, { error: 'invalid_grant' }));
    await strict.restart();
    await strict.clock.advance(2 * MINUTE);
    expect(await stateOf(strict)).toMatchObject({ state: 'broken', code: 'successor_lost' });
  });
});

describe('C: the provider rotated, and the database refuses the new token', () => {
  test('it is written again until it is there, and nobody is told to log in [S105]', async () => {
    const plan = { on: 'chains.append', event: 'received', times: 5, does: { fault: 'error_before' } } as const;
    const world = await dueBench({ policy: POLICIES.oneTimeRevoking, store: faultyStore(createMemoryStore(), [plan]) });
    expect(await tokenOf(world)).toBe('at-1');
    expect(world.upstream.presented).toEqual(['rt-0-eol']);
  });

  test('and the process is killed before it does not refuse any more: the journal has it', async () => {
    const store = createMemoryStore();
    const plan = { on: 'chains.append', event: 'received', times: 50, does: { fault: 'error_before' } } as const;
    const world = await dueBench({ policy: POLICIES.oneTimeRevoking, store: faultyStore(store, [plan]) });
    ask(world);
    await world.clock.advance(2 * MINUTE);
    expect(world.journal.unsettled().length).toBe(1);
    await world.clock.until(world.restart());
    // The access token of that answer is still good for eight minutes.
    expect(await tokenOf(world)).toBe('at-1');
    expect(world.upstream.presented).toEqual(['rt-0-eol']);
  });
});

describe('D: the provider is slow, and there are two nodes', () => {
  for (const [name, seconds] of [
    ['D: 13 s, longer than a lease', 13],
    ['D2: 1.5 s', 1.5],
    ['R2: 35 s', 35],
  ] as const) {
    test(`${name}: one of them presents the token, and both serve what comes`, async () => {
      const world = await clusterBench(POLICIES.oneTimeRevoking);
      const { clock, upstream, nodes } = world;
      await world.imported();
      await clock.advance(10 * MINUTE);
      upstream.gate = () => clock.sleep(seconds * 1_000);
      const tokens = clock.until(
        Promise.all(nodes.map((node) => node.keeper.tokens.get('eol', { ...WISH, waitMs: 60_000 }))),
      );
      expect((await tokens).map((live) => live.accessToken.reveal())).toEqual(['at-1', 'at-1', 'at-1']);
      expect(upstream.presented).toEqual(['rt-0-eol']);
      expect(await stateOf(nodes[1])).toMatchObject({ state: 'active' });
    });
  }
});

describe('E: the provider answers 503 while the access token still lives', () => {
  test('it is served, and the first exchange after the outage succeeds at once [S47]', async () => {
    const world = await bench({ policy: POLICIES.oneTimeRevoking });
    await world.imported();
    await world.clock.advance(5 * MINUTE);
    world.upstream.script.push(
      () => json(503, {}),
      () => json(503, {}),
    );
    await world.clock.until(world.keeper.tokens.refresh('eol').catch(() => undefined));
    expect(await tokenOf(world)).toBe('at-0-eol');
    await world.clock.advance(10 * MINUTE);
    expect(await tokenOf(world)).toMatch(/^at-[12]$/);
    expect(await stateOf(world)).toMatchObject({ state: 'active' });
  });

  test('R6: an early exchange that fails with five minutes left harms nobody', async () => {
    const world = await bench({ policy: POLICIES.untilSuccessorUsed });
    await world.imported();
    await world.clock.advance(5 * MINUTE);
    world.upstream.isReachable = false;
    expect(codeOf(await world.clock.until(world.keeper.tokens.refresh('eol').catch((e: unknown) => e)))).toBe(
      'upstream_unavailable',
    );
    expect(await tokenOf(world)).toBe('at-0-eol');
    expect(world.keeper.tokens.peek('eol', 0)?.accessToken.reveal()).toBe('at-0-eol');
  });
});

describe('F: somebody forces a refresh again and again', () => {
  test('those who do so at once share one exchange, and the spacing of the provider holds for all', async () => {
    const world = await bench({ policy: POLICIES.exact });
    await world.imported();
    await world.clock.advance(573_000);
    const forced = Array.from({ length: 20 }, () => world.keeper.tokens.refresh('eol'));
    await world.clock.until(Promise.all(forced));
    for (let i = 0; i < 3; i++) {
      expect(codeOf(await world.clock.until(world.keeper.tokens.refresh('eol').catch((e: unknown) => e)))).toBe(
        'too_early',
      );
    }
    expect(world.upstream.presented).toEqual(['rt-0-eol']);
  });
});

describe('G: access tokens of ten minutes', () => {
  test('each is served for its life, however short that is against any margin', async () => {
    const world = await dueBench({ policy: POLICIES.oneTimeRevoking });
    for (let i = 0; i < 5; i++) expect(await tokenOf(world)).toBe('at-1');
    await world.clock.advance(8 * MINUTE);
    for (let i = 0; i < 5; i++) expect(await tokenOf(world)).toBe('at-1');
    expect(world.upstream.presented).toEqual(['rt-0-eol']);
  });
});

describe('X: the provider is away on four days, and no token was ever consumed', () => {
  test('the grant works at once when it is back: an outage never ends a chain', async () => {
    const world = await dueBench({ policy: POLICIES.oneTimeRevoking });
    for (let day = 0; day < 4; day++) {
      world.upstream.isReachable = false;
      expect(codeOf(await tokenOf(world).catch((e: unknown) => e))).toBe('upstream_unavailable');
      await world.clock.advance(24 * 60 * MINUTE);
    }
    world.upstream.isReachable = true;
    expect(await tokenOf(world)).toBe('at-1');
  });
});

describe('Y: the grant is changed while its exchange is under way', () => {
  test('the change and the new token are both kept', async () => {
    const world = await dueBench({ policy: POLICIES.oneTimeRevoking });
    const gate = Promise.withResolvers<void>();
    world.upstream.gate = () => gate.promise;
    ask(world);
    await world.clock.advance(1_000);
    await world.keeper.grants.update('eol', { labels: { team: 'sales' }, owner: 'someone' });
    gate.resolve();
    expect(await tokenOf(world)).toBe('at-1');
    expect(await world.keeper.grants.get('eol')).toMatchObject({ labels: { team: 'sales' }, owner: 'someone' });
  });
});

describe('Z: the person logs in anew while an exchange with the old token is under way', () => {
  test('the new authorization is what counts, whichever answer comes last', async () => {
    const world = await dueBench({ policy: POLICIES.oneTime });
    const gate = Promise.withResolvers<void>();
    const old = world.upstream.tokens();
    world.upstream.script.push(async () => {
      await gate.promise;
      return old;
    });
    ask(world);
    await world.clock.advance(1_000);
    const { ticket } = await world.keeper.authorizations.begin('eol', {});
    const { location, browserCookie } = await world.keeper.authorizations.open(ticket);
    const finished = world.keeper.authorizations.finish(
      {
        state: new URL(location).searchParams.get('state'),
        code: new Secret('authorization code', 'the-code'),
        error: null,
        errorDescription: null,
        iss: null,
      },
      browserCookie,
    );
    await world.clock.advance(1_000);
    gate.resolve();
    expect(await world.clock.until(finished)).toMatchObject({ outcome: 'done' });
    expect(await tokenOf(world)).toBe('at-2');
    expect(await world.keeper.grants.get('eol')).toMatchObject({ state: 'active', generation: 2 });
    await world.clock.advance(10 * MINUTE);
    expect(await tokenOf(world)).toBe('at-3');
    expect(world.upstream.presented).toEqual(['rt-0-eol', 'the-code', 'rt-2']);
  });
});

describe('more cases in which others fail', () => {
  test('R1: the caller hangs up 50 ms after the exchange was sent, and its answer is kept', async () => {
    const world = await dueBench({ policy: POLICIES.oneTimeRevoking });
    world.upstream.gate = () => world.clock.sleep(5_000);
    await world.clock.until(world.keeper.tokens.get('eol', { ...WISH, waitMs: 50 }).catch(() => undefined));
    await world.clock.advance(10_000);
    expect(world.keeper.tokens.peek('eol', 0)?.accessToken.reveal()).toBe('at-1');
    expect(world.upstream.presented).toEqual(['rt-0-eol']);
  });

  test('R3: after a lost answer the token is presented once, not three times, where reuse revokes', async () => {
    const world = await dueBench({ policy: POLICIES.oneTimeRevoking });
    world.upstream.script.push(
      () => LOST,
      () => json(400, { error: 'invalid_grant' }),
    );
    ask(world);
    await world.clock.advance(59_000);
    expect(world.upstream.presented).toEqual(['rt-0-eol']);
    await world.clock.advance(60 * MINUTE);
    expect(world.upstream.presented).toEqual(['rt-0-eol', 'rt-0-eol']);
    expect(await stateOf(world)).toMatchObject({ state: 'broken', code: 'successor_lost' });
  });

  test('R4: the store refuses an insert once, and nobody notices', async () => {
    const plan = { on: 'chains.append', event: 'received', does: { fault: 'error_after' } } as const;
    const world = await dueBench({ policy: POLICIES.oneTimeRevoking, store: faultyStore(createMemoryStore(), [plan]) });
    expect(await tokenOf(world)).toBe('at-1');
    expect(await stateOf(world)).toMatchObject({ state: 'active', exchanges: 1 });
  });

  test('R5: 429 at the token endpoint is waited for as long as it asks, and is no end', async () => {
    const world = await dueBench({ policy: POLICIES.oneTimeRevoking });
    world.upstream.script.push(() => json(429, { error: 'slow_down' }, { 'retry-after': '120' }));
    await world.clock.until(world.keeper.tokens.get('eol', { ...WISH, waitMs: 0 }).catch(() => undefined));
    await world.clock.advance(1_000);
    expect(await stateOf(world)).toMatchObject({ state: 'waiting' });
    await world.clock.advance(110_000);
    ask(world);
    await world.clock.advance(1_000);
    expect(world.upstream.presented).toEqual(['rt-0-eol']);
    await world.clock.advance(20_000);
    expect(await tokenOf(world)).toBe('at-1');
  });

  test('R7: three processes on one store make one exchange', async () => {
    const { clock, upstream, nodes, imported } = await clusterBench(POLICIES.oneTimeRevoking);
    await imported();
    await clock.advance(10 * MINUTE);
    const tokens = await clock.until(Promise.all(nodes.map((node) => node.keeper.tokens.get('eol', WISH))));
    expect(new Set(tokens.map((live) => live.accessToken.reveal()))).toEqual(new Set(['at-1']));
    expect(await tokenAt(nodes[2], { clock })).toBe('at-1');
    expect(upstream.presented).toEqual(['rt-0-eol']);
  });

  test('R8: a link that another person opened first leads nowhere for the second', async () => {
    const world = await bench();
    await world.imported();
    const { ticket } = await world.keeper.authorizations.begin('eol', {});
    const { location } = await world.keeper.authorizations.open(ticket);
    expect(codeOf(await world.keeper.authorizations.open(ticket).catch((e: unknown) => e))).toBe('link_used');
    const theirs = {
      state: new URL(location).searchParams.get('state'),
      code: new Secret('authorization code', 'their-code'),
      error: null,
      errorDescription: null,
      iss: null,
    };
    const outcome = await world.clock.until(
      world.keeper.authorizations.finish(theirs, 'another-browser').then(
        (one) => one.outcome,
        (error: unknown) => codeOf(error),
      ),
    );
    expect(outcome).not.toBe('done');
    expect(world.upstream.presented).toEqual([]);
  });

  test('R9: a provider that returns the same access token while it lives makes no error, and the chain goes on', async () => {
    const world = await dueBench({ policy: POLICIES.oneTime });
    world.upstream.script.push(
      () => world.upstream.tokens({ access_token: 'the-same' }),
      () => world.upstream.tokens({ access_token: 'the-same', expires_in: 300 }),
    );
    expect(await tokenOf(world)).toBe('the-same');
    await world.clock.until(world.keeper.tokens.refresh('eol'));
    expect(await tokenOf(world)).toBe('the-same');
    expect(world.upstream.presented).toEqual(['rt-0-eol', 'rt-1']);
  });

  test('R10: without expires_in the life is that of the provider file, and a token that is refused sooner is exchanged', async () => {
    const world = await dueBench({
      policy: { ...POLICIES.durable, life: { ...POLICIES.durable.life, accessTokenMs: null } },
    });
    world.upstream.script.push(() => world.upstream.tokens({ expires_in: undefined }));
    const first = await world.clock.until(world.keeper.tokens.get('eol', WISH));
    expect(first.accessToken.reveal()).toBe('at-1');
    expect(first.leftMs).toBeGreaterThan(50 * MINUTE);
    world.upstream.account = { status: 401, body: { sub: '', name: '' } };
    const { createHash } = await import('node:crypto');
    const rejected = createHash('sha256').update('at-1').digest('base64url');
    const next = await world.clock.until(world.keeper.tokens.get('eol', { ...WISH, rejected }));
    expect(next.accessToken.reveal()).toBe('at-2');
  });
});
