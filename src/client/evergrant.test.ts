/** The SDK against a server that answers as a test says. */
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { inspect } from 'node:util';
import { EmbeddedJWK, jwtVerify } from 'jose';
import { evergrant, EvergrantProblem } from 'evergrant/client';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';

interface Asked {
  readonly url: string;
  readonly authorization: string;
  readonly dpop?: string;
  readonly body: string;
}
type Answer = readonly [status: number, body: unknown, headers?: Record<string, string>];

let server: Server;
let origin = '';
let asked: Asked[] = [];
/** Taken one by one; the last one stays. */
let answers: Answer[] = [];

const token = (access_token: string, expires_in: number | null = 600): Answer => [200, { access_token, expires_in }];

beforeAll(async () => {
  server = createServer((incoming: IncomingMessage, outgoing) => {
    void text(incoming).then((body) => {
      const { authorization = '', dpop } = incoming.headers;
      const proof = dpop === undefined ? {} : { dpop: String(dpop) };
      asked.push({ url: incoming.url ?? '', authorization, body, ...proof });
      const [status, said, headers] = (answers.length > 1 ? answers.shift() : answers[0]) ?? [500, {}];
      outgoing.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(said));
    });
  });
  await new Promise<void>((done) => {
    server.listen(0, '127.0.0.1', done);
  });
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});
beforeEach(() => {
  asked = [];
  answers = [token('first'), token('second')];
  vi.useFakeTimers({ toFake: ['Date', 'performance'] });
});
afterEach(() => vi.useRealTimers());

const withKey = (more: object = {}) => evergrant({ server: origin, grant: 'eol', apiKey: 'the-key', ...more });
const withClient = (more: object = {}) =>
  evergrant({ server: origin, clientId: 'cli_1', clientSecret: 's:e+cret', ...more });

describe('accessToken', () => {
  test('[S35] [S109] is fetched once for all who ask at once, and then comes from memory', async () => {
    const eol = withKey();
    const all = await Promise.all(Array.from({ length: 100 }, () => eol.accessToken()));
    for (let i = 0; i < 100; i++) all.push(await eol.accessToken());
    expect([new Set(all), asked.length]).toEqual([new Set(['first']), 1]);
    expect(asked[0]).toEqual({ url: '/v1/grants/eol/token', authorization: 'Bearer the-key', body: '{}' });
  });

  test('lives as long as it truly has left, and is fetched anew before its end', async () => {
    const eol = withKey();
    await eol.accessToken();
    vi.advanceTimersByTime(594_000);
    expect(await eol.accessToken()).toBe('first');
    vi.advanceTimersByTime(2_000);
    expect(await eol.accessToken()).toBe('second');
  });

  test('ends by the clock that nobody sets, when the other one is set back', async () => {
    const eol = withKey();
    await eol.accessToken();
    const before = Date.now();
    vi.advanceTimersByTime(601_000);
    vi.setSystemTime(before);
    expect(await eol.accessToken()).toBe('second');
  });

  test('with more life than it has left is asked for', async () => {
    const eol = withKey();
    await eol.accessToken();
    vi.advanceTimersByTime(400_000);
    expect(await eol.accessToken({ minTtl: 300 })).toBe('second');
    expect(asked[1]?.body).toBe('{"min_ttl":300}');
  });

  test('of which nobody knows the life is kept for a minute', async () => {
    answers = [token('first', null), token('second', null)];
    const eol = withKey();
    await eol.accessToken();
    vi.advanceTimersByTime(50_000);
    expect(await eol.accessToken()).toBe('first');
    vi.advanceTimersByTime(20_000);
    expect(await eol.accessToken()).toBe('second');
  });

  test('waits as long as the server says (503, Retry-After), and asks again', async () => {
    const later: Answer = [503, { code: 'too_early' }, { 'retry-after': '0' }];
    answers = [later, later, token('late')];
    expect(await withKey().accessToken()).toBe('late');
    expect(asked).toHaveLength(3);
  });

  test('gives up when the wait is longer than its patience, and says why', async () => {
    answers = [[503, { code: 'too_early', detail: 'Not yet.', remedy: 'Wait.' }, { 'retry-after': '100' }]];
    const failed = await withKey()
      .accessToken()
      .catch((error: unknown) => error);
    expect(failed).toBeInstanceOf(EvergrantProblem);
    expect(failed).toMatchObject({
      status: 503,
      code: 'too_early',
      message: 'Not yet.',
      remedy: 'Wait.',
      retryAfter: 100,
    });
    expect(asked).toHaveLength(1);
  });

  test('that needs a person is asked for once, and the problem says where to renew', async () => {
    answers = [[409, { code: 'authorization_required', renew_url: 'https://e.example/grants/1' }]];
    await expect(withKey().accessToken()).rejects.toMatchObject({ renewUrl: 'https://e.example/grants/1' });
    expect(asked).toHaveLength(1);
  });

  test('that lives a little longer is served while the server is away', async () => {
    const eol = withKey({ patience: 0 });
    await eol.accessToken();
    answers = [[500, {}]];
    vi.advanceTimersByTime(597_000);
    expect(await eol.accessToken()).toBe('first');
    vi.advanceTimersByTime(4_000);
    await expect(eol.accessToken()).rejects.toBeInstanceOf(EvergrantProblem);
  });
});

