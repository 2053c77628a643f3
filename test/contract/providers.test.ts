/**
 * The provider files that are shipped: their form, their sources, and what real answers mean under them. The bodies are
 * those that users of the providers reported, to the letter.
 */
import { readFileSync } from 'node:fs';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { catalogue } from '../../src/catalogue/catalogue.ts';
import type { Provider } from '../../src/catalogue/provider.ts';
import { resolve } from '../../src/catalogue/resolve.ts';
import { jsonSchema } from '../../src/catalogue/schema.ts';
import type { Instant } from '../../src/core/instant.ts';
import { classOf } from '../../src/core/rotation-policy.ts';
import { readTokenResponse } from '../../src/oauth/token-response.ts';
import { readProviderFiles } from '../../src/world/provider-files.ts';

const FOLDER = new URL('../../providers', import.meta.url).pathname;
const files = readProviderFiles(FOLDER);
const providers = catalogue({ builtIn: files, extra: [], now: () => Date.parse('2026-11-22') as Instant });

function provider(id: string): Provider {
  const found = providers.get(id);
  if (!found) throw new Error(`no provider ${id}`);
  return found;
}

describe('the shipped files', () => {
  test('are named after their ids', () => {
    expect(files.map(({ name }) => name)).toEqual(providers.list().map(({ id }) => join(FOLDER, `${id}.json`)));
  });

  test('are described by providers/schema.json, generated from the code', () => {
    expect(JSON.parse(readFileSync(join(FOLDER, 'schema.json'), 'utf8'))).toEqual(jsonSchema());
  });

  test.each(files.map(({ name, text }) => [name.slice(FOLDER.length + 1), text]))(
    '%s names the source of every figure and address',
    (_, text) => {
      const document = JSON.parse(text);
      const sourced = new Set<string>(document.facts.map((fact: { about: string }) => fact.about));
      const addresses = [
        'issuer',
        'authorization_endpoint',
        'token_endpoint',
        'refresh_endpoint',
        'revocation_endpoint',
      ];
      const needed = [
        ...figuresIn(document.policy, '/policy'),
        ...addresses.filter((key) => document[key] && document[key] !== '{issuer}').map((key) => `/${key}`),
        ...(document.identity ? ['/identity/endpoint'] : []),
        ...document.errors.map((_error: unknown, i: number) => `/errors/${i}`),
      ];
      expect(needed.filter((pointer) => !sourced.has(pointer))).toEqual([]);
    },
  );

  test('state no time and no count from memory', () => {
    const guessed = providers
      .list()
      .flatMap(({ id, facts }) =>
        (facts ?? [])
          .filter(({ about, grade }) => grade === 'unverified' && about.startsWith('/policy'))
          .map(({ about }) => `${id} ${about}`),
      );
    expect(guessed).toEqual([]);
  });

  test('give each provider the class of rotation that its rules amount to', () => {
    expect(Object.fromEntries(providers.list().map(({ id, policy }) => [id, classOf(policy)]))).toEqual({
      auth0: { class: 'one-time-revoking' },
      'exact-online': { class: 'until-successor-used-within', windowMs: 600_000 },
      google: { class: 'durable' },
      oidc: { class: 'one-time-revoking' },
      xero: { class: 'window', windowMs: 1_800_000 },
    });
  });
});

/** Every number of a policy, by its place. */
function figuresIn(value: unknown, at: string): readonly string[] {
  if (typeof value === 'number') return [at];
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, member]) => figuresIn(member, `${at}/${name}`));
}

describe('[S27] Exact Online', () => {
  test.each([
    ['nl', 'start.exactonline.nl'],
    ['be', 'start.exactonline.be'],
    ['de', 'start.exactonline.de'],
    ['fr', 'start.exactonline.fr'],
    ['es', 'start.exactonline.es'],
    ['uk', 'start.exactonline.co.uk'],
    ['us', 'start.exactonline.com'],
  ])('in %s is the same under another host', (country, host) => {
    const resolved = resolve(provider('exact-online'), { host: country });
    expect(resolved.tokenEndpoint).toBe(`https://${host}/api/oauth2/token`);
    expect(resolved.authorizationEndpoint).toBe(`https://${host}/api/oauth2/auth`);
    expect(resolved.identity?.endpoint).toBe(`https://${host}/api/v1/current/Me?$select=UserID,UserName`);
    expect(resolved.policy).toBe(provider('exact-online').policy);
  });
});

test('a company of one label is enough for Auth0, and any issuer for OpenID Connect', () => {
  expect(resolve(provider('auth0'), { tenant: 'acme', region: 'eu' }).tokenEndpoint).toBe(
    'https://acme.eu.auth0.com/oauth/token',
  );
  expect(resolve(provider('oidc'), { issuer: 'https://id.acme.test' }).issuer).toBe('https://id.acme.test');
});

