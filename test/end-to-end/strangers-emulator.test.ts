/** Clients that others wrote, against the emulator: each signs in, exchanges, and sees the errors that are documented. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import * as oauth from 'oauth4webapi';
import * as openid from 'openid-client';
import { AuthorizationCode } from 'simple-oauth2';
import { expect, test } from 'vitest';
import { type Emulator, emulator } from '../../src/emulator.ts';

const run = promisify(execFile);
const CALLBACK = 'http://127.0.0.1:8787/callback';
const STRANGERS = join(import.meta.dirname, 'strangers');

/** What each server is asked for, and what a client sees there in the end. */
const SERVERS = {
  'exact-online': {
    authorize: '/api/oauth2/auth',
    token: '/api/oauth2/token',
    scope: '',
    spacing: 570,
    late: 601,
    sees: { early: 'access_denied', reuse: 'unauthorized_client', expired: 'invalid_request' },
  },
  auth0: {
    authorize: '/authorize',
    token: '/oauth/token',
    scope: 'openid profile offline_access',
    spacing: 0,
    late: 60,
    sees: { reuse: 'invalid_grant', expired: 'invalid_grant' },
  },
  xero: {
    authorize: '/identity/connect/authorize',
    token: '/connect/token',
    scope: 'openid profile offline_access',
    spacing: 0,
    late: 1801,
    sees: { reuse: 'invalid_grant', expired: 'invalid_grant' },
  },
} as const;
type Name = keyof typeof SERVERS;
const names = Object.keys(SERVERS) as Name[];

/** The person says yes; gives where the browser goes then. */
async function visit(server: Emulator, url: string | URL): Promise<URL> {
  server.control.preselect({ decision: 'approve', user: null, once: true });
  const answer = await fetch(url, { redirect: 'manual' });
  return new URL(answer.headers.get('location') ?? '');
}

function order(server: Emulator, name: Name) {
  const { authorize, token, ...rest } = SERVERS[name];
  return {
    ...rest,
    authorize: server.baseUrl + authorize,
    token: server.baseUrl + token,
    client_id: server.clientId,
    client_secret: server.clientSecret,
    redirect_uri: CALLBACK,
    control_url: server.controlUrl,
    control_key: server.controlKey,
  };
}

test.each(
  names.flatMap((name) =>
    ['requests_oauthlib_client.py', 'authlib_client.py'].map((script) => [script, name] as const),
  ),
)(
  '%s signs in at %s, exchanges, and sees its errors for a token that is too early, old, or expired',
  async (script, name) => {
    await using server = await emulator(name);
    const words = [join(STRANGERS, script), JSON.stringify(order(server, name))];
    const { stdout } = await run('/usr/bin/python3', words, { timeout: 60_000 });
    const { early, reuse, expired, ...rest } = JSON.parse(stdout) as Record<string, string>;
    expect(rest).toEqual({ token_type: 'bearer', rotated: true });
    const seen = { ...(early === undefined ? {} : { early }), reuse, expired };
    for (const [when, error] of Object.entries(SERVERS[name].sees))
      expect([when, seen[when as keyof typeof seen]]).toEqual([when, expect.stringContaining(error)]);
  },
);

test('[S94] openid-client finds Auth0 by its issuer, checks the id_token, exchanges with PKCE, and sees reuse as 403', async () => {
  await using server = await emulator('auth0');
  const config = await openid.discovery(
    new URL(`${server.baseUrl}/`),
    server.clientId,
    server.clientSecret,
    undefined,
    {
      execute: [openid.allowInsecureRequests],
    },
  );
  const verifier = openid.randomPKCECodeVerifier();
  const url = openid.buildAuthorizationUrl(config, {
    redirect_uri: CALLBACK,
    scope: SERVERS.auth0.scope,
    state: 's',
    nonce: 'n',
    code_challenge: await openid.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
  });
  const checks = { pkceCodeVerifier: verifier, expectedState: 's', expectedNonce: 'n' };
  const tokens = await openid.authorizationCodeGrant(config, await visit(server, url), checks);
  const info = await openid.fetchUserInfo(config, tokens.access_token, tokens.claims()?.sub ?? '');
  expect(info.preferred_username).toBe(server.user.username);
  const next = await openid.refreshTokenGrant(config, tokens.refresh_token ?? '');
  expect(next.refresh_token).not.toBe(tokens.refresh_token);
  const reuse = openid.refreshTokenGrant(config, tokens.refresh_token ?? '');
  await expect(reuse).rejects.toMatchObject({
    status: 403,
    error: 'invalid_grant',
    error_description: 'Unknown or invalid refresh token.',
  });
});

