import { createHash } from 'node:crypto';
import { describe, expect, test, vi } from 'vitest';
import { POLICIES } from '../src/core/policies.fixture.ts';
import { bench } from './support/keeper-bench.ts';
import { refusal } from './support/refusal.ts';
import { json } from './support/scripted-upstream.ts';

const WISH = { minTtlMs: 5_000, waitMs: 30_000 };

describe('a live access token', () => {
  test('is served from memory: no exchange, however many ask [S46]', async () => {
    const { keeper, upstream, imported } = await bench();
    await imported();
    for (let i = 0; i < 1_000; i++) {
      const live = keeper.tokens.peek('eol', 5_000) ?? (await keeper.tokens.get('eol', WISH));
      expect(live.accessToken.reveal()).toBe('at-0-eol');
    }
    expect(upstream.presented).toEqual([]);
  });

  test('is served with the life that is truly left [S8]', async () => {
    const { keeper, clock, imported } = await bench();
    await imported();
    await clock.advance(200_000);
    expect((await keeper.tokens.get('eol', WISH)).leftMs).toBe(400_000);
  });

  test('is served while the provider is away, and its absence is no error before it ends [S47]', async () => {
    const { keeper, clock, upstream, imported } = await bench();
    await imported();
    upstream.isReachable = false;
    await clock.advance(594_000);
    expect((await keeper.tokens.get('eol', WISH)).accessToken.reveal()).toBe('at-0-eol');
    await clock.advance(2_000);
    const error = await refusal(clock.until(keeper.tokens.get('eol', { ...WISH, waitMs: 0 })));
    expect(error.code).toBe('upstream_unavailable');
    expect(error.details.retryAfterMs).toBeGreaterThan(0);
    expect((await keeper.grants.get('eol')).state).toBe('waiting');
    upstream.isReachable = true;
    expect((await clock.until(keeper.tokens.get('eol', WISH))).accessToken.reveal()).toBe('at-1');
  });

  test('is served although the chain is broken', async () => {
    const { keeper, clock, upstream, imported } = await bench();
    await imported();
    await clock.advance(573_000);
    upstream.script.push(() => json(400, { error: 'invalid_grant' }));
    await refusal(clock.until(keeper.tokens.refresh('eol')));
    expect((await keeper.grants.get('eol')).state).toBe('broken');
    expect((await keeper.tokens.get('eol', WISH)).accessToken.reveal()).toBe('at-0-eol');
  });
});

describe('an expired access token', () => {
  test('is exchanged once for 300 callers at once, who all get the same one [S46]', async () => {
    const { keeper, clock, upstream, imported } = await bench();
    await imported();
    await clock.advance(600_000);
    const callers = Array.from({ length: 300 }, () => keeper.tokens.get('eol', WISH));
    const answers = await clock.until(Promise.all(callers));
    expect(new Set(answers.map((live) => live.accessToken.reveal()))).toEqual(new Set(['at-1']));
    expect(upstream.presented).toEqual(['rt-0-eol']);
  });

  test('is opened twice for an exchange, to present the old one and to read the new one back, and not to serve it', async () => {
    const { keeper, clock, sealer, imported } = await bench();
    await imported();
    await clock.advance(600_000);
    const opened = vi.spyOn(sealer, 'open');
    expect((await clock.until(keeper.tokens.get('eol', WISH))).accessToken.reveal()).toBe('at-1');
    expect(opened.mock.calls.filter(([, kind]) => kind === 'answer of a token endpoint')).toHaveLength(2);
  });

  test('is exchanged although the caller gave up waiting [S48]', async () => {
    const { keeper, clock, upstream, imported } = await bench();
    await imported();
    await clock.advance(600_000);
    let open: () => void = () => undefined;
    upstream.gate = () => new Promise((done) => (open = done));
    await refusal(clock.until(keeper.tokens.get('eol', { ...WISH, waitMs: 50 })));
    open();
    await clock.advance(0);
    expect(keeper.tokens.peek('eol', 5_000)?.accessToken.reveal()).toBe('at-1');
    expect(upstream.presented).toHaveLength(1);
  });
});

