import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type ClientRotation, ROTATING } from '../src/issuer/rotation.ts';
import { issuerBench, refused } from './support/issuer-bench.ts';

const INVALID_GRANT = { error: 'invalid_grant', status: 400 };

async function rotating(rotation: Partial<ClientRotation> = {}) {
  const bench = await issuerBench();
  await bench.world.imported();
  const client = await bench.client({ rotation: { ...ROTATING, ...rotation } });
  /** Uses a token; gives the one that comes back. */
  const use = async (text: string) => (await client.refresh(text)).refresh_token ?? '';
  const pass = (ms: number) => bench.world.clock.advance(ms);
  const lastEvent = () => bench.events.findLast(({ client: id }) => id === client.id);
  return { ...client, bench, first: client.refreshToken, use, pass, lastEvent };
}

describe('a rotating refresh token', () => {
  test('is another one after each use, and the one before is dead after the reuse interval [S96] [S127]', async () => {
    const { first, use, pass, refresh } = await rotating();
    const second = await use(first);
    expect(second).not.toBe(first);
    await pass(60_001);
    expect(await refused(refresh(first))).toEqual(INVALID_GRANT);
  });

  test('gives the very same successor to a retry within the reuse interval, also after a restart [S96]', async () => {
    const { first, use, pass, bench } = await rotating();
    const second = await use(first);
    await pass(30_000);
    expect(await use(first)).toBe(second);
    await bench.restart();
    expect(await use(first)).toBe(second);
    expect(await use(second)).not.toBe(second);
  });

  test('gives one more token for each use within the interval where it is set so, all of one family [S97]', async () => {
    const { first, use } = await rotating({ answer: 'new' });
    const [b1, b2] = [await use(first), await use(first)];
    expect(b1).not.toBe(b2);
    for (const text of [b1, b2]) expect(text.slice(0, 30)).toBe(first.slice(0, 30));
    expect(await use(b1)).not.toBe(await use(b2));
  });

  test('that comes back when it is dead ends the whole family, and the event says which of how many [S98] [S99] [S100]', async () => {
    const { first, use, pass, refresh, lastEvent } = await rotating();
    let newest = first;
    for (let i = 0; i < 4; i++) newest = await use(newest);
    await pass(60_001);
    expect(await refused(refresh(first))).toEqual(INVALID_GRANT);
    expect(lastEvent()).toMatchObject({ type: 'refresh_token_reused', token_counter: 1, latest_counter: 5 });
    expect(lastEvent()?.family_id).toMatch(/^fam_/);
    expect(await refused(refresh(newest))).toEqual(INVALID_GRANT);
    expect(lastEvent()).toMatchObject({ type: 'refresh_token_refused', reason: 'revoked', token_counter: 5 });
  });

  test('that was stolen serves the thief and the client no longer than until the other one comes [S100]', async () => {
    const { first, use, pass, refresh } = await rotating();
    const thieves = await use(first);
    await pass(61_000);
    await use(thieves);
    expect(await refused(refresh(first))).toEqual(INVALID_GRANT);
    expect(await refused(refresh(thieves))).toEqual(INVALID_GRANT);
  });

  test('of long ago is still known: it ends the family although a hundred came after it', async () => {
    const { first, use, refresh } = await rotating({ reuseIntervalMs: 0 });
    let newest = first;
    for (let i = 0; i < 150; i++) newest = await use(newest);
    expect(await refused(refresh(first))).toEqual(INVALID_GRANT);
    expect(await refused(refresh(newest))).toEqual(INVALID_GRANT);
  });

  test('touches no other family of the same client', async () => {
    const { first, use, refresh, id, bench } = await rotating({ reuseIntervalMs: 0 });
    const other = (await bench.issuer.clients.issueToken(id, 'eol')).refreshToken.reveal();
    await use(first);
    await refused(refresh(first));
    expect(await use(other)).not.toBe(other);
  });

  test('is one of a window: the last three work, older ones are merely refused', async () => {
    const { first, use, refresh } = await rotating({
      keep: 2,
      reuseIntervalMs: null,
      answer: 'new',
      onReuse: 'reject',
    });
    const texts = [first];
    for (let i = 0; i < 3; i++) texts.push(await use(texts.at(-1) ?? ''));
    expect(await refused(refresh(texts[0]))).toEqual(INVALID_GRANT);
    await use(texts[3] ?? '');
    expect(await refused(refresh(texts[1]))).toEqual(INVALID_GRANT);
    expect(await use(texts[2] ?? '')).not.toBe('');
  });

  test('is one of a ring of one: only the newest works, and an old one harms nobody', async () => {
    const { first, use, refresh } = await rotating({ keep: 0, reuseIntervalMs: 0, onReuse: 'reject' });
    const second = await use(first);
    expect(await refused(refresh(first))).toEqual(INVALID_GRANT);
    expect(await use(second)).not.toBe(second);
  });

  test('used twice at once is used once: one rotates, the other gets the same successor', async () => {
    const { first, use } = await rotating();
    const [a, b, c] = await Promise.all([use(first), use(first), use(first)]);
    expect(new Set([a, b, c]).size).toBe(1);
  });

  test('used twice at once under strict rotation never gives two tokens', async () => {
    const { first, use } = await rotating({ reuseIntervalMs: 0 });
    const results = await Promise.allSettled([use(first), use(first), use(first)]);
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
  });

  test('is not spent while the provider is away: an outage costs no client its token', async () => {
    const { first, use, refresh, pass, bench } = await rotating({ reuseIntervalMs: 0 });
    bench.world.upstream.isReachable = false;
    await pass(601_000);
    expect(await refused(refresh(first))).toMatchObject({ error: 'temporarily_unavailable', status: 503 });
    bench.world.upstream.isReachable = true;
    await pass(60_000);
    expect(await use(first)).not.toBe(first);
  });

  test('that is newer than a restored store knows goes on, and what it replaced is dead', async () => {
    const { first, use, refresh, bench } = await rotating({ reuseIntervalMs: 0, onReuse: 'reject' });
    const [backup] = (await bench.world.store.records.list('client-token', { limit: 1, after: null })).items;
    const third = await use(await use(first));
    const id = backup?.id ?? '';
    await bench.world.store.records.remove('client-token', id);
    await bench.world.store.records.insert('client-token', id, backup?.body ?? '', []);
    bench.crash();
    const fourth = await use(third);
    expect(fourth).not.toBe(third);
    expect(await refused(refresh(first))).toEqual(INVALID_GRANT);
    expect(await use(fourth)).not.toBe(fourth);
  });

  test('can be had instead of a durable one by a change of the client, without a new token', async () => {
    const bench = await issuerBench();
    await bench.world.imported();
    const { refresh, refreshToken, id } = await bench.client();
    expect((await refresh()).refresh_token).toBe(refreshToken);
    await bench.issuer.clients.update(id, { rotation: ROTATING });
    expect((await refresh()).refresh_token).not.toBe(refreshToken);
  });
});

