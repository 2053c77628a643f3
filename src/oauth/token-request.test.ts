/** What goes over the wire to a token endpoint. */
import { describe, expect, test } from 'vitest';
import { Secret } from '../core/secret.ts';
import { codeRequest, refreshRequest, type TokenEndpoint } from './token-request.ts';

const ENDPOINT: TokenEndpoint = {
  tokenEndpoint: 'https://login.test/token',
  refreshEndpoint: null,
  tokenEndpointAuthMethods: ['client_secret_post'],
  tokenRequest: { format: 'form', parameters: { audience: 'api' }, refreshParameters: { action: 'renew' } },
};
const CLIENT = { clientId: 'an id:1', clientSecret: new Secret('client secret', 'p+w d%') };
const REFRESH_TOKEN = new Secret('refresh token', 'Ab3_!I+A=');

describe('a refresh', () => {
  test('is a form with the token encoded once, the client in the body, and no scope', () => {
    const request = refreshRequest(ENDPOINT, CLIENT, REFRESH_TOKEN);
    expect(request).toMatchObject({ method: 'POST', url: 'https://login.test/token' });
    expect(Object.fromEntries(new URLSearchParams(request.body))).toEqual({
      action: 'renew',
      grant_type: 'refresh_token',
      refresh_token: 'Ab3_!I+A=',
      client_id: 'an id:1',
      client_secret: 'p+w d%',
    });
    expect(request.headers['content-type']).toBe('application/x-www-form-urlencoded');
  });

  test('goes to the refresh endpoint where the provider has one', () => {
    const endpoint = { ...ENDPOINT, refreshEndpoint: 'https://login.test/refresh' };
    expect(refreshRequest(endpoint, CLIENT, REFRESH_TOKEN).url).toBe('https://login.test/refresh');
  });

  test('is JSON where the provider wants JSON', () => {
    const endpoint: TokenEndpoint = { ...ENDPOINT, tokenRequest: { ...ENDPOINT.tokenRequest, format: 'json' } };
    const request = refreshRequest(endpoint, CLIENT, REFRESH_TOKEN);
    expect(JSON.parse(request.body)).toMatchObject({ grant_type: 'refresh_token', refresh_token: 'Ab3_!I+A=' });
    expect(request.headers['content-type']).toBe('application/json');
  });

  test('names the redirect URI of the authorization where the provider wants it again', () => {
    const tokenRequest = { ...ENDPOINT.tokenRequest, refreshParameters: { redirect_uri: '{redirect_uri}' } };
    const client = { ...CLIENT, redirectUri: 'https://us.test/callback?$&' };
    const { body } = refreshRequest({ ...ENDPOINT, tokenRequest }, client, REFRESH_TOKEN);
    expect(new URLSearchParams(body).get('redirect_uri')).toBe('https://us.test/callback?$&');
  });

  test('calls the client id as the provider does', () => {
    const { body } = refreshRequest({ ...ENDPOINT, clientIdParameter: 'client_key' }, CLIENT, REFRESH_TOKEN);
    const sent = new URLSearchParams(body);
    expect([sent.get('client_key'), sent.has('client_id')]).toEqual(['an id:1', false]);
  });

  test('has no secret in its URL and its headers, whatever the provider', () => {
    const { url, headers } = refreshRequest(ENDPOINT, CLIENT, REFRESH_TOKEN);
    expect(JSON.stringify([url, headers])).not.toMatch(/Ab3|p\+w/);
  });
});

describe('a client', () => {
  const withMethods = (...methods: TokenEndpoint['tokenEndpointAuthMethods']) =>
    refreshRequest({ ...ENDPOINT, tokenEndpointAuthMethods: methods }, CLIENT, REFRESH_TOKEN);

  test('with Basic form-encodes id and secret before joining them, so a colon does no harm', () => {
    const request = withMethods('client_secret_basic');
    const pair = Buffer.from(request.headers.authorization?.slice('Basic '.length) ?? '', 'base64').toString();
    expect(pair).toBe('an+id%3A1:p%2Bw+d%25');
    expect(request.body).not.toContain('client_');
  });

  test('uses Basic where the provider names no method', () => {
    expect(withMethods().headers.authorization).toMatch(/^Basic /);
  });

  test('uses the first method of the provider that it can', () => {
    expect(withMethods('private_key_jwt', 'client_secret_post').body).toContain('client_secret=');
  });

  test('that could only sign is told what to do', () => {
    expect(() => withMethods('private_key_jwt')).toThrow(
      'The provider takes only private_key_jwt, and this app has no private key.',
    );
  });

  test('without a secret sends its id alone', () => {
    const request = refreshRequest(ENDPOINT, { ...CLIENT, clientSecret: null }, REFRESH_TOKEN);
    expect(request.body).toContain('client_id=an+id%3A1');
    expect(request.body).not.toContain('client_secret');
    expect(request.headers.authorization).toBeUndefined();
  });
});

test('a code is sent with the redirect address and the verifier, and a provider file cannot replace them', () => {
  const endpoint: TokenEndpoint = {
    ...ENDPOINT,
    tokenRequest: { ...ENDPOINT.tokenRequest, parameters: { audience: 'api', code: 'other', grant_type: 'password' } },
  };
  const request = codeRequest(endpoint, CLIENT, {
    code: new Secret('authorization code', 'stamp.x!I%2B'),
    redirectUri: 'http://127.0.0.1:8787/callback',
    codeVerifier: new Secret('code verifier', 'v'.repeat(43)),
  });
  expect(Object.fromEntries(new URLSearchParams(request.body))).toMatchObject({
    audience: 'api',
    grant_type: 'authorization_code',
    code: 'stamp.x!I%2B',
    redirect_uri: 'http://127.0.0.1:8787/callback',
    code_verifier: 'v'.repeat(43),
  });
});
