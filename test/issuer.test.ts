import { describe, expect, test } from 'vitest';
import { POLICIES } from '../src/core/policies.fixture.ts';
import { DURABLE, ROTATING } from '../src/issuer/rotation.ts';
import type { Change } from '../src/ports/store.ts';
import { type Answer, issuerBench, issuerOn, parameters, refused } from './support/issuer-bench.ts';
import { json } from './support/scripted-upstream.ts';

const DAY_MS = 86_400_000;
const START = Date.parse('2026-01-01T00:00:00Z');
const INVALID_GRANT = { error: 'invalid_grant', status: 400 };

type TestBench = Awaited<ReturnType<typeof issuerBench>>;

/** A provider that gives a consent for so many days and sets no pace. */
function consentFor(days: number) {
  const life = { ...POLICIES.exact.life, idleMs: Number.POSITIVE_INFINITY, absoluteMs: days * DAY_MS };
  return { policy: { ...POLICIES.exact, life, pacing: { minSpacingMs: 0, perDay: Number.POSITIVE_INFINITY } } };
}

async function onDay({ world: { clock } }: TestBench, day: number): Promise<void> {
  await clock.leap(START + day * DAY_MS - clock.now());
}

async function connected(options: Parameters<typeof issuerBench>[0] = {}): Promise<TestBench> {
  const bench = await issuerBench(options);
  await bench.world.imported();
  return bench;
}

function introspect({ issuer }: TestBench, fields: Readonly<Record<string, string>>) {
  return issuer.introspect({ authorization: undefined, parameters: parameters(fields) });
}

describe('a durable refresh token', () => {
  test('gives the access token of the provider itself, with the life that is left, and stays as it is [S75] [S116]', async () => {
    const bench = await connected();
    const { refresh, refreshToken } = await bench.client();
    await bench.world.clock.advance(100_000);
    const answer = { access_token: 'at-0-eol', token_type: 'Bearer', expires_in: 500, refresh_token: refreshToken };
    expect(await refresh()).toEqual({ ...answer, scope: 'read' });
  });

  test('lives 30 days from its last use, and no longer [S118]', async () => {
    const bench = await connected(consentFor(3650));
    const { refresh } = await bench.client({ rotation: { ...DURABLE, absoluteMs: 3650 * DAY_MS } });
    for (const day of [0, 29, 58, 88]) {
      await onDay(bench, day);
      await refresh();
    }
    await bench.world.clock.leap(30 * DAY_MS + 1);
    expect(await refused(refresh())).toEqual(INVALID_GRANT);
  });

  test('ends after a year where the consent has no end of its own [S118]', async () => {
    const bench = await connected({ policy: { ...consentFor(1).policy, life: POLICIES.exact.life } });
    const { refresh } = await bench.client();
    for (let day = 20; day <= 365; day += 20) {
      await onDay(bench, day);
      await refresh();
    }
    await onDay(bench, 365.001);
    expect(await refused(refresh())).toEqual(INVALID_GRANT);
    expect(bench.events.at(-1)).toMatchObject({ reason: 'expired-absolute' });
  });

  test('does not outlive the consent, however often it is used; on day 85 of 90 it has five days left [S118] [S125]', async () => {
    const bench = await connected(consentFor(90));
    const { refresh, refreshToken, credentials } = await bench.client();
    for (const day of [25, 50, 75, 85]) {
      await onDay(bench, day);
      await refresh();
    }
    const { exp } = await introspect(bench, { ...credentials, token: refreshToken });
    expect(Number(exp)).toBe((START + 90 * DAY_MS) / 1000);
    await onDay(bench, 90.001);
    expect(await refused(refresh())).toEqual(INVALID_GRANT);
    expect(bench.events.at(-1)).toMatchObject({ reason: 'consent-ended' });
  });

  test('stays the same over 1,000 rotations at the provider, in 90 days [S124] [S125]', async () => {
    const bench = await connected(consentFor(90));
    const { refresh, refreshToken } = await bench.client();
    const given = new Set<string>();
    for (let i = 1; i <= 1_000; i++) {
      await bench.world.clock.leap((90 * DAY_MS) / 1_001);
      const answer = await refresh();
      given.add(answer.access_token);
      expect(answer.refresh_token).toBe(refreshToken);
    }
    expect(given.size).toBe(1_000);
    expect(bench.world.upstream.presented).toHaveLength(1_000);
  }, 120_000);

  test('is remembered as used through a restart, and through a crash but for the last minute', async () => {
    const bench = await connected(consentFor(90));
    const { refresh } = await bench.client();
    await onDay(bench, 29);
    await refresh();
    await bench.restart();
    await onDay(bench, 58);
    await refresh();
    await bench.world.clock.advance(75_000);
    bench.crash();
    await onDay(bench, 87);
    await refresh();
    await onDay(bench, 118);
    expect(await refused(refresh())).toEqual(INVALID_GRANT);
  });

  test('keeps no server from ending although the store is away', async () => {
    const bench = await connected();
    const { refresh } = await bench.client();
    await refresh();
    bench.world.store.records.update = () => Promise.reject(new Error('the store is away'));
    await bench.world.clock.until(bench.issuer.drain());
    expect(bench.events.at(-1)).toMatchObject({ reason: expect.stringContaining('away') });
  });

  test('costs no query and no write while it is used, and one write a minute [S46]', async () => {
    const bench = await connected();
    const { refresh } = await bench.client();
    await refresh();
    await bench.world.clock.advance(20_000);
    bench.asked.length = 0;
    for (let i = 0; i < 500; i++) await refresh();
    expect(bench.asked).toEqual([]);
    await bench.world.clock.advance(55_000);
    expect(bench.asked.filter((one) => one === 'update client-token')).toHaveLength(1);
  });

  test('works for who lost every answer: there is nothing that a client could lose [S35] [S79] [S90] [S115]', async () => {
    const bench = await connected(consentFor(90));
    const { refresh } = await bench.client();
    const answers: Answer[] = [];
    for (let host = 0; host < 5; host++) answers.push(await refresh());
    await bench.world.clock.advance(700_000);
    answers.push(...(await Promise.all([refresh(), refresh(), refresh()])));
    expect(new Set(answers.map((one) => one.access_token)).size).toBe(2);
    expect(JSON.stringify(answers)).not.toContain('rt-');
  });
});

