import { describe, expect, test } from 'vitest';
import { ADMIN_KEY, fakeParts, liveToken } from './fake-keeper.ts';
import { admin, serve } from './fake-server.ts';

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

  test.each([
    ['POST', '/v1/apps', 'application/json'],
    ['PATCH', '/v1/grants/eol', 'application/json'],
    ['POST', '/v1/grants/eol/token', 'application/json'],
    ['POST', '/v1/grants/eol/refresh', 'application/json'],
    ['POST', '/v1/diagnose', 'application/json'],
    ['POST', '/oauth/token', 'application/x-www-form-urlencoded'],
    ['POST', '/oauth/revoke', 'application/x-www-form-urlencoded'],
    ['POST', '/oauth/par', 'application/x-www-form-urlencoded'],
    ['POST', '/oauth/introspect', 'application/x-www-form-urlencoded'],
    ['POST', '/oauth/device_authorization', 'application/x-www-form-urlencoded'],
    ['POST', '/oauth/authorize', 'application/x-www-form-urlencoded'],
    ['POST', '/oauth/device', 'application/x-www-form-urlencoded'],
    ['POST', '/authorize/ticket-1', 'application/x-www-form-urlencoded'],
  ] as const)('%s %s reads no body that is compressed, and says so', async (method, url, type) => {
    const { send, keeper } = await serve();
    keeper.addGrant('eol');
    const headers = { ...admin, 'content-type': type };
    for (const coding of ['gzip', 'identity, br', 'GZIP', 'x']) {
      const answer = await send(method, url, '{}', { ...headers, 'content-encoding': coding });
      expect([answer.statusCode, answer.headers['accept-encoding']], coding).toEqual([415, 'identity']);
      expect(answer.body).toContain('without the header Content-Encoding');
    }
    for (const coding of ['', 'identity', 'Identity, ']) {
      const answer = await send(method, url, '{}', { ...headers, 'content-encoding': coding });
      expect(answer.statusCode, coding).not.toBe(415);
    }
    // RFC 9110 section 12.5.3: another type has nothing to do with it.
    const odd = await send(method, url, '<x/>', { ...admin, 'content-type': 'text/xml' });
    expect(odd.headers['accept-encoding']).toBeUndefined();
  });

  test('an unknown path is 404, another method 405 with those that work', async () => {
    const { send } = await serve();
    expect((await send('GET', '/v1/nothing')).json()).toMatchObject({ code: 'not_found' });
    expect((await send('GET', '/nothing')).statusCode).toBe(404);
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
      // Every URL parser resolves two dots, which leads to the start page.
      const leadsHome = trick === '..' || trick === '%2e%2e';
      expect((await send('GET', `/authorize/${trick}`)).statusCode, trick).toBe(leadsHome ? 200 : 404);
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
    expect(body).toContain('evergrant_authorizations_total 3');
    expect(body).toContain('evergrant_exchanges_total{outcome="tokens"} 7');
    expect(body).toContain('evergrant_breaks_total{code="revoked"} 1');
    expect(body).toContain('evergrant_repair_seconds_total 0.5');
    expect(body).toContain('evergrant_renewal_announcements_total{provider="truelayer"} 4');
    expect(body).toContain('evergrant_renewals_needed_total{provider="truelayer",announced="yes"} 2');
    expect(body).toContain('evergrant_renewals_needed_total{provider="truelayer",announced="no"} 1');
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
