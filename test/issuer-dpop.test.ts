/** Refresh tokens that are bound to a key of the client (RFC 9449), from the authorization request to the last refusal. */
import { createHash, createSign, generateKeyPairSync } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { Secret } from '../src/core/secret.ts';
import type { NewClient } from '../src/issuer/clients.ts';
import { DURABLE, ROTATING } from '../src/issuer/rotation.ts';
import { OAuthError } from '../src/oauth/oauth-error.ts';
import { type DpopKey, dpopKey, encoded, type ProofWish } from './support/dpop.ts';
import { issuerBench, issuerOn, parameters, refused } from './support/issuer-bench.ts';
import { json } from './support/scripted-upstream.ts';

const PUBLIC_URL = 'http://127.0.0.1:8787';
const TOKEN = `${PUBLIC_URL}/oauth/token`;
const PAR = `${PUBLIC_URL}/oauth/par`;
const CALLBACK = 'https://spa.example/callback';
const VERIFIER = 'v'.repeat(43);
const PKCE = {
  code_challenge: createHash('sha256').update(VERIFIER).digest('base64url'),
  code_challenge_method: 'S256',
};
const INVALID_GRANT = { error: 'invalid_grant', status: 400 };
const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
const DEVICE = 'urn:ietf:params:oauth:grant-type:device_code';

/** A public client with a token from the operator, and short ways to use it with a key. */
async function bound(wish: Partial<NewClient> = {}) {
  const bench = await issuerBench();
  await bench.world.imported();
  const client = await bench.client({ authMethod: 'none', isDpopBound: true, ...wish });
  const key = dpopKey();
  const proof = (more: ProofWish = {}, of: DpopKey = key, address = TOKEN) =>
    of.proof(address, bench.world.clock.now(), more);
  const refresh = (text = client.refreshToken, dpop: string | undefined = proof()) => client.refresh(text, dpop);
  return { bench, client, key, proof, refresh, reasons: () => bench.events.map(({ reason }) => reason) };
}

/** What is refused, with what the client needs for its next proof. */
async function nonceAsked(work: Promise<unknown>): Promise<string> {
  const error: unknown = await work.catch((cause: unknown) => cause);
  if (!(error instanceof OAuthError) || error.code !== 'use_dpop_nonce') throw error;
  return error.details.dpopNonce ?? '';
}

