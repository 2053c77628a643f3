/** Clients that others wrote, against a server of its own process: each connects an account with plain OAuth. */
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { join } from 'node:path';
import { promisify } from 'node:util';
import * as oauth from 'oauth4webapi';
import * as openid from 'openid-client';
import { AuthorizationCode, ClientCredentials } from 'simple-oauth2';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { World } from '../support/servers.ts';

const run = promisify(execFile);
const STRANGERS = join(import.meta.dirname, 'strangers-issuer');
/** Without TLS on this machine, and by RFC 8414. */
const OPENID: openid.DiscoveryRequestOptions = { algorithm: 'oauth2', execute: [openid.allowInsecureRequests] };
const CALLBACK = 'https://reports.example/callback';

let world: World;
let origin = '';
let app = '';
let browser: Server;
let browserUrl = '';
/** Whatever no file and no line of the log may hold. */
const secrets: string[] = [];

beforeAll(async () => {
  world = await World.create(7);
  await world.start();
  const { clientId, clientSecret, providerFile } = world.provider;
  const wish = { provider: providerFile.id, client_id: clientId, client_secret: clientSecret };
  app = (await world.api('POST', '/v1/apps', wish)).body.id;
  const metadata = (await world.api('GET', '/.well-known/oauth-authorization-server')).body as unknown;
  origin = (metadata as { issuer: string }).issuer;
  browser = createServer((request, response) => {
    const url = new URL(request.url ?? '', 'http://x').searchParams.get('url') ?? '';
    visit(url).then(
      (end) => response.end(String(end)),
      (error: unknown) => response.writeHead(500).end(String(error)),
    );
  });
  await new Promise<void>((done) => {
    browser.listen(0, '127.0.0.1', done);
  });
  const address = browser.address();
  browserUrl = `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}/`;
});

afterAll(async () => {
  browser.close();
  await world.close();
});

/** A browser with a person who says yes everywhere; gives the address of the client at which it ends. */
async function visit(url: string | URL): Promise<URL> {
  world.provider.control.preselect({ decision: 'approve', user: null, once: true });
  const page = await fetch(url, { redirect: 'manual' });
  if (page.status !== 200) throw new Error(`the page says ${page.status}: ${page.headers.get('location')}`);
  const opened = await fetch(url, { method: 'POST', redirect: 'manual', headers: { origin } });
  const cookie = (opened.headers.get('set-cookie') ?? '').split(';')[0] ?? '';
  const there = await fetch(opened.headers.get('location') ?? '', { redirect: 'manual' });
  const back = await fetch(there.headers.get('location') ?? '', { redirect: 'manual', headers: { cookie } });
  return new URL(back.headers.get('location') ?? '');
}

interface Made {
  readonly client_id: string;
  readonly client_secret: string;
}

/** A client that may connect accounts, and holds none yet. */
async function client(): Promise<Made> {
  const wish = { name: 'Reports', apps: [app], redirect_uris: [CALLBACK] };
  const { status, body } = await world.api('POST', '/v1/clients', wish);
  expect(status).toBe(201);
  const made = body as unknown as Made;
  secrets.push(made.client_secret);
  return made;
}

async function order() {
  const made = await client();
  const paths = {
    authorize: '/oauth/authorize',
    token: '/oauth/token',
    revoke: '/oauth/revoke',
    introspect: '/oauth/introspect',
  };
  const urls = Object.fromEntries(Object.entries(paths).map(([name, path]) => [name, origin + path]));
  return { ...made, ...urls, site: origin, redirect_uri: CALLBACK, browser: browserUrl };
}

/** The provider's own access token, as the server has it now. */
async function present(): Promise<string> {
  const grants = (await world.api('GET', '/v1/grants?state=active')).body as unknown as { items: { id: string }[] };
  expect(grants.items).toHaveLength(1);
  const token = (await world.api('GET', `/v1/grants/${grants.items[0]?.id}/token`)).body as unknown;
  return (token as { access_token: string }).access_token;
}

test.each([
  ['requests-oauthlib', '/usr/bin/python3', 'requests_oauthlib_client.py', {}],
  ['Authlib', '/usr/bin/python3', 'authlib_client.py', { active: true }],
  ['oauth2 of Ruby', '/usr/bin/ruby', 'oauth2_client.rb', {}],
])(
  '%s connects an account, refreshes, uses client credentials, and revokes, without special code [S75]',
  async (_, program, script, more) => {
    const words = [join(STRANGERS, script), JSON.stringify(await order())];
    const { stdout } = await run(program, words, { timeout: 60_000 });
    const token = await present();
    const seen = { code: token, refresh: token, same: true, credentials: token, revoked: 200, after: 'invalid_grant' };
    expect(JSON.parse(stdout)).toEqual({ ...seen, ...more });
  },
);