describe('what real answers mean', () => {
  const reason = (text: string) => ({ reason: text });
  test.each<[string, string, number, string, Readonly<Record<string, string>>, string]>([
    [
      'an old refresh token',
      'exact-online',
      401,
      '{"error":"unauthorized_client","error_description":"Old refresh token used."}',
      {},
      'superseded',
    ],
    [
      'a foreign chain',
      'exact-online',
      400,
      '{ "error":"invalid_grant","error_description":"Token is not allowed, because of invalid or empty chainId" }',
      reason('Unknown: Token is not allowed, because of invalid or empty chainId'),
      'invalid_chain',
    ],
    [
      'a code that was used',
      'exact-online',
      400,
      '{"error":"invalid_request","error_description":"This message has already been processed.  This could indicate a replay attack in progress."}',
      {},
      'code_replayed',
    ],
    [
      'a code that is too old',
      'exact-online',
      400,
      '{"error":"invalid_request","error_description":"The authorization code expired at 10/11/2022 9:18:20 PM and it is now 10/11/2022 9:28:20 PM."}',
      {},
      'code_expired',
    ],
    [
      '30 days unused',
      'exact-online',
      400,
      '{"error":"invalid_request","error_description":"The refresh token expired at 10/11/2022 9:18:20 PM and it is now 10/28/2022 4:15:50 PM."}',
      {},
      'expired_idle',
    ],
    [
      'too early, as observed',
      'exact-online',
      400,
      '{ "error":"access_denied","error_description":"Rate limit exceeded: access_token not expired" }',
      reason('TooEarlyToRefreshTokens: Rate limit exceeded: access_token not expired'),
      'too_early',
    ],
    [
      'too early, in the header alone',
      'exact-online',
      400,
      '',
      reason('TooEarlyToRefreshTokens: Rate limit exceeded: access_token not expired'),
      'too_early',
    ],
    ['too early, as documented', 'exact-online', 401, '', reason('Access Token not expired'), 'too_early'],
    [
      'too early, as documented, in the body',
      'exact-online',
      401,
      '{"error":"access_denied","error_description":"access token not expired"}',
      {},
      'too_early',
    ],
    ['a wrong secret', 'exact-online', 400, '{"error":"invalid_client"}', {}, 'client_rejected'],
    [
      'a client without this right',
      'exact-online',
      401,
      '{"error":"unauthorized_client","error_description":"The client is not authorized to request an authorization code using this method and/or authorization grant type."}',
      {},
      'client_rejected',
    ],
    ['too many calls', 'exact-online', 429, '', {}, 'throttled'],
    [
      'any dead token',
      'auth0',
      403,
      '{"error":"invalid_grant","error_description":"Unknown or invalid refresh token."}',
      {},
      'invalid_grant',
    ],
    [
      'a user who is gone',
      'auth0',
      403,
      '{"error":"invalid_grant","error_description":"The refresh_token was generated for a user who doesn\'t exist anymore."}',
      {},
      'revoked',
    ],
    [
      'any dead token',
      'google',
      400,
      '{\n  "error": "invalid_grant",\n  "error_description": "Token has been expired or revoked."\n}',
      {},
      'invalid_grant',
    ],
    ['any dead token', 'xero', 400, '{"error":"invalid_grant"}', {}, 'invalid_grant'],
  ])('%s at %s: %i %s', (_, id, status, body, headers, means) => {
    const answer = { status, headers, body: new TextEncoder().encode(body), complete: true };
    expect(readTokenResponse(answer, provider(id), { now: 0 as Instant, secrets: [] })).toMatchObject({
      kind: 'refused',
      means,
    });
  });

  test('[S24] Exact Online gives the life of an access token as text', () => {
    const body =
      '{"access_token":"stampNL001.gAAAA","token_type":"bearer","expires_in":"600","refresh_token":"stampNL001.Ab3_!IAAAA"}';
    const answer = { status: 200, headers: {}, body: new TextEncoder().encode(body), complete: true };
    expect(readTokenResponse(answer, provider('exact-online'), { now: 0 as Instant, secrets: [] })).toMatchObject({
      kind: 'tokens',
      expiresInMs: 600_000,
    });
  });
});

describe('a folder of provider files', () => {
  test('that is not there stops the start with its name and the setting', () => {
    expect(() => readProviderFiles('/no/such/folder')).toThrow(
      expect.objectContaining({ code: 'setting', message: expect.stringContaining('/no/such/folder') }),
    );
  });

  test('with a file that is no JSON stops the start with file and line', () => {
    const folder = mkdtempSync(join(tmpdir(), 'providers-'));
    writeFileSync(join(folder, 'broken.json'), '{\n  "id": "x",\n');
    writeFileSync(join(folder, 'notes.txt'), 'not read');
    const load = () => catalogue({ builtIn: [], extra: readProviderFiles(folder), now: () => 0 as Instant });
    expect(load).toThrow(/broken\.json line \d is not JSON/);
  });
});
