import { connect, type Socket } from 'node:net';
import { describe, expect, test } from 'vitest';
import { EvergrantError } from '../core/errors.ts';
import { liveToken } from './fake-keeper.ts';
import { admin, serve } from './fake-server.ts';

const FORM = { 'content-type': 'application/x-www-form-urlencoded' };

async function world(wish: object = {}) {
  const { server, keeper, parts, send } = await serve();
  const grant = keeper.addGrant('eol', { scope: { requested: ['read'], granted: null, missing: [] }, state: 'active' });
  for (const name of ['eol', grant.id]) keeper.live.set(name, liveToken('at-1', 600_000));
  keeper.onGet = async () => liveToken('at-1', 600_000);
  const made = (await send('POST', '/v1/clients', { name: 'Reports', grants: ['eol'], ...wish })).json();
  const { client_id: id, client_secret: secret, refresh_tokens: tokens } = made;
  const credentials = { client_id: id, client_secret: secret };
  const refresh = { grant_type: 'refresh_token', refresh_token: tokens?.eol, ...credentials };
  const post = (url: string, payload: string | Buffer, headers: object = FORM) =>
    server.inject({ method: 'POST', url, payload, headers: { ...headers } });
  const ask = (fields: object, headers: object = FORM, url = '/oauth/token') =>
    post(url, new URLSearchParams({ ...fields }).toString(), headers);
  return { server, keeper, parts, send, made, id, secret, tokens, refresh, credentials, post, ask };
}

describe('a client', () => {
  test('is made with its secret and refresh tokens shown once, and shown without them ever after', async () => {
    const { made, id, send } = await world();
    expect(made).toMatchObject({
      type: 'confidential',
      grants: ['eol'],
      rotation: { mode: 'durable', idle: 2_592_000 },
    });
    expect((await send('GET', '/v1/grants/eol')).json()).toMatchObject({ clients: [id] });
    expect(made.client_secret).toMatch(/^evs_[\w-]{43}$/);
    expect(Object.keys(made.refresh_tokens)).toEqual(['eol']);
    for (const url of [
      `/v1/clients/${id}`,
      '/v1/clients',
      `/v1/clients/${id}/refresh-tokens`,
      `/v1/clients/${id}/events`,
    ]) {
      const { body, statusCode } = await send('GET', url);
      expect([url, statusCode]).toEqual([url, 200]);
      expect(body).not.toContain(made.client_secret);
      expect(body).not.toContain(made.refresh_tokens.eol);
    }
  });

  test('is changed, gets a new secret and further tokens, and goes, with what is left of its access said', async () => {
    const { id, send, ask, refresh } = await world();
    const changed = (
      await send('PATCH', `/v1/clients/${id}`, { name: 'Nightly', rotation: { mode: 'durable', idle: 86_400 } })
    ).json();
    expect(changed).toMatchObject({ name: 'Nightly', grants: ['eol'], rotation: { idle: 86_400 } });
    const further = (await send('POST', `/v1/clients/${id}/refresh-tokens`, { grant: 'eol' })).json();
    expect(further).toMatchObject({ grant: 'eol', refresh_token: expect.stringMatching(/^evr_/) });
    expect((await send('DELETE', `/v1/clients/${id}/refresh-tokens/${further.id}`)).statusCode).toBe(204);
    expect((await ask({ ...refresh, refresh_token: further.refresh_token })).json()).toEqual({
      error: 'invalid_grant',
    });
    const { client_secret: secret } = (await send('POST', `/v1/clients/${id}/secret`, {})).json();
    expect((await ask(refresh)).statusCode).toBe(401);
    expect((await ask({ ...refresh, client_secret: secret })).statusCode).toBe(200);
    expect((await send('DELETE', `/v1/clients/${id}`)).json()).toEqual({ client_id: id, residual_seconds: 600 });
    expect((await send('GET', `/v1/clients/${id}`)).statusCode).toBe(404);
    expect((await ask({ ...refresh, client_secret: secret })).json()).toEqual({ error: 'invalid_client' });
  });

  test('is made with refresh tokens that are bound to the key its operator names', async () => {
    const [one, other] = ['a', 'b'].map((letter) => letter.repeat(43));
    const { made, id, send } = await world({ dpop_bound_refresh_tokens: true, dpop_jkt: one });
    expect(made).toMatchObject({ dpop_bound_refresh_tokens: true });
    await send('POST', `/v1/clients/${id}/refresh-tokens`, { grant: 'eol', dpop_jkt: other });
    const { items } = (await send('GET', `/v1/clients/${id}/refresh-tokens`)).json();
    expect(items.map((token: { dpop_jkt: string }) => token.dpop_jkt).toSorted()).toEqual([one, other]);
    const short = await send('POST', `/v1/clients/${id}/refresh-tokens`, { grant: 'eol', dpop_jkt: 'a' });
    expect([short.statusCode, short.json().code]).toEqual([400, 'invalid_request']);
  });

  test.each([
    [{ name: 'x', dpop_jkt: 'a'.repeat(43) }],
    [{ name: 'x', rotation: { mode: 'sometimes' } }],
    [{ name: 'x', redirect_uris: ['http://reports.example/cb'] }],
    [{ name: 'x', redirect_uris: ['https://reports.example/cb#part'] }],
    [{ name: 'x', redirect_uris: ['javascript:alert(1)'] }],
    [{ name: 'x', token_endpoint_auth_method: 'private_key_jwt' }],
    [{ name: 'x', token_endpoint_auth_method: 'private_key_jwt', jwks: { keys: [{ kty: 'oct', k: 'AAAA' }] } }],
    [{ name: 'x', token_endpoint_auth_method: 'private_key_jwt', jwks: { keys: [{ kty: 'EC', d: 'AAAA' }] } }],
    [{ name: 'x', type: 'public', token_endpoint_auth_method: 'client_secret_basic' }],
    [{ name: 'x', type: 'public', rotation: 'durable' }],
    [{ name: 'x', trusted_issuers: [{ issuer: 'https://idp.example', subject: 's' }] }],
    [
      {
        name: 'x',
        trusted_issuers: [{ issuer: 'https://idp.example', jwks_uri: 'http://idp.example/keys', subject: 's' }],
      },
    ],
    [{ grants: ['eol'] }],
  ])('is not made with settings that cannot be: %j', async (wish) => {
    const { send } = await world();
    const { statusCode, body } = await send('POST', '/v1/clients', wish);
    expect(statusCode).toBe(400);
    expect(body).not.toContain('AAAA');
  });

  test('for a grant or app that is not there is not made', async () => {
    const { send } = await world();
    expect((await send('POST', '/v1/clients', { name: 'x', grants: ['nothing'] })).statusCode).toBe(404);
    expect((await send('POST', '/v1/clients', { name: 'x', apps: ['app_nothing'] })).statusCode).toBe(404);
  });
});