test('openid-client connects an account with PKCE, refreshes, uses client credentials, and revokes', async () => {
  const { client_id, client_secret } = await client();
  const config = await openid.discovery(new URL(origin), client_id, client_secret, undefined, OPENID);
  const verifier = openid.randomPKCECodeVerifier();
  const url = openid.buildAuthorizationUrl(config, {
    redirect_uri: CALLBACK,
    state: 's',
    code_challenge: await openid.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
  });
  const tokens = await openid.authorizationCodeGrant(config, await visit(url), {
    pkceCodeVerifier: verifier,
    expectedState: 's',
  });
  expect(tokens).toMatchObject({ access_token: await present(), token_type: 'bearer', expires_in: expect.any(Number) });
  const again = await openid.refreshTokenGrant(config, tokens.refresh_token ?? '');
  expect(again.refresh_token).toBe(tokens.refresh_token);
  expect(await openid.clientCredentialsGrant(config)).toMatchObject({ access_token: await present() });
  await openid.tokenRevocation(config, tokens.refresh_token ?? '');
  const late = openid.refreshTokenGrant(config, tokens.refresh_token ?? '');
  await expect(late).rejects.toMatchObject({ status: 400, error: 'invalid_grant' });
});

test('openid-client connects an account from a device without a browser', async () => {
  const { client_id, client_secret } = await client();
  const config = await openid.discovery(new URL(origin), client_id, client_secret, undefined, OPENID);
  const begun = await openid.initiateDeviceAuthorization(config, {});
  const polled = openid.pollDeviceAuthorizationGrant(config, begun);
  const page = begun.verification_uri_complete ?? '';
  world.provider.control.preselect({ decision: 'approve', user: null, once: true });
  expect(await (await fetch(page)).text()).toContain(begun.user_code);
  const opened = await fetch(`${origin}/oauth/device`, {
    method: 'POST',
    redirect: 'manual',
    headers: { origin },
    body: new URLSearchParams({ user_code: begun.user_code }),
  });
  const cookie = (opened.headers.get('set-cookie') ?? '').split(';')[0] ?? '';
  const there = await fetch(opened.headers.get('location') ?? '', { redirect: 'manual' });
  const done = await fetch(there.headers.get('location') ?? '', { headers: { cookie } });
  expect(await done.text()).toContain('Connected');
  expect(await polled).toMatchObject({ access_token: await present(), refresh_token: expect.stringMatching(/^evr_/) });
});

test('oauth4webapi pushes its request, proves itself by a key, checks the issuer of the answer, and revokes', async () => {
  const pair = await crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, true, ['sign', 'verify']);
  const jwk = await crypto.subtle.exportKey('jwk', pair.publicKey);
  const made = await world.api('POST', '/v1/clients', {
    name: 'Keyed',
    apps: [app],
    redirect_uris: [CALLBACK],
    token_endpoint_auth_method: 'private_key_jwt',
    jwks: { keys: [{ kty: jwk.kty, crv: jwk.crv, x: jwk.x, y: jwk.y }] },
  });
  const metadata: oauth.Client = { client_id: (made.body as unknown as Made).client_id };
  const insecure = { [oauth.allowInsecureRequests]: true };
  const discovery = await oauth.discoveryRequest(new URL(origin), { ...insecure, algorithm: 'oauth2' });
  const as = await oauth.processDiscoveryResponse(new URL(origin), discovery);
  const proof = oauth.PrivateKeyJwt(pair.privateKey);
  const verifier = oauth.generateRandomCodeVerifier();
  const parameters = {
    response_type: 'code',
    redirect_uri: CALLBACK,
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
    state: 's',
  };
  const pushed = await oauth.pushedAuthorizationRequest(as, metadata, proof, parameters, insecure);
  const { request_uri } = await oauth.processPushedAuthorizationResponse(as, metadata, pushed);
  const query = new URLSearchParams({ client_id: metadata.client_id, request_uri });
  const callback = await visit(`${as.authorization_endpoint}?${String(query)}`);
  const back = oauth.validateAuthResponse(as, metadata, callback, 's');
  const code = await oauth.authorizationCodeGrantRequest(as, metadata, proof, back, CALLBACK, verifier, insecure);
  const tokens = await oauth.processAuthorizationCodeResponse(as, metadata, code);
  const again = await oauth.refreshTokenGrantRequest(as, metadata, proof, tokens.refresh_token ?? '', insecure);
  expect(await oauth.processRefreshTokenResponse(as, metadata, again)).toMatchObject({ access_token: await present() });
  const own = await oauth.clientCredentialsGrantRequest(as, metadata, proof, {}, insecure);
  expect(await oauth.processClientCredentialsResponse(as, metadata, own)).toMatchObject({ token_type: 'bearer' });
  const asked = await oauth.introspectionRequest(as, metadata, proof, tokens.refresh_token ?? '', insecure);
  expect(await oauth.processIntrospectionResponse(as, metadata, asked)).toMatchObject({ active: true });
  const revoked = await oauth.revocationRequest(as, metadata, proof, tokens.refresh_token ?? '', insecure);
  await oauth.processRevocationResponse(revoked);
  const late = await oauth.refreshTokenGrantRequest(as, metadata, proof, tokens.refresh_token ?? '', insecure);
  await expect(oauth.processRefreshTokenResponse(as, metadata, late)).rejects.toMatchObject({ error: 'invalid_grant' });
});

