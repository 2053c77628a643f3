/** Grants that no person authorizes: the whole server over real sockets, against an emulated provider that is strict. */
import { generateKeyPairSync } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type RunningApp, startApp } from '../src/app.ts';
import { Secret } from '../src/core/secret.ts';
import { type Emulator, emulator } from '../src/emulator.ts';
import { bench } from './support/keeper-bench.ts';
import { proxyWorld } from './support/proxy-world.ts';
import { json } from './support/scripted-upstream.ts';
import { settingsFor } from './support/settings.ts';
import { ShiftedClock } from './support/shifted-clock.ts';

const PROVIDER = {
  id: 'up',
  name: 'Up',
  authorization_endpoint: 'https://up.example/authorize',
  token_endpoint: 'https://up.example/token',
  api_base_urls: ['https://up.example/api'],
  token_endpoint_auth_methods: ['client_secret_post'],
  credentials: { client_credentials: {}, jwt_bearer: {}, password: {} },
  policy: { rotate: { mode: 'always' }, life: { access_token: 600 } },
};

const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const PEM = String(privateKey.export({ format: 'pem', type: 'pkcs8' }));
const JWKS = { keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'key-1' }] };

interface Body {
  readonly id: string;
  readonly [name: string]: unknown;
}

interface SchemeWorld extends AsyncDisposable {
  readonly provider: Emulator;
  readonly clock: ShiftedClock;
  readonly folder: string;
  readonly origin: string;
  readonly app: string;
  call(method: string, path: string, body?: unknown): Promise<{ status: number; headers: Headers; body: Body }>;
  grant(scheme: string, credentials?: object, more?: object): ReturnType<SchemeWorld['call']>;
  token(): ReturnType<SchemeWorld['call']>;
  /** Requests for a token that the provider answered with one, or refused, and why in truth. */
  asked(): readonly (string | null)[];
}

