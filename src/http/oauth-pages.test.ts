/** Our OAuth endpoints as pages in browsers use them: from the origins of public clients, and with proofs of a key. */
import type { InjectOptions } from 'fastify';
import { describe, expect, test } from 'vitest';
import { dpopKey } from '../../test/support/dpop.ts';
import { liveToken, NOW } from './fake-keeper.ts';
import { serve } from './fake-server.ts';

const PAGE = 'https://spa.example';
const FORM = 'application/x-www-form-urlencoded';
const TOKEN = 'http://127.0.0.1:8787/oauth/token';

async function world(wish: object = {}) {
  const { server, keeper, parts, send } = await serve();
  const grant = keeper.addGrant('eol', { scope: { requested: [], granted: null, missing: [] }, state: 'active' });
  for (const name of ['eol', grant.id]) keeper.live.set(name, liveToken('at-1', 600_000));
  keeper.onGet = async () => liveToken('at-1', 600_000);
  const usual = { name: 'Spa', type: 'public', grants: ['eol'], redirect_uris: [`${PAGE}/callback`] };
  const made = (await send('POST', '/v1/clients', { ...usual, dpop_bound_refresh_tokens: true, ...wish })).json();
  const refresh = { grant_type: 'refresh_token', refresh_token: made.refresh_tokens?.eol, client_id: made.client_id };
  const ask = (fields: object, headers: object = {}, url = '/oauth/token', method: InjectOptions['method'] = 'POST') =>
    server.inject({
      method: method ?? 'POST',
      url,
      payload: new URLSearchParams({ ...fields }).toString(),
      headers: { 'content-type': FORM, ...headers },
    });
  const options = (url: string, origin?: string) =>
    server.inject({
      method: 'OPTIONS',
      url,
      headers: { ...(origin === undefined ? {} : { origin }), 'access-control-request-method': 'POST' },
    });
  return { server, send, parts, made, refresh, ask, options };
}

/** Makes proofs with a key that nobody else has. */
function prover() {
  const key = dpopKey();
  return { jkt: key.jkt, proof: (claims = {}) => key.proof(TOKEN, NOW, { claims }) };
}

describe('a proof', () => {
  test('comes in the header DPoP, and binds the refresh token that is shown with its thumbprint', async () => {
    const { ask, refresh, made, send } = await world();
    expect(made).toMatchObject({ dpop_bound_refresh_tokens: true, rotation: { mode: 'durable' } });
    const { jkt, proof } = prover();
    const answer = await ask(refresh, { dpop: proof() });
    expect(answer.json()).toMatchObject({ token_type: 'Bearer', refresh_token: refresh.refresh_token });
    expect((await ask(refresh)).json()).toEqual({ error: 'invalid_grant' });
    const { items } = (await send('GET', `/v1/clients/${made.client_id}/refresh-tokens`)).json();
    expect(items).toMatchObject([{ dpop_jkt: jkt }]);
    const events = (await send('GET', `/v1/clients/${made.client_id}/events`)).json();
    expect(events.items[0]).toMatchObject({ type: 'refresh_token_refused', reason: 'no DPoP proof' });
  });

  test('of a clock that is wrong is answered with a nonce in a header', async () => {
    const { ask, refresh } = await world();
    const { proof } = prover();
    const { statusCode, headers, body } = await ask(refresh, { dpop: proof({ iat: 1 }) });
    expect([statusCode, JSON.parse(body).error]).toEqual([400, 'use_dpop_nonce']);
    const again = await ask(refresh, { dpop: proof({ iat: 1, nonce: headers['dpop-nonce'] }) });
    expect(again.statusCode).toBe(200);
  });

  test('that is wrong is refused in the words of RFC 9449', async () => {
    const { ask, refresh } = await world();
    const { statusCode, body, headers } = await ask(refresh, { dpop: 'nonsense' });
    expect([statusCode, JSON.parse(body).error, headers['cache-control']]).toEqual([
      400,
      'invalid_dpop_proof',
      'no-store',
    ]);
  });

  test('is one: two headers are none', async () => {
    const { ask, refresh } = await world();
    const { proof } = prover();
    const { body } = await ask(refresh, { dpop: `${proof()}, ${proof()}` });
    expect(JSON.parse(body)).toMatchObject({ error: 'invalid_dpop_proof' });
  });

  test('need not come from a client that is changed to need none', async () => {
    const { send, made, ask, refresh } = await world();
    const url = `/v1/clients/${made.client_id}`;
    expect((await send('PATCH', url, { dpop_bound_refresh_tokens: false })).statusCode).toBe(400);
    const changed = await send('PATCH', url, { dpop_bound_refresh_tokens: false, rotation: 'rotating' });
    expect(changed.json()).toMatchObject({ dpop_bound_refresh_tokens: false, rotation: { mode: 'rotating' } });
    expect((await ask(refresh)).statusCode).toBe(200);
  });
});

