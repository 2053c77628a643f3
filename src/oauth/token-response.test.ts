/** Reading answers of token endpoints: real ones, odd ones, and ones that broke off. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Instant } from '../core/instant.ts';
import { Secret } from '../core/secret.ts';
import { type AnswerShape, type RawAnswer, readTokenResponse, type TokenResponse } from './token-response.ts';

const NOW = Date.parse('2026-11-22T12:00:00Z') as Instant;

const STANDARD: AnswerShape = {
  tokenResponse: {
    accessToken: '/access_token',
    refreshToken: '/refresh_token',
    expiresIn: '/expires_in',
    scope: '/scope',
    error: '/error',
    errorDescription: '/error_description',
  },
  errors: [],
};

function read(
  body: string | Uint8Array,
  answer: Partial<Omit<RawAnswer, 'body'>> = {},
  shape: AnswerShape = STANDARD,
  secrets: readonly Secret[] = [],
): TokenResponse {
  const bytes = typeof body === 'string' ? new TextEncoder().encode(body) : body;
  return readTokenResponse({ status: 200, headers: {}, complete: true, ...answer, body: bytes }, shape, {
    now: NOW,
    secrets,
  });
}

/** The tokens in the open, for comparing. */
function tokens(response: TokenResponse): { access: string | null; refresh: string | null } | TokenResponse['kind'] {
  if (response.kind !== 'tokens') return response.kind;
  return { access: response.accessToken?.reveal() ?? null, refresh: response.refreshToken?.reveal() ?? null };
}

const BOTH = { access: 'a1', refresh: 'r2' };

describe('whatever holds a whole token is an answer with tokens', () => {
  const json = '{"access_token":"a1","token_type":"bearer","expires_in":"600","refresh_token":"r2"}';
  test.each<[string, string, Partial<RawAnswer>]>([
    ['as Exact Online sends it', json, { headers: { 'content-type': 'application/json; charset=utf-8' } }],
    ['without token_type', '{"access_token":"a1","refresh_token":"r2"}', {}],
    ['with token_type BearerToken', '{"access_token":"a1","token_type":"BearerToken","refresh_token":"r2"}', {}],
    ['with status 201', json, { status: 201 }],
    ['with status 400', json, { status: 400 }],
    ['with status 502', json, { status: 502 }],
    ['with status 302', json, { status: 302 }],
    ['typed as HTML', json, { headers: { 'content-type': 'text/html' } }],
    ['without a content type', json, {}],
    ['as a form', 'access_token=a1&token_type=bearer&refresh_token=r2', {}],
    ['as a form with percent-encoding', 'refresh_token=r%32&access_token=a1', {}],
    ['after a byte order mark', `\u{FEFF}${json}`, {}],
    ['before trailing text', `${json}\n<!-- cached -->`, {}],
    ['next to an error', '{"error":"x","access_token":"a1","refresh_token":"r2"}', { status: 400 }],
  ])('%s', (_, body, answer) => {
    expect(tokens(read(body, answer))).toEqual(BOTH);
  });

  test('tokens are found at the place of the provider, and at the standard place when they have moved there', () => {
    const nested = {
      ...STANDARD.tokenResponse,
      accessToken: '/body/access_token',
      refreshToken: '/body/refresh_token',
    };
    const shape = { ...STANDARD, tokenResponse: nested };
    expect(tokens(read('{"status":0,"body":{"access_token":"a1","refresh_token":"r2"}}', {}, shape))).toEqual(BOTH);
    expect(tokens(read(json, {}, shape))).toEqual(BOTH);
  });

  test('a refresh token alone is kept, even beside an error', () => {
    expect(tokens(read('{"error":"access_denied","refresh_token":"r2"}', { status: 400 }))).toEqual({
      access: null,
      refresh: 'r2',
    });
  });

  test('tokens that lie deeper are found by the pointers of the provider', () => {
    const shape = {
      ...STANDARD,
      tokenResponse: {
        ...STANDARD.tokenResponse,
        accessToken: '/authed_user/access_token',
        refreshToken: '/authed_user/refresh~1token',
      },
    };
    const body = '{"ok":true,"access_token":"bot","authed_user":{"access_token":"a1","refresh/token":"r2"}}';
    expect(tokens(read(body, {}, shape))).toEqual(BOTH);
  });

  test.each([
    '{"access_token":"a1"}',
    '{"access_token":"a1","refresh_token":null}',
    '{"access_token":"a1","refresh_token":""}',
  ])('an answer that names no refresh token leaves the presented one in force: %s', (body) =>
    expect(tokens(read(body))).toEqual({ access: 'a1', refresh: null }),
  );

  test('a refresh token that is no text makes the answer unreadable rather than empty', () => {
    expect(read('{"access_token":"a1","refresh_token":{"value":"r2"}}').kind).toBe('unreadable');
  });

  test('a refresh token with damaged characters is not used', () => {
    const damaged = Buffer.concat([
      Buffer.from('{"access_token":"a1","refresh_token":"r'),
      Buffer.from([0xff]),
      Buffer.from('"}'),
    ]);
    expect(read(damaged).kind).toBe('unreadable');
  });
});