describe('the token endpoint', () => {
  test('answers by the book: no-store, a number of seconds, the same shape', async () => {
    const { ask, refresh } = await world();
    for (let i = 0; i < 3; i++) {
      const { statusCode, headers, body } = await ask(refresh);
      expect([statusCode, headers['cache-control'], headers.pragma]).toEqual([200, 'no-store', 'no-cache']);
      expect(headers['content-type']).toBe('application/json; charset=utf-8');
      expect(Object.keys(JSON.parse(body))).toEqual([
        'access_token',
        'token_type',
        'expires_in',
        'scope',
        'refresh_token',
      ]);
    }
  });

  test('answers what it answered before from memory, without a query [S46]', async () => {
    const { ask, refresh, parts } = await world();
    await ask(refresh);
    parts.records.queries.length = 0;
    for (let i = 0; i < 10; i++) expect((await ask(refresh)).statusCode).toBe(200);
    expect(parts.records.queries).toEqual([]);
  });

  test('takes client id and secret in the header as well, and names that way when it wants it', async () => {
    const { ask, id, secret, refresh } = await world();
    const basic = (text: string) => ({ ...FORM, authorization: `Basic ${Buffer.from(text).toString('base64')}` });
    const { grant_type, refresh_token } = refresh;
    expect((await ask({ grant_type, refresh_token }, basic(`${id}:${secret}`))).statusCode).toBe(200);
    const wrong = await ask({ grant_type, refresh_token }, basic(`${id}:wrong`));
    expect([wrong.statusCode, wrong.headers['www-authenticate']]).toEqual([401, expect.stringMatching(/^Basic /)]);
    expect((await ask({ grant_type, refresh_token }, { ...FORM, authorization: 'Basic !!' })).json()).toEqual({
      error: 'invalid_client',
    });
    expect((await ask(refresh, basic(`${id}:${secret}`))).json()).toMatchObject({ error: 'invalid_request' });
  });

  test.each([
    ['a parameter twice', 'grant_type=refresh_token&grant_type=refresh_token', FORM, 400],
    ['JSON', '{"grant_type":"refresh_token"}', { 'content-type': 'application/json' }, 400],
    ['no type', 'grant_type=refresh_token', {}, 400],
    ['text', 'grant_type=refresh_token', { 'content-type': 'text/plain' }, 400],
    ['a NUL', 'grant_type=refresh_token&refresh_token=%00', FORM, 400],
    ['broken UTF-8', Buffer.from([0x67, 0x3d, 0xff, 0xfe]), FORM, 400],
    ['broken escapes', 'grant_type=%zz', FORM, 400],
    ['escapes that are no UTF-8', 'grant_type=%ff%fe', FORM, 400],
    ['no grant type', 'a=b', FORM, 401],
    ['nothing', '', FORM, 401],
    ['10 MB', `grant_type=${'a'.repeat(10_000_000)}`, FORM, 413],
    ['10 MB of JSON', `"${'a'.repeat(10_000_000)}"`, { 'content-type': 'application/json' }, 413],
    ['a thousand parameters', Array.from({ length: 1_000 }, (_, i) => `p${i}=1`).join('&'), FORM, 400],
  ] as const)('answers %s with an error of OAuth, and goes on', async (_, payload, headers, status) => {
    const { post, ask, refresh } = await world();
    const answer = await post('/oauth/token', payload, headers);
    expect([answer.statusCode, answer.headers['cache-control']]).toEqual([status, 'no-store']);
    expect(answer.json().error).toBe(status === 401 ? 'invalid_client' : 'invalid_request');
    expect((await ask(refresh)).statusCode).toBe(200);
  });

  test('of a type that is none says which type is right', async () => {
    const { post } = await world();
    const answer = await post('/oauth/token', 'grant_type=refresh_token', { 'content-type': 'no type' });
    expect(answer.json().error_description).toContain('application/x-www-form-urlencoded');
  });

  test.each(['GET', 'PUT', 'DELETE', 'PATCH'] as const)('takes POST and not %s', async (method) => {
    const { server } = await world();
    for (const url of ['/oauth/token', '/oauth/revoke', '/oauth/introspect', '/oauth/par']) {
      const answer = await server.inject({ method, url });
      expect([answer.statusCode, answer.headers.allow, answer.json().error]).toEqual([405, 'POST', 'invalid_request']);
    }
  });

  test('says when to ask again while the provider is away, and names the page where a broken grant is renewed', async () => {
    const { ask, refresh, keeper, parts } = await world();
    keeper.live.clear();
    const details = { remedy: 'Wait.', retryAfterMs: 41_200 };
    keeper.onGet = () => Promise.reject(new EvergrantError('upstream_unavailable', 'It is away.', details));
    const later = await ask(refresh);
    expect([later.statusCode, later.headers['retry-after'], later.headers['cache-control']]).toEqual([
      503,
      '42',
      'no-store',
    ]);
    expect(later.json()).toEqual({ error: 'temporarily_unavailable', error_description: 'upstream_unavailable' });
    const renewUrl = 'http://127.0.0.1:8787/grants/grt_1';
    const broken = new EvergrantError('authorization_required', 'It is broken.', { remedy: 'Renew it.', renewUrl });
    keeper.onGet = () => Promise.reject(broken);
    const said = { error: 'invalid_grant', error_description: 'authorization_required', error_uri: renewUrl };
    expect((await ask(refresh)).json()).toEqual(said);
    keeper.onGet = () => Promise.reject(new Error('a slip with a secret in it'));
    const slip = await ask(refresh);
    expect([slip.statusCode, slip.json().error]).toEqual([500, 'server_error']);
    expect(slip.body).not.toContain('secret');
    expect(parts.logged.join()).toContain('a request failed');
  });

  test('takes no secret in its address', async () => {
    const { ask, refresh } = await world();
    expect((await ask(refresh, FORM, '/oauth/token?client_secret=x')).json()).toMatchObject({
      error: 'invalid_request',
    });
  });

  test('knows the grant types that its metadata names, and no other', async () => {
    const { ask, credentials, server } = await world();
    const metadata = (await server.inject('/.well-known/oauth-authorization-server')).json();
    expect(metadata).toMatchObject({
      issuer: 'http://127.0.0.1:8787',
      token_endpoint: 'http://127.0.0.1:8787/oauth/token',
    });
    for (const type of metadata.grant_types_supported) {
      expect((await ask({ grant_type: type, ...credentials })).json().error).not.toBe('unsupported_grant_type');
    }
    expect((await ask({ grant_type: 'password', ...credentials })).json()).toEqual({ error: 'unsupported_grant_type' });
  });

  test('stands with the other endpoints of OAuth on the page about the server', async () => {
    const { server } = await world();
    const metadata = (await server.inject('/.well-known/oauth-authorization-server')).json();
    const { body } = await server.inject('/docs');
    const endpoints = Object.entries(metadata).filter(([name]) => name.endsWith('_endpoint'));
    expect(endpoints).toHaveLength(6);
    for (const [, url] of endpoints) expect(body).toContain(` ${new URL(String(url)).pathname}</code>`);
  });

  test('says in the log why it refused, and never shows a secret there', async () => {
    const { ask, refresh, parts, secret, tokens } = await world();
    await ask({ ...refresh, refresh_token: `${tokens.eol.slice(0, -1)}-` });
    await ask({ ...refresh, client_secret: `${secret}x` });
    const log = parts.logged.join('\n');
    expect(log).toContain('refresh_token_refused');
    expect(log).toContain('wrong secret');
    expect(log).not.toContain(secret);
    expect(log).not.toContain(tokens.eol.slice(0, -1));
  });

  test('answers over a socket while a neighbour sends half a request', async () => {
    const { server, refresh } = await world();
    const origin = await server.listen({ port: 0, host: '127.0.0.1' });
    const port = Number(new URL(origin).port);
    const half = await new Promise<Socket>((done) => {
      const socket = connect(port, '127.0.0.1', () => done(socket));
      socket.write('POST /oauth/token HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\ngrant_');
    });
    const body = new URLSearchParams({ ...refresh });
    for (let i = 0; i < 2; i++) {
      const answer = await fetch(`${origin}/oauth/token`, { method: 'POST', body });
      expect([answer.status, await answer.json()]).toEqual([200, expect.objectContaining({ access_token: 'at-1' })]);
    }
    half.destroy();
    await server.close();
  });

  test('takes none of two clients, types or keys that come at once, in whichever order', async () => {
    const { server, id, secret, tokens } = await world();
    const { port } = new URL(await server.listen({ port: 0, host: '127.0.0.1' }));
    const [right, wrong] = [secret, 'wrong'].map((one) => `Basic ${Buffer.from(`${id}:${one}`).toString('base64')}`);
    const body = `grant_type=refresh_token&refresh_token=${tokens.eol}`;
    const form = FORM['content-type'];
    const ask = async (authorizations: (string | undefined)[], types: string[], path = '/oauth/token') => {
      const lines = ['Host: x', 'Connection: close', `Content-Length: ${body.length}`];
      lines.push(
        ...authorizations.map((one) => `Authorization: ${one}`),
        ...types.map((one) => `Content-Type: ${one}`),
      );
      const socket = connect(Number(port), '127.0.0.1');
      socket.write(`POST ${path} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n${body}`);
      return Number((await Array.fromAsync(socket, String)).join('').slice(9, 12));
    };
    expect(await ask([right], [form])).toBe(200);
    expect(await ask([right, wrong], [form])).toBe(401);
    expect(await ask([wrong, right], [form])).toBe(401);
    expect(await ask([right, right], [form])).toBe(401);
    expect(await ask([right], [form, 'application/json'])).toBe(400);
    expect(await ask([right], ['application/json', form])).toBe(400);
    const key = admin.authorization;
    expect(await ask([key, 'Bearer x'], ['application/json'], '/v1/apps')).toBe(401);
    await server.close();
  });
});