/** A client without a secret, whose refresh tokens are bound to its key. */
async function boundClient(): Promise<string> {
  const wish = {
    name: 'Page',
    type: 'public',
    apps: [app],
    redirect_uris: [CALLBACK],
    dpop_bound_refresh_tokens: true,
  };
  const made = await world.api('POST', '/v1/clients', wish);
  return (made.body as unknown as Made).client_id;
}

test('openid-client without a secret keeps one refresh token by DPoP, and nobody else can use it [S127]', async () => {
  const config = await openid.discovery(new URL(origin), await boundClient(), undefined, openid.None(), OPENID);
  const DPoP = openid.getDPoPHandle(config, await openid.randomDPoPKeyPair());
  const verifier = openid.randomPKCECodeVerifier();
  const parameters = {
    redirect_uri: CALLBACK,
    state: 's',
    code_challenge: await openid.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
    dpop_jkt: await DPoP.calculateThumbprint(),
  };
  const back = await visit(openid.buildAuthorizationUrl(config, parameters));
  const checks = { pkceCodeVerifier: verifier, expectedState: 's' };
  const tokens = await openid.authorizationCodeGrant(config, back, checks, undefined, { DPoP });
  expect(tokens).toMatchObject({ access_token: await present(), token_type: 'bearer' });
  const token = tokens.refresh_token ?? '';
  secrets.push(token);
  for (let use = 0; use < 3; use++) {
    const again = await openid.refreshTokenGrant(config, token, undefined, { DPoP });
    expect(again).toMatchObject({ access_token: await present(), refresh_token: token });
  }
  const other = openid.getDPoPHandle(config, await openid.randomDPoPKeyPair('Ed25519'));
  for (const options of [undefined, { DPoP: other }]) {
    const stolen = openid.refreshTokenGrant(config, token, undefined, options);
    await expect(stolen).rejects.toMatchObject({ status: 400, error: 'invalid_grant' });
  }
  await openid.tokenRevocation(config, token);
  const late = openid.refreshTokenGrant(config, token, undefined, { DPoP });
  await expect(late).rejects.toMatchObject({ error: 'invalid_grant' });
});

test.each(['ES256', 'PS256', 'RS256', 'Ed25519'])(
  'oauth4webapi pushes, redeems and refreshes with DPoP by %s, also where its clock is an hour behind',
  async (algorithm) => {
    const insecure = { [oauth.allowInsecureRequests]: true };
    const metadata: oauth.Client = { client_id: await boundClient(), [oauth.clockSkew]: -3_600 };
    const discovery = await oauth.discoveryRequest(new URL(origin), { ...insecure, algorithm: 'oauth2' });
    const as = await oauth.processDiscoveryResponse(new URL(origin), discovery);
    const DPoP = oauth.DPoP(metadata, await oauth.generateKeyPair(algorithm));
    const options = { ...insecure, DPoP };
    const verifier = oauth.generateRandomCodeVerifier();
    const parameters = {
      response_type: 'code',
      redirect_uri: CALLBACK,
      code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
      code_challenge_method: 'S256',
    };
    const push = async () =>
      oauth.processPushedAuthorizationResponse(
        as,
        metadata,
        await oauth.pushedAuthorizationRequest(as, metadata, oauth.None(), parameters, options),
      );
    // Its own time is refused, and the answer has what to send instead.
    const refused = await push().catch((error: unknown) => error);
    expect(oauth.isDPoPNonceError(refused)).toBe(true);
    const { request_uri } = await push();
    const query = new URLSearchParams({ client_id: metadata.client_id, request_uri });
    const callback = await visit(`${as.authorization_endpoint}?${String(query)}`);
    const back = oauth.validateAuthResponse(as, metadata, callback, oauth.expectNoState);
    const code = await oauth.authorizationCodeGrantRequest(
      as,
      metadata,
      oauth.None(),
      back,
      CALLBACK,
      verifier,
      options,
    );
    const tokens = await oauth.processAuthorizationCodeResponse(as, metadata, code);
    const token = tokens.refresh_token ?? '';
    const again = await oauth.refreshTokenGrantRequest(as, metadata, oauth.None(), token, options);
    const answer = await oauth.processRefreshTokenResponse(as, metadata, again);
    expect(answer).toMatchObject({ access_token: await present(), token_type: 'bearer', refresh_token: token });
    const alone = await oauth.refreshTokenGrantRequest(as, metadata, oauth.None(), token, insecure);
    const stolen = oauth.processRefreshTokenResponse(as, metadata, alone);
    await expect(stolen).rejects.toMatchObject({ error: 'invalid_grant' });
  },
);

