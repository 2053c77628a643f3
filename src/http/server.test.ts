import type { InjectOptions } from 'fastify';
import { describe, expect, test } from 'vitest';
import { EvergrantError } from '../core/errors.ts';
import { ADMIN_KEY, type FakeParts, fail, fakeParts, liveToken, NOW } from './fake-keeper.ts';
import { buildServer } from './server.ts';

const admin = { authorization: `Bearer ${ADMIN_KEY}` };

async function serve(parts: FakeParts = fakeParts()) {
  const server = await buildServer(parts);
  const send = (method: InjectOptions['method'], url: string, payload?: unknown, headers: object = admin) =>
    server.inject({
      method: method ?? 'GET',
      url,
      headers: { ...headers },
      ...(payload === undefined ? {} : { payload: payload as object }),
    });
  return { parts, keeper: parts.keeper, server, send };
}

async function withApp() {
  const served = await serve();
  const app = await served.send('POST', '/v1/apps', {
    provider: 'exact-online',
    client_id: 'id',
    client_secret: 'app-SECRET',
  });
  return { ...served, app: app.json().id as string, created: app };
}

describe('who may ask', () => {
  test('without a key the answer is 401 and names the scheme', async () => {
    const { send } = await serve();
    for (const url of ['/v1/grants', '/v1/grants/eol/token', '/v1/api-keys']) {
      const answer = await send('GET', url, undefined, {});
      expect(answer.statusCode).toBe(401);
      expect(answer.headers['www-authenticate']).toBe('Bearer');
      expect(answer.json()).toMatchObject({ code: 'unauthorized', status: 401 });
    }
  });

  test('a wrong key, another scheme or a cookie opens nothing', async () => {
    const { send } = await serve();
    const wrong = [
      { authorization: `Bearer evg_${'a'.repeat(43)}` },
      { authorization: `Basic ${ADMIN_KEY}` },
      { authorization: 'Bearer' },
      { cookie: `authorization=Bearer ${ADMIN_KEY}` },
    ];
    for (const headers of wrong) {
      expect((await send('GET', '/v1/grants', undefined, headers)).statusCode).toBe(401);
      expect((await send('GET', '/v1/grants/eol/token', undefined, headers)).statusCode).toBe(401);
    }
  });

  test('a key for tokens reads tokens and is forbidden everything else', async () => {
    const { send, keeper } = await serve();
    const made = await send('POST', '/v1/api-keys', { name: 'reader', scopes: ['token'] });
    const headers = { authorization: `Bearer ${made.json().key}` };
    keeper.live.set('eol', liveToken('at', 60_000));
    expect((await send('GET', '/v1/grants/eol/token', undefined, headers)).statusCode).toBe(200);
    expect((await send('POST', '/v1/grants/eol/token', {}, headers)).statusCode).toBe(200);
    for (const url of ['/v1/grants', '/v1/apps', '/v1/api-keys', '/v1/providers', '/v1/grants/eol/history']) {
      expect((await send('GET', url, undefined, headers)).json()).toMatchObject({ code: 'forbidden', status: 403 });
    }
    expect((await send('POST', '/v1/grants/eol/refresh', {}, headers)).statusCode).toBe(403);
  });

  test('a key is shown once, never listed, and refused once it is deleted', async () => {
    const { send } = await serve();
    const made = (await send('POST', '/v1/api-keys', { name: 'ci' })).json();
    expect((await send('GET', '/v1/api-keys')).body).not.toContain(made.key);
    expect((await send('GET', `/v1/api-keys/${made.id}`)).json()).toEqual({
      id: made.id,
      name: 'ci',
      scopes: ['admin'],
      created_at: '2026-11-21T12:00:00.000Z',
    });
    const headers = { authorization: `Bearer ${made.key}` };
    expect((await send('GET', '/v1/grants', undefined, headers)).statusCode).toBe(200);
    expect((await send('DELETE', `/v1/api-keys/${made.id}`)).statusCode).toBe(204);
    expect((await send('GET', '/v1/grants', undefined, headers)).statusCode).toBe(401);
  });

  test('metrics and descriptions are open on loopback and want a key beyond it', async () => {
    const near = await serve();
    const far = await serve(fakeParts({ settings: { listensBeyondLoopback: true } }));
    for (const url of ['/metrics', '/openapi.json', '/docs']) {
      expect((await near.send('GET', url, undefined, {})).statusCode).toBe(200);
      expect((await far.send('GET', url, undefined, {})).statusCode).toBe(401);
      expect((await far.send('GET', url)).statusCode).toBe(200);
    }
    for (const url of ['/livez', '/healthz', '/readyz']) {
      expect((await far.send('GET', url, undefined, {})).statusCode).toBe(200);
    }
  });
});

