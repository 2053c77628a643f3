import { describe, expect, test } from 'vitest';
import { CHAIN, OLD, type Said, TestClient, type Tokens, tokensOf } from './client.fixture.ts';
import type { FaultName, FaultSpec } from './faults.ts';

/** One refresh under a fault, and what the server made of it. */
async function strike(
  spec: FaultSpec,
): Promise<{ client: TestClient; before: Tokens; said: Said; committed: boolean }> {
  const client = new TestClient({ switches: { spacingExempt: true } });
  const before = await client.connect();
  client.server.addFaults([spec]);
  const said = await client.refresh(before.refresh);
  const committed = (client.server.families()[0]?.tokens.length ?? 0) > 1;
  return { client, before, said, committed };
}

const fieldsOf = (said: Said) => JSON.parse(said.text) as Record<string, unknown>;

describe('the answer does not arrive', () => {
  test.each<[FaultName, FaultSpec['commit'], string, boolean]>([
    ['drop-before-commit', undefined, 'none', false],
    ['drop-after-commit', undefined, 'none', true],
    ['hang', undefined, 'hang', true],
    ['hang', 'before', 'hang', false],
  ])('%s (%s): delivery %s, committed %s', async (fault, commit, delivery, isCommitted) => {
    const { said, committed } = await strike(commit === undefined ? { fault } : { fault, commit });
    expect([said.delivery, committed]).toEqual([delivery, isCommitted]);
  });

  test('a truncated body may end right after the refresh token', async () => {
    const client = new TestClient();
    const { refresh } = await client.connect();
    client.at(570).server.addFaults([{ fault: 'truncate-body', at: 'after-refresh-token' }]);
    const body = new URLSearchParams({
      client_id: client.server.defaultApp().clientId,
      client_secret: client.server.defaultApp().clientSecret,
      grant_type: 'refresh_token',
      refresh_token: refresh,
    });
    const headers = { 'content-type': 'application/x-www-form-urlencoded' };
    const request = { method: 'POST', url: '/api/oauth2/token', headers, body: Buffer.from(String(body)) };
    const given = await client.server.handle(request);
    if (given.delivery.kind !== 'partial') throw new Error(given.delivery.kind);
    const arrived = Buffer.from(given.body.subarray(0, given.delivery.bytes)).toString();
    expect(arrived).toMatch(/"refresh_token":"stampNL001\.[^"]+"$/);
  });
});

describe('the server answers something else', () => {
  test.each<[FaultName, number]>([
    ['http-500', 500],
    ['http-502', 502],
    ['http-503', 503],
  ])('%s is an HTML page, before the request has its effect unless told otherwise', async (fault, status) => {
    const before = await strike({ fault });
    expect([before.said.status, before.committed]).toEqual([status, false]);
    expect(before.said.headers['content-type']).toBe('text/html');
    const after = await strike({ fault, commit: 'after' });
    expect([after.said.status, after.committed]).toEqual([status, true]);
  });

  test('429 may say when to come back', async () => {
    const { said, committed } = await strike({ fault: 'http-429', retry_after: 7 });
    expect([said.status, said.headers['retry-after'], committed]).toEqual([429, '7', false]);
  });

  test('[S21] a spurious chain error changes nothing', async () => {
    const { client, before, said } = await strike({ fault: 'spurious-chain-id' });
    expect(said).toMatchObject({ status: 400, text: CHAIN });
    expect((await client.refresh(before.refresh)).status).toBe(200);
  });

  test('a reset chain gives the same error, and is dead', async () => {
    const { client, before, said } = await strike({ fault: 'chain-reset' });
    expect(said.text).toBe(CHAIN);
    expect((await client.refresh(before.refresh)).text).toBe(CHAIN);
  });

  test('a withdrawn consent ends the chain, and a rotated secret only the login of the app', async () => {
    expect((await strike({ fault: 'consent-revoked' })).said.text).toBe(CHAIN);
    const { client, before, said } = await strike({ fault: 'secret-rotated' });
    expect(said.text).toBe('{"error":"invalid_client"}');
    expect((await client.refresh(before.refresh)).status).toBe(200);
  });
});

