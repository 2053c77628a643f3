import { describe, expect, test } from 'vitest';
import { CHAIN, FORM, OLD, TestClient, tokensOf } from './client.fixture.ts';
import { COUNTRIES } from './switches.ts';

const DAY = 86_400;

describe('countries', () => {
  test.each(COUNTRIES)('[S27] %s has the same rules as the others', async (country) => {
    const client = new TestClient({ switches: { country } });
    const { access, refresh } = await client.connect();
    expect(refresh).toMatch(new RegExp(`^stamp${country.toUpperCase()}001\\.`));
    expect((await client.at(569).refresh(refresh)).status).toBe(400);
    expect((await client.me(access)).status).toBe(200);
    expect((await client.at(570).refresh(refresh)).status).toBe(200);
  });

  test('a token or code of one country is unknown at another', async () => {
    const client = new TestClient();
    const [code, { access, refresh }] = [await client.code(), await client.connect()];
    client.at(600).server.change({ country: 'be' });
    expect(await client.refresh(refresh)).toMatchObject({ status: 400, text: CHAIN });
    expect((await client.redeem(code)).text).toBe('{"error":"invalid_grant"}');
    expect((await client.me(access)).status).toBe(401);
    client.server.change({ country: 'nl' });
    expect((await client.refresh(refresh)).status).toBe(200);
  });

  test('an account of one country is unknown at the sign-in of another', async () => {
    const client = new TestClient();
    const { username, password } = client.server.addUser({ username: 'anna', country: 'be' });
    const signIn = async (country: 'nl' | 'be') => {
      client.server.change({ country });
      const page = await client.authorize();
      const action = /action="([^"]+)"/.exec(page.text)?.[1] ?? '';
      return (await client.send('POST', action, FORM, String(new URLSearchParams({ username, password })))).text;
    };
    expect(await signIn('nl')).toContain('do not belong together');
    expect(await signIn('be')).toContain('Two-step verification');
  });

  test('one server plays all countries, each under its own name', async () => {
    const client = new TestClient();
    const { refresh } = await client.connect();
    const { clientId, clientSecret } = client.server.defaultApp();
    const body = {
      grant_type: 'refresh_token',
      client_id: clientId,
      client_secret: clientSecret,
      refresh_token: refresh,
    };
    const at = (host: string) =>
      client.at(600).send('POST', '/api/oauth2/token', { ...FORM, host }, String(new URLSearchParams(body)));
    expect((await at('be.localhost:8080')).text).toBe(CHAIN);
    expect((await at('nl.localhost:8080')).status).toBe(200);
  });
});

test('[S72] the implicit flow brings an access token in the fragment, and no refresh token', async () => {
  const client = new TestClient();
  client.server.preselect({ decision: 'approve', user: null, once: true });
  const location = new URL((await client.authorize({ response_type: 'token' })).headers.location ?? '');
  const fragment = new URLSearchParams(location.hash.slice(1));
  expect([...fragment.keys()]).toEqual(['access_token', 'token_type', 'expires_in', 'state']);
  expect((await client.me(fragment.get('access_token') ?? '')).status).toBe(200);
  expect((await client.at(601).me(fragment.get('access_token') ?? '')).status).toBe(401);
});

test('[S4] the life of an unused token is shortened while it runs, for tokens that are out already too', async () => {
  const client = new TestClient({ switches: { idleMs: 180 * DAY * 1000 } });
  const { refresh } = await client.connect();
  const next = tokensOf(await client.at(100 * DAY).refresh(refresh));
  client.server.change({ idleMs: 90 * DAY * 1000 });
  const third = tokensOf(await client.at(180 * DAY).refresh(next.refresh));
  client.server.change({ idleMs: 30 * DAY * 1000 });
  expect((await client.at(211 * DAY).refresh(third.refresh)).text).toContain('The refresh token expired at');
});

test('[S5] an app that may reuse old tokens can use every one that it ever had', async () => {
  const client = new TestClient({ switches: { allowOldRefreshTokens: true, spacingExempt: true } });
  const first = await client.connect();
  let { refresh } = first;
  for (let i = 0; i < 60; i++) refresh = tokensOf(await client.refresh(refresh)).refresh;
  expect((await client.refresh(first.refresh)).status).toBe(200);
});

test('a token from long ago in a long chain is still known as old, and not as unknown', async () => {
  const client = new TestClient({ switches: { spacingExempt: true, tokenCallsPerDay: 10_000 } });
  const first = await client.connect();
  let { refresh } = first;
  for (let i = 0; i < 300; i++) refresh = tokensOf(await client.refresh(refresh)).refresh;
  expect(await client.refresh(first.refresh)).toMatchObject({ status: 401, text: OLD });
  expect(client.server.families()[0]?.tokens).toHaveLength(301);
  expect((await client.refresh(refresh)).status).toBe(200);
});

test('a consent may leave a company out: its data is refused', async () => {
  const client = new TestClient();
  client.server.preselect({ decision: 'narrow', user: null, once: true });
  const { headers } = await client.authorize();
  const { access } = tokensOf(await client.redeem(new URL(headers.location ?? '').searchParams.get('code') ?? ''));
  const division = client.server.state().users[0]?.division ?? 0;
  expect((await client.get(`/api/v1/${division}/crm/Accounts`, access)).status).toBe(200);
  expect((await client.get(`/api/v1/${division + 1}/crm/Accounts`, access)).status).toBe(403);
});

test('a switch that a provider does not have is refused by name', () => {
  expect(() => new TestClient({ switches: { testing: true } })).toThrow('exact-online has no switch testing');
});