describe('a page', () => {
  test.each(['/oauth/token', '/oauth/par', '/oauth/revoke'])(
    "of a public client's own origin may use %s, without credentials of the browser",
    async (url) => {
      const { options, ask, refresh } = await world();
      const { statusCode, headers } = await options(url, PAGE);
      expect([statusCode, headers['access-control-allow-origin'], headers.vary]).toEqual([204, PAGE, 'Origin']);
      expect(headers['access-control-allow-methods']).toBe('POST');
      expect(headers['access-control-allow-headers']).toMatch(/DPoP/);
      expect(headers['access-control-allow-credentials']).toBeUndefined();
      const answer = await ask({ ...refresh, token: 'x' }, { origin: PAGE }, url);
      expect(answer.headers['access-control-allow-origin']).toBe(PAGE);
      expect(answer.headers['access-control-expose-headers']).toContain('DPoP-Nonce');
      expect(answer.headers['access-control-allow-credentials']).toBeUndefined();
    },
  );

  test('reads the answer with the tokens, an error, and the nonce for its next proof', async () => {
    const { ask, refresh } = await world();
    const { proof } = prover();
    const good = await ask(refresh, { origin: PAGE, dpop: proof() });
    expect([good.statusCode, good.headers['access-control-allow-origin']]).toEqual([200, PAGE]);
    expect(good.headers['cache-control']).toBe('no-store');
    const stale = await ask(refresh, { origin: PAGE, dpop: proof({ iat: 1 }) });
    expect([stale.statusCode, stale.headers['access-control-allow-origin']]).toEqual([400, PAGE]);
    expect(stale.headers['dpop-nonce']).toMatch(/./);
  });

  test.each([
    ['of another origin', 'https://evil.example'],
    ['of an origin that begins alike', `${PAGE}.evil.example`],
    ['of another port', `${PAGE}:8443`],
    ['of another scheme', 'http://spa.example'],
    ['without an origin of its own', 'null'],
    ['with nonsense for an origin', `${PAGE}, https://evil.example`],
  ])('%s reads nothing', async (_, origin) => {
    const { options, ask, refresh } = await world();
    expect((await options('/oauth/token', origin)).headers).not.toHaveProperty('access-control-allow-origin');
    const { proof } = prover();
    const { headers } = await ask(refresh, { origin, dpop: proof() });
    expect(headers).not.toHaveProperty('access-control-allow-origin');
  });

  test('of a client with a secret is none: a browser keeps no secret', async () => {
    const { options } = await world({ type: 'confidential' });
    expect((await options('/oauth/token', PAGE)).headers).not.toHaveProperty('access-control-allow-origin');
  });

  test('loses that with its redirect URI', async () => {
    const { options, send, made } = await world();
    await send('PATCH', `/v1/clients/${made.client_id}`, {
      redirect_uris: ['http://localhost:3000/cb', 'com.example.app:/cb'],
    });
    expect((await options('/oauth/token', PAGE)).headers).not.toHaveProperty('access-control-allow-origin');
    expect((await options('/oauth/token', 'http://localhost:3000')).headers).toHaveProperty(
      'access-control-allow-origin',
    );
  });

  test('of any origin reads the metadata, which anybody may', async () => {
    const { server, options } = await world();
    const url = '/.well-known/oauth-authorization-server';
    expect((await options(url, 'https://any.example')).headers['access-control-allow-origin']).toBe('*');
    const { headers, body } = await server.inject({ url, headers: { origin: 'https://any.example' } });
    expect(headers['access-control-allow-origin']).toBe('*');
    expect(JSON.parse(body).dpop_signing_alg_values_supported).toContain('ES256');
  });

  test.each(['/oauth/introspect', '/v1/clients', '/v1/grants/eol/token', '/proxy/eol/x', '/oauth/authorize'])(
    'reads nothing of %s',
    async (url) => {
      const { options, server } = await world();
      expect((await options(url, PAGE)).headers).not.toHaveProperty('access-control-allow-origin');
      const { headers } = await server.inject({ method: 'POST', url, headers: { origin: PAGE } });
      expect(headers).not.toHaveProperty('access-control-allow-origin');
    },
  );

  test('is asked after while the store is away, and reads nothing then', async () => {
    const { options, parts } = await world();
    parts.records.list = async () => Promise.reject(new Error('the store is away'));
    const { statusCode, headers } = await options('/oauth/token', PAGE);
    expect([statusCode, headers['access-control-allow-origin']]).toEqual([204, undefined]);
  });
});