describe('the spacing of Exact Online', () => {
  test('is kept by a manual refresh, which says when it may be asked again [S25] [S50]', async () => {
    const { keeper, clock, upstream, imported } = await bench();
    await imported();
    await clock.advance(100_000);
    const error = await refusal(clock.until(keeper.tokens.refresh('eol')));
    expect(error.code).toBe('too_early');
    expect(error.details.retryAfterMs).toBe(472_000);
    expect(upstream.presented).toEqual([]);
    await clock.advance(472_000);
    expect((await clock.until(keeper.tokens.refresh('eol'))).accessToken.reveal()).toBe('at-1');
  });

  test('is kept across a restart [S25]', async () => {
    const world = await bench();
    await world.imported();
    await world.clock.advance(573_000);
    await world.clock.until(world.keeper.tokens.refresh('eol'));
    await world.restart();
    const error = await refusal(world.clock.until(world.keeper.tokens.refresh('eol')));
    expect(error.code).toBe('too_early');
    expect(world.upstream.presented).toHaveLength(1);
  });

  test('"too early" from the provider leaves the chain whole and serves what lives [S55]', async () => {
    const { keeper, clock, upstream, imported } = await bench({
      provider: { errors: [{ status: 400, error: 'access_denied', description: 'Rate limit', means: 'too_early' }] },
    });
    await imported();
    await clock.advance(573_000);
    upstream.script.push(() => json(400, { error: 'access_denied', error_description: 'Rate limit exceeded' }));
    const error = await refusal(clock.until(keeper.tokens.refresh('eol')));
    expect(error.code).toBe('too_early');
    expect((await keeper.tokens.get('eol', WISH)).accessToken.reveal()).toBe('at-0-eol');
    await clock.advance(120_000);
    expect((await clock.until(keeper.tokens.get('eol', WISH))).accessToken.reveal()).toBe('at-1');
  });
});

test('a chain that the provider says it does not know is tried once more although nobody asks, and heals [S21]', async () => {
  const description = 'Token is not allowed, because of invalid or empty chainId';
  const { keeper, clock, upstream, imported } = await bench({
    provider: { errors: [{ status: 400, error: 'invalid_grant', description, means: 'invalid_chain' }] },
  });
  await imported();
  await clock.advance(600_000);
  upstream.script.push(() => json(400, { error: 'invalid_grant', error_description: description }));
  await refusal(clock.until(keeper.tokens.get('eol', { ...WISH, waitMs: 0 })));
  expect((await keeper.grants.get('eol')).state).not.toBe('broken');
  await clock.advance(11_000);
  expect(upstream.presented).toEqual(['rt-0-eol', 'rt-0-eol']);
  expect(keeper.tokens.peek('eol', 5_000)?.accessToken.reveal()).toBe('at-1');
});

test('a refusal that is in no table leaves the chain whole: it waits, says what was said, and asks less and less often', async () => {
  const { keeper, clock, upstream, imported } = await bench();
  await imported();
  await clock.advance(600_000);
  const said = { status: 400, error: 'server_policy', description: 'Not today.' };
  const refuse = () => json(400, { error: 'server_policy', error_description: 'Not today.' });
  for (let i = 0; i < 14; i++) upstream.script.push(refuse);
  const waits: number[] = [];
  for (let i = 0; i < 14; i++) {
    const error = await refusal(clock.until(keeper.tokens.get('eol', { ...WISH, waitMs: 0 })));
    expect(error).toMatchObject({
      code: 'upstream_unavailable',
      details: { diagnosis: { code: 'upstream_fault', said } },
    });
    waits.push(error.details.retryAfterMs ?? 0);
    await clock.advance(error.details.retryAfterMs ?? 0);
  }
  expect([waits[0], waits[6], waits.at(-1)]).toEqual([1_000, 64_000, 900_000]);
  expect(await keeper.grants.get('eol')).toMatchObject({
    state: 'waiting',
    diagnosis: { code: 'upstream_fault', said },
  });
  expect((await clock.until(keeper.tokens.get('eol', WISH))).accessToken.reveal()).toBe('at-1');
});

