/** What the keeper holds on to when its store, its disk, its process or the provider fails, on a bench. */
import { describe, expect, test } from 'vitest';
import { POLICIES } from '../src/core/policies.fixture.ts';
import type { RotationPolicy } from '../src/core/rotation-policy.ts';
import { type Sealed, Secret } from '../src/core/secret.ts';
import { after, toRfc3339 } from '../src/core/instant.ts';
import { EXCHANGE_STEPS } from '../src/keeper/parts.ts';
import { createMemoryStore } from '../src/storage/memory/store.ts';
import { bench } from './support/keeper-bench.ts';
import { codeOf, refusal } from './support/refusal.ts';
import { answer, json, LOST } from './support/scripted-upstream.ts';

const WISH = { minTtlMs: 5_000, waitMs: 30_000 };

describe('an answer', () => {
  test.each([
    ['without a token_type', (tokens: Record<string, unknown>) => json(200, { ...tokens, token_type: undefined })],
    ['with expires_in as text [S24]', (tokens: Record<string, unknown>) => json(200, { ...tokens, expires_in: '600' })],
    ['with status 201', (tokens: Record<string, unknown>) => json(201, tokens)],
    ['with status 500', (tokens: Record<string, unknown>) => json(500, tokens)],
    [
      'as a form',
      (tokens: Record<string, unknown>) => answer(200, String(new URLSearchParams(tokens as Record<string, string>))),
    ],
    [
      'cut off after the refresh token',
      (tokens: Record<string, unknown>) =>
        answer(200, JSON.stringify({ ...tokens, more: 'x' }).slice(0, -8), {}, false),
    ],
  ])('%s keeps the chain', async (_name, reply) => {
    const { keeper, clock, upstream, imported } = await bench();
    await imported();
    await clock.advance(600_000);
    upstream.script.push(() =>
      reply({ access_token: 'at-x', token_type: 'bearer', expires_in: 600, refresh_token: 'rt-x' }),
    );
    expect((await clock.until(keeper.tokens.get('eol', WISH))).accessToken.reveal()).toBe('at-x');
    await clock.advance(600_000);
    await clock.until(keeper.tokens.get('eol', WISH));
    expect(upstream.presented).toEqual(['rt-0-eol', 'rt-x']);
  });

  test.each([
    ['lost', () => LOST],
    ['an HTML page with status 502', () => answer(502, '<html><title>Bad Gateway</title></html>')],
    ['cut off inside the refresh token', () => answer(200, '{"access_token":"at-x","refresh_token":"rt-', {}, false)],
  ])('that is %s leads to the same token again, when Exact Online allows it [S104] [S111]', async (_name, reply) => {
    const { keeper, clock, upstream, imported } = await bench();
    await imported();
    await clock.advance(600_000);
    upstream.script.push(reply);
    const error = await refusal(clock.until(keeper.tokens.get('eol', { ...WISH, waitMs: 0 })));
    expect(error.code).toBe('in_doubt');
    await clock.advance(569_000);
    expect(upstream.presented).toHaveLength(1);
    await clock.advance(4_000);
    expect(upstream.presented).toEqual(['rt-0-eol', 'rt-0-eol']);
    expect(keeper.tokens.peek('eol', 5_000)?.accessToken.reveal()).toBe('at-1');
  });

  test('that is still awaited is told as in doubt, not as too early', async () => {
    const { keeper, clock, upstream, imported } = await bench();
    await imported();
    await clock.advance(600_000);
    const held = Promise.withResolvers<void>();
    upstream.gate = () => held.promise;
    const error = await refusal(clock.until(keeper.tokens.get('eol', { ...WISH, waitMs: 0 })));
    expect(error.code).toBe('in_doubt');
    held.resolve();
    expect((await clock.until(keeper.tokens.get('eol', WISH))).accessToken.reveal()).toBe('at-1');
  });

  test('that never comes and then a refusal is told as a lost successor, with what happened [S38]', async () => {
    const { keeper, clock, upstream, imported } = await bench();
    await imported();
    await clock.advance(600_000);
    upstream.script.push(() => LOST);
    upstream.script.push(() => json(400, { error: 'invalid_grant', error_description: 'Token is dead.' }));
    await refusal(clock.until(keeper.tokens.get('eol', { ...WISH, waitMs: 0 })));
    await clock.advance(600_000);
    const { state, diagnosis } = await keeper.grants.get('eol');
    expect(state).toBe('broken');
    expect(diagnosis).toMatchObject({ code: 'successor_lost', said: { description: 'Token is dead.' } });
    expect(diagnosis?.evidence).toContain('without an answer');
  });
});