test.each(['header', 'body'] as const)(
  'simple-oauth2 connects an account with its secret in the %s',
  async (method) => {
    const { client_id, client_secret } = await client();
    const same = { client: { id: client_id, secret: client_secret }, options: { authorizationMethod: method } };
    const auth = { tokenHost: origin, tokenPath: '/oauth/token', revokePath: '/oauth/revoke' };
    const flow = new AuthorizationCode({ ...same, auth: { ...auth, authorizePath: '/oauth/authorize' } });
    const callback = await visit(flow.authorizeURL({ redirect_uri: CALLBACK, state: 's' }));
    const first = await flow.getToken({ code: callback.searchParams.get('code') ?? '', redirect_uri: CALLBACK });
    const third = await (await first.refresh()).refresh();
    expect(third.token.access_token).toBe(await present());
    const own = await new ClientCredentials({ ...same, auth }).getToken({});
    expect(own.token.access_token).toBe(await present());
    await first.revoke('refresh_token');
    await expect(first.refresh()).rejects.toMatchObject({ data: { payload: { error: 'invalid_grant' } } });
  },
);

test('curl connects an account, refreshes, uses client credentials, and revokes', async () => {
  const { client_id, client_secret } = await client();
  const curl = async (path: string, fields: Readonly<Record<string, string>>) => {
    const data = Object.entries(fields).flatMap(([name, value]) => ['--data-urlencode', `${name}=${value}`]);
    const words = ['--silent', '--max-time', '20', '--user', `${client_id}:${client_secret}`, ...data, origin + path];
    return JSON.parse((await run('curl', words)).stdout) as Record<string, string>;
  };
  const query = new URLSearchParams({ client_id, response_type: 'code', redirect_uri: CALLBACK });
  const code = (await visit(`${origin}/oauth/authorize?${String(query)}`)).searchParams.get('code') ?? '';
  const tokens = await curl('/oauth/token', { grant_type: 'authorization_code', code, redirect_uri: CALLBACK });
  secrets.push(code, tokens.refresh_token ?? '', tokens.access_token ?? '');
  const refresh = { grant_type: 'refresh_token', refresh_token: tokens.refresh_token ?? '' };
  expect(await curl('/oauth/token', refresh)).toMatchObject({ access_token: await present() });
  expect(await curl('/oauth/token', { grant_type: 'client_credentials' })).toMatchObject({ token_type: 'Bearer' });
  expect(await curl('/oauth/revoke', { token: tokens.refresh_token ?? '' })).toEqual({});
  expect(await curl('/oauth/token', refresh)).toEqual({ error: 'invalid_grant' });
});

test('and no secret, code or token of all that lies in a file or in a line of the log', async () => {
  const grant = ((await world.api('GET', '/v1/grants?state=active')).body as unknown as { items: { id: string }[] })
    .items[0];
  const made = await world.api('POST', '/v1/clients', { name: 'Last', grants: [grant?.id], rotation: 'rotating' });
  const { client_id, client_secret, refresh_tokens } = made.body as unknown as Made & { refresh_tokens: object };
  const first = String(Object.values(refresh_tokens)[0]);
  const body = new URLSearchParams({ grant_type: 'refresh_token', refresh_token: first, client_id, client_secret });
  const answer = await fetch(`${origin}/oauth/token`, { method: 'POST', body });
  const { refresh_token: second } = (await answer.json()) as { refresh_token: string };
  secrets.push(client_secret, first, second);
  await world.signal('SIGTERM');
  const files = readdirSync(world.data, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const stored = files.map((entry) => readFileSync(join(entry.parentPath, entry.name), 'latin1')).join('\n');
  expect(stored).toContain(client_id);
  expect(world.output).toContain('client event');
  expect(secrets).toHaveLength(15);
  for (const secret of secrets) {
    expect(secret.length).toBeGreaterThan(20);
    expect(stored.includes(secret) || world.output.includes(secret)).toBe(false);
  }
});