describe('access tokens', () => {
  test('a living token is answered with its whole seconds, rounded down, and is kept by nobody', async () => {
    const { send, keeper } = await serve();
    keeper.live.set('eol', liveToken('at-1', 599_999, 'read'));
    const answer = await send('POST', '/v1/grants/eol/token');
    expect(answer.json()).toEqual({
      access_token: 'at-1',
      token_type: 'Bearer',
      expires_in: 599,
      expires_at: '2026-11-21T12:09:59.999Z',
      scope: 'read',
    });
    expect(answer.headers).toMatchObject({
      'cache-control': 'no-store',
      pragma: 'no-cache',
      'content-type': 'application/json; charset=utf-8',
      'x-content-type-options': 'nosniff',
    });
    expect(keeper.calls).toEqual([]);
  });

  test('the answer follows the token: another second, another end, another token', async () => {
    const { send, keeper } = await serve();
    const first = liveToken('at-1', 60_000);
    keeper.live.set('eol', first);
    await send('GET', '/v1/grants/eol/token');
    keeper.live.set('eol', { ...first, leftMs: 41_500 });
    expect((await send('GET', '/v1/grants/eol/token')).json().expires_in).toBe(41);
    keeper.live.set('eol', liveToken('at-2', 60_000));
    expect((await send('GET', '/v1/grants/eol/token')).json().access_token).toBe('at-2');
  });

  test('a token with quotes or beyond ASCII arrives as it is', async () => {
    const { send, keeper } = await serve();
    keeper.live.set('eol', liveToken('a"b\\c\né€', 60_000));
    expect((await send('GET', '/v1/grants/eol/token')).json().access_token).toBe('a"b\\c\né€');
  });

  test('a token without an end has null for its life', async () => {
    const { send, keeper } = await serve();
    keeper.live.set('eol', liveToken('at', Number.POSITIVE_INFINITY));
    expect((await send('GET', '/v1/grants/eol/token')).json()).toMatchObject({ expires_in: null, expires_at: null });
  });

  test('without a word the token lives 5 more seconds and is waited for 30', async () => {
    const { send, keeper } = await serve();
    await send('POST', '/v1/grants/eol/token');
    expect(keeper.calls).toEqual([
      { name: 'tokens.get', input: { name: 'eol', wish: { minTtlMs: 5000, waitMs: 30_000 } } },
    ]);
  });

  test('min_ttl, wait and rejected reach the keeper', async () => {
    const { send, keeper } = await serve();
    keeper.live.set('eol', liveToken('at', 60_000));
    const rejected = 'A'.repeat(43);
    await send('POST', '/v1/grants/eol/token', { min_ttl: 60.5, wait: 0, rejected });
    expect(keeper.calls[0]?.input).toEqual({ name: 'eol', wish: { minTtlMs: 60_500, waitMs: 0, rejected } });
  });

  test('a wrong wish is 400 and names the field', async () => {
    const { send } = await serve();
    const wrong: [unknown, string, string][] = [
      [{ min_ttl: '60' }, 'invalid_request', 'min_ttl'],
      [{ min_ttl: -1 }, 'invalid_request', 'min_ttl'],
      [{ wait: 121 }, 'invalid_request', 'wait'],
      [{ wait: null }, 'invalid_request', 'wait'],
      [{ rejected: 'raw-token' }, 'invalid_request', 'rejected'],
      [{ min_tll: 5 }, 'unknown_field', 'min_tll'],
      [[], 'invalid_request', 'object'],
    ];
    for (const [body, code, word] of wrong) {
      const answer = await send('POST', '/v1/grants/eol/token', body);
      expect(answer.json()).toMatchObject({ status: 400, code, detail: expect.stringContaining(word) });
    }
    for (const query of ['min_ttl=x', 'min_ttl=1&min_ttl=2', 'min_ttl=-1', 'ttl=5']) {
      expect((await send('GET', `/v1/grants/eol/token?${query}`)).statusCode).toBe(400);
    }
  });

  test('what cannot be served now says when to ask again, rounded up', async () => {
    const { send, keeper, parts } = await serve();
    keeper.onGet = async () => {
      throw new EvergrantError('in_doubt', 'No answer yet.', {
        remedy: 'Wait.',
        retryAfterMs: 1_001,
        grant: 'grt_1',
        renewUrl: `${parts.settings.publicUrl}/grants/grt_1`,
        diagnosis: {
          code: 'too_early',
          since: NOW,
          said: { status: 400, error: 'x', description: null },
          evidence: 'e',
        },
      });
    };
    const answer = await send('GET', '/v1/grants/eol/token');
    expect(answer.headers['content-type']).toContain('application/problem+json');
    expect(answer.headers).toMatchObject({ 'retry-after': '2', 'cache-control': 'no-store' });
    expect(answer.json()).toMatchObject({
      status: 503,
      code: 'in_doubt',
      detail: 'No answer yet.',
      remedy: 'Wait.',
      retry_after: 2,
      grant: 'grt_1',
      renew_url: 'http://127.0.0.1:8787/grants/grt_1',
      diagnosis: { code: 'too_early', retry: true, since: '2026-11-21T12:00:00.000Z', said: { status: 400 } },
    });
  });

  test('an Idempotency-Key on a token read is accepted and changes nothing', async () => {
    const { send, keeper, parts } = await serve();
    const headers = { ...admin, 'idempotency-key': 'k' };
    keeper.live.set('eol', liveToken('at-1', 60_000));
    await send('POST', '/v1/grants/eol/token', {}, headers);
    keeper.live.set('eol', liveToken('at-2', 60_000));
    expect((await send('POST', '/v1/grants/eol/token', {}, headers)).json().access_token).toBe('at-2');
    expect(parts.records.queries).toEqual([]);
  });

  test('a caller that goes away cancels nothing', async () => {
    const { server, keeper } = await serve();
    let finish = (): void => undefined;
    const asked = new Promise<void>((resolve) => {
      keeper.onGet = () => {
        resolve();
        return new Promise((give) => {
          finish = () => give(liveToken('at', 60_000));
        });
      };
    });
    const origin = await server.listen({ port: 0, host: '127.0.0.1' });
    const leave = new AbortController();
    const left = fetch(`${origin}/v1/grants/eol/token`, { headers: admin, signal: leave.signal }).catch(() => 'left');
    await asked;
    leave.abort();
    expect(await left).toBe('left');
    finish();
    keeper.live.set('eol', liveToken('at', 60_000));
    expect((await fetch(`${origin}/v1/grants/eol/token`, { headers: admin })).status).toBe(200);
    await server.close();
  });

  test('refresh answers as a token read does', async () => {
    const { send, keeper } = await serve();
    expect((await send('POST', '/v1/grants/eol/refresh')).json()).toMatchObject({ code: 'too_early', retry_after: 2 });
    keeper.live.set('eol', liveToken('at', 60_000));
    const answer = await send('POST', '/v1/grants/eol/refresh');
    expect(answer.json()).toMatchObject({ access_token: 'at', token_type: 'Bearer', expires_in: 60 });
    expect(answer.headers).toMatchObject({ 'cache-control': 'no-store', pragma: 'no-cache' });
  });
});