describe('clients of one grant', () => {
  test('are independent: removing one ends its access at once and touches no other [S34] [S86] [S87]', async () => {
    const bench = await connected();
    const clients = await Promise.all(Array.from({ length: 5 }, () => bench.client()));
    const tokens = await Promise.all(clients.map(({ refresh }) => refresh()));
    expect(new Set(tokens.map((one) => one.access_token))).toEqual(new Set(['at-0-eol']));
    const [first, ...others] = clients;
    const { residualMs } = await bench.issuer.clients.remove(first?.id ?? '');
    expect(residualMs).toBe(600_000);
    expect(await refused(first?.refresh() ?? Promise.resolve())).toEqual({ error: 'invalid_client', status: 401 });
    for (const other of others) expect(await other.refresh()).toMatchObject({ access_token: 'at-0-eol' });
  });

  test('cannot use each other’s refresh tokens, and do each other no harm by trying [S86]', async () => {
    const bench = await connected();
    const [one, other] = [await bench.client(), await bench.client()];
    expect(await refused(one.refresh(other.refreshToken))).toEqual(INVALID_GRANT);
    expect(bench.events.at(-1)).toMatchObject({
      type: 'refresh_token_refused',
      reason: 'other client',
      client: one.id,
    });
    expect(await other.refresh()).toMatchObject({ access_token: 'at-0-eol' });
  });

  test('lose a grant that is taken from them, and its tokens with it', async () => {
    const bench = await connected();
    await bench.world.imported('other');
    const { refresh, id } = await bench.client({ grants: ['eol', 'other'] });
    await refresh();
    await bench.issuer.clients.update(id, { grants: ['other'] });
    expect(await refused(refresh())).toEqual(INVALID_GRANT);
  });

  test('get a further token, of which each ends by itself', async () => {
    const bench = await connected();
    const { refresh, id } = await bench.client();
    const further = await bench.issuer.clients.issueToken(id, 'eol');
    await refresh(further.refreshToken.reveal());
    await bench.issuer.clients.endToken(id, further.id);
    expect(await refused(refresh(further.refreshToken.reveal()))).toEqual(INVALID_GRANT);
    expect(await refresh()).toMatchObject({ access_token: 'at-0-eol' });
  });

  test('have no more live tokens than their settings say; the oldest go, and an event says how many', async () => {
    const bench = await connected();
    const { refresh, id } = await bench.client({ rotation: { ...DURABLE, mostTokens: 2 } });
    await bench.world.clock.advance(1);
    const second = (await bench.issuer.clients.issueToken(id, 'eol')).refreshToken.reveal();
    await bench.world.clock.advance(1);
    await bench.issuer.clients.issueToken(id, 'eol');
    expect(await refused(refresh())).toEqual(INVALID_GRANT);
    expect(await refresh(second)).toMatchObject({ access_token: 'at-0-eol' });
    const events = await bench.issuer.clients.events(id);
    const cleanUp = { type: 'refresh_tokens_cleaned_up', start: 3, removedCount: 1, endCount: 2 };
    expect(events).toContainEqual(expect.objectContaining(cleanUp));
  });
});