describe('an answer that broke off', () => {
  test.each<[string, { access: string | null; refresh: string | null } | string]>([
    ['{"access_token":"a1","refresh_token":"r2"', BOTH],
    ['{"access_token":"a1","refresh_token":"r2","expires_in":6', BOTH],
    ['{"refresh_token":"r2","access_token":"a', { access: null, refresh: 'r2' }],
    ['{"access_token":"a1","refresh_token":"r', 'unreadable'],
    ['{"access_token":"a1","refresh_token":"r\\', 'unreadable'],
    ['{"access_token":"a1"', 'unreadable'],
    ['access_token=a1&refresh_token=r2&x', BOTH],
    ['access_token=a1&refresh_token=r2', 'unreadable'],
    ['{"error":"invalid_grant","error_desc', 'unreadable'],
    ['', 'unreadable'],
  ])('%s', (body, expected) => {
    expect(tokens(read(body, { complete: false }))).toEqual(expected);
  });

  test('a life that broke off is not taken for a shorter one', () => {
    expect(read('{"refresh_token":"r2","expires_in":6', { complete: false })).toMatchObject({ expiresInMs: null });
  });
});

describe('[S24] the life of an access token', () => {
  const lifeOf = (json: string) => {
    const response = read(`{"access_token":"a1","expires_in":${json}}`);
    return response.kind === 'tokens' ? response.expiresInMs : response.kind;
  };
  test.each<[string, number | null]>([
    ['600', 600_000],
    ['"600"', 600_000],
    ['" 600 "', 600_000],
    ['60', 60_000],
    ['3600', 3_600_000],
    ['599.5', 599_500],
    ['1e12', 3_153_600_000_000],
    ['1e999', 3_153_600_000_000],
    ['0', null],
    ['-1', null],
    ['"-1"', null],
    ['"soon"', null],
    ['""', null],
    ['null', null],
    ['true', null],
    ['[600]', null],
  ])('expires_in %s is read as %s ms', (json, expected) => {
    expect(lifeOf(json)).toBe(expected);
  });

  test('without expires_in it is not known', () => {
    expect(read('{"access_token":"a1"}')).toMatchObject({ expiresInMs: null });
  });
});

const EXACT: AnswerShape = {
  ...STANDARD,
  errors: [
    { status: 401, error: 'unauthorized_client', description: 'Old refresh token used', means: 'superseded' },
    { status: null, error: null, description: 'TooEarlyToRefreshTokens', means: 'too_early' },
  ],
};

describe('a refusal', () => {
  test.each<[number, string, string]>([
    [400, '{"error":"invalid_grant"}', 'invalid_grant'],
    [403, '{"error":"invalid_grant","error_description":"Unknown or invalid refresh token."}', 'invalid_grant'],
    [200, '{"error":"invalid_grant"}', 'invalid_grant'],
    [200, '{"ok":false,"error":"something_new"}', 'upstream_fault'],
    [400, '{"error":"invalid_request"}', 'upstream_fault'],
    [401, '{"error":"access_denied","error_description":"Unauthorized"}', 'upstream_fault'],
    [401, '{"error":"invalid_client"}', 'client_rejected'],
    [400, '{"error":"unauthorized_client"}', 'client_rejected'],
    [400, 'error=invalid_grant&error_description=gone', 'invalid_grant'],
    [429, '', 'throttled'],
    [429, '{"error":"invalid_grant"}', 'throttled'],
    [429, '<html><title>Too Many Requests</title></html>', 'throttled'],
  ])('%i %s means %s', (status, body, means) => {
    expect(read(body, { status })).toMatchObject({ kind: 'refused', means });
  });

  test("the provider's own list goes before the standard", () => {
    const body = '{"error":"unauthorized_client","error_description":"Old refresh token used."}';
    expect(read(body, { status: 401 }, EXACT)).toMatchObject({ kind: 'refused', means: 'superseded' });
    expect(read(body, { status: 400 }, EXACT)).toMatchObject({ kind: 'refused', means: 'client_rejected' });
  });

  test('a reason header stands in for a body that says nothing', () => {
    const headers = { reason: 'TooEarlyToRefreshTokens: Rate limit exceeded: access_token not expired' };
    expect(read('', { status: 400, headers }, EXACT)).toMatchObject({ kind: 'refused', means: 'too_early' });
  });

  test('an error that repeats the refresh token it was sent gives no new token', () => {
    const presented = new Secret('refresh token', 'r1-presented');
    const body = '{"error":"invalid_grant","refresh_token":"r1-presented"}';
    expect(read(body, { status: 400 }, STANDARD, [presented])).toMatchObject({
      kind: 'refused',
      means: 'invalid_grant',
    });
  });

  test.each<[string, number | null]>([
    ['120', 120_000],
    ['Sun, 22 Nov 2026 12:01:30 GMT', 90_000],
    ['Sun, 22 Nov 2026 11:00:00 GMT', 0],
    ['99999999', 86_400_000],
    ['-5', null],
    ['soon', null],
  ])('Retry-After "%s" asks to wait %s ms', (header, expected) => {
    expect(read('', { status: 429, headers: { 'retry-after': header } })).toMatchObject({ retryAfterMs: expected });
  });
});

