import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseProvider } from '../catalogue/parse.ts';
import type { Provider } from '../catalogue/provider.ts';
import { resolve } from '../catalogue/resolve.ts';
import { emulatedProviders, emulator, emulatorWithoutSocket } from '../emulator.ts';
import { readPointer } from '../oauth/json-pointer.ts';
import { CALLBACK, FORM, formNamed, type Said, TestClient } from './client.fixture.ts';

const every = emulatedProviders();
const BASE = 'http://127.0.0.1:1';

/** What a keeper would read, with what it would send. */
function asKept(client: TestClient): { provider: Provider; query: Record<string, string> } {
  const provider = parseProvider('emulated.json', client.server.providerFile(BASE), 'local');
  const { scope, authorizationParameters } = resolve(provider, {});
  const names = [...scope.default, ...(scope.forRefreshToken === null ? [] : [scope.forRefreshToken])];
  const query = { ...authorizationParameters, ...(names.length > 0 ? { scope: names.join(scope.separator) } : {}) };
  return { provider, query };
}

/** The tokens of an answer, by the pointers of the provider file. */
function read({ tokenResponse: at }: Provider, said: Said) {
  const body: unknown = JSON.parse(said.text);
  return { access: readPointer(body, at.accessToken), refresh: readPointer(body, at.refreshToken), body };
}

test('more than a hundred providers can be emulated by their name', () => {
  expect(every).toEqual(
    expect.arrayContaining(['exact-online', 'auth0', 'truelayer-2019', 'google-50', 'xero', 'oidc']),
  );
  expect(every.length).toBeGreaterThan(100);
});

test.each(every)(
  '[S6] %s: a code gives tokens in the form of its provider file, and they can be used and exchanged',
  async (id) => {
    const client = new TestClient({ form: formNamed(id) });
    const { provider, query } = asKept(client);
    const first = read(provider, await client.redeem(await client.code(query)));
    expect(first.access).toMatch(/^[\x21-\x7e]+$/);
    if (provider.identity) {
      const url = new URL(provider.identity.endpoint);
      const me = await client.get(url.pathname + url.search, String(first.access));
      expect(String(readPointer(JSON.parse(me.text), provider.identity.subject))).toBe(
        client.server.state().users[0]?.user_id,
      );
    }
    if (provider.grantTypes && !provider.grantTypes.includes('refresh_token'))
      return expect(first.refresh).toBeUndefined();
    client.at(provider.policy.pacing.minSpacingMs / 1000);
    const second = read(provider, await client.refresh(String(first.refresh)));
    expect(second.access).not.toBe(first.access);
    const isRotated = provider.policy.rotate.mode === 'always';
    if (isRotated && provider.policy.rotate.notWithinMs === 0) expect(second.refresh).not.toBe(first.refresh);
  },
);

test.each(every)('%s: malformed requests get an OAuth error, whatever their bytes', async (id) => {
  const client = new TestClient({ form: formNamed(id) });
  const { paths } = client.form;
  // Some say 200 to everything, and what is wrong in the body.
  const says200 = asKept(client).provider.errors.some(({ status }) => status !== null && status < 400);
  const { clientId, clientSecret } = client.server.defaultApp();
  const basic = `Basic ${Buffer.from(`${clientId}:${clientSecret}`).toString('base64')}`;
  const bodies = fc.oneof(
    fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes).toString('latin1')),
    fc.constantFrom(
      'grant_type=',
      'grant_type=refresh_token',
      'grant_type=refresh_token&grant_type=x',
      '{',
      '[]',
      'null',
    ),
    fc
      .string({ maxLength: 20 })
      .map((text) => `grant_type=refresh_token&refresh_token=${encodeURIComponent(text.toWellFormed())}`),
    fc
      .string({ maxLength: 20 })
      .map((text) => `grant_type=authorization_code&redirect_uri=x&code=${encodeURIComponent(text.toWellFormed())}`),
    fc.json().map((text) => text),
  );
  const types = fc.constantFrom(FORM['content-type'], 'application/json', 'text/plain', '');
  await fc.assert(
    fc.asyncProperty(bodies, types, fc.boolean(), async (body, type, hasBasic) => {
      const headers = { 'content-type': type, ...(hasBasic ? { authorization: basic } : {}) };
      const said = await client.send('POST', paths.token, headers, body);
      if (!says200) expect(said.status).toBeGreaterThanOrEqual(400);
      expect(said.status).toBeLessThan(500);
      expect(said.text).not.toMatch(/access_token"/);
      expect(() => JSON.parse(said.text)).not.toThrow();
      expect(said.text).not.toMatch(/\bat .*\.ts|Error:/);
    }),
    { numRuns: 60 },
  );
});