describe('a refused refresh token', () => {
  test('is refused alike whatever the reason, by the same queries; the true reason is in the events [S117] [S120]', async () => {
    const bench = await connected(consentFor(3650));
    const { refresh, refreshToken, id } = await bench.client();
    const other = await bench.client();
    const expired = await bench.client();
    await onDay(bench, 20);
    await refresh();
    await other.refresh();
    const ended = await bench.issuer.clients.issueToken(id, 'eol');
    await bench.issuer.clients.endToken(id, ended.id);
    await onDay(bench, 40);
    const forged = `${refreshToken.slice(0, -1)}${refreshToken.endsWith('A') ? 'B' : 'A'}`;
    const presented = {
      unknown: `evr_${'0'.repeat(32)}${'A'.repeat(43)}`,
      forged,
      malformed: 'no such thing',
      revoked: ended.refreshToken.reveal(),
      'other client': other.refreshToken,
    };
    const seen = [];
    for (const text of Object.values(presented)) {
      bench.asked.length = 0;
      seen.push({ answer: await refused(refresh(text)), asked: bench.asked.slice() });
    }
    bench.asked.length = 0;
    seen.push({ answer: await refused(expired.refresh()), asked: bench.asked.slice() });
    const same = { answer: INVALID_GRANT, asked: ['get client', 'get client-token'] };
    expect(seen).toEqual(seen.map(() => same));
    const reasons = bench.events.filter(({ type }) => type === 'refresh_token_refused').map(({ reason }) => reason);
    expect(reasons).toEqual(['unknown', 'unknown', 'unknown', 'revoked', 'other client', 'expired-idle']);
  });

  test('needs the right client secret before anything is said about it [S117]', async () => {
    const bench = await connected();
    const { refreshToken, id } = await bench.client();
    const ask = (client: object) =>
      refused(bench.token({ grant_type: 'refresh_token', refresh_token: refreshToken, ...client }));
    const invalid = { error: 'invalid_client', status: 401 };
    expect(await ask({})).toEqual(invalid);
    expect(await ask({ client_id: id })).toEqual(invalid);
    expect(await ask({ client_id: id, client_secret: 'evs_wrong' })).toEqual(invalid);
    expect(await ask({ client_id: 'cli_unknown', client_secret: 'evs_wrong' })).toEqual(invalid);
  });
});

describe('a grant without a token', () => {
  test('that is broken says so, with the diagnosis, to who has proved client and token', async () => {
    const bench = await connected();
    const { refresh } = await bench.client();
    await bench.world.clock.advance(601_000);
    bench.world.upstream.script.push(() => json(400, { error: 'invalid_grant' }));
    const { id } = await bench.world.keeper.grants.get('eol');
    const uri = `http://127.0.0.1:8787/grants/${id}`;
    expect(await refused(refresh())).toEqual({ ...INVALID_GRANT, error_description: 'used_elsewhere', error_uri: uri });
    expect(await refused(refresh('evr_wrong'))).toEqual(INVALID_GRANT);
  });

  test('for a while says "later", never invalid_grant [S126]', async () => {
    const bench = await connected();
    const { refresh } = await bench.client();
    bench.world.upstream.isReachable = false;
    await bench.world.clock.advance(601_000);
    const later = { error: 'temporarily_unavailable', error_description: 'upstream_unavailable', status: 503 };
    expect(await refused(refresh())).toEqual(later);
    bench.world.upstream.isReachable = true;
    await bench.world.clock.advance(60_000);
    expect(await refresh()).toMatchObject({ access_token: 'at-1' });
  });
});