describe('a disk that hangs', () => {
  const never = () => new Promise<never>(() => undefined);

  test('from the answer on keeps it from nobody: it goes to the store alone', async () => {
    const { keeper, clock, journal, upstream, imported, restart } = await bench();
    await imported();
    await clock.advance(600_000);
    journal.append = never;
    expect((await clock.until(keeper.tokens.get('eol', WISH))).accessToken.reveal()).toBe('at-1');
    // And the process is stopped, for it is the only way to get at such a disk.
    await restart();
    await clock.advance(600_000);
    expect(upstream.presented).toEqual(['rt-0-eol']);
    expect((await clock.until(keeper.tokens.get('eol', WISH))).accessToken.reveal()).toBe('at-2');
  });

  test('before anything is sent stops no exchange: the store knows of it', async () => {
    const { keeper, clock, journal, upstream, imported } = await bench();
    await imported();
    await clock.advance(600_000);
    journal.note = never;
    expect((await clock.until(keeper.tokens.get('eol', WISH))).accessToken.reveal()).toBe('at-1');
    expect(upstream.presented).toEqual(['rt-0-eol']);
  });
});

describe('a crash in the middle of an exchange', () => {
  test.each(['sending', 'received'] as const)(
    'at "%s" is told while the chain is still in doubt: when, by whom, at which step, and what comes next [S38]',
    async (at) => {
      const world = await bench();
      await world.imported();
      await world.clock.advance(600_000);
      world.atStep((step) => (step === at ? new Promise<void>(() => undefined) : undefined));
      void world.keeper.tokens.get('eol', WISH).catch(() => undefined);
      await world.clock.advance(1_000);
      const sentAt = toRfc3339(after(world.clock.now(), -1_000)).slice(0, 16).replace('T', ' ');
      await world.restart();
      await world.clock.advance(1_000);
      const { state, diagnosis } = await world.keeper.grants.get('eol');
      expect([state, diagnosis?.code]).toEqual(['in_doubt', 'in_doubt']);
      expect(diagnosis?.evidence).toMatch(/^Token 0 of authorization 1 was presented once without an answer, at /);
      expect(diagnosis?.evidence).toContain(sentAt);
      expect(diagnosis?.evidence).toContain('by node node-1 (crash during the exchange: ');
      expect(diagnosis?.evidence).toMatch(/It is presented again at .* at the earliest\.$/);
      const refused = await refusal(world.clock.until(world.keeper.tokens.get('eol', { ...WISH, waitMs: 0 })));
      expect(refused).toMatchObject({ code: 'in_doubt', details: { diagnosis: { code: 'in_doubt' } } });
      await world.clock.advance(600_000);
      expect((await world.keeper.grants.get('eol')).diagnosis).toBeNull();
    },
  );
});

