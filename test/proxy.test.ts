/** The proxy over real sockets: what passes in both directions, what never does, and what is done about a refused token. */
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { promisify } from 'node:util';
import { afterEach, describe, expect, test } from 'vitest';
import { type ProxyWorld, proxyWorld } from './support/proxy-world.ts';

let world: ProxyWorld;
afterEach(() => world?.[Symbol.asyncDispose]());

async function open(...rest: Parameters<typeof proxyWorld>): Promise<ProxyWorld> {
  world = await proxyWorld(...rest);
  await world.addGrant('eol');
  return world;
}

const basic = (id: string, secret: string) => `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}`;

describe('a request', () => {
  test("reaches the provider's API with the grant's access token, path and query as they were written", async () => {
    await open();
    const rest = "/v1/7/crm/Accounts(guid'1')?$select=ID,Name&$filter=Name%20eq%20'A%2FB'";
    const { body } = await world.raw(`/proxy/eol${rest}`);
    expect(JSON.parse(body)).toEqual({ asked: `/api${rest}` });
    expect(world.seen[0]?.headers.authorization).toBe('Bearer token-of-eol');
  });

  test.each(['POST', 'PUT', 'PATCH', 'DELETE'])('keeps its method %s and its body', async (method) => {
    await open();
    const headers = { 'content-type': 'application/xml' };
    await world.get('/proxy/eol/v1/x', { method, headers, body: '<Divisions/>' });
    const [seen] = world.seen;
    expect([seen?.method, seen?.body, seen?.headers['content-type']]).toEqual([
      method,
      '<Divisions/>',
      'application/xml',
    ]);
  });

  test('hands on a body as it is encoded, without reading it', async () => {
    await open();
    const headers = { 'content-encoding': 'gzip', 'content-type': 'application/json' };
    expect((await world.get('/proxy/eol/v1/x', { method: 'POST', headers, body: 'not read here' })).status).toBe(200);
    expect([world.seen[0]?.headers['content-encoding'], world.seen[0]?.body]).toEqual(['gzip', 'not read here']);
  });

  test('carries nothing that tells who asks, or that another could read differently', async () => {
    await open();
    const headers = {
      cookie: 'session=1',
      forwarded: 'for=10.0.0.1',
      'x-forwarded-for': '10.0.0.1',
      'x-forwarded-host': 'evil.example',
      'x-real-ip': '10.0.0.1',
      'x-original-url': '/admin',
      x_forwarded_for: '10.0.0.1',
      x_http_method_override: 'DELETE',
      'x-http-method-override': 'DELETE',
      'x.http.method.override': 'DELETE',
      'x~forwarded!host': 'evil.example',
      dpop: 'a.proof.x',
      'proxy-authorization': 'Basic eDp5',
      te: 'trailers',
      'x-secret-hop': 'x',
      connection: 'close, x-secret-hop, authorization',
      accept: 'application/json',
    };
    await world.raw('/proxy/eol/v1/x', headers);
    const got = world.seen[0]?.headers ?? {};
    expect(Object.keys(got).toSorted()).toEqual(['accept', 'authorization', 'connection', 'host']);
    expect([got.authorization, got.host]).toEqual(['Bearer token-of-eol', new URL(world.upstream).host]);
  });

  test('with two lengths, or a length and chunks, is not read at all', async () => {
    await open();
    const { port } = new URL(world.origin);
    const { connect } = await import('node:net');
    for (const trick of ['Content-Length: 5\r\nTransfer-Encoding: chunked', 'Content-Length: 5\r\nContent-Length: 6']) {
      const socket = connect(Number(port), '127.0.0.1');
      socket.write(
        `POST /proxy/eol/v1/x HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${world.key}\r\n${trick}\r\n\r\n0\r\n\r\nGET`,
      );
      const said = (await Array.fromAsync(socket)).join('');
      expect(said).toMatch(/^HTTP\/1\.1 400/);
    }
    expect(world.seen).toEqual([]);
  });

  test('for another address of the API names it, and for any other address is refused', async () => {
    await open();
    const to = (url: string) => world.get('/proxy/eol/v1/x', { headers: { 'evergrant-base-url': url } });
    expect(await (await to(`${world.upstream}/other`)).json()).toEqual({ asked: '/other/v1/x' });
    expect((await to('https://evil.example')).status).toBe(400);
    expect(world.seen).toHaveLength(1);
  });

  test.each([
    ['dot segments', '/proxy/eol/../../token'],
    ['dot segments at the end', '/proxy/eol/v1/..'],
    ['encoded dots', '/proxy/eol/v1/%2e%2E/%2e/token'],
    ['dots with a parameter', '/proxy/eol/v1/..;a=b/token'],
    ['dots with an encoded parameter', '/proxy/eol/v1/..%3ba=b/token'],
    ['dots encoded three times', '/proxy/eol/v1/%25252e%25252e/token'],
    ['an encoded slash', '/proxy/eol/v1/..%2f..%2ftoken'],
    ['a slash encoded twice', '/proxy/eol/v1/..%252f..%252ftoken'],
    ['a backslash', '/proxy/eol/v1/..\\..\\token'],
    ['an encoded backslash', '/proxy/eol/v1/%5c..%5ctoken'],
    ['an empty segment', '/proxy/eol//evil.example/x'],
    ['an encoded NUL', '/proxy/eol/v1/x%00'],
    ['an encoded line end', '/proxy/eol/v1/x%0d%0aHost:%20evil'],
    ['an absolute address', 'http://evil.example/proxy/eol/v1/x'],
    ['a user in front', '/proxy/eol@evil.example/v1/x'],
    ['a port behind the alias', '/proxy/eol:80/v1/x'],
    ['a percent sign that encodes nothing', '/proxy/eol/v1/%zz'],
  ])('with %s is refused, and nothing is sent', async (_name, path) => {
    await open();
    const { status } = await world.raw(path);
    expect([400, 404]).toContain(status);
    expect([world.seen, world.exchanges]).toEqual([[], []]);
  });

  test('with an @ in its path stays with the provider', async () => {
    await open();
    await world.raw('/proxy/eol/@evil.example/v1');
    expect(world.seen[0]?.url).toBe('/api/@evil.example/v1');
  });

  test('that would be answered with what was sent, the token among it, is refused', async () => {
    await open();
    expect((await world.raw('/proxy/eol/v1/x', {}, 'TRACE')).status).toBe(405);
    expect(world.seen).toEqual([]);
  });

  test('with a body in any other coding than chunks is refused', async () => {
    await open();
    const headers = { 'transfer-encoding': 'gzip, chunked', connection: 'close' };
    expect([(await world.raw('/proxy/eol/v1/x', headers)).status, world.seen]).toEqual([400, []]);
  });

  test('whose method wants a body of a named kind, and that has none, is the mistake of the caller', async () => {
    await open();
    expect((await world.raw('/proxy/eol/v1/x', {}, 'QUERY')).status).toBe(400);
  });

  test('to upgrade the connection is refused', async () => {
    await open();
    const { status } = await world.raw('/proxy/eol/v1/x', { connection: 'Upgrade', upgrade: 'websocket' });
    expect([status, world.seen]).toEqual([400, []]);
  });
});