describe('which grant is meant', () => {
  test('need not be said by a client of one grant', async () => {
    const bench = await connected();
    const { credentials } = await bench.client();
    expect(await bench.token({ grant_type: 'client_credentials', ...credentials })).toEqual({
      access_token: 'at-0-eol',
      token_type: 'Bearer',
      expires_in: 600,
      scope: 'read',
    });
  });

  test('is said by resource, audience or scope where there are several [S41] [S89]', async () => {
    const bench = await connected();
    await bench.world.imported('other');
    const { credentials } = await bench.client({ grants: ['eol', 'other'] });
    const ask = (more: object) => bench.token({ grant_type: 'client_credentials', ...credentials, ...more });
    const proxy = 'http://127.0.0.1:8787/proxy/other';
    for (const more of [{ resource: proxy }, { audience: 'other' }, { audience: proxy }, { scope: 'other read' }]) {
      expect(await ask(more)).toMatchObject({ access_token: 'at-0-other', scope: 'read' });
    }
    for (const more of [
      {},
      { resource: `${proxy}x` },
      { resource: `${proxy}#x` },
      { audience: 'nothing' },
      { scope: 'read' },
    ]) {
      expect(await refused(ask(more))).toMatchObject({ error: 'invalid_target' });
    }
    expect(await refused(ask({ audience: 'other', resource: 'eol' }))).toMatchObject({ error: 'invalid_target' });
  });

  test('is no grant of anybody else', async () => {
    const bench = await connected();
    await bench.world.imported('theirs');
    const { credentials } = await bench.client();
    const ask = bench.token({ grant_type: 'client_credentials', ...credentials, audience: 'theirs' });
    expect(await refused(ask)).toMatchObject({ error: 'invalid_target' });
  });

  test('gives no wider scope than the grant has', async () => {
    const bench = await connected();
    const { refreshToken, credentials } = await bench.client();
    const ask = (scope: string) =>
      bench.token({ grant_type: 'refresh_token', refresh_token: refreshToken, ...credentials, scope });
    expect(await refused(ask('read write'))).toMatchObject({ error: 'invalid_scope' });
    expect(await ask('read offline_access eol')).toMatchObject({ access_token: 'at-0-eol' });
  });
});

describe('a secret', () => {
  test('can be changed while the one before works on for a while', async () => {
    const bench = await connected();
    const { refresh, refreshToken, id, credentials } = await bench.client();
    const fresh = await bench.issuer.clients.rotateSecret(id, 60_000);
    const withNew = {
      grant_type: 'refresh_token',
      refresh_token: refreshToken,
      client_id: id,
      client_secret: fresh.reveal(),
    };
    expect(await bench.token(withNew)).toMatchObject({ access_token: 'at-0-eol' });
    expect(await refresh()).toMatchObject({ access_token: 'at-0-eol' });
    await bench.issuer.clients.rotateSecret(id, 0);
    expect(await refused(refresh())).toEqual({ error: 'invalid_client', status: 401 });
    expect(JSON.stringify(await bench.world.store.records.get('client', id))).not.toContain(credentials.client_secret);
  });

  test('and refresh token lie nowhere in the store', async () => {
    const bench = await connected();
    const { refresh, refreshToken, secret } = await bench.client({ rotation: ROTATING });
    const next = (await refresh()).refresh_token ?? '';
    await bench.restart();
    const kinds = ['client', 'client-token', 'client-events', 'client-request'] as const;
    const pages = await Promise.all(
      kinds.map((kind) => bench.world.store.records.list(kind, { limit: 100, after: null })),
    );
    const stored = JSON.stringify(pages);
    expect(stored).toContain('family');
    for (const text of [refreshToken, next, secret]) {
      expect(stored).not.toContain(text);
      expect(stored).not.toContain(text.slice(-30));
    }
  });
});

describe('a revocation', () => {
  const revoke = ({ issuer }: TestBench, fields: Readonly<Record<string, string>>) =>
    issuer.revoke({ authorization: undefined, parameters: parameters(fields) });

  test('ends a refresh token of the client at once, and no one else’s', async () => {
    const bench = await connected();
    const [one, other] = [await bench.client(), await bench.client()];
    await one.refresh();
    await other.refresh();
    await revoke(bench, { ...one.credentials, token: other.refreshToken });
    expect(await other.refresh()).toMatchObject({ access_token: 'at-0-eol' });
    await revoke(bench, { ...one.credentials, token: one.refreshToken });
    expect(await refused(one.refresh())).toEqual(INVALID_GRANT);
    await revoke(bench, { ...one.credentials, token: 'unknown' });
  });

  test('of an access token never reaches the provider', async () => {
    const bench = await connected();
    const { credentials, refresh } = await bench.client();
    await revoke(bench, { ...credentials, token: 'at-0-eol', token_type_hint: 'access_token' });
    expect(await refresh()).toMatchObject({ access_token: 'at-0-eol' });
    expect(bench.world.upstream.presented).toEqual([]);
  });

  test('introspection knows the client’s own tokens only, and says nothing of others', async () => {
    const bench = await connected();
    const [one, other] = [await bench.client(), await bench.client()];
    const ask = (token: string) => introspect(bench, { ...one.credentials, token });
    expect(await ask(one.refreshToken)).toMatchObject({ active: true, client_id: one.id, scope: 'read' });
    expect(await ask('at-0-eol')).toMatchObject({ active: true, token_type: 'Bearer' });
    expect(await ask(other.refreshToken)).toEqual({ active: false });
    expect(await ask('at-0-other')).toEqual({ active: false });
    await revoke(bench, { ...one.credentials, token: one.refreshToken });
    expect(await ask(one.refreshToken)).toEqual({ active: false });
  });

  test('introspection knows an access token that lives through a restart, and one of a grant that ended not', async () => {
    const bench = await connected();
    await bench.world.imported('second');
    const { credentials } = await bench.client({ grants: ['second', 'eol'] });
    await bench.world.restart();
    await bench.restart();
    const ask = (token: string) => introspect(bench, { ...credentials, token });
    expect(await ask('at-0-eol')).toMatchObject({ active: true, aud: 'http://127.0.0.1:8787/proxy/eol' });
    expect(await ask('at-0-other')).toEqual({ active: false });
    await bench.world.keeper.grants.end('eol');
    expect(await ask('at-0-eol')).toEqual({ active: false });
    expect(await ask('at-0-second')).toMatchObject({ active: true });
  });
});