test('oauth4webapi checks the signature of the id_token with the published key, and has a token revoked', async () => {
  await using server = await emulator('auth0');
  const insecure = { [oauth.allowInsecureRequests]: true };
  const issuer = new URL(`${server.baseUrl}/`);
  const as = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, insecure));
  const client: oauth.Client = { client_id: server.clientId };
  const secret = oauth.ClientSecretPost(server.clientSecret);
  const query = new URLSearchParams({
    client_id: server.clientId,
    redirect_uri: CALLBACK,
    response_type: 'code',
    scope: SERVERS.auth0.scope,
  });
  const callback = await visit(server, `${as.authorization_endpoint}?${String(query)}`);
  const parameters = oauth.validateAuthResponse(as, client, callback);
  const grant = oauth.authorizationCodeGrantRequest(as, client, secret, parameters, CALLBACK, oauth.nopkce, insecure);
  const response = await grant;
  const result = await oauth.processAuthorizationCodeResponse(as, client, response);
  await oauth.validateApplicationLevelSignature(as, response, insecure);
  const revoked = await oauth.revocationRequest(as, client, secret, result.refresh_token ?? '', insecure);
  await oauth.processRevocationResponse(revoked);
  const late = await oauth.refreshTokenGrantRequest(as, client, secret, result.refresh_token ?? '', insecure);
  await expect(oauth.processRefreshTokenResponse(as, client, late)).rejects.toMatchObject({ error: 'invalid_grant' });
});

test('[S16] [S25] simple-oauth2 exchanges at Exact Online, and sees what comes too early and what is old', async () => {
  await using server = await emulator('exact-online');
  const { authorize, token } = SERVERS['exact-online'];
  const client = new AuthorizationCode({
    client: { id: server.clientId, secret: server.clientSecret },
    auth: { tokenHost: server.baseUrl, tokenPath: token, authorizePath: authorize },
    options: { authorizationMethod: 'body' },
  });
  const callback = await visit(server, client.authorizeURL({ redirect_uri: CALLBACK }));
  const first = await client.getToken({ code: callback.searchParams.get('code') ?? '', redirect_uri: CALLBACK });
  const payloadOf = (attempt: Promise<unknown>) =>
    attempt.then(
      () => null,
      (error: { data: { payload: unknown } }) => error.data.payload,
    );
  expect(await payloadOf(first.refresh())).toMatchObject({
    error: 'access_denied',
    error_description: expect.stringContaining('access_token not expired'),
  });
  server.control.advance(570_000);
  const second = await first.refresh();
  expect(second.token.refresh_token).not.toBe(first.token.refresh_token);
  server.control.advance(601_000);
  expect(await payloadOf(first.refresh())).toEqual({
    error: 'unauthorized_client',
    error_description: 'Old refresh token used.',
  });
});

test.each(names)('curl gets tokens of %s with a form, and the status of a refusal', async (name) => {
  await using server = await emulator(name);
  const { refreshToken } = server.control.grant();
  server.control.advance(SERVERS[name].spacing * 1000);
  const refresh = async () => {
    const fields = {
      grant_type: 'refresh_token',
      refresh_token: refreshToken,
      client_id: server.clientId,
      client_secret: server.clientSecret,
    };
    const data = Object.entries(fields).flatMap(([field, value]) => ['--data-urlencode', `${field}=${value}`]);
    const words = [
      '--silent',
      '--max-time',
      '20',
      '--write-out',
      '\n%{http_code}',
      ...data,
      server.baseUrl + SERVERS[name].token,
    ];
    const { stdout } = await run('curl', words);
    const [body = '', status] = stdout.split('\n');
    return { status: Number(status), body: JSON.parse(body) as Record<string, unknown> };
  };
  expect(await refresh()).toMatchObject({
    status: 200,
    body: { access_token: expect.any(String), refresh_token: expect.any(String) },
  });
  server.control.advance(SERVERS[name].late * 1000);
  const { status, body } = await refresh();
  expect([status, body.error]).toEqual([
    { 'exact-online': 401, auth0: 403, xero: 400 }[name],
    SERVERS[name].sees.reuse,
  ]);
});