describe('a client of the OAuth endpoints', () => {
  test('[S115] sends its durable refresh token in the standard form, the same each time', async () => {
    const eol = withClient({ refreshToken: 'durable', grant: 'eol' });
    expect(await eol.accessToken()).toBe('first');
    vi.advanceTimersByTime(600_000);
    expect(await eol.accessToken()).toBe('second');
    const secret = Buffer.from('cli_1:s%3Ae%2Bcret').toString('base64');
    const body = 'grant_type=refresh_token&refresh_token=durable&audience=eol';
    const wanted = { url: '/oauth/token', authorization: `Basic ${secret}`, body };
    expect(asked).toEqual([wanted, wanted]);
  });

  test('without one uses its client credentials', async () => {
    await withClient().accessToken();
    expect(asked[0]?.body).toBe('grant_type=client_credentials');
  });

  test('is told the OAuth error', async () => {
    answers = [[400, { error: 'invalid_grant', error_description: 'expired_idle' }]];
    await expect(withClient().accessToken()).rejects.toMatchObject({ code: 'invalid_grant', message: 'expired_idle' });
  });
});

describe('fetch', () => {
  test('carries the token, and leaves the rest of the request as it is', async () => {
    answers = [token('first'), [201, { done: true }]];
    const answer = await withKey().fetch(`${origin}/api`, { method: 'POST', body: 'x', headers: { 'x-own': '1' } });
    expect([answer.status, asked[1]]).toEqual([201, { url: '/api', authorization: 'Bearer first', body: 'x' }]);
  });

  test('that is refused says so once, and is repeated with another token', async () => {
    answers = [token('first'), [401, {}], token('second'), [200, {}]];
    const answer = await withKey().fetch(`${origin}/api`, { method: 'POST', body: 'x' });
    const rejected = createHash('sha256').update('first').digest('base64url');
    expect([answer.status, asked[2]?.body, asked[3]?.authorization]).toEqual([
      200,
      JSON.stringify({ rejected }),
      'Bearer second',
    ]);
  });

  test('that is refused while there is no other token gives the answer of the API', async () => {
    answers = [token('first'), [401, { why: 'no right' }], token('first')];
    const answer = await withKey().fetch(`${origin}/api`);
    expect([answer.status, await answer.json(), asked.length]).toEqual([401, { why: 'no right' }, 3]);
  });

  test('with a body that can be read once is not repeated', async () => {
    answers = [token('first'), [401, {}]];
    const init = { method: 'POST', body: new Blob(['x']).stream(), duplex: 'half' } as RequestInit;
    expect((await withKey().fetch(`${origin}/api`, init)).status).toBe(401);
    expect(asked).toHaveLength(2);
  });
});

test('[S114] nothing that is secret can be read out of it', async () => {
  const eol = withClient({ refreshToken: 'durable-secret' });
  await eol.accessToken();
  const shown = inspect(eol, { depth: 10, showHidden: true }) + JSON.stringify(eol);
  for (const secret of ['durable-secret', 's:e+cret', 'first']) expect(shown).not.toContain(secret);
});

describe('a client without a secret', () => {
  const key = () =>
    globalThis.crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, false, ['sign', 'verify']);
  const page = async (more: object = {}) =>
    evergrant({ server: `${origin}/`, clientId: 'cli_1', refreshToken: 'evr_x', dpop: await key(), ...more });
  const claimsOf = ({ dpop = '' }: Asked) => JSON.parse(Buffer.from(dpop.split('.')[1] ?? '', 'base64url').toString());

  test('names itself in the body and proves its key, which nobody can read, anew with each request [S127]', async () => {
    const eol = await page();
    await eol.accessToken();
    await eol.accessToken({ minTtl: 599 });
    vi.advanceTimersByTime(600_000);
    await eol.accessToken();
    const [first, second] = asked;
    expect(first).toMatchObject({
      authorization: '',
      body: 'grant_type=refresh_token&refresh_token=evr_x&client_id=cli_1',
    });
    const { payload, protectedHeader } = await jwtVerify(first?.dpop ?? '', EmbeddedJWK, { typ: 'dpop+jwt' });
    expect(Object.keys(protectedHeader.jwk ?? {}).toSorted()).toEqual(['crv', 'kty', 'x', 'y']);
    expect(payload).toMatchObject({ htm: 'POST', htu: `${origin}/oauth/token`, iat: expect.any(Number) });
    expect(second && claimsOf(second).jti).toMatch(/^[\w-]{22}$/);
    expect(second && claimsOf(second).jti).not.toBe(payload.jti);
  });

  test('whose clock is wrong sends the nonce that it is given, at once and from then on', async () => {
    const wanted: Answer = [400, { error: 'use_dpop_nonce' }, { 'dpop-nonce': 'n1' }];
    answers = [wanted, token('first', 10), token('second')];
    const eol = await page();
    expect(await eol.accessToken()).toBe('first');
    vi.advanceTimersByTime(8_000);
    expect(await eol.accessToken()).toBe('second');
    expect(asked.map((one) => claimsOf(one).nonce)).toEqual([undefined, 'n1', 'n1']);
  });

  test('does not go on for ever where its proof is asked for with the same nonce again', async () => {
    answers = [[400, { error: 'use_dpop_nonce' }, { 'dpop-nonce': 'n1' }]];
    await expect((await page()).accessToken()).rejects.toMatchObject({ code: 'use_dpop_nonce' });
    expect(asked).toHaveLength(2);
  });
});