describe('who may use it', () => {
  test('[S90] a key with the scope "proxy" calls the API and never sees a token', async () => {
    await open();
    const key = await world.keyWith('proxy');
    const headers = { authorization: `Bearer ${key}` };
    expect((await world.get('/proxy/eol/v1/x', { headers })).status).toBe(200);
    for (const method of ['GET', 'POST']) {
      const token = await fetch(`${world.origin}/v1/grants/eol/token`, { method, headers });
      expect([token.status, await token.text()]).toEqual([403, expect.not.stringContaining('token-of-eol')]);
    }
  });

  test.each([
    ['nothing', {}, 401],
    ['a cookie', { cookie: 'key=KEY' }, 401],
    ['a key of another scope', { authorization: 'Bearer TOKEN-KEY' }, 403],
    ['a made-up key', { authorization: `Bearer evg_${'x'.repeat(43)}` }, 401],
    ['made-up client credentials', { authorization: basic('cli_x', 'secret') }, 401],
  ])('with %s there is no way in', async (_name, sent, status) => {
    await open();
    const tokenKey = await world.keyWith('token');
    const text = JSON.stringify(sent).replace('TOKEN-KEY', tokenKey).replace('KEY', world.key);
    const answer = await fetch(`${world.origin}/proxy/eol/v1/x`, {
      headers: JSON.parse(text) as Record<string, string>,
    });
    expect([answer.status, world.seen]).toEqual([status, []]);
  });

  test('who waits to be asked for id and secret is asked for them, but no page of another site', async () => {
    await open();
    const { client_id, client_secret } = (await world.api('POST', '/v1/clients', { name: 'Excel', grants: ['eol'] }))
      .body;
    const words = ['--silent', '--anyauth', '--user', `${String(client_id)}:${String(client_secret)}`];
    const { stdout } = await promisify(execFile)('curl', [...words, `${world.origin}/proxy/eol/v1/x`]);
    expect(JSON.parse(stdout)).toEqual({ asked: '/api/v1/x' });
    const foreign = await fetch(`${world.origin}/proxy/eol/v1/x`, { headers: { origin: 'https://evil.example' } });
    expect([foreign.status, foreign.headers.get('www-authenticate')]).toEqual([403, null]);
  });

  test('a plain OAuth client shows the access token that it got, for this grant alone', async () => {
    await open();
    await world.addGrant('other');
    const headers = { authorization: 'Bearer token-of-eol' };
    expect((await world.get('/proxy/eol/v1/x', { headers })).status).toBe(200);
    expect((await world.get('/proxy/other/v1/x', { headers })).status).toBe(401);
  });

  test.each([
    ['another site', { 'sec-fetch-site': 'cross-site' }],
    ['a neighbour', { 'sec-fetch-site': 'same-site' }],
    ['another origin, in an old browser', { origin: 'https://evil.example' }],
    ['no origin at all', { origin: 'null' }],
  ])('a page of %s is turned away, whatever it sends', async (_name, headers) => {
    await open();
    const { status, body } = await world.raw('/proxy/eol/v1/x', headers);
    expect([status, JSON.parse(body).code, world.seen]).toEqual([403, 'cross_site', []]);
  });

  test('a grant that is not there is 404', async () => {
    await open();
    expect((await world.get('/proxy/nobody/v1/x')).status).toBe(404);
  });
});

