import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import * as oauth from 'oauth4webapi';
import { expect, test } from 'vitest';
import { emulator } from '../emulator.ts';
import { formNamed, START, TestClient, tokensOf } from './client.fixture.ts';

const TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';
const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const jwksOf = (key: KeyObject) => ({ keys: [{ ...key.export({ format: 'jwk' }), kid: 'one', alg: 'ES256' }] });

const TOKEN_URL = 'http://as.example/oauth2/token';

class SigningClient extends TestClient {
  #count = 0;

  constructor() {
    super({ form: formNamed('xero'), jwks: jwksOf(pair.publicKey) });
  }

  assertion(claims: Record<string, unknown> = {}, key = pair.privateKey): string {
    const { clientId } = this.server.defaultApp();
    const seconds = this.now / 1000;
    const usual = { iss: clientId, sub: clientId, aud: this.audience, exp: seconds + 60, jti: `jti-${++this.#count}` };
    const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
    const content = `${part({ alg: 'ES256', kid: 'one' })}.${part({ ...usual, ...claims })}`;
    const signature = sign('sha256', Buffer.from(content), { key, dsaEncoding: 'ieee-p1363' });
    return `${content}.${signature.toString('base64url')}`;
  }

  get audience(): string {
    return `http://localhost${this.form.paths.token}`;
  }

  present(refreshToken: string, assertion: string) {
    const fields = { grant_type: 'refresh_token', refresh_token: refreshToken };
    const proof = { client_assertion_type: TYPE, client_assertion: assertion };
    const body = String(new URLSearchParams({ ...fields, ...proof }));
    return this.send('POST', this.form.paths.token, { 'content-type': 'application/x-www-form-urlencoded' }, body);
  }

  get reason(): string | null {
    return this.server.ledger().at(-1)?.reason ?? null;
  }
}

test('an app with keys proves itself by a signed assertion, and without a client id', async () => {
  const client = new SigningClient();
  const { refreshToken } = client.server.grant();
  expect((await client.present(refreshToken, client.assertion())).status).toBe(200);
  expect(
    (await client.present(tokensOf(await client.present(refreshToken, client.assertion())).refresh, client.assertion()))
      .status,
  ).toBe(200);
});

const WRONG: readonly [string, string, (client: SigningClient) => string][] = [
  ['that has expired', 'assertion-expired', (client) => client.assertion({ exp: client.now / 1000 })],
  [
    'that is good for more than an hour',
    'assertion-expired',
    (client) => client.assertion({ exp: client.now / 1000 + 3601 }),
  ],
  ['that is not good yet', 'assertion-expired', (client) => client.assertion({ nbf: client.now / 1000 + 1 })],
  ['without exp', 'assertion-malformed', (client) => client.assertion({ exp: undefined })],
  ['without jti', 'assertion-malformed', (client) => client.assertion({ jti: undefined })],
  ['for another server', 'assertion-audience-wrong', (client) => client.assertion({ aud: TOKEN_URL })],
  ['of another issuer', 'assertion-of-another-client', (client) => client.assertion({ iss: 'somebody' })],
  [
    'signed by another key',
    'assertion-signature-wrong',
    (client) => client.assertion({}, generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey),
  ],
  ['that is no JWT', 'assertion-malformed', (client) => `e30.${client.assertion().split('.')[1]}`],
];

test.each(WRONG)(
  'an assertion %s is refused as an unknown client, and nothing is exchanged: %s',
  async (_, reason, make) => {
    const client = new SigningClient();
    const { refreshToken } = client.server.grant();
    const said = await client.present(refreshToken, make(client));
    expect([said.status, JSON.parse(said.text).error]).toEqual([401, 'invalid_client']);
    expect(client.reason).toBe(reason);
    expect((await client.present(refreshToken, client.assertion())).status).toBe(200);
  },
);

test('one jti is good for one request, as long as its assertion lives', async () => {
  const client = new SigningClient();
  const { refreshToken } = client.server.grant();
  const assertion = client.assertion();
  const { refresh } = tokensOf(await client.present(refreshToken, assertion));
  expect((await client.present(refresh, assertion)).status).toBe(401);
  expect(client.reason).toBe('assertion-replayed');
  client.now = (START + 61_000) as typeof client.now;
  expect((await client.present(refresh, client.assertion({ jti: 'jti-1' }))).status).toBe(200);
});

test('a request that the network delivers twice has its effect once, since its jti is used', async () => {
  const client = new SigningClient();
  const { refreshToken } = client.server.grant();
  client.server.addFaults([{ fault: 'duplicate-delivery', deliver: 'first' }]);
  expect((await client.present(refreshToken, client.assertion())).status).toBe(200);
  expect(client.server.families()[0]?.tokens).toHaveLength(2);
});

test('the secret of an app with keys is good for nothing, and an assertion of an app without keys neither', async () => {
  const client = new SigningClient();
  const { refreshToken } = client.server.grant();
  expect((await client.refresh(refreshToken)).status).toBe(401);
  expect(client.reason).toBe('assertion-missing');
  const plain = new TestClient({ form: formNamed('xero') });
  const said = await plain.token({ grant_type: 'refresh_token', refresh_token: 'x', client_assertion: 'a.b.c' });
  expect(JSON.parse(said.text).error).toBe('invalid_request');
});

test('a private key among the public ones is refused by name', () => {
  expect(() => new TestClient({ jwks: jwksOf(pair.privateKey) })).toThrow('jwks holds a private key');
});

test('a client that others wrote exchanges with private_key_jwt', async () => {
  const { publicKey, privateKey } = await oauth.generateKeyPair('ES256', { extractable: true });
  const jwk = await crypto.subtle.exportKey('jwk', publicKey);
  await using server = await emulator('oidc', { jwks: { keys: [jwk] } });
  const insecure = { [oauth.allowInsecureRequests]: true };
  const issuer = new URL(server.baseUrl);
  const as = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, insecure));
  const client = { client_id: server.clientId };
  const { refreshToken } = server.control.grant();
  const proof = oauth.PrivateKeyJwt(privateKey);
  const given = await oauth.refreshTokenGrantRequest(as, client, proof, refreshToken, insecure);
  expect(await oauth.processRefreshTokenResponse(as, client, given)).toHaveProperty('access_token');
  expect(server.providerFile.token_endpoint_auth_methods).toEqual(['private_key_jwt']);
});