describe('apps and grants', () => {
  test('a client secret goes in and never comes out', async () => {
    const { send, app, created, keeper } = await withApp();
    expect(created.statusCode).toBe(201);
    expect(created.headers.location).toBe(`/v1/apps/${app}`);
    expect(created.json()).toMatchObject({ has_secret: true, client_id: 'id', variables: {} });
    for (const url of ['/v1/apps', `/v1/apps/${app}`]) expect((await send('GET', url)).body).not.toContain('SECRET');
    const input = keeper.calls[0]?.input as { clientSecret: { reveal(): string } };
    expect(input.clientSecret.reveal()).toBe('app-SECRET');
  });

  test('a pending grant comes with a link of ours', async () => {
    const { send, app } = await withApp();
    const answer = await send('POST', '/v1/grants', { app, alias: 'eol', scope: 'a b', labels: { team: 'x' } });
    expect(answer.statusCode).toBe(201);
    expect(answer.json()).toMatchObject({
      alias: 'eol',
      state: 'pending',
      owner: null,
      labels: { team: 'x' },
      account: null,
      scope: { requested: ['a', 'b'], granted: null, missing: [] },
      expires: { idle_at: null, absolute_at: null, earliest_at: null },
      generation: 0,
      exchanges: 0,
      clients: [],
      authorization_url: 'http://127.0.0.1:8787/authorize/ticket-1',
    });
  });

  test('an imported grant takes over unless told otherwise', async () => {
    const { send, app, keeper } = await withApp();
    const obtained = '2026-11-21T11:59:00Z';
    const body = { app, alias: 'eol', refresh_token: 'rt', access_token: 'at', expires_in: 600, obtained_at: obtained };
    expect((await send('POST', '/v1/grants', body)).json()).toMatchObject({ state: 'active' });
    const input = keeper.calls.at(-1)?.input as Record<string, unknown>;
    expect(input).toMatchObject({ takeover: true, expiresInMs: 600_000, obtainedAt: Date.parse(obtained) });
    await send('POST', '/v1/grants', { app, alias: 'eol2', refresh_token: 'rt2', takeover: false });
    expect(keeper.calls.at(-1)?.input).toMatchObject({ takeover: false });
  });

  test('fields that do not go together are refused by name', async () => {
    const { send, app } = await withApp();
    const pairs: [object, string][] = [
      [{ access_token: 'at' }, 'access_token'],
      [{ takeover: true }, 'takeover'],
      [{ refresh_token: 'rt', return_url: 'https://a.example/' }, 'return_url'],
      [{ refresh_token: 'rt', expires_in: 5 }, 'expires_in'],
      [{ refresh_token: 'rt', obtained_at: 'yesterday' }, 'obtained_at'],
      [{ return_url: 'javascript:alert(1)' }, 'return_url'],
      [{ return_url: 'https://user:pw@a.example/' }, 'return_url'],
    ];
    for (const [fields, name] of pairs) {
      const answer = await send('POST', '/v1/grants', { app, alias: 'eol', ...fields });
      expect(answer.json()).toMatchObject({
        status: 400,
        code: 'invalid_request',
        detail: expect.stringContaining(name),
      });
    }
  });

  test('an alias that is taken is 409, one with another form 400', async () => {
    const { send, app } = await withApp();
    await send('POST', '/v1/grants', { app, alias: 'eol' });
    expect((await send('POST', '/v1/grants', { app, alias: 'eol' })).json()).toMatchObject({ code: 'alias_taken' });
    for (const alias of ['Eol', '', '.x', 'a b', 'a\u0000', 'a\n', 'a'.repeat(64), '\ud800', 5, null]) {
      expect((await send('POST', '/v1/grants', { app, alias })).json()).toMatchObject({ status: 400 });
    }
  });

  test('a NUL, a control character or half a character is 400 wherever text is taken', async () => {
    const { send, app } = await withApp();
    for (const text of ['a\u0000b', 'a\u001b[2J', '\udc00']) {
      for (const field of [{ owner: text }, { labels: { a: text } }, { labels: { [text]: 'a' } }, { scope: text }]) {
        expect((await send('POST', '/v1/grants', { app, alias: 'x', ...field })).statusCode).toBe(400);
      }
    }
  });

  test('__proto__ is just another unknown field', async () => {
    const { send } = await serve();
    const headers = { ...admin, 'content-type': 'application/json' };
    const body = '{"app":"a","alias":"b","__proto__":{"takeover":true}}';
    expect((await send('POST', '/v1/grants', body, headers)).json()).toMatchObject({ code: 'unknown_field' });
    const labels = '{"app":"a","alias":"b","labels":{"__proto__":"x"}}';
    expect((await send('POST', '/v1/grants', labels, headers)).statusCode).toBe(400);
  });

  test('lists are filtered and paged', async () => {
    const { send, keeper } = await serve();
    for (const alias of ['a', 'b', 'c']) keeper.addGrant(alias);
    const first = (await send('GET', '/v1/grants?limit=2')).json();
    expect(first.items.map((grant: { alias: string }) => grant.alias)).toEqual(['a', 'b']);
    const second = (await send('GET', `/v1/grants?limit=2&after=${first.next}`)).json();
    expect(second).toMatchObject({ items: [{ alias: 'c' }], next: null });
    await send('GET', '/v1/grants?state=broken&provider=p&owner=o&label=k%3Dv&q=x');
    expect(keeper.calls.at(-1)?.input).toEqual({
      limit: 50,
      after: null,
      state: 'broken',
      provider: 'p',
      owner: 'o',
      label: 'k=v',
      q: 'x',
    });
    for (const query of ['limit=0', 'limit=9999', 'limit=x', 'state=odd', 'label=k', 'state=broken&state=active']) {
      expect((await send('GET', `/v1/grants?${query}`)).json()).toMatchObject({ code: 'invalid_request' });
    }
    expect((await send('GET', '/v1/grants?statee=broken')).json()).toMatchObject({
      code: 'unknown_field',
      detail: 'Not known here: statee.',
    });
  });

  test('owner can be taken away with null; an end gives the revoked grant', async () => {
    const { send, keeper } = await serve();
    const { id } = keeper.addGrant('eol', { owner: 'acme' });
    expect((await send('PATCH', `/v1/grants/${id}`, { owner: null })).json()).toMatchObject({ owner: null });
    expect((await send('DELETE', `/v1/grants/${id}`)).json()).toMatchObject({ state: 'revoked' });
  });

  test('a renewal gives a link; renewals give the next and how many are left', async () => {
    const { send, keeper } = await serve();
    keeper.addGrant('eol', { state: 'broken', generation: 1 });
    expect((await send('POST', '/v1/grants/eol/renew')).json()).toEqual({
      authorization_url: 'http://127.0.0.1:8787/authorize/ticket-1',
      expires_at: '2026-11-21T12:10:00.000Z',
    });
    await send('POST', '/v1/grants/eol/renew', { return_url: 'https://a.example/x', scope: ['a'] });
    expect(keeper.calls.at(-1)?.input).toEqual({ returnUrl: 'https://a.example/x', scope: ['a'] });
    expect((await send('POST', '/v1/renewals', { state: 'broken' })).json()).toMatchObject({
      grant: { alias: 'eol' },
      authorization_url: 'http://127.0.0.1:8787/authorize/ticket-3',
      left: 1,
    });
  });

  test('a diagnosis says cause, remedy and what the provider said', async () => {
    const { send, keeper } = await serve();
    const said = { status: 400, error: 'invalid_grant', description: null };
    keeper.addGrant('eol', {
      state: 'broken',
      diagnosis: { code: 'successor_lost', since: NOW, said, evidence: 'Presented once.' },
    });
    const { diagnosis } = (await send('GET', '/v1/grants/eol')).json();
    expect(diagnosis).toMatchObject({ code: 'successor_lost', retry: false, evidence: 'Presented once.', said });
    expect(Object.keys(diagnosis)).toEqual(['code', 'cause', 'remedy', 'retry', 'evidence', 'since', 'said']);
  });

  test('a pasted return URL is finished under the caller’s key', async () => {
    const { send, keeper } = await serve();
    const grant = keeper.addGrant('eol');
    keeper.onFinish = async () => ({ outcome: 'done', grant, returnUrl: null, joined: false });
    const body = {
      ticket: 'http://127.0.0.1:8787/authorize/t1',
      url: 'http://127.0.0.1:8787/callback?code=C&state=S',
    };
    const answer = await send('POST', '/v1/grants/eol/authorization/paste', body);
    expect(answer.json()).toMatchObject({ outcome: 'done', grant: { alias: 'eol' }, joined: false });
    expect(keeper.calls.at(-1)).toMatchObject({ input: { ticket: 't1', callback: { state: 'S', error: null } } });
    const wrong = await send('POST', '/v1/grants/eol/authorization/paste', { ticket: 't1', url: 'C0DE' });
    expect(wrong.json()).toMatchObject({ code: 'invalid_request', detail: expect.stringContaining('url') });
    expect(wrong.body).not.toContain('C0DE');
  });

  test('providers can be read, with null for no limit', async () => {
    const { send } = await serve();
    const { items } = (await send('GET', '/v1/providers')).json();
    expect(items[0]).toMatchObject({ id: 'exact-online', policy: { class: 'one-time-revoking', idle: null } });
    expect((await send('GET', '/v1/providers/none')).statusCode).toBe(404);
  });
});