describe('the answer is not quite right, and the exchange took place', () => {
  const text = async (spec: FaultSpec) => {
    const { said, committed } = await strike(spec);
    expect(committed).toBe(true);
    return said;
  };

  test('JSON that does not end, another content type, status 201, a form', async () => {
    const bad = await text({ fault: 'bad-json' });
    expect(() => fieldsOf(bad)).toThrow();
    expect((await text({ fault: 'wrong-content-type' })).headers['content-type']).toBe('text/html');
    expect((await text({ fault: 'status-201' })).status).toBe(201);
    const form = new URLSearchParams((await text({ fault: 'form-encoded' })).text);
    expect(form.get('refresh_token')).toMatch(/^stampNL001\./);
  });

  test('fields are missing, old, or spelled in another way', async () => {
    expect(fieldsOf(await text({ fault: 'omit-refresh-token' }))).not.toHaveProperty('refresh_token');
    expect(fieldsOf(await text({ fault: 'omit-token-type' }))).not.toHaveProperty('token_type');
    expect(fieldsOf(await text({ fault: 'expires-in', as: 'number' }))).toHaveProperty('expires_in', 600);
    expect(fieldsOf(await text({ fault: 'expires-in', as: 'string' }))).toHaveProperty('expires_in', '600');
    expect(fieldsOf(await text({ fault: 'expires-in', as: 0 }))).toHaveProperty('expires_in', 0);
    expect(fieldsOf(await text({ fault: 'expires-in', as: 'missing' }))).not.toHaveProperty('expires_in');
    const { before, said } = await strike({ fault: 'same-refresh-token' });
    expect(fieldsOf(said).refresh_token).toBe(before.refresh);
  });

  test('a flipped bit gives a token that nobody issued', async () => {
    const { client, said } = await strike({ fault: 'bit-flip' });
    expect((await client.refresh(tokensOf(said).refresh)).text).toBe(CHAIN);
  });

  test('[S20] a token that is dead on arrival leaves its predecessor alive', async () => {
    const { client, before, said } = await strike({ fault: 'dead-on-arrival' });
    const dead = tokensOf(said);
    expect((await client.refresh(dead.refresh)).text).toBe(OLD);
    expect((await client.me(dead.access)).status).toBe(200);
    expect((await client.refresh(before.refresh)).status).toBe(200);
  });

  test('a request that is executed twice ends the first of its two answers', async () => {
    const { client, said } = await strike({ fault: 'duplicate-delivery', deliver: 'first' });
    expect((await client.refresh(tokensOf(said).refresh)).text).toBe(OLD);
    const second = await strike({ fault: 'duplicate-delivery' });
    expect((await second.client.refresh(tokensOf(second.said).refresh)).status).toBe(200);
  });

  test('a delay waits on the clock that was passed in', async () => {
    const { client, said } = await strike({ fault: 'delay', ms: 1234 });
    expect([client.waits, said.status]).toEqual([[1234], 200]);
  });

  test('a skewed clock shows another time than the one that is kept', async () => {
    const { client, said } = await strike({ fault: 'clock-skew', ms: 3_600_000 });
    expect(said.status).toBe(200);
    expect((await client.me(tokensOf(said).access)).headers.date).toBe('Sun, 22 Nov 2026 10:00:00 GMT');
  });
});

describe('which request is struck', () => {
  test('faults that match are taken first in, first out', async () => {
    const client = new TestClient({ switches: { spacingExempt: true } });
    const { refresh } = await client.connect();
    client.server.addFaults([{ fault: 'http-500' }, { fault: 'http-503' }]);
    const statuses = [];
    for (let i = 0; i < 3; i++) statuses.push((await client.refresh(refresh)).status);
    expect(statuses).toEqual([500, 503, 200]);
  });

  test('a fault waits for its user, its app, its endpoint and its turn', async () => {
    const client = new TestClient({ switches: { spacingExempt: true } });
    const { refresh, access } = await client.connect();
    client.server.addFaults([
      { fault: 'http-500', match: { user: 'somebody else' } },
      { fault: 'http-500', match: { app: 'another' } },
      { fault: 'http-502', match: { endpoint: 'api' } },
      { fault: 'http-503', match: { n: 2 }, times: 2 },
    ]);
    const statuses = [];
    for (let i = 0; i < 4; i++) statuses.push((await client.refresh(refresh)).status);
    expect(statuses).toEqual([200, 503, 503, 200]);
    expect((await client.me(access)).status).toBe(502);
  });

  test('faults by rate are drawn from the seed, and leave the tokens as they are', async () => {
    const play = async (faultRates: Partial<Record<FaultName, number>>) => {
      const switches = { spacingExempt: true, tokenCallsPerDay: 10_000 };
      const client = new TestClient({ seed: 5, switches, faultRates });
      const { refresh } = await client.connect().catch(() => client.connect());
      const deliveries = [];
      for (let i = 0; i < 200; i++) deliveries.push((await client.refresh(refresh)).delivery);
      return { deliveries, refresh };
    };
    const [one, same, none] = [
      await play({ 'drop-after-commit': 0.2 }),
      await play({ 'drop-after-commit': 0.2 }),
      await play({}),
    ];
    expect(one).toEqual(same);
    expect(one.refresh).toBe(none.refresh);
    const lost = one.deliveries.filter((delivery) => delivery === 'none').length;
    expect(lost).toBeGreaterThan(20);
    expect(lost).toBeLessThan(60);
  });

  test('the ledger tells what happened inside, in fingerprints', async () => {
    const { client, before } = await strike({ fault: 'drop-after-commit' });
    const entry = client.server.ledger().at(-1);
    expect(entry).toMatchObject({ endpoint: 'token', decision: 'new', fault: 'drop-after-commit', status: null });
    expect(entry?.issued).toHaveLength(2);
    const all = JSON.stringify([client.server.ledger(), client.server.families(), client.server.state()]);
    expect(all).not.toContain(before.refresh);
    expect(all).not.toContain(client.server.defaultApp().clientSecret);
  });
});