describe('an answer', () => {
  test('keeps status and body, and can do nothing to our own origin', async () => {
    await open();
    world.answering = (_, answer) => {
      answer.writeHead(404, {
        'content-type': 'text/html',
        'x-own': 'kept',
        'set-cookie': 'a=b',
        'access-control-allow-origin': '*',
        'content-security-policy': 'default-src *',
        'strict-transport-security': 'max-age=1',
        'clear-site-data': '"*"',
        link: '</x.js>; rel=preload',
        'cache-control': 'public, max-age=60',
      });
      answer.end('<script>alert(1)</script>');
    };
    const answer = await world.get('/proxy/eol/v1/x');
    expect([answer.status, await answer.text()]).toEqual([404, '<script>alert(1)</script>']);
    const { headers } = answer;
    const gone = ['set-cookie', 'access-control-allow-origin', 'strict-transport-security', 'clear-site-data', 'link'];
    expect(gone.filter((name) => headers.has(name))).toEqual([]);
    expect([headers.get('x-own'), headers.get('evergrant-from'), headers.get('cache-control')]).toEqual([
      'kept',
      'provider',
      'private, max-age=60',
    ]);
    expect(headers.get('content-security-policy')).toContain('sandbox');
    expect(headers.get('x-content-type-options')).toBe('nosniff');
  });

  test('that redirects is not followed: beneath the API it leads through the proxy, elsewhere without credentials', async () => {
    await open();
    const elsewhere = createServer((_, answer) => answer.end('here'));
    await new Promise<void>((done) => {
      elsewhere.listen(0, '127.0.0.1', done);
    });
    const foreign = `http://127.0.0.1:${(elsewhere.address() as AddressInfo).port}/file`;
    const locations = ['/api/v1/y?a=b', `${world.upstream}/api/v1/z`, `${world.upstream}/token`, foreign];
    const led: (string | null)[] = [];
    for (const location of locations) {
      world.answering = (_, answer) => answer.writeHead(302, { location }).end();
      const answer = await world.get('/proxy/eol/v1/x');
      led.push(answer.headers.get('location'));
      expect(answer.status).toBe(302);
    }
    elsewhere.close();
    expect(led).toEqual(['/proxy/eol/v1/y?a=b', '/proxy/eol/v1/z', `${world.upstream}/token`, foreign]);
    expect(world.seen).toHaveLength(4);
  });

  test('that breaks off breaks off for the caller', async () => {
    await open();
    world.answering = (_, answer) => {
      answer.writeHead(200, { 'content-length': '100' });
      answer.write('half');
      setTimeout(() => answer.destroy(), 20);
    };
    const answer = await world.get('/proxy/eol/v1/x');
    await expect(answer.text()).rejects.toThrow();
  });
});

