/** JWTs that somebody made who does not have the key, or that were made for something else: as a client, and for a user. */
import { createHmac, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import type { TrustedIssuer } from '../src/issuer/client.ts';
import { dpopKey, encoded } from './support/dpop.ts';
import { issuerBench, refused } from './support/issuer-bench.ts';

const PUBLIC_URL = 'http://127.0.0.1:8787';
const IDP = 'https://idp.example';
const BEARER = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';
const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
const JWT = 'urn:ietf:params:oauth:token-type:jwt';

const own = generateKeyPairSync('rsa', { modulusLength: 2048 });
const thief = generateKeyPairSync('rsa', { modulusLength: 2048 });
const jwkOf = (key: KeyObject) => ({ ...key.export({ format: 'jwk' }), kid: 'one' });
const pem = own.publicKey.export({ type: 'spki', format: 'pem' }).toString();

interface Wish {
  readonly head?: Readonly<Record<string, unknown>>;
  readonly claims?: Readonly<Record<string, unknown>>;
  readonly key?: KeyObject;
}

type Claims = Readonly<Record<string, unknown>>;

function signed(claims: Claims, { head = {}, claims: more = {}, key = own.privateKey }: Wish = {}): string {
  const text = `${encoded({ alg: 'RS256', kid: 'one', ...head })}.${encoded({ ...claims, ...more })}`;
  return `${text}.${sign('sha256', Buffer.from(text), key).toString('base64url')}`;
}

function withMac(claims: Claims, secret: string | Buffer): string {
  const text = `${encoded({ alg: 'HS256', kid: 'one' })}.${encoded(claims)}`;
  return `${text}.${createHmac('sha256', secret).update(text).digest('base64url')}`;
}

const FORGED: readonly (readonly [string, (claims: Claims, nowS: number) => string])[] = [
  ['is not signed', (claims) => `${encoded({ alg: 'none' })}.${encoded(claims)}.`],
  ['is not signed, in other letters', (claims) => `${encoded({ alg: 'nOnE', kid: 'one' })}.${encoded(claims)}.`],
  ['has lost its signature', (claims) => signed(claims).replace(/[^.]+$/, '')],
  ['is signed with the public key as a shared one', (claims) => withMac(claims, pem)],
  ['is signed with the modulus as a shared key', (claims) => withMac(claims, String(jwkOf(own.publicKey).n))],
  ['is signed with nothing as a shared key', (claims) => withMac(claims, '')],
  ['is signed by another key', (claims) => signed(claims, { key: thief.privateKey })],
  ['brings its own key', (claims) => signed(claims, { head: { jwk: jwkOf(thief.publicKey) }, key: thief.privateKey })],
  [
    'says where its own key is',
    (claims) => signed(claims, { head: { jku: 'https://evil.example/jwks', x5u: 'x' }, key: thief.privateKey }),
  ],
  ['was changed', (claims) => signed(claims).replace(/\.[^.]+\./, `.${encoded({ ...claims, more: 1 })}.`)],
  ['names a key that is not there', (claims) => signed(claims, { head: { kid: '../../one' } })],
  ['names another algorithm than its signature has', (claims) => signed(claims, { head: { alg: 'PS256' } })],
  ['must be understood and is not', (claims) => signed(claims, { head: { crit: ['x'], x: 1 } })],
  ['hides its payload', (claims) => signed(claims, { head: { crit: ['b64'], b64: false } })],
  ['is over', (claims, nowS) => signed(claims, { claims: { exp: nowS - 60 } })],
  ['begins later', (claims, nowS) => signed(claims, { claims: { nbf: nowS + 60 } })],
  ['never ends', (claims) => signed(claims, { claims: { exp: undefined } })],
  ['ends at no time', (claims) => signed(claims, { claims: { exp: '9999999999' } })],
  ['is for somebody else', (claims) => signed(claims, { claims: { aud: 'https://else.example' } })],
  ['is for a look-alike', (claims) => signed(claims, { claims: { aud: `${PUBLIC_URL}.evil.example` } })],
  ['is for nobody', (claims) => signed(claims, { claims: { aud: undefined } })],
  ['is for a list without us', (claims) => signed(claims, { claims: { aud: ['https://else.example', ''] } })],
  ['is of a look-alike', (claims) => signed(claims, { claims: { iss: `${String(claims.iss)}/` } })],
  ['is of nobody', (claims) => signed(claims, { claims: { iss: undefined } })],
  ['is about nobody', (claims) => signed(claims, { claims: { sub: undefined } })],
  ['is a proof of DPoP', (_, nowS) => dpopKey().proof(`${PUBLIC_URL}/oauth/token`, nowS * 1000)],
  ['is encrypted', () => `${encoded({ alg: 'dir', enc: 'A256GCM' })}..AAAA.AAAA.AAAA`],
  ['is three dots', () => '...'],
  ['is not JSON', () => `${Buffer.from('{').toString('base64url')}.e30.AA`],
  ['is JSON of another form', () => `${encoded([])}.${encoded('x')}.AA`],
];

async function world() {
  const bench = await issuerBench();
  await bench.world.imported();
  await bench.world.keeper.grants.update('eol', { owner: 'user-1' });
  const nowS = () => Math.floor(bench.world.clock.now() / 1000);
  let count = 0;
  const usual = () => ({ aud: PUBLIC_URL, exp: nowS() + 60, jti: `j${count++}` });
  return { bench, nowS, usual };
}

const jwks = { keys: [jwkOf(own.publicKey)] };
const issuer: TrustedIssuer = { issuer: IDP, audience: null, jwks, jwksUri: null, subject: null, ownerClaim: 'sub' };

describe("a client's own assertion", () => {
  async function asking() {
    const { bench, nowS, usual } = await world();
    const { id } = await bench.client({ authMethod: 'private_key_jwt', jwks });
    const ask = (assertion: string) =>
      bench.token({
        grant_type: 'client_credentials',
        client_id: id,
        client_assertion_type: BEARER,
        client_assertion: assertion,
      });
    return { ask, nowS, claims: () => ({ iss: id, sub: id, ...usual() }) };
  }

  test.each(FORGED)('that %s opens nothing', async (_, make) => {
    const { ask, nowS, claims } = await asking();
    expect(await refused(ask(make(claims(), nowS())))).toEqual({ error: 'invalid_client', status: 401 });
    expect(await ask(signed(claims()))).toMatchObject({ access_token: 'at-0-eol' });
  });
});

describe('the word of a trusted issuer about a client', () => {
  async function asking() {
    const { bench, nowS, usual } = await world();
    const trustedIssuers = [{ ...issuer, subject: 'nightly', ownerClaim: null }];
    const { id } = await bench.client({ authMethod: 'private_key_jwt', trustedIssuers });
    const ask = (assertion: string) =>
      bench.token({
        grant_type: 'client_credentials',
        client_id: id,
        client_assertion_type: BEARER,
        client_assertion: assertion,
      });
    return { ask, nowS, claims: () => ({ iss: IDP, sub: 'nightly', ...usual() }) };
  }

  test.each(FORGED)('that %s opens nothing', async (_, make) => {
    const { ask, nowS, claims } = await asking();
    expect(await refused(ask(make(claims(), nowS())))).toEqual({ error: 'invalid_client', status: 401 });
    expect(await ask(signed(claims()))).toMatchObject({ access_token: 'at-0-eol' });
  });
});

describe('the word of a trusted issuer about a user', () => {
  async function asking() {
    const { bench, nowS, usual } = await world();
    const { credentials } = await bench.client({ trustedIssuers: [issuer] });
    const ask = (token: string, type = JWT) =>
      bench.token({ grant_type: EXCHANGE, subject_token: token, subject_token_type: type, ...credentials });
    return { bench, ask, nowS, claims: () => ({ iss: IDP, sub: 'user-1', ...usual() }) };
  }

  test.each(FORGED)('that %s gives nothing', async (_, make) => {
    const { ask, nowS, claims } = await asking();
    expect(await refused(ask(make(claims(), nowS())))).toEqual({ error: 'invalid_grant', status: 400 });
    expect(await ask(signed(claims()))).toMatchObject({ access_token: 'at-0-eol' });
  });

  test.each([
    ['a refresh token', 'urn:ietf:params:oauth:token-type:refresh_token', 'invalid_grant'],
    ['a SAML assertion', 'urn:ietf:params:oauth:token-type:saml2', 'invalid_request'],
    ['nothing known', 'x', 'invalid_request'],
  ])('gives nothing under the name of %s', async (_, type, error) => {
    const { ask, claims } = await asking();
    expect(await refused(ask(signed(claims()), type))).toMatchObject({ error, status: 400 });
  });

  test('is no word about the client itself', async () => {
    const { bench, claims } = await asking();
    const { id } = await bench.client({ authMethod: 'private_key_jwt', jwks, trustedIssuers: [issuer] });
    const asked = { grant_type: 'client_credentials', client_assertion_type: BEARER, client_id: id };
    const answering = bench.token({ ...asked, client_assertion: signed({ ...claims(), sub: id }) });
    expect(await refused(answering)).toEqual({ error: 'invalid_client', status: 401 });
  });

  test.each([['user-1 '], ['USER-1'], [''], ['grt_'], ['__proto__']])('names no other owner as %j', async (sub) => {
    const { ask, claims } = await asking();
    const answer = await refused(ask(signed({ ...claims(), sub })));
    expect(answer).toEqual({ error: 'invalid_grant', status: 400 });
  });

  test.each([[['user-1']], [{ id: 'user-1' }], [1], [true]])(
    'names no owner as %j, which is no text',
    async (owner) => {
      const { bench, usual } = await world();
      const { credentials } = await bench.client({ trustedIssuers: [{ ...issuer, ownerClaim: 'owner' }] });
      const token = signed({ iss: IDP, sub: 'x', owner, ...usual() });
      const asked = { grant_type: EXCHANGE, subject_token: token, subject_token_type: JWT, ...credentials };
      expect(await refused(bench.token(asked))).toEqual({ error: 'invalid_grant', status: 400 });
    },
  );
});
