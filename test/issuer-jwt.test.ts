import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { describe, expect, test } from 'vitest';
import { POLICIES } from '../src/core/policies.fixture.ts';
import type { TrustedIssuer } from '../src/issuer/client.ts';
import type { Network } from '../src/ports/network.ts';
import { issuerBench, issuerOn, refused } from './support/issuer-bench.ts';
import { json } from './support/scripted-upstream.ts';

const PUBLIC_URL = 'http://127.0.0.1:8787';
const CLUSTER = 'https://kubernetes.default.svc';
const SUBJECT = 'system:serviceaccount:reports:nightly';
const BEARER = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';
const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
const JWT = 'urn:ietf:params:oauth:token-type:jwt';
const REFRESH_TOKEN = 'urn:ietf:params:oauth:token-type:refresh_token';
const DAY_MS = 86_400_000;
/** A provider whose consent has no end, and that sets no pace. */
const WITHOUT_END = {
  policy: {
    ...POLICIES.exact,
    life: { ...POLICIES.exact.life, idleMs: Number.POSITIVE_INFINITY },
    pacing: { minSpacingMs: 0, perDay: Number.POSITIVE_INFINITY },
  },
};
const INVALID_CLIENT = { error: 'invalid_client', status: 401 };

async function signer(kid: string) {
  const { publicKey, privateKey } = await generateKeyPair('ES256');
  const jwk = { ...(await exportJWK(publicKey)), kid, alg: 'ES256' };
  const sign = (nowMs: number, claims: Readonly<Record<string, unknown>>, lifeS = 60) =>
    new SignJWT({ exp: Math.floor(nowMs / 1000) + lifeS, ...claims })
      .setProtectedHeader({ alg: 'ES256', kid })
      .sign(privateKey);
  return { jwk, sign };
}

async function connected(options: Parameters<typeof issuerBench>[0] = {}) {
  const bench = await issuerBench(options);
  await bench.world.imported();
  return bench;
}

function trusted(jwk: object, change: Partial<TrustedIssuer> = {}): TrustedIssuer {
  const jwks = { keys: [{ ...jwk }] };
  return { issuer: CLUSTER, audience: null, jwks, jwksUri: null, subject: SUBJECT, ownerClaim: null, ...change };
}