describe('nothing is published before it is durable and read back', () => {
  test('the order is: journal, store, read back, publish, and only then the account is asked [S85] [S112]', async () => {
    const world = await bench();
    await world.imported();
    await world.clock.advance(600_000);
    const seen: string[] = [];
    world.upstream.probed.length = 0;
    world.atStep((step) => {
      const isServed = world.keeper.tokens.peek('eol', 0)?.accessToken.reveal() === 'at-1';
      seen.push(`${step}${isServed ? ' served' : ''}${world.upstream.probed.includes('at-1') ? ' probed' : ''}`);
    });
    await world.clock.until(world.keeper.tokens.get('eol', WISH));
    await world.clock.advance(0);
    expect(seen).toEqual([...EXCHANGE_STEPS.slice(0, -2), 'published served', 'proven served probed']);
  });

  test('a store that returns other bytes is written again until it returns the right ones [S105] [S112]', async () => {
    const world = await bench();
    await world.imported();
    await world.clock.advance(600_000);
    const { chains } = world.store;
    const honest = chains.answer.bind(chains);
    let lies = 3;
    chains.answer = async (grant, link) => {
      const sealed = await honest(grant, link);
      // The link that was just received is the newest; older ones are needed to present them.
      const newest = (await chains.read(grant)).chain.links.at(-1)?.id;
      const isNew = newest === link && (await chains.read(grant)).chain.links.length > 1;
      return isNew && lies-- > 0 ? (`${sealed?.slice(0, -4)}AAAA` as typeof sealed) : sealed;
    };
    const live = await world.clock.until(world.keeper.tokens.get('eol', WISH));
    expect(live.accessToken.reveal()).toBe('at-1');
    expect(lies).toBeLessThanOrEqual(0);
  });

  test('a store that is down when the answer comes is waited for; the token is not lost [S105]', async () => {
    const world = await bench();
    await world.imported();
    await world.clock.advance(600_000);
    const { chains } = world.store;
    const honest = chains.append.bind(chains);
    let failures = 0;
    chains.append = async (grant, expected, event) => {
      if (event.type === 'received' && failures++ < 20) throw new Error('disk full');
      return honest(grant, expected, event);
    };
    const live = await world.clock.until(world.keeper.tokens.get('eol', { ...WISH, waitMs: 120_000 }));
    expect(live.accessToken.reveal()).toBe('at-1');
    expect(world.upstream.presented).toHaveLength(1);
  });

  test('a journal that cannot be written does not stop an answer from being kept', async () => {
    const world = await bench();
    await world.imported();
    await world.clock.advance(600_000);
    world.journal.isBroken = true;
    expect((await world.clock.until(world.keeper.tokens.get('eol', WISH))).accessToken.reveal()).toBe('at-1');
  });

  test('an intent that the store does not confirm is not sent [S110]', async () => {
    const world = await bench();
    await world.imported();
    await world.clock.advance(600_000);
    const { chains } = world.store;
    const honest = chains.append.bind(chains);
    let isDown = true;
    chains.append = async (grant, expected, event) => {
      const result = await honest(grant, expected, event);
      if (event.type === 'started' && isDown) throw new Error('the acknowledgement was lost');
      return result;
    };
    const asked = world.keeper.tokens.get('eol', { ...WISH, waitMs: 1_000 });
    asked.catch(() => undefined);
    await world.clock.advance(1_000);
    expect(world.upstream.presented).toEqual([]);
    isDown = false;
    expect((await world.clock.until(world.keeper.tokens.get('eol', WISH))).accessToken.reveal()).toBe('at-1');
  });

  test('no connection, no intent: the token stays unspent [S110]', async () => {
    const world = await bench();
    const grant = await world.imported();
    await world.clock.advance(600_000);
    world.upstream.isReachable = false;
    await refusal(world.clock.until(world.keeper.tokens.get('eol', { ...WISH, waitMs: 0 })));
    const { items } = await world.keeper.grants.history(grant.id, { limit: 100, after: null });
    expect(items.some(({ event }) => event.type === 'started')).toBe(false);
  });
});

describe('a store that fails while a chain is in doubt', () => {
  test.each([1, 2, 3, 5])(
    '%d times does not make it miss the window in which the answer can be had again',
    async (n) => {
      let failing = 0;
      const { chains, ...rest } = createMemoryStore();
      const locked = async () => {
        if (failing-- > 0) throw new Error('database is locked');
      };
      const failingChains: typeof chains = {
        ...chains,
        read: (grant) => locked().then(() => chains.read(grant)),
        answer: (grant, link) => locked().then(() => chains.answer(grant, link)),
        append: (grant, expected, event) => locked().then(() => chains.append(grant, expected, event)),
      };
      const { keeper, clock, upstream, imported } = await bench({ store: { ...rest, chains: failingChains } });
      await imported();
      await clock.advance(600_000);
      upstream.script.push(() => LOST);
      await refusal(clock.until(keeper.tokens.get('eol', { ...WISH, waitMs: 0 })));
      await clock.advance(560_000);
      failing = n;
      // Nobody asks; Exact Online answers the same token again until 600 s after it was first presented.
      await clock.advance(39_000);
      expect(upstream.presented).toEqual(['rt-0-eol', 'rt-0-eol']);
      expect((await keeper.grants.get('eol')).state).toBe('active');
    },
  );
});

describe('a provider that fails for a day', () => {
  test('is asked no more often than it allows in a day, and the chain does not grow without end', async () => {
    const policy = { ...POLICIES.exact, pacing: { ...POLICIES.exact.pacing, perDay: 200 } };
    const { keeper, clock, upstream, store, imported } = await bench({ policy });
    const { id } = await imported();
    await clock.advance(600_000);
    upstream.script.push(...Array.from({ length: 10_000 }, () => () => answer(502, 'bad gateway')));
    keeper.tokens.get('eol', WISH).catch(() => undefined);
    await clock.advance(86_400_000);
    expect(upstream.presented.length).toBeLessThanOrEqual(210);
    expect((await store.chains.read(id)).chain.attempts.length).toBeLessThanOrEqual(128);
    upstream.script.length = 0;
    await clock.advance(600_000);
    expect((await clock.until(keeper.tokens.get('eol', WISH))).accessToken.reveal()).toBe('at-1');
  });
});