describe('wrong requests', () => {
  test('broken JSON is 400 with line and position, and without the body', async () => {
    const { send } = await serve();
    const headers = { ...admin, 'content-type': 'application/json' };
    const answer = await send('POST', '/v1/apps', '{\n "client_secret": "S3CRET" oops }', headers);
    expect(answer.json()).toMatchObject({
      code: 'invalid_request',
      detail: 'The body is not valid JSON: line 2, position 28.',
    });
    expect(answer.body).not.toMatch(/S3CRET|oops/);
  });

  test('a body that is not UTF-8 is 400, one that is too large 413, one that is no JSON 415', async () => {
    const { send } = await serve();
    const json = { ...admin, 'content-type': 'application/json' };
    const broken = Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]);
    expect((await send('POST', '/v1/apps', broken, json)).json()).toMatchObject({ status: 400 });
    const large = JSON.stringify({ name: 'x'.repeat(1_048_577) });
    expect((await send('POST', '/v1/apps', large, json)).json()).toMatchObject({ code: 'payload_too_large' });
    expect((await send('POST', '/v1/grants/eol/token', large, json)).statusCode).toBe(413);
    for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'nonsense', 'multipart/form-data']) {
      const answer = await send('POST', '/v1/apps', 'a=b', { ...admin, 'content-type': type });
      expect(answer.json()).toMatchObject({ code: 'unsupported_media_type', status: 415 });
    }
  });

  test('an unknown path is 404, another method 405 with those that work', async () => {
    const { send } = await serve();
    expect((await send('GET', '/v1/nothing')).json()).toMatchObject({ code: 'not_found' });
    expect((await send('GET', '/')).statusCode).toBe(404);
    const answer = await send('PUT', '/v1/grants/eol');
    expect(answer.json()).toMatchObject({ code: 'method_not_allowed', status: 405 });
    expect(answer.headers.allow).toBe('DELETE, GET, HEAD, PATCH');
    expect((await send('DELETE', '/callback')).headers.allow).toBe('GET');
  });

  test('an id with a trick in it is 404 and never a crash', async () => {
    const { send } = await serve();
    const tricks = [
      '..',
      '%2e%2e',
      '..%2f..',
      'a%2fb',
      '%00',
      'eol%00',
      '%2f',
      'a'.repeat(5000),
      "'%20or%201=1",
      '%20',
      '*',
    ];
    for (const trick of tricks) {
      for (const url of [
        `/v1/grants/${trick}`,
        `/v1/grants/${trick}/token`,
        `/v1/apps/${trick}`,
        `/v1/api-keys/${trick}`,
      ]) {
        expect((await send('GET', url)).json(), url).toMatchObject({ status: 404, code: 'not_found' });
      }
      expect((await send('GET', `/authorize/${trick}`)).statusCode, trick).toBe(404);
    }
    expect((await send('GET', '/v1/grants/%ff')).statusCode).toBe(400);
  });

  test('a slip of ours is 500 with a reference that the log has, and nothing of its text', async () => {
    const { send, keeper, parts } = await serve();
    keeper.onGet = async () => {
      throw new Error('inner S3CRET');
    };
    const answer = await send('GET', '/v1/grants/eol/token');
    expect(answer.json()).toMatchObject({ status: 500, code: 'internal_error' });
    expect(answer.body).not.toContain('S3CRET');
    const [, reference] = /under ([\w-]{12})\./.exec(answer.json().detail) ?? [];
    expect(parts.logged.join()).toContain(String(reference));
  });

  test('every answer has the headers that keep a browser from harm', async () => {
    const { send } = await serve();
    for (const url of [
      '/livez',
      '/v1/grants',
      '/v1/none',
      '/metrics',
      '/authorize/x',
      '/callback',
      '/v1/grants/eol/token',
    ]) {
      const { headers } = await send('GET', url);
      expect(headers, url).toMatchObject({ 'x-content-type-options': 'nosniff', 'referrer-policy': 'no-referrer' });
      expect(headers['content-security-policy'], url).toContain("frame-ancestors 'none'");
    }
  });

  test('no error repeats a secret, wherever it was put', async () => {
    const { send, keeper, parts } = await serve();
    const secret = 'PLANTED-SECRET';
    keeper.onGet = async () => {
      throw new Error(secret);
    };
    const bodies: unknown[] = [
      { provider: 5, client_id: secret, client_secret: secret, extra: secret },
      { provider: 'p', client_id: `${secret}\u0000`, client_secret: [secret] },
      { app: 1, alias: secret, refresh_token: `${secret}\n`, access_token: { secret } },
      { app: 'a', alias: 'b', refresh_token: secret, obtained_at: secret },
      { ticket: secret, url: secret },
      { rejected: secret, min_ttl: secret },
      { name: { secret }, scopes: [secret] },
      [secret],
      secret,
    ];
    const paths = ['apps', 'grants', 'api-keys', 'renewals', 'grants/eol/token', 'grants/eol/authorization/paste'];
    const headers = { ...admin, 'content-type': 'application/json' };
    for (const path of paths) {
      for (const body of bodies) {
        const answers = [
          await send('POST', `/v1/${path}`, JSON.stringify(body), headers),
          await send('POST', `/v1/${path}`, `${JSON.stringify(body)}x`, headers),
          await send('POST', `/v1/${path}`, JSON.stringify(body), { ...headers, 'content-type': 'text/plain' }),
          await send('POST', `/v1/${path}`, body, { ...headers, 'idempotency-key': `${secret} ä` }),
        ];
        for (const answer of answers) {
          expect(answer.statusCode, answer.body).toBeGreaterThanOrEqual(400);
          expect(answer.body + JSON.stringify(answer.headers)).not.toContain(secret);
        }
      }
    }
    const wrongKey = await send('GET', '/v1/grants', undefined, { authorization: `Bearer ${secret}` });
    const inQuery = await send('GET', `/v1/grants?state=${secret}&limit=${secret}`);
    const inPath = await send('GET', `/v1/grants/${secret}%00`);
    const page = await send('GET', `/callback?code=${secret}&state=${secret}`);
    for (const answer of [wrongKey, inQuery, inPath, page, await send('GET', '/v1/grants/eol/token')]) {
      expect(answer.body).not.toContain(secret);
    }
    expect(parts.logged.filter((line) => !line.startsWith('error')).join()).not.toContain(secret);
  });
});