test.each(every)(
  '%s: the same seed and the same requests give the same bytes, faults by chance included',
  async (id) => {
    const play = async () => {
      const faultRates = {
        'drop-after-commit': 0.2,
        'truncate-body': 0.2,
        'bit-flip': 0.2,
        'http-503': 0.2,
        'omit-refresh-token': 0.1,
      };
      const client = new TestClient({ form: formNamed(id), seed: 5, faultRates });
      const { query } = asKept(client);
      const said: Said[] = [];
      for (let i = 0; i < 4; i++) said.push(await client.redeem(await client.code({ ...query, nonce: 'n' })));
      const { refreshToken } = client.server.grant();
      for (let i = 0; i < 4; i++) said.push(await client.at(600 * i).refresh(refreshToken));
      return said;
    };
    expect(await play()).toEqual(await play());
  },
);

test('a provider file of one’s own is emulated by its path', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'evergrant-test-'));
  try {
    const path = join(folder, 'mine.json');
    const file = {
      id: 'mine',
      name: 'My Server',
      authorization_endpoint: 'https://mine.example/go',
      token_endpoint: 'https://mine.example/give',
      token_response: {
        access_token: '/data/token',
        refresh_token: '/data/renew',
        error: '/problem/code',
        error_description: '/problem/text',
      },
      policy: { rotate: { mode: 'always' }, on_reuse: { refresh: 'reject' }, life: { access_token: 60 } },
      errors: [{ status: 418, error: 'worn_out', description: 'This one is worn out.', means: 'superseded' }],
    };
    writeFileSync(path, JSON.stringify(file));
    await using server = await emulator(path);
    const { refreshToken } = server.control.grant();
    const refresh = (token: string) =>
      fetch(`${server.baseUrl}/give`, {
        method: 'POST',
        body: new URLSearchParams({
          grant_type: 'refresh_token',
          refresh_token: token,
          client_id: server.clientId,
          client_secret: server.clientSecret,
        }),
      });
    const good = await refresh(refreshToken);
    expect(await good.json()).toMatchObject({
      data: { token: expect.any(String), renew: expect.any(String), token_type: 'Bearer' },
      expires_in: 60,
    });
    const bad = await refresh(refreshToken);
    expect([bad.status, await bad.json()]).toEqual([
      418,
      { problem: { code: 'worn_out', text: 'This one is worn out.' } },
    ]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('a wrong provider file is refused with its place', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'evergrant-test-'));
  try {
    const path = join(folder, 'wrong.json');
    writeFileSync(path, JSON.stringify({ id: 'wrong', name: 'Wrong', token_endpiont: 'https://x.example' }));
    expect(() => emulatorWithoutSocket(path)).toThrow('/token_endpiont');
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('a code with a challenge needs its verifier where the provider has PKCE', async () => {
  const client = new TestClient({ form: formNamed('xero') });
  const challenge = '47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU';
  const bound = await client.code({ code_challenge: challenge, code_challenge_method: 'S256' });
  expect(await client.redeem(bound, { code_verifier: 'wrong' })).toMatchObject({ status: 400 });
  expect(await client.redeem(bound, { code_verifier: '' })).toMatchObject({ status: 200 });
  const plain = await client.authorize({ code_challenge: challenge, code_challenge_method: 'plain' });
  expect(plain.headers.location).toBe(`${CALLBACK}?error=invalid_request&state=s`);
});

test('an issuer describes itself where OpenID and RFC 8414 look, with the key that signs its id_tokens', async () => {
  const client = new TestClient({ form: formNamed('auth0') });
  const { text } = await client.send('GET', '/.well-known/openid-configuration', { host: '127.0.0.1:1' });
  expect(JSON.parse(text)).toMatchObject({
    issuer: `${BASE}/`,
    token_endpoint: `${BASE}/oauth/token`,
    jwks_uri: `${BASE}/.well-known/jwks.json`,
  });
  const keys = await client.send('GET', '/.well-known/jwks.json');
  expect(JSON.parse(keys.text)).toMatchObject({ keys: [{ kty: 'RSA', alg: 'RS256', e: 'AQAB' }] });
});

test('a provider without refresh requests gives no refresh token unless its scope was asked for', async () => {
  const client = new TestClient({ form: formNamed('xero') });
  const said = await client.redeem(await client.code({ scope: 'openid profile' }));
  expect(JSON.parse(said.text)).not.toHaveProperty('refresh_token');
});