describe('with other nodes on the same store', () => {
  /** Two issuers, as two nodes have them; what one hears of the other, and when, is up to the test. */
  async function two(options: Parameters<typeof connected>[0] = {}) {
    const listeners: ((change: Change) => void)[] = [];
    const changes = {
      agoMs: 0,
      watch(listener: (change: Change) => void) {
        listeners.push(listener);
        return () => undefined;
      },
      heardAgoMs: () => changes.agoMs,
    };
    const tell = (change: Change): void => {
      for (const listener of listeners) listener(change);
    };
    const here = await connected({ ...options, changes });
    const there = issuerOn(here.world);
    return { here, there, changes, tell };
  }

  test('a client that another node removed is refused once that is heard, and others are still served from memory', async () => {
    const { here, there, tell } = await two();
    const [one, other] = [await here.client(), await here.client()];
    for (const client of [one, other]) await client.refresh();
    await there.issuer.clients.remove(one.id);
    tell({ kind: 'client', id: one.id });
    expect(await refused(one.refresh())).toEqual({ error: 'invalid_client', status: 401 });
    here.asked.length = 0;
    await other.refresh();
    expect(here.asked).toEqual([]);
  });

  test('a refresh token that another node ended is refused once that is heard', async () => {
    const { here, there, tell } = await two();
    const client = await here.client();
    await client.refresh();
    const [token] = await there.issuer.clients.tokens(client.id);
    await there.issuer.clients.endToken(client.id, token?.id ?? '');
    tell({ kind: 'client-token', id: token?.id ?? '' });
    expect(await refused(client.refresh())).toEqual({ error: 'invalid_grant', status: 400 });
  });

  test('while it is not certain that a revocation would be heard, every request is checked after a second', async () => {
    const { here, there, changes } = await two();
    const client = await here.client();
    await client.refresh();
    await there.issuer.clients.remove(client.id);
    changes.agoMs = 1_001;
    await here.world.clock.advance(1_001);
    expect(await refused(client.refresh())).toEqual({ error: 'invalid_client', status: 401 });
  });

  test('what is heard while a request is checked counts for it', async () => {
    const { here, tell } = await two();
    const client = await here.client();
    const checking = client.refresh();
    tell({ kind: 'client', id: client.id });
    await checking;
    here.asked.length = 0;
    await client.refresh();
    expect(here.asked).not.toEqual([]);
  });

  test('a node without its store serves those for five minutes whom it checked last', async () => {
    const { here, changes } = await two();
    const { refresh, id } = await here.client();
    await refresh();
    const { get } = here.world.store.records;
    here.world.store.records.get = () => Promise.reject(new Error('the store is away'));
    changes.agoMs = Number.POSITIVE_INFINITY;
    await here.world.clock.advance(200_000);
    expect(await refresh()).toMatchObject({ access_token: 'at-0-eol' });
    await here.world.clock.advance(100_001);
    await expect(refresh()).rejects.toThrow('the store is away');
    here.world.store.records.get = get;
    expect(await refresh()).toMatchObject({ access_token: 'at-0-eol' });
    await here.world.store.records.remove('client', id);
    await here.world.clock.advance(1_001);
    expect(await refused(refresh())).toEqual({ error: 'invalid_client', status: 401 });
  });
});