describe('repeated requests', () => {
  const key = { ...admin, 'idempotency-key': 'key-1' };

  test('the same key and body give the same answer, and nothing is done twice', async () => {
    const { send, keeper } = await serve();
    const body = { provider: 'exact-online', client_id: 'x' };
    const first = await send('POST', '/v1/apps', body, key);
    const second = await send('POST', '/v1/apps', body, key);
    expect([second.statusCode, second.body]).toEqual([first.statusCode, first.body]);
    expect(second.headers.location).toBe(first.headers.location);
    expect(keeper.calls.filter(({ name }) => name === 'apps.create')).toHaveLength(1);
  });

  test('an answer with a secret is kept sealed', async () => {
    const { send, parts } = await serve();
    const made = await send('POST', '/v1/api-keys', { name: 'ci' }, key);
    expect((await send('POST', '/v1/api-keys', { name: 'ci' }, key)).json().key).toBe(made.json().key);
    expect(JSON.stringify([...parts.records.rows])).not.toContain(made.json().key);
  });

  test('another body is 422; another path, caller or day is another request', async () => {
    const { send, parts } = await serve();
    await send('POST', '/v1/api-keys', { name: 'a' }, key);
    expect((await send('POST', '/v1/api-keys', { name: 'b' }, key)).json()).toMatchObject({
      code: 'idempotency_mismatch',
    });
    const other = (await send('POST', '/v1/api-keys', { name: 'other' })).json().key;
    const callers = { ...key, authorization: `Bearer ${other}` };
    expect((await send('POST', '/v1/api-keys', { name: 'b' }, callers)).statusCode).toBe(201);
    expect((await send('POST', '/v1/apps', { provider: 'p', client_id: 'c' }, key)).statusCode).toBe(201);
    parts.pass(86_400_001);
    expect((await send('POST', '/v1/api-keys', { name: 'b' }, key)).statusCode).toBe(201);
  });

  test('while the first still runs the second is 409', async () => {
    const { send, keeper } = await serve();
    let go = (): void => undefined;
    keeper.onCreate = () =>
      new Promise((resolve) => {
        go = resolve;
      });
    const body = { app: 'app_1', alias: 'eol' };
    const first = send('POST', '/v1/grants', body, key);
    await expect.poll(() => keeper.calls.length).toBe(1);
    expect((await send('POST', '/v1/grants', body, key)).json()).toMatchObject({ code: 'idempotency_in_progress' });
    go();
    expect((await first).statusCode).toBe(201);
    expect((await send('POST', '/v1/grants', body, key)).statusCode).toBe(201);
  });

  test('after a failure of ours the same key tries again', async () => {
    const { send, keeper } = await serve();
    keeper.onCreate = async () => {
      throw fail('upstream_unavailable');
    };
    const body = { app: 'app_1', alias: 'eol' };
    expect((await send('POST', '/v1/grants', body, key)).statusCode).toBe(503);
    keeper.onCreate = async () => undefined;
    expect((await send('POST', '/v1/grants', body, key)).statusCode).toBe(201);
  });

  test('a run that was cut off does not hold its key for ever', async () => {
    const { send, keeper, parts } = await serve();
    keeper.onCreate = () => new Promise(() => undefined);
    const body = { app: 'app_1', alias: 'eol' };
    void send('POST', '/v1/grants', body, key);
    await expect.poll(() => keeper.calls.length).toBe(1);
    keeper.onCreate = async () => undefined;
    parts.pass(300_001);
    expect((await send('POST', '/v1/grants', body, key)).statusCode).toBe(201);
  });
});