describe('streams', () => {
  test('an answer arrives piece by piece, and is read from the provider no faster than the caller reads', async () => {
    await open();
    let written = 0;
    const piece = Buffer.alloc(65_536, 'x');
    world.answering = async (_, answer) => {
      answer.writeHead(200);
      const closed = once(answer, 'close');
      for (let i = 0; i < 1_000 && !answer.destroyed; i++) {
        written += piece.length;
        if (!answer.write(piece)) await Promise.race([once(answer, 'drain'), closed]);
      }
      answer.end();
    };
    const answer = await world.get('/proxy/eol/v1/x');
    const reader = answer.body?.getReader();
    await reader?.read();
    await new Promise((done) => {
      setTimeout(done, 300);
    });
    const ahead = written;
    await reader?.cancel();
    // Sockets and streams hold a few megabytes on their way; the whole answer would be 65.
    expect(ahead).toBeLessThan(30_000_000);
  });

  test('a body is passed on while it is still being sent', async () => {
    await open();
    let first: (text: string) => void = () => undefined;
    const arrived = new Promise<string>((done) => {
      first = done;
    });
    world.answering = async (_, answer, raw) => {
      let all = '';
      for await (const chunk of raw) {
        all += String(chunk);
        first(all);
      }
      answer.end(all);
    };
    async function* pieces() {
      yield 'one ';
      expect(await arrived).toBe('one ');
      yield 'two';
    }
    const body = Readable.toWeb(Readable.from(pieces()));
    const init = { method: 'POST', body, duplex: 'half', headers: { 'x-streamed': '1' } } as unknown as RequestInit;
    expect(await (await world.get('/proxy/eol/v1/x', init)).text()).toBe('one two');
  });

  test('a caller who hangs up ends the request at the provider', async () => {
    await open();
    let ended: () => void = () => undefined;
    const isEnded = new Promise<void>((done) => {
      ended = done;
    });
    world.answering = (_, answer) => {
      answer.once('close', ended);
    };
    const over = new AbortController();
    const asked = world.get('/proxy/eol/v1/x', { signal: over.signal }).catch(() => null);
    while (world.seen.length === 0) {
      await new Promise((done) => {
        setTimeout(done, 5);
      });
    }
    over.abort();
    await Promise.all([isEnded, asked]);
  });
});