describe('the other endpoints', () => {
  test('revoke and introspect, for who proves to be the client', async () => {
    const { ask, credentials, tokens, refresh } = await world();
    const token = { token: tokens.eol, ...credentials };
    expect((await ask(token, FORM, '/oauth/introspect')).json()).toMatchObject({ active: true });
    expect((await ask({ token: tokens.eol }, FORM, '/oauth/introspect')).statusCode).toBe(401);
    expect((await ask({ token: 'unknown', ...credentials }, FORM, '/oauth/revoke')).statusCode).toBe(200);
    expect((await ask(token, FORM, '/oauth/revoke')).statusCode).toBe(200);
    expect((await ask(refresh)).json()).toEqual({ error: 'invalid_grant' });
    expect((await ask(token, FORM, '/oauth/introspect')).json()).toEqual({ active: false });
  });

  test('take no part of a redirect URI for a rule of their own', async () => {
    const { server, keeper, send } = await world();
    const app = await keeper.apps.create({ provider: 'exact-online', clientId: 'c', clientSecret: null });
    const wish = { name: 'Odd', apps: [app.id], redirect_uris: ['com.example.app://x;script-src/'] };
    const { client_id: id } = (await send('POST', '/v1/clients', wish)).json();
    const page = await server.inject(`/oauth/authorize?client_id=${id}&response_type=code`);
    expect(page.statusCode).toBe(200);
    expect(page.headers['content-security-policy']).toContain(' com.example.app:;');
    expect(page.headers['content-security-policy']).not.toContain('script-src');
  });

  test('show a person which client asks, and take no click from elsewhere', async () => {
    const { server, keeper, send } = await world();
    const app = await keeper.apps.create({ provider: 'exact-online', clientId: 'c', clientSecret: null });
    const wish = { name: 'Reports & <Co>', apps: [app.id], redirect_uris: ['https://reports.example/cb'] };
    const { client_id: id } = (await send('POST', '/v1/clients', wish)).json();
    const query = `client_id=${id}&response_type=code&redirect_uri=${encodeURIComponent('https://reports.example/cb')}`;
    const page = await server.inject(`/oauth/authorize?${query}`);
    expect(page.statusCode).toBe(200);
    expect(page.body).toContain('Reports &amp; &lt;Co&gt;');
    expect(page.body).toContain('reports.example');
    expect(page.headers['content-security-policy']).toContain('https://reports.example');
    const click = { method: 'POST', url: `/oauth/authorize?${query}` } as const;
    const foreign = await server.inject({ ...click, headers: { 'sec-fetch-site': 'cross-site' } });
    expect(foreign.statusCode).toBe(403);
    const own = await server.inject({ ...click, headers: { 'sec-fetch-site': 'same-origin' } });
    expect([own.statusCode, String(own.headers['set-cookie'])]).toEqual([303, expect.stringContaining('HttpOnly')]);
    const wrong = await server.inject(`/oauth/authorize?${query}&redirect_uri=https://evil.example`);
    expect([wrong.statusCode, wrong.headers.location]).toEqual([400, undefined]);
    const told = await server.inject(`/oauth/authorize?${query.replace('=code', '=token')}&state=s`);
    expect(told.statusCode).toBe(303);
    expect(told.headers.location).toContain('https://reports.example/cb?error=unsupported_response_type');
  });

  test('send people on, however many a stranger elsewhere sends', async () => {
    const { server, keeper, send } = await world();
    const app = await keeper.apps.create({ provider: 'exact-online', clientId: 'c', clientSecret: null });
    const wish = { name: 'Reports', apps: [app.id], redirect_uris: ['https://reports.example/cb'] };
    const { client_id: id } = (await send('POST', '/v1/clients', wish)).json();
    const url = `/oauth/authorize?client_id=${id}&response_type=code`;
    const click = async (remoteAddress: string) =>
      (await server.inject({ method: 'POST', url, remoteAddress, headers: { 'sec-fetch-site': 'same-origin' } }))
        .statusCode;
    for (let i = 0; i < 250; i++) expect(await click('198.51.100.7')).toBe(303);
    expect([await click('198.51.100.7'), await click('198.51.100.8')]).toEqual([503, 303]);
  });

  test('show a person the code of a device', async () => {
    const { server, keeper, send, ask } = await world();
    const app = await keeper.apps.create({ provider: 'exact-online', clientId: 'c', clientSecret: null });
    const { client_id, client_secret } = (await send('POST', '/v1/clients', { name: 'Box', apps: [app.id] })).json();
    const begun = (await ask({ client_id, client_secret }, FORM, '/oauth/device_authorization')).json();
    expect(begun).toMatchObject({
      interval: 5,
      expires_in: 600,
      verification_uri: 'http://127.0.0.1:8787/oauth/device',
    });
    const { pathname, search } = new URL(begun.verification_uri_complete);
    const page = await server.inject(pathname + search);
    expect(page.body).toContain(begun.user_code);
    expect(page.body).toContain('Box');
    expect(page.body).toContain('never because somebody sent you the code');
    const asked = await server.inject(pathname);
    expect([asked.statusCode, asked.body]).toEqual([
      200,
      expect.stringMatching(/<label for="code">.*\n<input id="code"/),
    ]);
    const wrong = await server.inject(`${pathname}?user_code=BBBB-BBBB`);
    expect([wrong.statusCode, wrong.body]).toEqual([404, expect.stringContaining('<a href="device">')]);
    const from = (remoteAddress: string, url: string) => server.inject({ url, remoteAddress });
    for (let i = 0; i < 30; i++) await from('198.51.100.7', `${pathname}?user_code=BBBB-BBBB`);
    expect((await from('198.51.100.7', pathname + search)).statusCode).toBe(503);
    expect((await from('198.51.100.8', pathname + search)).statusCode).toBe(200);
  });
});
