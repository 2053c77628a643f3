/** Provider files: what is accepted, what is refused and how, and what becomes of them. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { EvergrantError } from '../core/errors.ts';
import type { Instant } from '../core/instant.ts';
import { UNKNOWN_POLICY } from '../core/rotation-policy.ts';
import { catalogue } from './catalogue.ts';
import { parseProvider } from './parse.ts';
import type { Provider } from './provider.ts';
import { resolve, withMetadata } from './resolve.ts';

const MINIMAL = {
  id: 'acme',
  name: 'Acme',
  authorization_endpoint: 'https://login.acme.test/auth',
  token_endpoint: 'https://login.acme.test/token',
};
const parse = (more: object = {}, reach: 'public' | 'local' = 'public') =>
  parseProvider('acme.json', { ...MINIMAL, ...more }, reach);
const policyOf = (policy: object) => parse({ policy }).policy;

function messageOf(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    const { code, message, details } = error as EvergrantError;
    return `${code}: ${message} | ${details.remedy}`;
  }
  return 'nothing was thrown';
}

describe('what a file leaves out', () => {
  test('is read the way that is safest for a client', () => {
    expect(parse().policy).toEqual(UNKNOWN_POLICY);
  });

  test('is as RFC 6749 has it on the wire', () => {
    expect(parse()).toMatchObject({
      tokenRequest: { format: 'form' },
      tokenResponse: {
        accessToken: '/access_token',
        refreshToken: '/refresh_token',
        errorDescription: '/error_description',
      },
      scope: { default: [], forRefreshToken: null, separator: ' ' },
      identity: null,
    });
  });
});

describe('units', () => {
  test('seconds become milliseconds, and null becomes no limit', () => {
    const policy = policyOf({
      overlap: { window: null, depth: null, max_uses: null },
      life: { idle: 2592000, absolute: null, access_token: 600, code: null },
      caps: { tokens_per_user_client: null },
      pacing: { min_spacing: 570, per_day: null },
    });
    expect(policy.overlap).toMatchObject({ windowMs: Infinity, depth: Infinity, maxUses: Infinity });
    expect(policy.life).toMatchObject({
      idleMs: 2_592_000_000,
      absoluteMs: Infinity,
      accessTokenMs: 600_000,
      codeMs: null,
    });
    expect(policy.caps.tokensPerUserClient).toBe(Infinity);
    expect(policy.pacing).toEqual({ minSpacingMs: 570_000, perDay: Infinity });
  });
});

test('braces that are no variable stay in a parameter, as in the JSON of a claims parameter', () => {
  const claims = '{"userinfo":{"email":null}}';
  const provider = parse({ authorization_parameters: { claims } });
  expect(resolve(provider, {}).authorizationParameters).toEqual({ claims });
});

test('a text variable fills parameters, and only printable text is taken', () => {
  const provider = parse({ variables: { app: { is_text: true } }, authorization_parameters: { app: 'id-{app}' } });
  expect(resolve(provider, { app: 'amzn1.sp.x/1' }).authorizationParameters).toEqual({ app: 'id-amzn1.sp.x/1' });
  expect(messageOf(() => resolve(provider, { app: 'a\n' }))).toContain('at most 500 printable ASCII characters');
});

test('nobody can authorize at a provider without codes, so it needs no page for that', () => {
  const more = { authorization_endpoint: null, grant_types_supported: ['client_credentials', 'refresh_token'] };
  expect(parse(more)).toMatchObject({
    authorizationEndpoint: null,
    grantTypes: ['client_credentials', 'refresh_token'],
  });
});

describe('a wrong file is refused with file, place and reason', () => {
  test.each<[string, object, string]>([
    [
      'a misspelt rule',
      { policy: { pacing: { min_spacng: 570 } } },
      'acme.json at /policy/pacing/min_spacng: there is no such key',
    ],
    ['an unknown key', { colour: 'red' }, 'acme.json at /colour: there is no such key'],
    ['a negative life', { policy: { life: { idle: -1 } } }, 'acme.json at /policy/life/idle: '],
    ['text for a time', { policy: { life: { idle: '30 d' } } }, 'acme.json at /policy/life/idle: '],
    ['an unknown meaning', { errors: [{ means: 'dead' }] }, 'acme.json at /errors/0/means: '],
    [
      'a pointer that is none',
      { token_response: { access_token: 'access_token' } },
      'at /token_response/access_token: must be a JSON Pointer',
    ],
    ['no endpoints', { token_endpoint: null }, 'acme.json: names neither an issuer nor both'],
    ['plain http', { token_endpoint: 'http://login.acme.test/token' }, 'at /token_endpoint: must be https'],
    ['this machine', { token_endpoint: 'https://localhost/token' }, 'at /token_endpoint: must not be this machine'],
    [
      'this machine as an address',
      { token_endpoint: 'https://127.1/token' },
      'at /token_endpoint: must not be this machine',
    ],
    [
      'a password in an address',
      { token_endpoint: 'https://u:p@acme.test/token' },
      'must not hold a user name or password',
    ],
    [
      'an undeclared variable',
      { token_endpoint: 'https://{host}/token' },
      'at /token_endpoint: the variable {host} is not in /variables',
    ],
    ['a variable nobody uses', { variables: { host: {} } }, 'at /variables/host: is used in no address'],
    [
      'spacing beyond the life',
      { policy: { pacing: { min_spacing: 700 }, life: { idle: 600 } } },
      'at /policy/pacing/min_spacing: is longer than the refresh token lives',
    ],
    [
      'spacing beyond the overlap',
      { policy: { pacing: { min_spacing: 700 }, overlap: { window: 600 } } },
      'at /policy/pacing/min_spacing: is longer than the overlap window',
    ],
    [
      'overlap without rotation',
      { policy: { rotate: { mode: 'never' }, overlap: { window: 600 } } },
      'at /policy/overlap: a token that never rotates',
    ],
    [
      'a fact without source',
      { facts: [{ about: '/id', seen: '2026-11-21', grade: 'documented' }] },
      'at /facts/0/source: ',
    ],
    [
      'a successor rule that no window allows',
      { policy: { overlap: { window: 0, successor_unused: true } } },
      'at /policy/overlap/successor_unused: a window of 0 leaves nothing',
    ],
    [
      'an overlap beyond the life',
      { policy: { overlap: { window: 700 }, life: { idle: 600 } } },
      'at /policy/overlap/window: is longer than the refresh token lives',
    ],
    [
      'rules for refresh tokens that are never given',
      { grant_types_supported: ['authorization_code'], policy: { rotate: { mode: 'always' } } },
      'at /policy/rotate: is about refresh tokens, and /grant_types_supported names none',
    ],
    ['an error that fits every answer', { errors: [{ means: 'invalid_grant' }] }, 'at /errors/0: fits every answer'],
    [
      'an error that another one hides',
      {
        errors: [
          { error: 'invalid_grant', means: 'invalid_grant' },
          { status: 400, error: 'invalid_grant', description: 'Too early', means: 'too_early' },
        ],
      },
      'at /errors/1: is never reached: /errors/0 fits all of it',
    ],
    [
      'a text variable in an address',
      { variables: { path: { is_text: true } }, token_endpoint: 'https://acme.test/{path}' },
      'at /variables/path/is_text: any text could lead an address anywhere',
    ],
    [
      'an undeclared variable in a parameter',
      { authorization_parameters: { audience: '{who}' } },
      'at /authorization_parameters/audience: the variable {who} is not in /variables',
    ],
    [
      'a redirect URI where none is filled in',
      { authorization_parameters: { back: '{redirect_uri}' } },
      'the variable {redirect_uri} is not in /variables',
    ],
    ['a table for an address', { token_endpoint: ['https://acme.test/token'] }, 'acme.json at /token_endpoint: '],
    [
      'a count of half a token',
      { policy: { caps: { tokens_per_user_client: 1.5 } } },
      'at /policy/caps/tokens_per_user_client: ',
    ],
    [
      'a resource that no variable names',
      { issuer: '{issuer}', variables: { issuer: { is_issuer: true, of_resource: 'api' } } },
      'at /variables/issuer/of_resource: there is no variable api',
    ],
    ['no id', { id: undefined }, 'acme.json at /id: '],
    ['another id than its name', { id: 'other' }, 'acme.json at /id: is other, and the file is called acme'],
    [
      'a change that breaks the file',
      { changes: [{ from: '2030-01-01', set: { '/policy/life/idle': -1 } }] },
      'acme.json from 2030-01-01 on at /policy/life/idle: ',
    ],
  ])('%s', (_, more, expected) => {
    const text = JSON.stringify({ ...MINIMAL, ...more });
    const load = () => catalogue({ builtIn: [{ name: 'acme.json', text }], extra: [], now: () => 0 as Instant }).list();
    expect(messageOf(load)).toContain(expected);
  });

  test('JSON that is none, with its line', () => {
    const load = () =>
      catalogue({ builtIn: [], extra: [{ name: 'acme.json', text: '{\n"id": "a",\n}' }], now: () => 0 as Instant });
    expect(messageOf(load)).toMatch(/^setting: acme\.json line 3 is not JSON: .* \| Correct the file\./);
  });

  test('whatever the JSON is, by an error of setting and no other', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (document) => {
        expect(messageOf(() => parseProvider('any.json', document, 'public'))).toMatch(/^setting: any\.json/);
      }),
    );
  });
});

describe('the catalogue', () => {
  const file = (more: object) => ({ name: 'acme.json', text: JSON.stringify({ ...MINIMAL, ...more }) });

  test("an operator's file wins over the built-in one, and only it may use http and loopback", () => {
    const extra = [file({ name: 'Mine', token_endpoint: 'http://127.0.0.1:9/token' })];
    const providers = catalogue({ builtIn: [file({})], extra, now: () => 0 as Instant });
    expect(providers.get('acme')).toMatchObject({ name: 'Mine', reach: 'local' });
    expect(providers.list()).toHaveLength(1);
    expect(providers.get('other')).toBeNull();
  });

  test('a built-in file is read when somebody asks for it, and an extra one at once', () => {
    const broken = { name: 'broken.json', text: '{' };
    const lazy = catalogue({ builtIn: [file({}), broken], extra: [], now: () => 0 as Instant });
    expect(lazy.ids()).toEqual(['acme', 'broken']);
    expect(lazy.get('acme')?.name).toBe('Acme');
    expect(messageOf(() => lazy.get('broken'))).toContain('broken.json');
    expect(messageOf(() => catalogue({ builtIn: [], extra: [broken], now: () => 0 as Instant }))).toContain(
      'broken.json',
    );
  });

  test('two files with one id in one folder are refused', () => {
    expect(messageOf(() => catalogue({ builtIn: [file({}), file({})], extra: [], now: () => 0 as Instant }))).toContain(
      'another file has the id acme',
    );
  });

  test('an announced change takes effect on its day, without a restart', () => {
    let now = Date.parse('2027-02-15T23:59:59Z') as Instant;
    const changes = [
      { from: '2027-06-01', set: { '/name': 'Acme Three' } },
      { from: '2027-02-16', set: { '/token_endpoint': 'https://new.acme.test/token', '/policy/life/idle': 600 } },
    ];
    const providers = catalogue({ builtIn: [file({ changes })], extra: [], now: () => now });
    expect(providers.get('acme')?.tokenEndpoint).toBe('https://login.acme.test/token');
    now = Date.parse('2027-02-16T00:00:00Z') as Instant;
    expect(providers.get('acme')).toMatchObject({ tokenEndpoint: 'https://new.acme.test/token', name: 'Acme' });
    expect(providers.get('acme')?.policy.life.idleMs).toBe(600_000);
    now = Date.parse('2028-01-01T00:00:00Z') as Instant;
    expect(providers.get('acme')).toMatchObject({ tokenEndpoint: 'https://new.acme.test/token', name: 'Acme Three' });
  });
});

describe('variables', () => {
  const hosted = parse({
    variables: { host: { choices: { nl: 'start.acme.nl', uk: 'start.acme.co.uk' }, default: 'nl' }, tenant: {} },
    token_endpoint: 'https://{host}/{tenant}/token',
    authorization_endpoint: 'https://{tenant}.{host}/auth',
  });

  test('are filled in, with the default where none is given', () => {
    expect(resolve(hosted, { tenant: 'a-1' }).tokenEndpoint).toBe('https://start.acme.nl/a-1/token');
    expect(resolve(hosted, { tenant: 'a-1', host: 'uk' }).authorizationEndpoint).toBe(
      'https://a-1.start.acme.co.uk/auth',
    );
  });

  test.each<[Record<string, string>, string]>([
    [{ tenant: 'a', host: 'be' }, '"host" of Acme cannot be "be". | It must be one of: nl, uk.'],
    [{}, '"tenant" of Acme is missing. | It must be one label of a host name'],
    [{ tenant: 'a', other: 'x' }, 'Acme has no variable "other". | It has: host, tenant.'],
    [{ tenant: 'a', host: '__proto__' }, 'cannot be "__proto__"'],
  ])('wrong ones are named with what is possible: %j', (variables, expected) => {
    expect(messageOf(() => resolve(hosted, variables))).toContain(expected);
  });

  test.each([
    'evil.test',
    'evil.test/',
    'a/b',
    'a#',
    'a?',
    'a@b',
    'a:80',
    '',
    '-a',
    'a-',
    'ä',
    'a\n',
    '{host}',
    'a'.repeat(64),
  ])('cannot reach beyond one label of a host name: %j', (tenant) =>
    expect(messageOf(() => resolve(hosted, { tenant }))).toMatch(/^invalid_request: /),
  );

  const oidc = parse({
    authorization_endpoint: null,
    token_endpoint: null,
    variables: { issuer: { is_issuer: true } },
    issuer: '{issuer}',
  });

  test.each([
    'http://i.test',
    'https://i.test?x',
    'https://i.test#x',
    'https://u@i.test',
    'https://localhost',
    'i.test',
    'https://i.test/ x',
  ])('an issuer is a whole https address: not %j', (issuer) =>
    expect(messageOf(() => resolve(oidc, { issuer }))).toMatch(/^invalid_request: /),
  );

  describe('discovery', () => {
    const metadata = {
      authorizationEndpoint: 'https://i.test/auth',
      tokenEndpoint: 'https://i.test/token',
      revocationEndpoint: null,
      deviceAuthorizationEndpoint: null,
      userinfoEndpoint: 'https://i.test/me',
      codeChallengeMethodsSupported: ['plain', 'S256'],
      tokenEndpointAuthMethodsSupported: ['tls_client_auth', 'client_secret_post'],
      authorizationResponseIssParameterSupported: true,
    };

    test('adds what the file leaves out', () => {
      expect(withMetadata(resolve(oidc, { issuer: 'https://i.test/x' }), metadata)).toMatchObject({
        issuer: 'https://i.test/x',
        tokenEndpoint: 'https://i.test/token',
        codeChallengeMethods: ['S256'],
        tokenEndpointAuthMethods: ['client_secret_post'],
        authorizationResponseIss: true,
        identity: { endpoint: 'https://i.test/me', subject: '/sub' },
      });
    });

    test('never replaces what the file says', () => {
      expect(withMetadata(parse(), metadata).tokenEndpoint).toBe('https://login.acme.test/token');
    });

    test('cannot lead a provider to http or to this machine', () => {
      const evil = { ...metadata, tokenEndpoint: 'http://169.254.169.254/token' };
      expect(messageOf(() => withMetadata(resolve(oidc, { issuer: 'https://i.test' }), evil))).toMatch(
        /^upstream_refused: .* must be https/,
      );
    });

    test('is all that an issuer needs: its endpoints are not known before', () => {
      expect(resolve(oidc, { issuer: 'https://i.test' })).toMatchObject({
        issuer: 'https://i.test',
        tokenEndpoint: null,
      });
    });
  });
});

test('an extra provider may name an issuer on this machine', () => {
  const local: Provider = parse({ variables: { issuer: { is_issuer: true } }, issuer: '{issuer}' }, 'local');
  expect(resolve(local, { issuer: 'http://127.0.0.1:3000' }).issuer).toBe('http://127.0.0.1:3000');
});