async function schemeWorld(keys: 'secret' | 'key' = 'secret'): Promise<SchemeWorld> {
  const folder = mkdtempSync(join(tmpdir(), 'evergrant-schemes-'));
  const clock = new ShiftedClock();
  const file = join(folder, 'up.json');
  writeFileSync(file, JSON.stringify(PROVIDER));
  const provider = await emulator(file, { clock, ...(keys === 'key' ? { jwks: JWKS } : {}) });
  mkdirSync(join(folder, 'providers'));
  writeFileSync(join(folder, 'providers', 'up.json'), JSON.stringify(provider.providerFile));
  const settings = settingsFor(join(folder, 'data'), { providersFolder: join(folder, 'providers') });
  const server: RunningApp = await startApp(settings, 'all', { clock });
  const call: SchemeWorld['call'] = async (method, path, body) => {
    const answer = await fetch(`${server.origin}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${server.adminKey.text}`,
        ...(body ? { 'content-type': 'application/json' } : {}),
      },
      ...(body ? { body: JSON.stringify(body) } : {}),
    });
    return { status: answer.status, headers: answer.headers, body: (await answer.json()) as Body };
  };
  // As Google gives it to a service account.
  const account = JSON.stringify({ type: 'service_account', private_key: PEM, private_key_id: 'key-1' });
  const proof = keys === 'key' ? { private_key: account } : { client_secret: provider.clientSecret };
  const made = await call('POST', '/v1/apps', { provider: 'up-emulated', client_id: provider.clientId, ...proof });
  return {
    provider,
    clock,
    folder,
    origin: server.origin ?? '',
    app: made.body.id,
    call,
    grant: (scheme, credentials, more = {}) =>
      call('POST', '/v1/grants', {
        app: made.body.id,
        alias: 'it',
        scheme,
        ...(credentials && { credentials }),
        ...more,
      }),
    token: () => call('POST', '/v1/grants/it/token', {}),
    asked: () =>
      provider.control
        .ledger()
        .flatMap(({ endpoint, decision, reason }) => (endpoint === 'token' ? [reason ?? decision] : [])),
    async [Symbol.asyncDispose]() {
      await server.close();
      await provider.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

describe.each(['client_credentials', 'jwt_bearer', 'password'] as const)('a grant by %s', (scheme) => {
  const world = () => schemeWorld(scheme === 'jwt_bearer' ? 'key' : 'secret');
  const credentials = ({ provider }: SchemeWorld) =>
    scheme === 'password' ? { username: provider.user.username, password: provider.user.password } : undefined;

  test('gives tokens of the same shape as any other, one for all who ask, and the next when it ends [S116]', async () => {
    await using it = await world();
    const made = await it.grant(scheme, credentials(it), { scope: ['read'] });
    expect(made).toMatchObject({ status: 201, body: { state: 'active', scheme, exchanges: 1 } });
    expect(made.body.authorization_url).toBeUndefined();
    const answers = await Promise.all(Array.from({ length: 20 }, () => it.token()));
    expect(new Set(answers.map(({ body }) => body.access_token)).size).toBe(1);
    const expiresIn = expect.any(Number);
    expect(answers[0]?.body).toEqual({
      access_token: expect.stringMatching(/^at\./),
      token_type: 'Bearer',
      expires_in: expiresIn,
      expires_at: expect.any(String),
      scope: 'read',
    });
    expect(it.asked()).toEqual(['authorized']);

    it.clock.advance(601_000);
    const later = await Promise.all(Array.from({ length: 20 }, () => it.token()));
    expect(new Set(later.map(({ body }) => body.access_token)).size).toBe(1);
    expect(later[0]?.body.access_token).not.toBe(answers[0]?.body.access_token);
    expect(it.asked()).toEqual(['authorized', 'authorized']);
  });

  test('is what a client of it gets with its own refresh token or credentials, and what the proxy carries [S116]', async () => {
    await using it = await world();
    await it.grant(scheme, credentials(it));
    const { body: client } = await it.call('POST', '/v1/clients', { name: 'reports', grants: ['it'] });
    const own = { client_id: String(client.client_id), client_secret: String(client.client_secret) };
    const { it: refreshToken } = client.refresh_tokens as { it: string };
    const { body: direct } = await it.token();
    for (const fields of [
      { grant_type: 'refresh_token', refresh_token: refreshToken },
      { grant_type: 'client_credentials' },
    ]) {
      const answer = await fetch(`${it.origin}/oauth/token`, {
        method: 'POST',
        body: new URLSearchParams({ ...fields, ...own }),
      });
      expect(await answer.json()).toMatchObject({ access_token: direct.access_token, token_type: 'Bearer' });
    }
    expect((await it.call('GET', '/proxy/it/me')).status).toBe(200);
  });

  test('is asked for again after a lost answer, a server error and a crash of the wire, and is never broken by them', async () => {
    await using it = await world();
    await it.grant(scheme, credentials(it));
    for (const fault of ['drop-after-commit', 'http-500', 'reset-mid-body'] as const) {
      it.clock.advance(601_000);
      it.provider.control.addFaults([{ fault, match: { endpoint: 'token' } }]);
      expect([200, 503]).toContain((await it.call('POST', '/v1/grants/it/token', { wait: 0 })).status);
      it.clock.advance(61_000);
      expect((await it.token()).status, fault).toBe(200);
    }
    expect((await it.call('GET', '/v1/grants/it')).body).toMatchObject({ state: 'active', generation: 1 });
  });
});

describe('what the provider refuses', () => {
  test('a password that is wrong ends the grant until it is given another one', async () => {
    await using it = await schemeWorld();
    const { username, password } = it.provider.user;
    const made = await it.grant('password', { username, password: 'wrong-password-7' });
    expect(made).toMatchObject({ status: 201, body: { state: 'broken' } });
    expect((await it.token()).body).toMatchObject({ status: 409, code: 'authorization_required' });
    const renewal = await it.call('POST', '/v1/grants/it/renew', {});
    expect(renewal.body).toMatchObject({ status: 400, remedy: expect.stringContaining('PATCH') });
    const changed = await it.call('PATCH', '/v1/grants/it', { credentials: { username, password } });
    expect(changed.body).toMatchObject({ state: 'active', generation: 2 });
    expect((await it.token()).status).toBe(200);
    expect(it.asked()).toEqual(['password-wrong', 'authorized']);
    const { body } = await it.call('GET', '/v1/grants/it/history');
    expect(JSON.stringify([made.body, changed.body, body])).not.toMatch(/wrong-password-7|"password":/);
    expect(JSON.stringify([made.body, changed.body, body])).not.toContain(password);
  });

  test('a secret of the app that is wrong makes its grants wait, until the app has another one', async () => {
    await using it = await schemeWorld();
    await it.call('PATCH', `/v1/apps/${it.app}`, { client_secret: 'old-secret' });
    expect((await it.grant('client_credentials')).body).toMatchObject({ state: 'waiting' });
    expect((await it.call('POST', '/v1/grants/it/token', { wait: 0 })).status).toBe(503);
    await it.call('PATCH', `/v1/apps/${it.app}`, { client_secret: it.provider.clientSecret });
    expect((await it.token()).status).toBe(200);
  });

  test('a subject whom the provider does not know ends the grant', async () => {
    await using it = await schemeWorld('key');
    const unknown = await it.grant('jwt_bearer', { subject: 'nobody@example.com' });
    expect(unknown.body).toMatchObject({ state: 'broken' });
    await it.call('PATCH', '/v1/grants/it', { credentials: { subject: it.provider.user.username } });
    expect((await it.token()).status).toBe(200);
    expect(it.asked()).toEqual(['grant-subject-unknown', 'authorized']);
  });
});

describe('on one clock that stands still', () => {
  async function passwordGrant() {
    const world = await bench({ provider: { credentials: { requests: { password: ANY }, headers: {} } } });
    const asked: URLSearchParams[] = [];
    const answering = (change: Record<string, unknown>) => (form: URLSearchParams) => {
      asked.push(form);
      return world.upstream.tokens(change);
    };
    world.upstream.script.push(answering({}), answering({ refresh_token: undefined }), answering({}));
    const credentials = { username: 'emma', password: new Secret('password', 'the-password') };
    const wish = { app: world.app.id, alias: 'it', scheme: 'password', credentials } as const;
    await world.keeper.grants.createWithCredentials(wish);
    const token = () => world.clock.until(world.keeper.tokens.get('it', { minTtlMs: 5_000, waitMs: 30_000 }));
    return { world, asked, token };
  }

  test('a refresh token that comes beside an access token is not used: the password is what lasts', async () => {
    const { world, asked, token } = await passwordGrant();
    for (const expected of ['at-1', 'at-2', 'at-3']) {
      expect((await token()).accessToken.reveal()).toBe(expected);
      await world.clock.advance(600_000);
    }
    const fields = { grant_type: 'password', username: 'emma', password: 'the-password' };
    for (const form of asked) expect(Object.fromEntries(form)).toMatchObject(fields);
  });

  test('survives a restart in the middle of a request, and is never in the way of the one who asks next', async () => {
    const { world, token } = await passwordGrant();
    await world.clock.advance(600_000);
    world.upstream.gate = () => new Promise(() => undefined);
    void world.keeper.tokens.get('it', { minTtlMs: 5_000, waitMs: 0 }).catch(() => undefined);
    await world.clock.advance(0);
    world.upstream.gate = async () => undefined;
    await world.restart();
    expect((await token()).accessToken.reveal()).toMatch(/^at-/);
  });

  test('what the provider says of a refusal is kept without the password in it', async () => {
    const { world } = await passwordGrant();
    world.upstream.script.length = 0;
    const said = { error: 'invalid_grant', error_description: 'the-password is wrong for emma' };
    world.upstream.script.push(() => json(400, said));
    await world.clock.advance(600_000);
    const refused = world.keeper.tokens.get('it', { minTtlMs: 5_000, waitMs: 0 });
    await world.clock.until(refused.catch(() => undefined));
    const grant = await world.keeper.grants.get('it');
    expect(grant).toMatchObject({ state: 'broken' });
    expect(JSON.stringify(grant)).not.toContain('the-password');
  });
});

const ANY = { parameters: {}, audience: null };

test('no password of a grant, and no API key, lies on disk in clear', async () => {
  await using it = await schemeWorld();
  const { username, password } = it.provider.user;
  await it.grant('password', { username, password });
  await it.token();
  const files = readdirSync(join(it.folder, 'data'), { recursive: true, withFileTypes: true }).filter((one) =>
    one.isFile(),
  );
  expect(files.length).toBeGreaterThan(2);
  for (const { parentPath, name } of files) {
    expect(readFileSync(join(parentPath, name)).includes(password), name).toBe(false);
  }
});

test.each([
  [{ scheme: 'password', credentials: { username: 'emma' } }, 'password is missing'],
  [{ scheme: 'client_credentials', credentials: { subject: 'emma' } }, 'subject is not part of it'],
  [{ scheme: 'jwt_bearer' }, 'has no private key'],
  [{ scheme: 'api_key', credentials: { api_key: 'k' } }, 'nothing is known of api_key at Up'],
  [{ scheme: 'client_credentials', refresh_token: 'r' }, 'refresh_token: is not possible together with scheme'],
  [{ credentials: { username: 'emma' } }, 'only possible together with scheme'],
])('a grant that cannot be is refused when it is made: %j', async (body, problem) => {
  await using it = await schemeWorld();
  const refused = await it.call('POST', '/v1/grants', { app: it.app, alias: 'it', ...body });
  expect(refused.body).toMatchObject({ status: 400, detail: expect.stringContaining(problem) });
  expect(it.asked()).toEqual([]);
});

describe('a grant whose credential goes to the API as it is', () => {
  const NOTHING_ELSE = { authorization_endpoint: null, token_endpoint: null };

  async function made(credentials: object, grant: Record<string, unknown>) {
    const world = await proxyWorld({}, { ...NOTHING_ELSE, credentials });
    const app = await world.api('POST', '/v1/apps', { provider: 'up' });
    const answer = await world.api('POST', '/v1/grants', { app: app.body.id, alias: 'it', ...grant });
    return { world, answer, app: app.body.id };
  }

  test('an API key goes where the provider wants it, and is never called an access token', async () => {
    const { world, answer } = await made(
      { api_key: { header: 'X-Api-Key', prefix: 'Key ' } },
      { scheme: 'api_key', credentials: { api_key: 'the-key-of-up' } },
    );
    await using _ = world;
    expect(answer).toMatchObject({ status: 201, body: { state: 'active', scheme: 'api_key' } });
    expect(JSON.stringify(answer.body)).not.toContain('the-key-of-up');
    expect((await world.get('/proxy/it/v1/x', { headers: { 'x-api-key': 'of-the-caller' } })).status).toBe(200);
    expect(world.seen[0]?.headers).toMatchObject({ 'x-api-key': 'Key the-key-of-up' });
    expect(world.seen[0]?.headers.authorization).toBeUndefined();
    for (const path of ['token', 'refresh']) {
      expect((await world.api('POST', `/v1/grants/it/${path}`, {})).body).toMatchObject({
        status: 400,
        code: 'no_access_token',
        remedy: expect.stringContaining('/proxy/'),
      });
    }
    expect((await world.api('PATCH', '/v1/grants/it', { freshness: { mode: 'always' } })).status).toBe(400);
    const { body: client } = await world.api('POST', '/v1/clients', { name: 'reports', grants: ['it'] });
    const form = new URLSearchParams({
      grant_type: 'client_credentials',
      client_id: String(client.client_id),
      client_secret: String(client.client_secret),
    });
    const refused = await fetch(`${world.origin}/oauth/token`, { method: 'POST', body: form });
    expect([refused.status, await refused.json()]).toEqual([400, expect.objectContaining({ error: 'invalid_target' })]);

    await world.api('PATCH', '/v1/grants/it', { credentials: { api_key: 'the-next-key' } });
    await world.get('/proxy/it/v1/x');
    expect(world.seen[1]?.headers['x-api-key']).toBe('Key the-next-key');
    await world.api('DELETE', '/v1/grants/it');
    expect((await world.get('/proxy/it/v1/x')).status).toBe(410);
    expect(world.seen).toHaveLength(2);
  });

  test('an API key that the provider takes as a bearer token is given as one, without an end', async () => {
    const { world } = await made(
      { api_key: { header: 'Authorization', prefix: 'Bearer ' } },
      { scheme: 'api_key', credentials: { api_key: 'lasting-key' } },
    );
    await using _ = world;
    const { body } = await world.api('POST', '/v1/grants/it/token', {});
    expect(body).toEqual({
      access_token: 'lasting-key',
      token_type: 'Bearer',
      expires_in: null,
      expires_at: null,
      scope: null,
    });
    await world.get('/proxy/it/v1/x');
    expect(world.seen[0]?.headers.authorization).toBe('Bearer lasting-key');
  });

  test('a user name and password go as HTTP Basic, and a 401 of the API is passed on as it is', async () => {
    const { world } = await made(
      { basic: {} },
      { scheme: 'basic', credentials: { username: 'emma', password: 'a:b' } },
    );
    await using _ = world;
    world.answering = (_seen, answer) => answer.writeHead(401).end();
    expect((await world.get('/proxy/it/v1/x')).status).toBe(401);
    expect(world.seen.map(({ headers }) => headers.authorization)).toEqual([
      `Basic ${Buffer.from('emma:a:b').toString('base64')}`,
    ]);
  });

  test('a provider without a page for people gets no link for one', async () => {
    const { world, answer } = await made({ basic: {} }, {});
    await using _ = world;
    expect(answer.body).toMatchObject({ status: 400, remedy: expect.stringContaining('scheme') });
  });
});
