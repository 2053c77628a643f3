/**
 * The network against real servers on loopback: what a failure looks like decides whether a refresh token may be
 * presented again, so every kind of failure is made for real.
 */
import { createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { gzipSync } from 'node:zlib';
import { afterEach, describe, expect, test } from 'vitest';
import type { HttpAnswer, HttpRequest, Lost, NotSent, Reach } from '../ports/network.ts';
import { type NetworkOptions, together } from './guarded-connection.ts';
import { network } from './network.ts';

const opened: (() => void)[] = [];
afterEach(() => {
  for (const close of opened.splice(0)) close();
});

/** A server that does with each connection what the test says; gives its port. */
async function listening(server: Server): Promise<number> {
  const sockets = new Set<Socket>();
  const keep = (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
  };
  server.on('connection', keep);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  opened.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

/** Answers each request with these raw bytes, once its whole head has come. */
async function answering(reply: string | ((socket: Socket, request: string) => void)): Promise<{
  readonly port: number;
  readonly requests: string[];
}> {
  const requests: string[] = [];
  const port = await listening(
    createServer((socket) => {
      let head = '';
      socket.on('data', (chunk) => {
        head += chunk;
        if (!head.includes('\r\n\r\n') || requests.includes(head)) return;
        requests.push(head);
        if (typeof reply === 'string') socket.end(reply);
        else reply(socket, head);
      });
    }),
  );
  return { port, requests };
}

const ok = (body: string) => `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`;

async function sent(
  url: string,
  options: NetworkOptions & { readonly reach?: Reach; readonly timeoutMs?: number } = {},
): Promise<HttpAnswer | NotSent | Lost> {
  const request: HttpRequest = { method: 'POST', url, headers: { 'content-type': 'text/plain' }, body: 'hello' };
  const connection = await network(options).open(url, options.reach ?? 'local', 2_000);
  if (connection.kind === 'not_sent') return connection;
  try {
    return await connection.send(request, options.timeoutMs ?? 2_000);
  } finally {
    connection.close();
  }
}

const textOf = (answer: HttpAnswer | NotSent | Lost) =>
  answer.kind === 'answer' ? new TextDecoder().decode(answer.body) : answer.kind;

describe('opening', () => {
  test('a refused port means for certain that nothing was sent', async () => {
    const port = await listening(createServer());
    opened.pop()?.();
    expect(await sent(`http://127.0.0.1:${port}/`)).toMatchObject({
      kind: 'not_sent',
      reason: expect.stringContaining('ECONNREFUSED'),
    });
  });

  test('a name that does not exist means for certain that nothing was sent', async () => {
    const resolve = () => Promise.reject(new Error('getaddrinfo ENOTFOUND nowhere.test'));
    expect(await sent('https://nowhere.test/', { resolve, reach: 'public' })).toEqual({
      kind: 'not_sent',
      reason: 'getaddrinfo ENOTFOUND nowhere.test',
    });
  });

  test('a look-up that hangs ends with the time that was given', async () => {
    const opening = network({ resolve: () => new Promise(() => {}) }).open('https://slow.test/', 'public', 50);
    expect(await opening).toMatchObject({ kind: 'not_sent', reason: 'looking up slow.test took longer than 50 ms' });
  });

  test('a name that is being looked up is not looked up a second time, and afterwards it is', async () => {
    const asked: string[] = [];
    let answer = Promise.withResolvers<readonly string[]>();
    const resolve = together((host) => {
      asked.push(host);
      return answer.promise;
    });
    const both = Promise.allSettled([resolve('slow.test'), resolve('slow.test')]);
    answer.reject(new Error('no server answers'));
    expect((await both).map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    expect(asked).toEqual(['slow.test']);
    answer = Promise.withResolvers();
    answer.resolve(['203.0.114.7']);
    expect(await resolve('slow.test')).toEqual(['203.0.114.7']);
    expect(asked).toHaveLength(2);
  });

  test.each([
    ['private', '10.0.0.1'],
    ['private', '172.16.5.5'],
    ['private', '192.168.1.1'],
    ['loopback', '127.0.0.1'],
    ['IPv6 loopback', '::1'],
    ['link-local, where clouds keep metadata', '169.254.169.254'],
    ['metadata over IPv6', 'fd00:ec2::254'],
    ['IPv6 link-local', 'fe80::1'],
    ['unspecified', '0.0.0.0'],
    ['unspecified', '::'],
    ['multicast', '224.0.0.1'],
    ['broadcast', '255.255.255.255'],
    ['carrier-grade NAT', '100.64.0.1'],
    ['IPv4-mapped', '::ffff:127.0.0.1'],
    ['IPv4-compatible', '::7f00:1'],
    ['6to4', '2002:7f00:1::'],
    ['NAT64', '64:ff9b::a00:1'],
    ['Teredo', '2001::1'],
    ['not assigned', '4000::1'],
    ['no address at all', 'localhost'],
  ])('a name that leads to a %s address (%s) is refused', async (_, address) => {
    const answer = await network({ resolve: async () => [address] }).open('https://upstream.test/', 'public', 500);
    expect(answer).toMatchObject({ kind: 'not_sent', reason: expect.stringContaining('address') });
  });

  test.each([
    'https://127.0.0.1/',
    'https://[::ffff:10.0.0.1]/',
    'https://0x7f.1/',
    'https://2130706433/',
    'https://[::1]/',
  ])('the literal %s is refused however it is written', async (url) => {
    const answer = await network().open(url, 'public', 500);
    expect(answer).toMatchObject({ kind: 'not_sent', reason: expect.stringContaining('not a public address') });
  });

  test('a name that leads to a public and a private address is refused', async () => {
    const resolve = async () => ['203.0.114.7', '10.0.0.1'];
    const answer = await network({ resolve }).open('https://upstream.test/', 'public', 500);
    expect(answer).toEqual({ kind: 'not_sent', reason: '10.0.0.1 is not a public address (private)' });
  });

  test('plain http is refused for every provider that an operator did not add', async () => {
    expect(await network().open('http://upstream.test/', 'public', 500)).toEqual({
      kind: 'not_sent',
      reason: 'only https is allowed',
    });
  });

  test('the name is looked up once, and the connection goes to the address that was checked', async () => {
    const { port } = await answering(ok('here'));
    let lookups = 0;
    const resolve = async () => (lookups++ === 0 ? ['127.0.0.1'] : ['10.0.0.1']);
    expect(textOf(await sent(`http://rebinding.test:${port}/`, { resolve }))).toBe('here');
    expect(lookups).toBe(1);
  });

  test('of two addresses the second is tried when the first refuses', async () => {
    const { port } = await answering(ok('here'));
    const resolve = async () => ['127.0.0.2', '127.0.0.1'];
    expect(textOf(await sent(`http://two.test:${port}/`, { resolve }))).toBe('here');
  });

  test('a network of the setting allow-private-upstream that cannot be read stops the start', () => {
    expect(() => network({ allowPrivate: ['10.0.0.0/99'] })).toThrow(
      'allow-private-upstream: "10.0.0.0/99" is not a network.',
    );
  });
});

describe('TLS', () => {
  const tlsServer = () =>
    listening(
      createTlsServer({ key: KEY, cert: CERTIFICATE }, (socket) =>
        socket.on('error', () => {}).once('data', () => socket.end(ok(`${socket.servername}`))),
      ),
    );
  const resolve = async () => ['127.0.0.1'];

  test('a certificate that nobody vouches for is refused, and nothing was sent', async () => {
    const port = await tlsServer();
    expect(await sent(`https://upstream.test:${port}/`, { resolve })).toMatchObject({
      kind: 'not_sent',
      reason: expect.stringContaining('self-signed certificate'),
    });
  });

  test('a certificate for another name is refused, and nothing was sent', async () => {
    const port = await tlsServer();
    expect(await sent(`https://other.test:${port}/`, { resolve, ca: CERTIFICATE })).toMatchObject({
      kind: 'not_sent',
      reason: expect.stringContaining("does not match certificate's altnames"),
    });
  });

  test('an allowed private network is reached, and the server is asked for by its name', async () => {
    const port = await tlsServer();
    const options = { resolve, ca: CERTIFICATE, allowPrivate: ['127.0.0.0/8'], reach: 'public' } as const;
    expect(textOf(await sent(`https://upstream.test:${port}/`, options))).toBe('upstream.test');
  });
});

describe('sending', () => {
  test('the answer comes as it was, with lower-case header names', async () => {
    const { port, requests } = await answering(
      'HTTP/1.1 201 Created\r\nX-One: 1\r\nX-One: 2\r\nContent-Length: 2\r\n\r\nhi',
    );
    const answer = await sent(`http://127.0.0.1:${port}/token?a=b`);
    expect(answer).toMatchObject({ kind: 'answer', status: 201, complete: true, headers: { 'x-one': '1, 2' } });
    expect(textOf(answer)).toBe('hi');
    expect(requests[0]).toContain('POST /token?a=b HTTP/1.1');
    expect(requests[0]?.toLowerCase()).toContain('connection: close');
    expect(requests[0]?.toLowerCase()).toContain('accept-encoding: identity');
  });

  test('a redirect is an answer and is not followed', async () => {
    const { port, requests } = await answering(
      'HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n',
    );
    expect(await sent(`http://127.0.0.1:${port}/`)).toMatchObject({ status: 302, headers: { location: '/elsewhere' } });
    expect(requests).toHaveLength(1);
  });

  test('a connection that is cut before any header is lost, and the request is not repeated', async () => {
    const { port, requests } = await answering((socket) => socket.destroy());
    expect(await sent(`http://127.0.0.1:${port}/`)).toMatchObject({ kind: 'lost' });
    expect(requests).toHaveLength(1);
  });

  test('a connection that is reset before any header is lost, and the request is not repeated', async () => {
    const { port, requests } = await answering((socket) => socket.resetAndDestroy());
    expect(await sent(`http://127.0.0.1:${port}/`)).toMatchObject({ kind: 'lost' });
    expect(requests).toHaveLength(1);
  });

  test('a reset after the headers keeps what came of the body', async () => {
    const { port } = await answering((socket) => {
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"refresh_token":"r2",');
      setTimeout(() => socket.resetAndDestroy(), 50);
    });
    const answer = await sent(`http://127.0.0.1:${port}/`);
    expect(answer).toMatchObject({ kind: 'answer', status: 200, complete: false });
    expect(textOf(answer)).toBe('{"refresh_token":"r2",');
  });

  test('a body that is shorter than announced is kept and known to be cut', async () => {
    const { port } = await answering('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"refresh_token":"r2"');
    const answer = await sent(`http://127.0.0.1:${port}/`);
    expect(answer).toMatchObject({ kind: 'answer', complete: false });
    expect(textOf(answer)).toBe('{"refresh_token":"r2"');
  });

  test('a chunked body without its end is kept and known to be cut', async () => {
    const { port } = await answering('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n');
    const answer = await sent(`http://127.0.0.1:${port}/`);
    expect(answer).toMatchObject({ kind: 'answer', complete: false });
    expect(textOf(answer)).toBe('hello');
  });

  test('a body that drips past the deadline ends with it, and what came is kept', async () => {
    const { port } = await answering((socket) => {
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n');
      const drip = setInterval(() => socket.write('x'), 20);
      socket.on('close', () => clearInterval(drip));
    });
    const answer = await sent(`http://127.0.0.1:${port}/`, { timeoutMs: 200 });
    expect(answer).toMatchObject({ kind: 'answer', complete: false });
    expect(textOf(answer)).toMatch(/^x+$/);
  });

  test('a server that says nothing is lost after the time that was given', async () => {
    const { port } = await answering(() => {});
    expect(await sent(`http://127.0.0.1:${port}/`, { timeoutMs: 100 })).toMatchObject({ kind: 'lost' });
  });

  test('of an endless body one mebibyte is read, and nobody waits for the rest', async () => {
    const { port } = await answering((socket) => {
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 5000000\r\n\r\n');
      socket.write('x'.repeat(3_000_000));
    });
    const answer = await Promise.race([
      sent(`http://127.0.0.1:${port}/`, { timeoutMs: 60_000 }),
      new Promise<never>((_, reject) => setTimeout(() => reject(new Error('still waiting')), 50_000)),
    ]);
    expect(answer).toMatchObject({ kind: 'answer', complete: false });
    expect(textOf(answer)).toHaveLength(1024 * 1024);
  });

  test('an interim answer is not the answer', async () => {
    const { port } = await answering(`HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n${ok('the answer')}`);
    const answer = await sent(`http://127.0.0.1:${port}/`);
    expect(answer).toMatchObject({ kind: 'answer', status: 200, complete: true, headers: { 'content-length': '10' } });
    expect(textOf(answer)).toBe('the answer');
  });

  test('an answer that changes the protocol, which nobody asked for, is lost at once', async () => {
    const { port } = await answering((socket) => {
      socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n');
    });
    expect(await sent(`http://127.0.0.1:${port}/`)).toMatchObject({ kind: 'lost' });
  });

  test('what follows a whole answer takes nothing from it', async () => {
    const { port } = await answering(`${ok('{"refresh_token":"r2"}')}HTTP/1.1 500 surplus`);
    const answer = await sent(`http://127.0.0.1:${port}/`);
    expect(answer).toMatchObject({ kind: 'answer', status: 200, complete: true });
    expect(textOf(answer)).toBe('{"refresh_token":"r2"}');
  });

  test('a header that cannot be sent means for certain that nothing was sent', async () => {
    const { port, requests } = await answering(ok('one'));
    const url = `http://127.0.0.1:${port}/`;
    const connection = await network().open(url, 'local', 1_000);
    if (connection.kind === 'not_sent') throw new Error('not opened');
    const request: HttpRequest = { method: 'POST', url, headers: { 'x-broken': 'a\r\nb' }, body: 'x' };
    expect(await connection.send(request, 1_000)).toMatchObject({ kind: 'not_sent' });
    expect(requests).toHaveLength(0);
  });

  test('an answer that is no HTTP is lost', async () => {
    const { port } = await answering('SSH-2.0-OpenSSH_9.9\r\n');
    expect(await sent(`http://127.0.0.1:${port}/`)).toMatchObject({ kind: 'lost' });
  });

  test('a body that was compressed although nobody asked is read all the same', async () => {
    const body = gzipSync('{"refresh_token":"r2"}');
    const { port } = await answering((socket) => {
      socket.write(`HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: ${body.length}\r\n\r\n`);
      socket.end(body);
    });
    expect(textOf(await sent(`http://127.0.0.1:${port}/`))).toBe('{"refresh_token":"r2"}');
  });

  test('a connection that the other end closed before the request means for certain that nothing was sent', async () => {
    const port = await listening(createServer((socket) => socket.end()));
    const url = `http://127.0.0.1:${port}/`;
    const connection = await network().open(url, 'local', 1_000);
    await new Promise((resolve) => setTimeout(resolve, 100));
    if (connection.kind === 'not_sent') throw new Error('not opened');
    expect(await connection.send({ method: 'POST', url, headers: {}, body: 'x' }, 1_000)).toEqual({
      kind: 'not_sent',
      reason: 'the other end closed the connection before anything was sent',
    });
  });

  test('one connection carries one request', async () => {
    const { port, requests } = await answering(ok('one'));
    const url = `http://127.0.0.1:${port}/`;
    const connection = await network().open(url, 'local', 1_000);
    if (connection.kind === 'not_sent') throw new Error('not opened');
    const request: HttpRequest = { method: 'POST', url, headers: {}, body: 'x' };
    await connection.send(request, 1_000);
    expect(await connection.send(request, 1_000)).toMatchObject({ kind: 'not_sent' });
    expect(requests).toHaveLength(1);
  });

  test('a request to another origin does not use the connection', async () => {
    const { port, requests } = await answering(ok('one'));
    const connection = await network().open(`http://127.0.0.1:${port}/`, 'local', 1_000);
    if (connection.kind === 'not_sent') throw new Error('not opened');
    expect(await connection.send({ method: 'GET', url: 'http://elsewhere.test/', headers: {} }, 1_000)).toMatchObject({
      kind: 'not_sent',
    });
    connection.close();
    expect(requests).toHaveLength(0);
  });
});

// Made for this test, for the name upstream.test; nothing else trusts it.
const KEY = `-----BEGIN EC PRIVATE KEY-----
MHcCAQEEIAyB4tCkoGWacKIJ2O3I8e9FT+w6OFY2BQcHVCCaxdfYoAoGCCqGSM49
AwEHoUQDQgAEbfdYlReoDiJ1WTimOEOA2MiqETc3oOEqy75BbXzvFBVnDpezi5uc
T97BXaCPKNrJ89szUK8E+Fsy4GR/2yF3cg==
-----END EC PRIVATE KEY-----`;
const CERTIFICATE = `-----BEGIN CERTIFICATE-----
MIIBoDCCAUegAwIBAgIUUTrGwWuYTnI3xHFtckt12X7GTHswCgYIKoZIzj0EAwIw
GDEWMBQGA1UEAwwNdXBzdHJlYW0udGVzdDAgFw0yNjExMjIwMTM0NTVaGA8yMTI2
MTAyOTAxMzQ1NVowGDEWMBQGA1UEAwwNdXBzdHJlYW0udGVzdDBZMBMGByqGSM49
AgEGCCqGSM49AwEHA0IABG33WJUXqA4idVk4pjhDgNjIqhE3N6DhKsu+QW187xQV
Zw6Xs4ubnE/ewV2gjyjayfPbM1CvBPhbMuBkf9shd3KjbTBrMB0GA1UdDgQWBBRC
36qNgxoxljx+Qfp7ZaLk078/GDAfBgNVHSMEGDAWgBRC36qNgxoxljx+Qfp7ZaLk
078/GDAPBgNVHRMBAf8EBTADAQH/MBgGA1UdEQQRMA+CDXVwc3RyZWFtLnRlc3Qw
CgYIKoZIzj0EAwIDRwAwRAIgbpPdLeOj9RT+i7gCiHApgMyGm+3HhiJ7MzTuKk1k
OY4CIHMx8lM/y62+HeqgEL55ZyZaLkQaCCUgjcBYCN/FAn9o
-----END CERTIFICATE-----`;