describe('a caller whose wish cannot be met', () => {
  test('is told so when no token of the provider lives that long', async () => {
    const { keeper, imported } = await bench();
    await imported();
    const error = await refusal(keeper.tokens.get('eol', { minTtlMs: 601_000, waitMs: 0 }));
    expect(error.code).toBe('min_ttl_impossible');
  });

  test('or wishes nothing gets tokens that live four seconds, like any other', async () => {
    const { keeper, clock, upstream, imported } = await bench({ policy: POLICIES.oneTime });
    await imported();
    await clock.advance(600_000);
    for (let i = 1; i <= 5; i++) {
      upstream.script.push(() => upstream.tokens({ expires_in: 4 }));
      const live = await clock.until(keeper.tokens.get('eol', { minTtlMs: null, waitMs: 30_000 }));
      expect([live.accessToken.reveal(), live.leftMs]).toEqual([`at-${i}`, 4_000]);
      await clock.advance(3_000);
    }
  });

  test('waits for a token that is due within its patience, and not longer', async () => {
    const { keeper, clock, imported } = await bench();
    await imported();
    await clock.advance(560_000);
    const error = await refusal(clock.until(keeper.tokens.get('eol', { minTtlMs: 60_000, waitMs: 5_000 })));
    expect(error.code).toBe('too_early');
    const live = await clock.until(keeper.tokens.get('eol', { minTtlMs: 60_000, waitMs: 30_000 }));
    expect(live.accessToken.reveal()).toBe('at-1');
  });
});

describe('a token that the provider refused', () => {
  const digest = (text: string) => createHash('sha256').update(text).digest('base64url');

  test('that is not the present one is answered with the present one', async () => {
    const { keeper, clock, upstream, imported } = await bench();
    await imported();
    await clock.advance(0);
    upstream.probed.length = 0;
    const live = await keeper.tokens.get('eol', { ...WISH, rejected: digest('some older token') });
    expect(live.accessToken.reveal()).toBe('at-0-eol');
    expect(upstream.probed).toEqual([]);
  });

  test('that still works at the account address stays', async () => {
    const { keeper, upstream, imported } = await bench();
    await imported();
    const live = await keeper.tokens.get('eol', { ...WISH, rejected: digest('at-0-eol') });
    expect(live.accessToken.reveal()).toBe('at-0-eol');
    expect(upstream.presented).toEqual([]);
  });

  test('is asked about once, however many doubt it, and an API that refuses everything makes no storm', async () => {
    const { keeper, clock, upstream, imported } = await bench({ policy: POLICIES.oneTime });
    await imported();
    await clock.advance(0);
    upstream.probed.length = 0;
    upstream.account = { status: 401, body: { sub: '', name: '' } };
    const all = Array.from({ length: 100 }, () => keeper.tokens.get('eol', { ...WISH, rejected: digest('at-0-eol') }));
    await clock.until(Promise.all(all));
    expect(upstream.probed.filter((token) => token === 'at-0-eol')).toHaveLength(1);
    for (let i = 1; i <= 50; i++) {
      const live = await clock.until(keeper.tokens.get('eol', WISH));
      await clock.until(keeper.tokens.get('eol', { ...WISH, rejected: digest(live.accessToken.reveal()) }));
      await clock.advance(100);
    }
    expect(upstream.presented.length).toBeLessThanOrEqual(2);
  });

  test('while the account address cannot be asked stays, for who refused it may be wrong', async () => {
    const { keeper, upstream, imported } = await bench();
    await imported();
    upstream.isReachable = false;
    const live = await keeper.tokens.get('eol', { ...WISH, rejected: digest('at-0-eol') });
    expect(live.accessToken.reveal()).toBe('at-0-eol');
  });

  test('where there is no account to ask leads to one exchange, and serves on when that fails', async () => {
    const { keeper, clock, upstream, imported } = await bench({
      policy: POLICIES.oneTime,
      provider: { identity: null },
    });
    await imported();
    upstream.script.push(() => json(503, { error: 'temporarily_unavailable' }));
    const rejected = digest('at-0-eol');
    for (let i = 0; i < 5; i++) {
      const live = await clock.until(keeper.tokens.get('eol', { ...WISH, rejected }));
      expect(live.accessToken.reveal()).toBe('at-0-eol');
    }
    expect(upstream.presented).toEqual(['rt-0-eol']);
  });

  test('that works nowhere is exchanged once, for all who saw it refused, within the spacing', async () => {
    const { keeper, clock, upstream, imported } = await bench();
    await imported();
    upstream.account = { status: 401, body: { sub: '', name: '' } };
    const rejected = digest('at-0-eol');
    const early = await refusal(clock.until(keeper.tokens.get('eol', { ...WISH, waitMs: 0, rejected })));
    expect(early.code).toBe('too_early');
    await clock.advance(572_000);
    const all = Promise.all(Array.from({ length: 20 }, () => keeper.tokens.get('eol', { ...WISH, rejected })));
    expect(new Set((await clock.until(all)).map((live) => live.accessToken.reveal()))).toEqual(new Set(['at-1']));
    expect(upstream.presented).toHaveLength(1);
  });
});