describe('an answer that the database gives back damaged', () => {
  /** After one exchange, what is kept of the newest token does not open any more. */
  async function damaged(policy: RotationPolicy) {
    const { chains, ...rest } = createMemoryStore();
    const lost = new Set<string>();
    const damaging: typeof chains = {
      ...chains,
      async answer(grant, link) {
        const sealed = await chains.answer(grant, link);
        return lost.has(link) ? ('v1.damaged' as Sealed) : sealed;
      },
      async append(grant, expected, event) {
        if (event.type === 'received') lost.delete(event.link.id);
        return chains.append(grant, expected, event);
      },
    };
    const world = await bench({ policy, store: { ...rest, chains: damaging } });
    const { id } = await world.imported();
    await world.clock.advance(600_000);
    await world.clock.until(world.keeper.tokens.get('eol', WISH));
    const newest = (await chains.read(id)).chain.links.at(-1);
    lost.add(newest?.id ?? '');
    await world.restart();
    return world;
  }

  test.each(Object.entries(POLICIES))('is taken from the journal (%s) [S121]', async (_name, policy) => {
    const { keeper, clock, upstream } = await damaged(policy);
    expect((await clock.until(keeper.tokens.get('eol', WISH))).accessToken.reveal()).toBe('at-1');
    await clock.advance(600_000);
    expect((await clock.until(keeper.tokens.get('eol', WISH))).accessToken.reveal()).toBe('at-2');
    expect(upstream.presented).toEqual(['rt-0-eol', 'rt-1']);
  });

  const USABLE_AGAIN = ['durable', 'lastThree', 'window60s'];
  const byRule = Object.groupBy(Object.entries(POLICIES), ([name]) => String(USABLE_AGAIN.includes(name)));

  test.each(byRule.true ?? [])(
    'and is in no journal is had again with the token before it (%s)',
    async (_name, policy) => {
      const { keeper, clock, upstream, journal } = await damaged(policy);
      journal.numbered.length = 0;
      expect((await clock.until(keeper.tokens.get('eol', WISH))).accessToken.reveal()).toBe('at-2');
      expect(upstream.presented).toEqual(['rt-0-eol', 'rt-0-eol']);
    },
  );

  test.each(byRule.false ?? [])('and is in no journal is told as the cause of the end (%s)', async (_name, policy) => {
    const { keeper, clock, upstream, journal } = await damaged(policy);
    journal.numbered.length = 0;
    const error = await refusal(clock.until(keeper.tokens.get('eol', WISH)));
    expect([error.code, error.details.diagnosis?.code]).toEqual(['authorization_required', 'storage_fault']);
    expect((await keeper.grants.get('eol')).diagnosis?.evidence).toBe(
      'What is kept of token 1 cannot be opened any more, and no other copy is here.',
    );
    expect(upstream.presented).toEqual(['rt-0-eol']);
  });
});

test('a grant of a provider whose file is gone is still shown, and ended', async () => {
  const world = await bench();
  await world.imported();
  world.loseProvider();
  await world.restart();
  const { items } = await world.keeper.grants.list({ limit: 10, after: null });
  expect(items.map(({ alias, state }) => [alias, state])).toEqual([['eol', 'active']]);
  expect((await refusal(world.keeper.tokens.get('eol', WISH))).code).toBe('unknown_provider');
  expect((await world.keeper.grants.end('eol')).state).toBe('revoked');
});

test('a request that cannot be made leaves nothing in doubt', async () => {
  const { keeper, clock, imported } = await bench({ provider: { tokenEndpointAuthMethods: ['private_key_jwt'] } });
  await imported();
  await clock.advance(600_000);
  expect((await refusal(clock.until(keeper.tokens.get('eol', WISH)))).code).toBe('setting');
  expect((await keeper.grants.get('eol')).state).toBe('active');
});