describe('a token that the provider refuses', () => {
  const only = (good: string) => (seen: { headers: { authorization?: string | undefined } }) =>
    seen.headers.authorization === `Bearer ${good}`;

  test.each([
    ['without a body', 'GET', ''],
    ['with a short body', 'POST', 'once'],
  ])('is exchanged once, and the request %s is repeated once', async (_name, method, body) => {
    await open();
    const isGood = only('token-after-exchange');
    world.answering = (seen, answer) => answer.writeHead(isGood(seen) ? 200 : 401).end(`got ${seen.body}`);
    const answer = await world.get('/proxy/eol/v1/x', { method, ...(body === '' ? {} : { body }) });
    expect([answer.status, await answer.text()]).toEqual([200, `got ${body}`]);
    expect([world.seen.length, world.exchanges.length]).toEqual([2, 1]);
  });

  test('is refused again: the answer of the provider is passed on, and there is no third try', async () => {
    await open();
    world.answering = (_, answer) => answer.writeHead(401).end('no');
    const answer = await world.get('/proxy/eol/v1/x');
    expect([answer.status, await answer.text(), world.seen.length]).toEqual([401, 'no', 2]);
  });

  test('with a body that was streamed: nothing is repeated', async () => {
    await open();
    world.answering = (_, answer) => answer.writeHead(401).end('no');
    const body = 'x'.repeat(100_000);
    const answer = await world.get('/proxy/eol/v1/x', { method: 'POST', body });
    expect([answer.status, world.seen.length, world.exchanges.length]).toEqual([401, 1, 0]);
  });

  test('by a hundred callers at once is exchanged once', async () => {
    await open();
    const isGood = only('token-after-exchange');
    world.answering = (seen, answer) => answer.writeHead(isGood(seen) ? 200 : 401).end();
    const all = await Promise.all(Array.from({ length: 100 }, () => world.get('/proxy/eol/v1/x')));
    expect([...new Set(all.map(({ status }) => status))]).toEqual([200]);
    expect(world.exchanges).toHaveLength(1);
  });
});

describe('a provider that does not answer', () => {
  test('is a 503 with Retry-After, not an error of its own kind', async () => {
    await open();
    world.answering = (_, answer) => answer.destroy();
    const answer = await world.get('/proxy/eol/v1/x');
    const { code, retry_after: retryAfter } = (await answer.json()) as Record<string, unknown>;
    expect([answer.status, code, retryAfter]).toEqual([503, 'upstream_unavailable', 5]);
    // Reading may be tried twice.
    expect(world.seen).toHaveLength(2);
  });

  test('to a request that changes something: says that it may have been done, and repeats nothing', async () => {
    await open();
    world.answering = (_, answer) => answer.destroy();
    const answer = await world.get('/proxy/eol/v1/x', { method: 'POST', body: 'pay' });
    const { code } = (await answer.json()) as Record<string, unknown>;
    expect([answer.status, code, world.seen.length]).toEqual([502, 'upstream_lost', 1]);
  });
});

test('[S45] without a request nothing is sent, and each request is one request', async () => {
  await open();
  expect([world.seen.length, world.exchanges.length]).toEqual([0, 0]);
  for (let i = 0; i < 3; i++) await world.get('/proxy/eol/v1/x');
  expect([world.seen.length, world.exchanges.length]).toEqual([3, 0]);
});

test('a grant whose provider names no API is told apart', async () => {
  await open({}, { api_base_urls: [] });
  const answer = await world.get('/proxy/eol/v1/x');
  expect([answer.status, await answer.json()]).toEqual([404, expect.objectContaining({ code: 'not_found' })]);
});

test('with an origin of its own, the proxy answers there and nothing else does', async () => {
  await open({ proxyListen: { host: '127.0.0.1', port: 0 } });
  expect((await world.get('/proxy/eol/v1/x')).status).toBe(200);
  const headers = { authorization: `Bearer ${world.key}` };
  expect((await fetch(`${world.origin}/proxy/eol/v1/x`, { headers })).status).toBe(404);
  expect((await fetch(`${world.proxyOrigin}/v1/grants`, { headers })).status).toBe(404);
  expect((await fetch(`${world.proxyOrigin}/livez`)).status).toBe(200);
});

test('a stop cuts off what streams without end', async () => {
  await open();
  world.answering = (_, answer) => {
    answer.writeHead(200).write('begun');
  };
  const answer = await world.get('/proxy/eol/v1/x');
  const ended = answer.text().catch(() => 'cut');
  await world.app.close();
  expect(await ended).toBe('cut');
}, 20_000);