describe('an answer that decides nothing', () => {
  test.each<[number, string, string]>([
    [500, '{"error":"invalid_grant"}', 'server_error'],
    [502, '<html><head><title>502 Bad Gateway</title></head></html>', 'server_error'],
    [503, '', 'server_error'],
    [408, '', 'server_error'],
    [302, '', 'unreadable_answer'],
    [200, '', 'unreadable_answer'],
    [200, '{}', 'unreadable_answer'],
    [200, '<html>Please sign in</html>', 'unreadable_answer'],
    [404, 'Not Found', 'unreadable_answer'],
    [425, '{"error":"too_early"}', 'unreadable_answer'],
    [400, '["invalid_grant"]', 'unreadable_answer'],
  ])('%i %s', (status, body, reason) => {
    expect(read(body, { status })).toMatchObject({ kind: 'unreadable', reason, said: { status } });
  });

  test('the title of an error page is what it said', () => {
    expect(read('<html><title>502 Bad Gateway</title>', { status: 502 })).toMatchObject({
      said: { status: 502, error: null, description: '502 Bad Gateway' },
    });
  });
});

describe('what the provider said never holds a secret', () => {
  const saidOf = (description: string, secrets: readonly Secret[] = []) => {
    const response = read(
      JSON.stringify({ error: 'invalid_grant', error_description: description }),
      { status: 400 },
      STANDARD,
      secrets,
    );
    return response.kind === 'tokens' ? '' : (response.said.description ?? '');
  };

  test('a token that was sent is replaced by its kind, also where it is percent-encoded', () => {
    const token = new Secret('refresh token', 'Ab3_!IAAAA+x');
    expect(saidOf('bad token Ab3_!IAAAA+x', [token])).toBe('bad token [refresh token]');
    expect(saidOf('bad token Ab3_%21IAAAA%2Bx', [token])).toBe('bad token [refresh token]');
  });

  test('what looks like a token is taken out, and the ids for the support desk stay', () => {
    expect(saidOf(`token ${'x'.repeat(60)} is old`)).toBe('token [long value] is old');
    expect(saidOf('Trace ID: 8f8b41c6-3b1c-4d3e-9a5f-5b8a3a5f0f00')).toContain('8f8b41c6-3b1c-4d3e-9a5f-5b8a3a5f0f00');
  });

  test('it has at most 300 characters and no line breaks', () => {
    expect(saidOf('word '.repeat(200))).toHaveLength(300);
    expect(saidOf('one\r\ntwo\u{0}three')).toBe('one two three');
  });
});