describe('health, metrics and description', () => {
  test('readiness follows the keeper', async () => {
    const { send, keeper } = await serve();
    expect((await send('GET', '/readyz', undefined, {})).statusCode).toBe(200);
    keeper.ready = async () => false;
    expect((await send('GET', '/readyz', undefined, {})).statusCode).toBe(503);
    keeper.ready = () => Promise.reject(new Error('S3CRET'));
    const answer = await send('GET', '/readyz', undefined, {});
    expect([answer.statusCode, answer.body.includes('S3CRET')]).toEqual([503, false]);
    expect((await send('GET', '/livez', undefined, {})).statusCode).toBe(200);
  });

  test('metrics count outcomes and states, and name no grant', async () => {
    const { send, keeper } = await serve();
    const { id } = keeper.addGrant('eol-secret-name', { state: 'broken' });
    keeper.live.set('eol-secret-name', liveToken('at', 60_000));
    await send('GET', '/v1/grants/eol-secret-name/token');
    await send('GET', '/v1/grants/other/token');
    await send('GET', '/v1/grants/eol-secret-name');
    await send('GET', '/metrics');
    const { body } = await send('GET', '/metrics');
    expect(body).toContain('evergrant_grants{state="broken"} 1');
    expect(body).toContain('evergrant_token_requests_total{outcome="memory"} 1');
    expect(body).toContain('evergrant_token_requests_total{outcome="authorization_pending"} 1');
    expect(body).toContain('route="/v1/grants/:grant"');
    expect(body).toContain('process_resident_memory_bytes');
    expect(body).not.toMatch(new RegExp(`eol-secret-name|${id}`));
  });

  test('the description is OpenAPI 3.1 with one name for each shape', async () => {
    const { send } = await serve();
    const description = (await send('GET', '/openapi.json')).json();
    expect(description.openapi).toBe('3.1.0');
    const names = Object.keys(description.components.schemas);
    expect(names).toEqual(expect.arrayContaining(['App', 'Grant', 'Token', 'Problem', 'NewGrant']));
    expect(names.filter((name) => name.endsWith('Input'))).toEqual([]);
    const references = [...JSON.stringify(description).matchAll(/#\/components\/schemas\/(\w+)/g)].map(
      ([, name]) => name,
    );
    expect(references.filter((name) => !names.includes(String(name)))).toEqual([]);
    expect(Object.keys(description.paths)).toContain('/v1/grants/{grant}/token');
  });

  test('in the callback role only the browser’s part and health are served', async () => {
    const { send, keeper } = await serve(fakeParts({ surface: 'callback' }));
    keeper.live.set('eol', liveToken('at', 60_000));
    for (const url of ['/v1/grants', '/v1/grants/eol/token', '/metrics', '/openapi.json', '/docs']) {
      expect((await send('GET', url)).statusCode, url).toBe(404);
    }
    const { id } = keeper.addGrant('eol');
    await keeper.authorizations.begin(id, {});
    expect((await send('GET', '/authorize/ticket-1')).statusCode).toBe(200);
    expect((await send('GET', '/livez')).statusCode).toBe(200);
  });
});