test('whatever a client and a thief present, at most one chain of tokens lives on [S100]', async () => {
  const moves = fc.array(
    fc.record({ who: fc.constantFrom('client', 'thief'), passMs: fc.constantFrom(0, 30_000, 61_000) }),
    {
      maxLength: 12,
    },
  );
  await fc.assert(
    fc.asyncProperty(moves, async (steps) => {
      const { first, use, pass } = await rotating();
      const held = { client: first, thief: first };
      const isCaught = { value: false };
      for (const { who, passMs } of steps) {
        await pass(passMs);
        const next = await use(held[who as 'client']).catch(() => null);
        if (next === null) isCaught.value = true;
        // Once one was refused for reuse, nobody gets anything any more.
        else expect(isCaught.value).toBe(false);
        if (next !== null) held[who as 'client'] = next;
      }
    }),
    { numRuns: 40 },
  );
});

test('a public client has no durable token: its tokens rotate, and a dead one ends the family', async () => {
  const bench = await issuerBench();
  await bench.world.imported();
  const { made, credentials, refresh, refreshToken } = await bench.client({ authMethod: 'none' });
  expect(made).toMatchObject({ type: 'public', rotation: { mode: 'rotating', onReuse: 'revoke' } });
  expect(credentials).toEqual({ client_id: made.id });
  expect((await refresh()).refresh_token).not.toBe(refreshToken);
  for (const rotation of [
    { ...ROTATING, mode: 'durable' },
    { ...ROTATING, onReuse: 'reject' },
  ] as const) {
    await expect(bench.client({ authMethod: 'none', rotation })).rejects.toThrow('public client');
  }
  const asking = bench.token({ grant_type: 'client_credentials', ...credentials });
  expect(await refused(asking)).toMatchObject({ error: 'unauthorized_client' });
});