describe('whatever the bytes are', () => {
  const anyAnswer = fc.record({
    status: fc.integer({ min: 100, max: 599 }),
    complete: fc.boolean(),
    headers: fc.dictionary(fc.constantFrom('retry-after', 'reason', 'content-type'), fc.string()),
  });

  test('reading never fails', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), anyAnswer, (body, answer) => {
        expect(['tokens', 'refused', 'unreadable']).toContain(read(body, answer).kind);
      }),
      { numRuns: 2_000 },
    );
  });

  test('reading never fails on what nearly is JSON', () => {
    const nearlyJson = fc
      .tuple(fc.json(), fc.nat(), fc.string())
      .map(([json, cut, tail]) => json.slice(0, cut % (json.length + 1)) + tail);
    fc.assert(
      fc.property(nearlyJson, anyAnswer, (body, answer) => {
        expect(['tokens', 'refused', 'unreadable']).toContain(read(body, answer).kind);
      }),
      { numRuns: 2_000 },
    );
  });

  test('wherever an answer breaks off, a token in it is whole or it is not there', () => {
    const token = fc
      .string({ minLength: 1, unit: 'binary' })
      .filter((text) => text.trim() !== '' && !text.includes('\u{FFFD}'));
    const answer = fc.record({ access_token: token, refresh_token: token, expires_in: fc.constantFrom(600, '600') });
    const order = fc.shuffledSubarray(['access_token', 'refresh_token', 'expires_in', 'other'], { minLength: 4 });
    const space = fc.constantFrom(0, 1, 2);
    fc.assert(
      fc.property(answer, order, space, fc.nat(), (members, names, indent, cut) => {
        const all: Readonly<Record<string, unknown>> = {
          ...members,
          other: { refresh_token: 'inner', list: [1, '2'] },
        };
        const bytes = new TextEncoder().encode(
          JSON.stringify(Object.fromEntries(names.map((name) => [name, all[name]])), null, indent),
        );
        const response = read(bytes.subarray(0, cut % (bytes.length + 1)), { complete: false });
        if (response.kind !== 'tokens') return;
        expect([members.access_token, undefined]).toContain(response.accessToken?.reveal());
        expect(response.refreshToken?.reveal()).toBe(members.refresh_token);
        expect([600_000, null]).toContain(response.expiresInMs);
      }),
      { numRuns: 3_000 },
    );
  });

  test('once the closing quote of the refresh token has come, it is never lost', () => {
    const token = fc.string({ minLength: 1 }).filter((text) => text.trim() !== '');
    fc.assert(
      fc.property(token, fc.nat(), (refresh, cut) => {
        const head = `{"refresh_token":${JSON.stringify(refresh)}`;
        const rest = ',"access_token":"a1","expires_in":600}';
        const response = read(head + rest.slice(0, cut % rest.length), { complete: false });
        expect(response.kind === 'tokens' && response.refreshToken?.reveal()).toBe(refresh);
      }),
    );
  });

  test('a body that is nearly a form is read in good time', () => {
    const before = process.cpuUsage();
    expect(read(`a=b&${'a'.repeat(100_000)}<`).kind).toBe('unreadable');
    // A hundredth of a second; a minute where the parts of a form can be told apart in many ways.
    expect(process.cpuUsage(before).user / 1_000).toBeLessThan(2_000);
  });

  test('a very deep or very long body is read in good time', () => {
    for (const body of ['['.repeat(1e6), '{"a":'.repeat(2e5), `{"a":"${'\\a'.repeat(5e5)}`, 'a=b&'.repeat(2.5e5)]) {
      expect(read(body).kind).toBe('unreadable');
    }
  });
});

describe('an instant instead of a life', () => {
  const shape = { ...STANDARD, tokenResponse: { ...STANDARD.tokenResponse, expiresAt: '/expires_at' } };
  const lifeOf = (members: string) => read(`{"access_token":"a1","refresh_token":"r2",${members}}`, {}, shape);
  test.each<[string, number | null]>([
    ['"expires_at":"2026-11-22T13:00:00Z"', 3_600_000],
    ['"expires_at":"2026-11-22T13:00:00+01:00"', null],
    [`"expires_at":${(NOW + 60_000) / 1000}`, 60_000],
    [`"expires_at":"${(NOW + 60_000) / 1000}"`, 60_000],
    ['"expires_at":"soon"', null],
    ['"expires_at":null', null],
    ['"expires_at":"2026-11-22T13:00:00Z","expires_in":5', 5_000],
  ])('%s gives %j ms', (members, expiresInMs) => {
    expect(lifeOf(members)).toMatchObject({ kind: 'tokens', expiresInMs });
  });
});

describe('an error without a code of its own', () => {
  const shape: AnswerShape = {
    ...STANDARD,
    errors: [
      {
        status: 400,
        error: null,
        description: null,
        body: { '/errors/0/resource': 'RefreshToken', '/fatal': true },
        means: 'invalid_grant',
      },
    ],
  };
  test.each<[string, number, string]>([
    ['{"errors":[{"resource":"RefreshToken"}],"fatal":true}', 400, 'refused'],
    ['{"errors":[{"resource":"RefreshToken"}],"fatal":"true"}', 400, 'unreadable'],
    ['{"errors":[{"resource":"Application"}],"fatal":true}', 400, 'unreadable'],
    ['{"errors":[{"resource":"RefreshToken"}],"fatal":true}', 401, 'unreadable'],
    ['{"errors":[{"resource":"RefreshToken"}],"fatal":true', 400, 'unreadable'],
  ])('is known by what stands where: %s %i is %s', (body, status, kind) => {
    expect(read(body, { status }, shape).kind).toBe(kind);
  });
});
