/** What a provider, a caller, or somebody between them could try with the proxy beside what `proxy.test.ts` shows. */
import { connect } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { type ProxyWorld, proxyWorld } from './support/proxy-world.ts';

let world: ProxyWorld;
afterEach(() => world?.[Symbol.asyncDispose]());

async function open(...rest: Parameters<typeof proxyWorld>): Promise<ProxyWorld> {
  world = await proxyWorld(...rest);
  await world.addGrant('eol');
  return world;
}

/** Bytes as they are, on a connection of their own; gives all that came back. */
async function bytes(...parts: (string | Buffer)[]): Promise<string> {
  const socket = connect(Number(new URL(world.origin).port), '127.0.0.1');
  for (const part of parts) socket.write(part);
  return (await Array.fromAsync(socket, String)).join('');
}

const head = (line: string, ...headers: string[]) =>
  `${[`${line} HTTP/1.1`, 'Host: evergrant.example', 'Connection: close', ...headers].join('\r\n')}\r\n\r\n`;
const keyed = () => `Authorization: Bearer ${world.key}`;

describe('a provider that redirects', () => {
  async function leads(location: string, headers: Record<string, string> = {}): Promise<string | null> {
    world.answering = (_, answer) => answer.writeHead(307, { location }).end();
    const answer = await world.get('/proxy/eol/v1/x', { headers });
    expect(answer.status).toBe(307);
    return answer.headers.get('location');
  }

  test('cannot send a caller, with its key, to an address of Evergrant', async () => {
    await open();
    const { host } = new URL(world.origin);
    const here = ['/v1/api-keys', '../../../v1/api-keys', '?a', '//else.example/x', '/\\else.example/x'];
    const led: (string | null)[] = [];
    for (const location of here) led.push(await leads(location));
    expect(led).toEqual([
      `${world.upstream}/v1/api-keys`,
      `${world.upstream}/v1/api-keys`,
      '/proxy/eol/v1/x?a',
      'http://else.example/x',
      'http://else.example/x',
    ]);
    for (const location of [`${world.origin}/v1/api-keys`, `//${host}/v1/api-keys`, `HTTP://${host}/`, 'http://[']) {
      expect([location, await leads(location)]).toEqual([location, null]);
    }
  });

  test('cannot do so either where the caller knows Evergrant by another name', async () => {
    await open();
    world.answering = (_, answer) => answer.writeHead(302, { location: 'http://EVERGRANT.example/v1/api-keys' }).end();
    expect((await bytes(head('GET /proxy/eol/v1/x', keyed()))).toLowerCase()).not.toContain('location');
  });

  test('within its API leads on through the proxy, with query and fragment', async () => {
    await open();
    expect(await leads('y?a=b#part')).toBe('/proxy/eol/v1/y?a=b#part');
  });
});

describe('a list in pages', () => {
  const list = async (link: string) => {
    world.answering = (_, answer) => answer.writeHead(200, { link, 'cache-control': 'max-age=60' }).end('[]');
    return (await world.get('/proxy/eol/v1/list?page=2')).headers.get('link');
  };

  test('leads to its other pages through the proxy, fresh or kept, and loads nothing', async () => {
    await open({ proxyCacheBytes: 1_000_000 });
    const link = [
      `<${world.upstream}/api/v1/list?page=3>; rel="next"; title="a, b"`,
      '</api/v1/list?page=1>;rel=prev',
      '<?page=9> ; rel="Last"',
      '</x.js>; rel="preload"; as=script',
      `<${world.origin}/v1/api-keys>; rel="first"`,
      '</token>; rel="self"',
      '<https://else.example/x>; rel="up"',
    ].join(', ');
    const page = (number: number, rel: string) => `<${world.origin}/proxy/eol/v1/list?page=${number}>; rel="${rel}"`;
    const pages = [page(3, 'next'), page(1, 'prev'), page(9, 'last')].join(', ');
    expect(await list(link)).toBe(pages);
    expect(await list('</x.css>; rel=stylesheet')).toBe(pages);
    expect(world.seen).toHaveLength(1);
  });

  test.each(['</x.css>; rel=stylesheet', 'nonsense', '<a', '<>; rel=', `<a>${';'.repeat(8_000)}`])(
    'has no links where none leads to a page: %#',
    async (link) => {
      await open();
      expect(await list(link)).toBeNull();
    },
  );
});