describe('after a crash', () => {
  const CRASHES = EXCHANGE_STEPS.filter((step) => step !== 'proven');

  test.each(CRASHES)('at "%s" the chain goes on after a restart within a minute [S15] [S39]', async (crashAt) => {
    const world = await bench();
    await world.imported();
    await world.clock.advance(600_000);
    // The process stops here for good: what it was doing never goes on.
    world.atStep((step) => (step === crashAt ? new Promise(() => undefined) : undefined));
    world.keeper.tokens.get('eol', WISH).catch(() => undefined);
    await world.clock.advance(10_000);
    await world.clock.advance(50_000);
    await world.restart();
    const asked = world.keeper.tokens.get('eol', { ...WISH, waitMs: 0 }).catch(codeOf);
    await world.clock.advance(600_000);
    await asked;
    const live = await world.clock.until(world.keeper.tokens.get('eol', WISH), 700_000);
    expect(live.leftMs).toBeGreaterThan(5_000);
    expect((await world.keeper.grants.get('eol')).state).toBe('active');
    const { presented } = world.upstream;
    expect(presented[0]).toBe('rt-0-eol');
  });

  test('an answer that was journaled is taken from there: the token is not presented again [S105]', async () => {
    const world = await bench({ policy: POLICIES.oneTimeRevoking });
    await world.imported();
    await world.clock.advance(600_000);
    world.atStep((step) => (step === 'journaled' ? new Promise(() => undefined) : undefined));
    world.keeper.tokens.get('eol', WISH).catch(() => undefined);
    await world.clock.advance(1_000);
    await world.restart();
    expect((await world.clock.until(world.keeper.tokens.get('eol', WISH))).accessToken.reveal()).toBe('at-1');
    expect(world.upstream.presented).toEqual(['rt-0-eol']);
  });

  test('before anything was sent nothing is waited for longer than the rules ask', async () => {
    const world = await bench({ policy: POLICIES.oneTime });
    await world.imported();
    await world.clock.advance(600_000);
    world.atStep((step) => (step === 'sending' ? new Promise(() => undefined) : undefined));
    world.keeper.tokens.get('eol', WISH).catch(() => undefined);
    await world.clock.advance(1_000);
    await world.restart();
    expect((await world.clock.until(world.keeper.tokens.get('eol', WISH), 30_000)).accessToken.reveal()).toBe('at-1');
  });
});

describe('a server that stops', () => {
  test('tells those who wait for a time to come at once, and does not make its end wait for them', async () => {
    const { keeper, clock, imported } = await bench();
    await imported();
    await clock.advance(540_000);
    const waiting = refusal(keeper.tokens.get('eol', { minTtlMs: 120_000, waitMs: 120_000 }));
    await clock.advance(1_000);
    keeper.stop();
    await clock.advance(0);
    const error = await waiting;
    expect([error.code, error.status]).toEqual(['shutting_down', 503]);
    expect(keeper.tokens.peek('eol', 0)?.accessToken.reveal()).toBe('at-0-eol');
  });
});

describe('a journal with a record that cannot be read', () => {
  test('stops neither the start nor any other chain', async () => {
    const world = await bench({ policy: POLICIES.oneTime });
    await world.imported('one');
    await world.imported('two');
    await world.clock.advance(600_000);
    world.atStep((step) => (step === 'journaled' ? new Promise(() => undefined) : undefined));
    world.keeper.tokens.get('one', WISH).catch(() => undefined);
    await world.clock.advance(1_000);
    const [last] = world.journal.numbered.splice(-1);
    if (last && 'answer' in last.record) {
      const damaged = `${last.record.answer.slice(0, -4)}AAAA` as Sealed;
      world.journal.numbered.push({ ...last, record: { ...last.record, answer: damaged } });
    }
    await world.restart();
    const live = await world.clock.until(world.keeper.tokens.get('two', WISH));
    expect(live.leftMs).toBeGreaterThan(5_000);
  });
});

describe('an app whose secret is wrong', () => {
  test('leaves the chain whole, says so, and goes on at once with the right one', async () => {
    const { keeper, clock, upstream, imported, app } = await bench();
    await imported();
    await clock.advance(600_000);
    upstream.script.push(() => json(401, { error: 'invalid_client' }));
    const error = await refusal(clock.until(keeper.tokens.get('eol', { ...WISH, waitMs: 0 })));
    expect(error.code).toBe('upstream_unavailable');
    expect(error.details.diagnosis?.code).toBe('client_rejected');
    await keeper.apps.update(app.id, { clientSecret: new Secret('client secret', 'the right one') });
    expect((await clock.until(keeper.tokens.get('eol', WISH), 5_000)).accessToken.reveal()).toBe('at-1');
  });

  test('that is put right while an exchange with it is on the wire is not waited for any longer', async () => {
    const { keeper, clock, upstream, app, imported } = await bench();
    await imported();
    await clock.advance(600_000);
    const { promise: answered, resolve: letAnswer } = Promise.withResolvers<void>();
    upstream.script.push(() => answered.then(() => json(401, { error: 'invalid_client' })));
    await refusal(clock.until(keeper.tokens.get('eol', { ...WISH, waitMs: 0 })));
    await keeper.apps.update(app.id, { clientSecret: new Secret('client secret', 'the right one') });
    letAnswer();
    await clock.advance(0);
    const live = await clock.until(keeper.tokens.get('eol', { ...WISH, waitMs: 1_000 }));
    expect(live.accessToken.reveal()).toBe('at-1');
  });
});