describe('a refresh token that is bound to a key', () => {
  test('stays the same for a client without a secret, and gives the access token of the provider, as Bearer [S127]', async () => {
    const { bench, client, refresh } = await bound();
    expect(client.made).toMatchObject({ type: 'public', isDpopBound: true, rotation: { mode: 'durable' } });
    for (let use = 0; use < 3; use++) {
      expect(await refresh()).toMatchObject({
        access_token: 'at-0-eol',
        token_type: 'Bearer',
        refresh_token: client.refreshToken,
      });
    }
    expect(bench.events.filter(({ type }) => type === 'refresh_token_bound')).toHaveLength(1);
  });

  test.each([
    ['without a proof', () => undefined, 'no DPoP proof'],
    ['with the key of somebody else', ({ proof }) => proof({}, dpopKey()), 'another DPoP key'],
  ] satisfies [string, (world: Awaited<ReturnType<typeof bound>>) => string | undefined, string][])(
    'is worth nothing %s, and looks like any other that is not accepted [S120] [S127]',
    async (_, make, reason) => {
      const world = await bound();
      await world.refresh();
      expect(await refused(world.client.refresh(world.client.refreshToken, make(world)))).toEqual(INVALID_GRANT);
      expect(world.reasons().at(-1)).toBe(reason);
      expect(await refused(world.client.refresh('evr_nothing', make(world)))).toEqual(INVALID_GRANT);
      await world.refresh();
    },
  );

  test('is not answered from memory for who sends the same request without the proof', async () => {
    const { bench, client, refresh } = await bound({ authMethod: 'client_secret_post' });
    await refresh();
    const form = new URLSearchParams({
      grant_type: 'refresh_token',
      refresh_token: client.refreshToken,
      ...client.credentials,
    });
    expect(bench.issuer.token.recall(undefined, Buffer.from(String(form)))).toBeNull();
    expect(await refused(client.refresh())).toEqual(INVALID_GRANT);
  });

  test('has the key of the first proof that comes with it, on whichever node, also of two at once', async () => {
    const { bench, client, proof } = await bound();
    const other = issuerOn(bench.world);
    const fields = { grant_type: 'refresh_token', refresh_token: client.refreshToken, ...client.credentials };
    const keys = [dpopKey(), dpopKey()] as const;
    const both = await Promise.allSettled([
      bench.token(fields, undefined, proof({}, keys[0])),
      other.token(fields, undefined, proof({}, keys[1])),
    ]);
    expect(both.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    const winner = both[0].status === 'fulfilled' ? keys[0] : keys[1];
    const loser = winner === keys[0] ? keys[1] : keys[0];
    for (const node of [bench, other]) {
      expect(await node.token(fields, undefined, proof({}, winner))).toMatchObject({ access_token: 'at-0-eol' });
      expect(await refused(node.token(fields, undefined, proof({}, loser)))).toEqual(INVALID_GRANT);
    }
    expect(await bench.issuer.clients.tokens(client.id)).toMatchObject([{ bound: { jkt: winner.jkt } }]);
  });

  test('has the key that its operator named, and no proof that is faster changes that', async () => {
    const [key, thief] = [dpopKey(), dpopKey()];
    const { bench, client, proof, refresh } = await bound({ authMethod: 'client_secret_post', dpopJkt: key.jkt });
    const further = await bench.issuer.clients.issueToken(client.id, 'eol', key.jkt);
    for (const text of [client.refreshToken, further.refreshToken.reveal()]) {
      expect(await refused(client.refresh(text, proof({}, thief)))).toEqual(INVALID_GRANT);
      expect(await refused(client.refresh(text))).toEqual(INVALID_GRANT);
      expect(await client.refresh(text, proof({}, key))).toMatchObject({ access_token: 'at-0-eol' });
    }
    expect(await refused(refresh())).toEqual(INVALID_GRANT);
    const bounds = (await bench.issuer.clients.tokens(client.id)).map((one) => one.bound?.jkt);
    expect(bounds).toEqual([key.jkt, key.jkt]);
  });

  test('has no key where its client sends no proofs: an operator who names one is told', async () => {
    const { bench } = await bound();
    const { id } = await bench.client();
    const problem = { code: 'invalid_request', message: expect.stringContaining('dpop_jkt') };
    await expect(bench.client({ dpopJkt: dpopKey().jkt })).rejects.toMatchObject(problem);
    await expect(bench.issuer.clients.issueToken(id, 'eol', dpopKey().jkt)).rejects.toMatchObject(problem);
  });

  test('stays bound through restarts, and when the client need not prove a key any more', async () => {
    const { bench, client, key, refresh } = await bound({ authMethod: 'client_secret_post' });
    await refresh();
    await bench.restart();
    await bench.issuer.clients.update(client.id, { isDpopBound: false });
    expect(await refused(client.refresh())).toEqual(INVALID_GRANT);
    await refresh();
    const asked = {
      authorization: undefined,
      parameters: parameters({ ...client.credentials, token: client.refreshToken }),
    };
    expect(await bench.issuer.introspect(asked)).toMatchObject({ active: true, cnf: { jkt: key.jkt } });
  });

  test('rotates for who wants that, and hands its key on; who has no key cannot end the family', async () => {
    const { client, refresh, proof, bench } = await bound({ rotation: { ...ROTATING, reuseIntervalMs: 0, keep: 0 } });
    const first = await refresh();
    const second = await refresh(first.refresh_token);
    expect(new Set([client.refreshToken, first.refresh_token, second.refresh_token]).size).toBe(3);
    const thief = dpopKey();
    for (const text of [first.refresh_token, second.refresh_token]) {
      expect(await refused(client.refresh(text, proof({}, thief)))).toEqual(INVALID_GRANT);
      expect(await refused(client.refresh(text))).toEqual(INVALID_GRANT);
    }
    const third = await refresh(second.refresh_token);
    // With the key, a dead one is a dead one.
    expect(await refused(refresh(first.refresh_token))).toEqual(INVALID_GRANT);
    expect(await refused(refresh(third.refresh_token))).toEqual(INVALID_GRANT);
    expect(bench.events.map(({ type }) => type)).toContain('refresh_token_reused');
  });

  test('that a thief bound first by his key is ended when its owner presents the one before', async () => {
    const { client, refresh, proof } = await bound({ rotation: { ...ROTATING, reuseIntervalMs: 0, keep: 0 } });
    const thief = dpopKey();
    const { refresh_token: stolen } = await client.refresh(client.refreshToken, proof({}, thief));
    expect(await refused(refresh())).toEqual(INVALID_GRANT);
    expect(await refused(client.refresh(stolen, proof({}, thief)))).toEqual(INVALID_GRANT);
  });

  test('keeps the key of its first proof also where nothing came of that proof, and it is not to rotate any more', async () => {
    const { bench, client, proof, refresh } = await bound({ rotation: ROTATING });
    await bench.world.clock.advance(700_000);
    bench.world.upstream.script.push(...Array.from({ length: 9 }, () => () => json(503, {})));
    expect(await refused(refresh())).toMatchObject({ error: 'temporarily_unavailable' });
    await bench.issuer.clients.update(client.id, { rotation: DURABLE });
    expect(await refused(client.refresh(client.refreshToken, proof({}, dpopKey())))).toEqual(INVALID_GRANT);
  });

  test('is a choice for a client with a secret; without it a proof changes nothing', async () => {
    const { client, refresh } = await bound({ authMethod: 'client_secret_post', isDpopBound: false });
    await refresh();
    expect(await client.refresh()).toMatchObject({ refresh_token: client.refreshToken });
  });

  test('opens nothing by the secret alone where the client wants a key: no client credentials, no proxy', async () => {
    const { bench, client, refresh } = await bound({ authMethod: 'client_secret_basic' });
    await refresh();
    const asking = bench.token({ grant_type: 'client_credentials', ...client.credentials });
    expect(await refused(asking)).toMatchObject({ error: 'unauthorized_client' });
    const grant = client.made.grants[0] ?? 'grt_';
    expect(await bench.issuer.access.mayUse({ id: client.id, secret: client.secret }, grant)).toBeNull();
    await bench.issuer.clients.update(client.id, { isDpopBound: false });
    expect(await bench.issuer.access.mayUse({ id: client.id, secret: client.secret }, grant)).toBe(true);
  });

  test('can be exchanged by a client without a secret, with its key alone', async () => {
    const { bench, client, proof, refresh } = await bound();
    await refresh();
    const type = 'urn:ietf:params:oauth:token-type:refresh_token';
    const fields = {
      grant_type: EXCHANGE,
      subject_token: client.refreshToken,
      subject_token_type: type,
      ...client.credentials,
    };
    expect(await bench.token(fields, undefined, proof())).toMatchObject({ access_token: 'at-0-eol' });
    expect(await refused(bench.token(fields, undefined, proof({}, dpopKey())))).toEqual(INVALID_GRANT);
    expect(await refused(bench.token(fields))).toEqual(INVALID_GRANT);
  });

  test('that rotates and has no key yet cannot be exchanged: it would be used without being spent', async () => {
    const { bench, client, proof, refresh } = await bound({ rotation: ROTATING });
    const type = 'urn:ietf:params:oauth:token-type:refresh_token';
    const exchange = (text: string, dpop: string) => {
      const fields = { grant_type: EXCHANGE, subject_token: text, subject_token_type: type, ...client.credentials };
      return bench.token(fields, undefined, dpop);
    };
    const thief = exchange(client.refreshToken, proof({}, dpopKey()));
    expect(await refused(thief)).toMatchObject({ error: 'unauthorized_client' });
    const next = await bench.issuer.clients.issueToken(client.id, 'eol');
    const { refresh_token: text = '' } = await refresh(next.refreshToken.reveal());
    expect(await exchange(text, proof())).toMatchObject({ access_token: 'at-0-eol' });
    expect(await refused(exchange(text, proof({}, dpopKey())))).toEqual(INVALID_GRANT);
  });

  test('is what a client without a secret needs where its tokens do not rotate', async () => {
    const { bench, client } = await bound();
    const wish = { name: 'x', grants: [], authMethod: 'none', rotation: DURABLE } as const;
    await expect(bench.issuer.clients.create(wish)).rejects.toThrow('rotate');
    await expect(bench.issuer.clients.update(client.id, { isDpopBound: false })).rejects.toThrow('rotate');
    const changed = await bench.issuer.clients.update(client.id, { isDpopBound: false, rotation: ROTATING });
    expect(changed).toMatchObject({ isDpopBound: false, rotation: { mode: 'rotating' } });
  });
});

describe('a proof', () => {
  test('works once, on all nodes and across a restart, and is forgotten when nobody would take it', async () => {
    const { bench, client, proof, refresh } = await bound();
    await refresh();
    const fields = { grant_type: 'refresh_token', refresh_token: client.refreshToken, ...client.credentials };
    const one = proof();
    const other = issuerOn(bench.world);
    const both = await Promise.allSettled([bench.token(fields, undefined, one), other.token(fields, undefined, one)]);
    expect(both.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    bench.crash();
    expect(await refused(refresh(client.refreshToken, one))).toMatchObject({
      error: 'invalid_dpop_proof',
      status: 400,
    });
    expect(bench.events.at(-1)).toMatchObject({ type: 'dpop_proof_refused', reason: 'it was used before' });
    const kept = () => bench.world.store.records.list('client-assertion', { limit: 9, after: null });
    expect((await kept()).items).toHaveLength(2);
    await bench.world.clock.advance(200_000);
    await refresh();
    await bench.world.clock.advance(1);
    expect((await kept()).items).toHaveLength(1);
  });

  test('costs nobody a record who has no token that it could belong to', async () => {
    const { bench, client, proof } = await bound();
    for (const text of ['evr_nothing', `${client.refreshToken.slice(0, -1)}_`]) {
      await refused(client.refresh(text, proof()));
    }
    expect(bench.asked.filter((one) => one.includes('client-assertion'))).toEqual([]);
  });

  const rsa = (bits: number) => generateKeyPairSync('rsa', { modulusLength: bits });
  /** By an RSA key, which may be too short. */
  function byRsa(bits: number, nowMs: number): string {
    const { publicKey, privateKey } = rsa(bits);
    const head = { typ: 'dpop+jwt', alg: 'RS256', jwk: publicKey.export({ format: 'jwk' }) };
    const text = `${encoded(head)}.${encoded({ jti: 'j', htm: 'POST', htu: TOKEN, iat: Math.floor(nowMs / 1000) })}`;
    return `${text}.${createSign('sha256').update(text).sign(privateKey).toString('base64url')}`;
  }

  test('may be signed with RSA of a fair length', async () => {
    const { bench, client } = await bound();
    const proof = byRsa(2048, bench.world.clock.now());
    expect(await client.refresh(client.refreshToken, proof)).toMatchObject({ token_type: 'Bearer' });
  });

  type Bent = (world: Awaited<ReturnType<typeof bound>>) => string;
  test.each([
    ['is none', () => 'nonsense'],
    ['is empty', () => ''],
    ['is two', ({ proof }) => `${proof()}, ${proof()}`],
    ['is longer than any', ({ proof }) => proof({ claims: { pad: 'x'.repeat(8_000) } })],
    ['is of another type', ({ proof }) => proof({ header: { typ: 'JWT' } })],
    ['names no type', ({ proof }) => proof({ header: { typ: undefined } })],
    ['has no key', ({ proof }) => proof({ header: { jwk: undefined } })],
    [
      'has a key that is not one',
      ({ proof }) => proof({ header: { jwk: { kty: 'EC', crv: 'P-256', x: 'A', y: 'A' } } }),
    ],
    ['shows its private key', ({ proof, key }) => proof({ header: { jwk: key.privateKey.export({ format: 'jwk' }) } })],
    [
      'shows a private part that is none of its kind',
      ({ proof, key }) => proof({ header: { jwk: { ...key.jwk, k: 'AA' } } }),
    ],
    [
      'is not signed',
      ({ proof }) =>
        `${proof({ header: { alg: 'none' } })
          .split('.')
          .slice(0, 2)
          .join('.')}.`,
    ],
    ['names a shared key', ({ proof }) => proof({ header: { alg: 'HS256', jwk: { kty: 'oct', k: 'AAAA' } } })],
    ['names another algorithm than its key has', ({ proof }) => proof({ header: { alg: 'RS256' } })],
    ['is signed by another key', ({ proof }) => proof({ signer: dpopKey().privateKey })],
    ['was changed', ({ proof }) => proof().replace(/\.(.)/, (_, one: string) => `.${one === 'e' ? 'f' : 'e'}`)],
    ['must be understood and is not', ({ proof }) => proof({ header: { crit: ['x'], x: 1 } })],
    ['has an RSA key that is too short', ({ bench }) => byRsa(1024, bench.world.clock.now())],
    ['is for another method', ({ proof }) => proof({ claims: { htm: 'GET' } })],
    ['is for the method in small letters', ({ proof }) => proof({ claims: { htm: 'post' } })],
    ['is for another endpoint', ({ proof }) => proof({}, undefined, PAR)],
    ['is for another server', ({ proof }) => proof({}, undefined, 'http://127.0.0.1:8788/oauth/token')],
    ['is for another scheme', ({ proof }) => proof({}, undefined, 'https://127.0.0.1:8787/oauth/token')],
    ['is for a look-alike', ({ proof }) => proof({}, undefined, 'http://127.0.0.1:8787@evil.example/oauth/token')],
    ['names a user in its address', ({ proof }) => proof({}, undefined, 'http://a@127.0.0.1:8787/oauth/token')],
    ['is for another path', ({ proof }) => proof({}, undefined, `${TOKEN}/`)],
    ['names no address', ({ proof }) => proof({ claims: { htu: 7 } })],
    ['has no id', ({ proof }) => proof({ claims: { jti: '' } })],
    ['has an id that is no text', ({ proof }) => proof({ claims: { jti: 1 } })],
    ['has no time', ({ proof }) => proof({ claims: { iat: undefined } })],
    ['has a time that is no number', ({ proof }) => proof({ claims: { iat: '1' } })],
    ['has a nonce that is no text', ({ proof }) => proof({ claims: { nonce: 1 } })],
  ] satisfies [string, Bent][])('is refused where it %s', async (_, make) => {
    const world = await bound();
    const { client } = world;
    expect(await refused(client.refresh(client.refreshToken, make(world)))).toMatchObject({
      error: 'invalid_dpop_proof',
      status: 400,
    });
    expect(world.bench.events.at(-1)).toMatchObject({ type: 'dpop_proof_refused', client: client.id });
    await world.refresh();
  });

  test.each([
    ['with a query and a fragment', `${TOKEN}?a=b#c`],
    ['with its host in capitals', TOKEN.replace('http', 'HTTP')],
    ['with a dot segment', `${PUBLIC_URL}/oauth/./token`],
  ])('may write the address %s (RFC 9449 section 4.3)', async (_, address) => {
    const { client, proof } = await bound();
    const answer = await client.refresh(client.refreshToken, proof({}, undefined, address));
    expect(answer).toMatchObject({ access_token: 'at-0-eol' });
  });

  test.each([-61, 31])(
    'that is %d seconds off is asked for with a nonce, good on every node for minutes',
    async (offS) => {
      const { bench, client, proof } = await bound();
      const iat = Math.floor(bench.world.clock.now() / 1000) + offS;
      const nonce = await nonceAsked(client.refresh(client.refreshToken, proof({ claims: { iat } })));
      const fields = { grant_type: 'refresh_token', refresh_token: client.refreshToken, ...client.credentials };
      const other = issuerOn(bench.world);
      const late = () => proof({ claims: { iat, nonce } });
      expect(await other.token(fields, undefined, late())).toMatchObject({ access_token: 'at-0-eol' });
      await bench.world.clock.advance(239_000);
      const one = late();
      await client.refresh(client.refreshToken, one);
      expect(await refused(client.refresh(client.refreshToken, one))).toMatchObject({ error: 'invalid_dpop_proof' });
      await bench.world.clock.advance(61_000);
      const next = await nonceAsked(client.refresh(client.refreshToken, late()));
      expect(next).not.toBe(nonce);
      await client.refresh(client.refreshToken, proof({ claims: { nonce: next } }));
    },
  );

  test.each([
    ['that is made up', () => 'made-up'],
    [
      'with another time in it',
      (nonce: string) => nonce.replace(/^[^.]+/, (span) => (Number.parseInt(span, 36) - 1).toString(36)),
    ],
    ['cut short', (nonce: string) => nonce.slice(0, -1)],
    ['and something more', (nonce: string) => `${nonce}x`],
    ['of the far future', () => `${(9e12).toString(36)}.x`],
  ])('with a nonce %s is asked for with another', async (_, bend) => {
    const { client, proof } = await bound();
    const nonce = await nonceAsked(client.refresh(client.refreshToken, proof({ claims: { iat: 0 } })));
    const claims = { nonce: bend(nonce) };
    expect(await nonceAsked(client.refresh(client.refreshToken, proof({ claims })))).toBe(nonce);
    await client.refresh(client.refreshToken, proof({ claims: { nonce } }));
  });
});

/** A public client that connects accounts. */
async function consumer(wish: Partial<NewClient> = {}) {
  const bench = await issuerBench();
  const { keeper, app, clock } = bench.world;
  const made = { authMethod: 'none', isDpopBound: true, grants: [], apps: [app.id], redirectUris: [CALLBACK] } as const;
  const client = await bench.client({ ...made, ...wish });
  const key = dpopKey();
  const proof = (of: DpopKey = key, address = TOKEN) => of.proof(address, clock.now());
  const { authorize } = bench.issuer;

  async function goThrough({ location, browserCookie }: Awaited<ReturnType<typeof authorize.open>>) {
    const state = new URL(location).searchParams.get('state');
    const code = new Secret('authorization code', 'upstream-code');
    const callback = { state, code, error: null, errorDescription: null, iss: null };
    return authorize.finished(await clock.until(keeper.authorizations.finish(callback, browserCookie)));
  }
  async function codeFor(fields: Readonly<Record<string, string>> = {}) {
    const asking = { client_id: client.id, response_type: 'code', redirect_uri: CALLBACK, ...PKCE, ...fields };
    const onward = await goThrough(await authorize.open(parameters(asking), '198.51.100.7'));
    return new URL(onward?.location ?? '').searchParams.get('code') ?? '';
  }
  const redeem = (code: string, dpop?: string) => {
    const fields = { grant_type: 'authorization_code', code, redirect_uri: CALLBACK, code_verifier: VERIFIER };
    return bench.token({ ...fields, ...client.credentials }, undefined, dpop);
  };
  const push = (fields: Readonly<Record<string, string>>, dpop?: string) => {
    const asking = { response_type: 'code', redirect_uri: CALLBACK, ...PKCE, ...client.credentials, ...fields };
    return clock.until(bench.issuer.push({ authorization: undefined, parameters: parameters(asking), dpop }));
  };
  return { bench, client, key, proof, authorize, goThrough, codeFor, redeem, push };
}

describe('a code', () => {
  test('gives a refresh token that is bound to the key of the proof, and no client without a proof anything', async () => {
    const { bench, client, key, codeFor, redeem, proof } = await consumer();
    const code = await codeFor();
    expect(await refused(redeem(code))).toMatchObject({ error: 'invalid_dpop_proof' });
    const { refresh_token: token = '' } = await redeem(code, proof());
    expect(await bench.issuer.clients.tokens(client.id)).toMatchObject([{ bound: { jkt: key.jkt, from: 1 } }]);
    expect(await refused(client.refresh(token))).toEqual(INVALID_GRANT);
    expect(await client.refresh(token, proof())).toMatchObject({ refresh_token: token });
  });

  test('binds what a client without a secret gets also where it need not send a proof, as RFC 9449 wants', async () => {
    const { client, codeFor, redeem, proof } = await consumer({ isDpopBound: false });
    const { refresh_token: token = '' } = await redeem(await codeFor(), proof());
    expect(await refused(client.refresh(token))).toEqual(INVALID_GRANT);
    const next = await client.refresh(token, proof());
    expect(await refused(client.refresh(next.refresh_token, proof(dpopKey())))).toEqual(INVALID_GRANT);
    const { refresh_token: free = '' } = await redeem(await codeFor());
    expect(await client.refresh(free)).toMatchObject({ token_type: 'Bearer' });
  });

  test('that was asked for with the thumbprint of a key is redeemed with that key alone', async () => {
    const { bench, codeFor, redeem, proof, key } = await consumer();
    const code = await codeFor({ dpop_jkt: key.jkt });
    expect(await refused(redeem(code, proof(dpopKey())))).toEqual(INVALID_GRANT);
    expect(bench.events.at(-1)).toMatchObject({ reason: 'another DPoP key' });
    expect(await redeem(code, proof())).toMatchObject({ token_type: 'Bearer' });
  });

  test('of a client with a secret is held to its key as well, and its refresh token is not', async () => {
    const { client, codeFor, redeem, proof, key } = await consumer({
      authMethod: 'client_secret_post',
      isDpopBound: false,
    });
    const code = await codeFor({ dpop_jkt: key.jkt });
    expect(await refused(redeem(code))).toEqual(INVALID_GRANT);
    const { refresh_token: token } = await redeem(code, proof());
    expect(await client.refresh(token)).toMatchObject({ refresh_token: token });
  });

  test('is bound by a pushed request with a proof, or with a thumbprint, and not by two that differ', async () => {
    const { client, authorize, goThrough, push, redeem, proof, key } = await consumer();
    for (const pushed of [() => push({}, proof(key, PAR)), () => push({ dpop_jkt: key.jkt }, proof(key, PAR))]) {
      const { requestUri } = await pushed();
      const asking = { client_id: client.id, request_uri: requestUri };
      const onward = await goThrough(await authorize.open(parameters(asking), '198.51.100.7'));
      const code = new URL(onward?.location ?? '').searchParams.get('code') ?? '';
      expect(await refused(redeem(code, proof(dpopKey())))).toEqual(INVALID_GRANT);
      expect(await redeem(code, proof())).toMatchObject({ token_type: 'Bearer' });
    }
    const other = push({ dpop_jkt: key.jkt }, proof(dpopKey(), PAR));
    expect(await refused(other)).toMatchObject({ error: 'invalid_request' });
    const once = proof(key, PAR);
    await push({}, once);
    expect(await refused(push({}, once))).toMatchObject({ error: 'invalid_dpop_proof' });
    expect(await refused(push({}, proof()))).toMatchObject({ error: 'invalid_dpop_proof' });
  });

  test('is not asked for with a thumbprint that is none', async () => {
    const { codeFor } = await consumer();
    await expect(codeFor({ dpop_jkt: 'short' })).rejects.toMatchObject({
      location: expect.stringContaining('dpop_jkt'),
    });
  });

  test('of a device binds likewise', async () => {
    const { bench, client, authorize, goThrough, proof } = await consumer();
    const asking = { authorization: undefined, parameters: parameters(client.credentials) };
    const { deviceCode, userCode } = await bench.issuer.beginDevice(asking);
    const poll = (dpop?: string) =>
      bench.token({ grant_type: DEVICE, device_code: deviceCode, ...client.credentials }, undefined, dpop);
    expect(await refused(poll())).toMatchObject({ error: 'invalid_dpop_proof' });
    expect(await refused(poll(proof()))).toMatchObject({ error: 'authorization_pending' });
    await goThrough(await authorize.openDevice(userCode, '198.51.100.7'));
    const { refresh_token: token = '' } = await poll(proof());
    expect(await refused(client.refresh(token, proof(dpopKey())))).toEqual(INVALID_GRANT);
    expect(await client.refresh(token, proof())).toMatchObject({ refresh_token: token });
  });
});

test('the metadata names the algorithms of proofs, none of them with a shared key', async () => {
  const { issuer } = await issuerBench();
  const { dpop_signing_alg_values_supported: algorithms } = issuer.metadata;
  expect(algorithms).toEqual(expect.arrayContaining(['ES256', 'RS256', 'PS256', 'EdDSA']));
  expect(JSON.stringify(algorithms)).not.toMatch(/HS|none/);
});