describe('an answer', () => {
  test('gives no order to a server in front of Evergrant: which file to send, or for whom to keep what belongs to one grant', async () => {
    await open();
    const orders = {
      'x-accel-redirect': '/internal',
      'x-accel-expires': '600',
      'x-sendfile': '/etc/passwd',
      'x-lighttpd-send-file': '/etc/passwd',
      'cdn-cache-control': 'public, max-age=600',
      'surrogate-control': 'max-age=600',
      'cloudflare-cdn-cache-control': 'max-age=600',
      'speculation-rules': '"/rules.json"',
      'accept-ch': 'dpr',
    };
    world.answering = (_, answer) => answer.writeHead(200, { ...orders, 'x-own': 'kept' }).end('x');
    const { headers } = await world.get('/proxy/eol/v1/x');
    expect(Object.keys(orders).filter((name) => headers.has(name))).toEqual([]);
    expect([headers.get('x-own'), headers.get('cache-control')]).toEqual(['kept', 'no-store']);
  });

  test('without a body does not claim to have one', async () => {
    await open();
    world.answering = (_, __, raw) => raw.socket.end('HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello');
    const said = (await bytes(head('DELETE /proxy/eol/v1/x', keyed()))).toLowerCase();
    expect(said).toMatch(/^http\/1\.1 204/);
    expect(said).not.toMatch(/content-length|hello/);
  });

  test.each([
    ['a status that is none', 'HTTP/1.1 000 None\r\nContent-Length: 2\r\n\r\nhi'],
    ['two lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nhi'],
    ['a length and chunks', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
    ['a header that hides another', 'HTTP/1.1 200 OK\r\nX-A: b\rSet-Cookie: c=d\r\nContent-Length: 2\r\n\r\nhi'],
    ['another protocol', 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nx'],
    ['no HTTP', '220 smtp.example ESMTP\r\n'],
  ])('with %s is none: later, in words of Evergrant alone', async (_, text) => {
    await open();
    world.answering = (__, ___, raw) => raw.socket.end(text);
    const answer = await world.get('/proxy/eol/v1/x');
    expect([answer.status, answer.headers.has('set-cookie')]).toEqual([503, false]);
    const { code, detail } = (await answer.json()) as { code: string; detail: string };
    expect([code, detail]).toEqual([
      'upstream_unavailable',
      expect.stringMatching(/^The API of Up does not answer: [^\n]+\.$/),
    ]);
    expect(detail).not.toContain('assert');
    world.answering = (__, one) => one.end('alive');
    expect(await (await world.get('/proxy/eol/v1/x')).text()).toBe('alive');
  });

  test('that goes on after its end does not become the next one', async () => {
    await open();
    world.answering = (_, __, raw) => {
      const next = 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil';
      raw.socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst${next}`);
    };
    expect(await (await world.get('/proxy/eol/v1/x')).text()).toBe('first');
    world.answering = (_, answer) => answer.end('second');
    expect(await (await world.get('/proxy/eol/v1/x')).text()).toBe('second');
  });

  test('of which only a part was asked for is a part, and is not shown to who wants the whole', async () => {
    await open({ proxyCacheBytes: 1_000_000 });
    world.answering = ({ headers }, answer) => {
      const cached = { 'cache-control': 'max-age=60' };
      if (headers.range === undefined) answer.writeHead(200, cached).end('whole');
      else answer.writeHead(206, { ...cached, 'content-range': 'bytes 0-1/5' }).end('wh');
    };
    const part = await world.get('/proxy/eol/v1/x', { headers: { range: 'bytes=0-1' } });
    expect([part.status, part.headers.get('content-range'), await part.text()]).toEqual([206, 'bytes 0-1/5', 'wh']);
    expect(await (await world.get('/proxy/eol/v1/x')).text()).toBe('whole');
    expect((await world.get('/proxy/eol/v1/x', { headers: { range: 'bytes=0-1' } })).status).toBe(206);
  });

  test('to a GET with a body is nothing for who sends none', async () => {
    await open({ proxyCacheBytes: 1_000_000 });
    world.answering = ({ body }, answer) => {
      answer.writeHead(200, { 'cache-control': 'max-age=60' }).end(`to "${body}"`);
    };
    const withBody = head('GET /proxy/eol/v1/x', keyed(), 'Content-Length: 4');
    expect(await bytes(withBody, 'evil')).toContain('to "evil"');
    expect(await (await world.get('/proxy/eol/v1/x')).text()).toBe('to ""');
    expect(await bytes(withBody, 'mine')).toContain('to "mine"');
  });
});

describe('a request', () => {
  test('carries no word to Evergrant, and nothing that programs behind take for their own settings', async () => {
    await open();
    const names = ['Proxy', 'X-Host', 'X-HTTP-Host-Override', 'X-Override-URL', 'Evergrant-From', 'X-Remote-Addr'];
    await bytes(head('GET /proxy/eol/v1/x', keyed(), ...names.map((name) => `${name}: evil.example`)));
    const got = Object.keys(world.seen[0]?.headers ?? {});
    expect(got.toSorted()).toEqual(['authorization', 'connection', 'host']);
  });

  test('brings no trailers', async () => {
    await open();
    let trailers: unknown;
    world.answering = (_, answer, raw) => {
      trailers = raw.rawTrailers;
      answer.end('x');
    };
    const chunked = head('POST /proxy/eol/v1/x', keyed(), 'Transfer-Encoding: chunked', 'Trailer: X-Admin');
    expect(await bytes(chunked, '3\r\nabc\r\n0\r\nX-Admin: yes\r\nAuthorization: Bearer evil\r\n\r\n')).toMatch(
      / 200 /,
    );
    expect([world.seen[0]?.body, trailers]).toEqual(['abc', []]);
    expect(world.seen[0]?.headers.trailer).toBeUndefined();
  });

  test('with two keys, two hosts or no host is not sent', async () => {
    await open();
    const two = (header: string) => bytes(head('GET /proxy/eol/v1/x', keyed(), header));
    expect(await two(keyed())).toMatch(/ 401 /);
    expect(await two('Host: else.example')).toMatch(/ 400 /);
    expect(await bytes(`GET /proxy/eol/v1/x HTTP/1.1\r\n${keyed()}\r\nConnection: close\r\n\r\n`)).toMatch(/ 400 /);
    expect(world.seen).toEqual([]);
  });

  test.each(['PROPFIND', 'COPY'])(
    'by the method %s, which is not passed on, is told which there are',
    async (method) => {
      await open();
      const { status, body } = await world.raw('/proxy/eol/v1/x', {}, method);
      expect([status, JSON.parse(body)]).toMatchObject([405, { code: 'method_not_allowed' }]);
      expect(body).toContain('DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT');
    },
  );

  test('for the head alone gets the head alone, and is another one than for the whole', async () => {
    await open({ proxyCacheBytes: 1_000_000 });
    world.answering = ({ method }, answer) => {
      answer.writeHead(200, { 'cache-control': 'max-age=60', 'content-length': '4' }).end('body');
      expect(['HEAD', 'GET']).toContain(method);
    };
    expect(await bytes(head('HEAD /proxy/eol/v1/x', keyed()))).toMatch(/content-length: 4\r\n(?:.+\r\n)*\r\n$/);
    expect(await (await world.get('/proxy/eol/v1/x')).text()).toBe('body');
    expect(world.seen.map(({ method }) => method)).toEqual(['HEAD', 'GET']);
  });

  test('whose caller hangs up in the middle of its body is not sent where it is short, and else not as a whole one', async () => {
    await open();
    let arrived: (isWhole: Promise<boolean>) => void = () => undefined;
    world.answering = (_, answer, raw) => {
      for (const side of [raw, answer]) side.on('error', () => undefined);
      arrived(new Promise((done) => raw.resume().once('close', () => done(raw.complete))));
    };
    const begin = (length: number) => {
      const socket = connect(Number(new URL(world.origin).port), '127.0.0.1');
      socket.write(head('POST /proxy/eol/v1/x', keyed(), `Content-Length: ${length}`, 'X-Streamed: 1'));
      socket.write('half');
      return socket;
    };
    begin(100).end();
    const isWhole = new Promise<boolean>((done) => {
      arrived = (whole) => {
        long.destroy();
        done(whole);
      };
    });
    const long = begin(1_000_000);
    expect(await isWhole).toBe(false);
    expect(world.seen.map(({ headers }) => headers['content-length'])).toEqual(['1000000']);
    world.answering = (_, answer) => answer.end('alive');
    expect(await (await world.get('/proxy/eol/v1/x')).text()).toBe('alive');
  });
});