describe('private_key_jwt', () => {
  async function keyed() {
    const bench = await connected();
    const key = await signer('one');
    const { made } = await bench.client({ authMethod: 'private_key_jwt', jwks: { keys: [key.jwk] } });
    let count = 0;
    const claims = () => ({ iss: made.id, sub: made.id, aud: `${PUBLIC_URL}/oauth/token`, jti: `j${count++}` });
    const ask = (assertion: string) =>
      bench.token({ grant_type: 'client_credentials', client_assertion_type: BEARER, client_assertion: assertion });
    return { bench, key, made, claims, ask, now: () => bench.world.clock.now() };
  }

  test('authenticates a client without a secret, once for each assertion', async () => {
    const { ask, key, claims, now } = await keyed();
    const assertion = await key.sign(now(), claims());
    expect(await ask(assertion)).toMatchObject({ access_token: 'at-0-eol' });
    expect(await refused(ask(assertion))).toEqual(INVALID_CLIENT);
    expect(await ask(await key.sign(now(), claims()))).toMatchObject({ access_token: 'at-0-eol' });
  });

  test('takes an assertion once on all nodes and across restarts, and forgets it when nobody takes it any more', async () => {
    const { bench, ask, key, claims, now } = await keyed();
    const assertion = await key.sign(now(), claims());
    const other = issuerOn(bench.world);
    const fields = { grant_type: 'client_credentials', client_assertion_type: BEARER, client_assertion: assertion };
    const both = await Promise.allSettled([ask(assertion), other.token(fields)]);
    expect(both.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    bench.crash();
    expect(await refused(ask(assertion))).toEqual(INVALID_CLIENT);
    const kept = async () => {
      const { items } = await bench.world.store.records.list('client-assertion', { limit: 10, after: null });
      return items.length;
    };
    expect(await kept()).toBe(1);
    await bench.world.clock.advance(91_000);
    await ask(await key.sign(now(), claims()));
    await bench.world.clock.advance(1);
    expect(await kept()).toBe(1);
  });

  test.each([
    ['of another key', async ({ claims, now }) => (await signer('one')).sign(now(), claims())],
    [
      'for another audience',
      async ({ key, claims, now }) => key.sign(now(), { ...claims(), aud: 'https://else.example' }),
    ],
    [
      'of another client',
      async ({ key, claims, now }) => key.sign(now(), { ...claims(), iss: 'cli_else', sub: 'cli_else' }),
    ],
    ['that is over', async ({ key, claims, now }) => key.sign(now(), claims(), -60)],
    ['that lives for a day', async ({ key, claims, now }) => key.sign(now(), claims(), 86_400)],
    ['without a jti', async ({ key, claims, now }) => key.sign(now(), { ...claims(), jti: undefined })],
    ['that is no JWT', async () => 'nonsense'],
  ] satisfies [string, (world: Awaited<ReturnType<typeof keyed>>) => Promise<string>][])(
    'does not take an assertion %s',
    async (_, make) => {
      const world = await keyed();
      expect(await refused(world.ask(await make(world)))).toEqual(INVALID_CLIENT);
    },
  );

  test('takes no secret instead, and a client with a secret no assertion', async () => {
    const { bench, made, key, claims, now } = await keyed();
    const secret = { grant_type: 'client_credentials', client_id: made.id, client_secret: 'evs_x' };
    expect(await refused(bench.token(secret))).toEqual(INVALID_CLIENT);
    const other = await bench.client();
    const assertion = await key.sign(now(), { ...claims(), iss: other.id, sub: other.id });
    const asking = bench.token({
      grant_type: 'client_credentials',
      client_assertion_type: BEARER,
      client_assertion: assertion,
    });
    expect(await refused(asking)).toEqual(INVALID_CLIENT);
  });
});

describe('a service account of a cluster', () => {
  test('is a client by its own token, as often as it likes, and no other account is', async () => {
    const bench = await connected();
    const key = await signer('k8s');
    const client = await bench.client({ authMethod: 'private_key_jwt', trustedIssuers: [trusted(key.jwk)] });
    const sign = (sub: string, aud = PUBLIC_URL) =>
      key.sign(bench.world.clock.now(), { iss: CLUSTER, sub, aud }, 3_600);
    const ask = async (assertion: string) =>
      bench.token({
        grant_type: 'refresh_token',
        refresh_token: client.refreshToken,
        client_id: client.id,
        client_assertion_type: BEARER,
        client_assertion: assertion,
      });
    const token = await sign(SUBJECT);
    for (let i = 0; i < 3; i++) expect(await ask(token)).toMatchObject({ access_token: 'at-0-eol' });
    expect(await refused(ask(await sign('system:serviceaccount:reports:other')))).toEqual(INVALID_CLIENT);
    expect(await refused(ask(await sign(SUBJECT, 'https://else.example')))).toEqual(INVALID_CLIENT);
  });

  test('is each of those that one issuer is trusted for, also where the keys of one entry cannot be had', async () => {
    const away: Network = { open: async () => ({ kind: 'not_sent', reason: 'away' }) };
    const bench = await connected({ keys: away });
    const [key, other] = [await signer('cluster'), await signer('other')];
    const trustedIssuers = [
      trusted(key.jwk, { jwks: null, jwksUri: `${CLUSTER}/away` }),
      trusted(key.jwk),
      trusted(key.jwk, { subject: 'second' }),
      trusted(other.jwk, { subject: 'third', audience: 'reports' }),
    ];
    const { id } = await bench.client({ authMethod: 'private_key_jwt', trustedIssuers });
    const ask = async (sub: string, aud = PUBLIC_URL, signedBy = key) =>
      bench.token({
        grant_type: 'client_credentials',
        client_id: id,
        client_assertion_type: BEARER,
        client_assertion: await signedBy.sign(bench.world.clock.now(), { iss: CLUSTER, sub, aud }),
      });
    const given = { access_token: 'at-0-eol' };
    expect(await ask(SUBJECT)).toMatchObject(given);
    expect(await ask('second')).toMatchObject(given);
    expect(await ask('third', 'reports', other)).toMatchObject(given);
    expect(await refused(ask('third', PUBLIC_URL, other))).toEqual(INVALID_CLIENT);
    expect(await refused(ask('third', 'reports', key))).toEqual(INVALID_CLIENT);
    expect(await refused(ask('fourth'))).toEqual(INVALID_CLIENT);
    expect(await refused(ask(SUBJECT, 'reports'))).toMatchObject({ error: 'temporarily_unavailable' });
  });

  test('is known by the keys that its cluster publishes, also when those change or cannot be read for a while', async () => {
    const keys = { list: [(await signer('old')).jwk], asked: 0, isThere: true };
    const network: Network = {
      open: async () => ({
        kind: 'connection',
        send: async () => {
          keys.asked++;
          return keys.isThere ? json(200, { keys: keys.list }) : { kind: 'lost', reason: 'away' };
        },
        close: () => undefined,
      }),
    };
    const bench = await connected({ keys: network });
    const key = await signer('new');
    const issuer = trusted(key.jwk, { jwks: null, jwksUri: `${CLUSTER}/openid/v1/jwks` });
    const { id } = await bench.client({ authMethod: 'private_key_jwt', trustedIssuers: [issuer] });
    const ask = async () =>
      bench.token({
        grant_type: 'client_credentials',
        client_id: id,
        client_assertion_type: BEARER,
        client_assertion: await key.sign(bench.world.clock.now(), { iss: CLUSTER, sub: SUBJECT, aud: PUBLIC_URL }),
      });
    expect(await refused(ask())).toEqual(INVALID_CLIENT);
    keys.list = [key.jwk];
    for (let i = 0; i < 5; i++) await refused(ask());
    expect(keys.asked).toBe(1);
    await bench.world.clock.advance(31_000);
    expect(await ask()).toMatchObject({ access_token: 'at-0-eol' });
    keys.isThere = false;
    await bench.world.clock.advance(400_000);
    expect(await ask()).toMatchObject({ access_token: 'at-0-eol' });
  });
});

describe('the keys of an issuer that is away', () => {
  test('are asked for once by all who come, and not again at once', async () => {
    let asked = 0;
    let list: object[] | null = null;
    const network: Network = {
      open: async () => {
        asked++;
        return list
          ? { kind: 'connection', send: async () => json(200, { keys: list }), close: () => undefined }
          : { kind: 'not_sent', reason: 'away' };
      },
    };
    const bench = await connected({ keys: network });
    const key = await signer('new');
    const issuer = trusted(key.jwk, { jwks: null, jwksUri: `${CLUSTER}/openid/v1/jwks` });
    const { id } = await bench.client({ authMethod: 'private_key_jwt', trustedIssuers: [issuer] });
    const { clock } = bench.world;
    const ask = async () =>
      bench.token({
        grant_type: 'client_credentials',
        client_id: id,
        client_assertion_type: BEARER,
        client_assertion: await key.sign(clock.now(), { iss: CLUSTER, sub: SUBJECT, aud: PUBLIC_URL }),
      });
    const away = await Promise.all(Array.from({ length: 50 }, () => refused(ask())));
    expect(away.every(({ status }) => status === 503)).toBe(true);
    expect(await refused(ask())).toMatchObject({ error: 'temporarily_unavailable' });
    expect(asked).toBe(1);
    await clock.advance(5_001);
    list = [(await signer('old')).jwk];
    expect(await refused(ask())).toEqual(INVALID_CLIENT);
    expect(asked).toBe(2);
    list = [key.jwk];
    await clock.advance(30_001);
    expect(await ask()).toMatchObject({ token_type: 'Bearer' });
  });
});

describe('token exchange', () => {
  test('gives the access token for the client’s own refresh token, which is not spent by it', async () => {
    const bench = await connected();
    const { refreshToken, credentials, refresh } = await bench.client();
    const ask = (subject: string) =>
      bench.token({ grant_type: EXCHANGE, subject_token: subject, subject_token_type: REFRESH_TOKEN, ...credentials });
    const answer = { access_token: 'at-0-eol', token_type: 'Bearer', expires_in: 600, scope: 'read' };
    const type = 'urn:ietf:params:oauth:token-type:access_token';
    expect(await ask(refreshToken)).toEqual({ ...answer, issued_token_type: type });
    expect(await refresh()).toMatchObject(answer);
    const other = await bench.client();
    expect(await refused(ask(other.refreshToken))).toEqual({ error: 'invalid_grant', status: 400 });
  });

  test('is a use of the refresh token, which lives on by it', async () => {
    const bench = await connected(WITHOUT_END);
    const { refreshToken, credentials, refresh } = await bench.client();
    for (let i = 0; i < 3; i++) {
      await bench.world.clock.leap(20 * DAY_MS);
      const asked = { grant_type: EXCHANGE, subject_token: refreshToken, subject_token_type: REFRESH_TOKEN };
      await bench.token({ ...asked, ...credentials });
    }
    expect(await refresh()).toMatchObject({ refresh_token: refreshToken });
  });

  test('gives a public client nothing for its refresh token, which would then be used without rotating', async () => {
    const bench = await connected();
    const { refreshToken, credentials } = await bench.client({ type: 'public' });
    const asked = { grant_type: EXCHANGE, subject_token: refreshToken, subject_token_type: REFRESH_TOKEN };
    expect(await refused(bench.token({ ...asked, ...credentials }))).toEqual({
      error: 'unauthorized_client',
      status: 400,
    });
  });

  test('gives an agent the token of the user that a trusted issuer names, and of nobody else', async () => {
    const bench = await connected();
    await bench.world.imported('second');
    const { keeper } = bench.world;
    await keeper.grants.update('eol', { owner: 'user-1' });
    await keeper.grants.update('second', { owner: 'user-2' });
    const key = await signer('idp');
    const idp = trusted(key.jwk, { issuer: 'https://idp.example', subject: null, ownerClaim: 'sub' });
    const { credentials } = await bench.client({ grants: ['eol', 'second'], trustedIssuers: [idp] });
    const ask = async (sub: string, change: object = {}, fields: object = {}) => {
      const claims = { iss: 'https://idp.example', aud: PUBLIC_URL, sub, ...change };
      const token = await key.sign(bench.world.clock.now(), claims);
      return bench.token({
        grant_type: EXCHANGE,
        subject_token: token,
        subject_token_type: JWT,
        ...credentials,
        ...fields,
      });
    };
    expect(await ask('user-1')).toMatchObject({ access_token: 'at-0-eol' });
    expect(await ask('user-2')).toMatchObject({ access_token: 'at-0-second' });
    expect(await refused(ask('user-2', {}, { audience: 'eol' }))).toMatchObject({ error: 'invalid_target' });
    const invalid = { error: 'invalid_grant', status: 400 };
    expect(await refused(ask('user-3'))).toEqual(invalid);
    expect(await refused(ask('user-1', { iss: 'https://else.example' }))).toEqual(invalid);
    expect(await refused(ask('user-1', { aud: 'https://else.example' }))).toEqual(invalid);
  });

  test('takes the owner from each entry of one issuer that the JWT is meant for', async () => {
    const bench = await connected();
    await bench.world.keeper.grants.update('eol', { owner: 'user-1' });
    const key = await signer('idp');
    const trustedIssuers = [
      trusted(key.jwk, { subject: null, ownerClaim: 'email', audience: 'web' }),
      trusted(key.jwk, { subject: null, ownerClaim: 'email' }),
      trusted(key.jwk, { subject: null, ownerClaim: 'uid' }),
    ];
    const { credentials } = await bench.client({ trustedIssuers });
    const ask = async (claims: object) => {
      const token = await key.sign(bench.world.clock.now(), { iss: CLUSTER, sub: 's', ...claims });
      return bench.token({ grant_type: EXCHANGE, subject_token: token, subject_token_type: JWT, ...credentials });
    };
    expect(await ask({ aud: 'web', email: 'user-1' })).toMatchObject({ access_token: 'at-0-eol' });
    expect(await ask({ aud: PUBLIC_URL, uid: 'user-1' })).toMatchObject({ access_token: 'at-0-eol' });
    expect(await refused(ask({ aud: 'web', uid: 'user-1' }))).toMatchObject({ error: 'invalid_grant' });
    expect(await refused(ask({ aud: PUBLIC_URL, email: 'user-2', uid: 'user-1' }))).toMatchObject({
      error: 'invalid_grant',
    });
  });

  test('reaches no grant that the client may not use, whatever owner is named', async () => {
    const bench = await connected();
    await bench.world.imported('theirs');
    await bench.world.keeper.grants.update('theirs', { owner: 'user-1' });
    const key = await signer('idp');
    const idp = trusted(key.jwk, { subject: null, ownerClaim: 'sub' });
    const { credentials } = await bench.client({ trustedIssuers: [idp] });
    const token = await key.sign(bench.world.clock.now(), { iss: CLUSTER, aud: PUBLIC_URL, sub: 'user-1' });
    const asking = bench.token({ grant_type: EXCHANGE, subject_token: token, subject_token_type: JWT, ...credentials });
    expect(await refused(asking)).toEqual({ error: 'invalid_grant', status: 400 });
  });
});
