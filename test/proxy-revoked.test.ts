/** What streams through the proxy when the right to it is lost. */
import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { fakeParts, liveToken } from '../src/http/fake-keeper.ts';
import { buildServer } from '../src/http/server.ts';
import { relay } from '../src/world/relay.ts';
import { systemClock } from '../src/world/system-clock.ts';
import { type ProxyWorld, proxyWorld } from './support/proxy-world.ts';

const basic = (id: unknown, secret: unknown) =>
  `Basic ${Buffer.from(`${String(id)}:${String(secret)}`).toString('base64')}`;

/** An answer that goes on until somebody ends it. */
async function streaming(url: string, authorization: string) {
  const answer = await fetch(url, { headers: { authorization } });
  expect(answer.status).toBe(200);
  const reader = answer.body?.getReader();
  const isNext = async () => (await reader?.read())?.done === false;
  expect(await isNext()).toBe(true);
  return {
    /** Whether more of it comes. */
    isNext: () => isNext().catch(() => false),
    /** Resolves when it has broken off. */
    async broken(): Promise<void> {
      while (await isNext().catch(() => false));
    },
    cancel: () => reader?.cancel(),
  };
}

describe('an answer that streams', () => {
  let world: ProxyWorld;
  afterEach(() => world?.[Symbol.asyncDispose]());

  /** The API sends a word every now and then; gives what became of each of its answers. */
  async function open(provider = {}): Promise<{ ended: Promise<void>[] }> {
    world = await proxyWorld({}, provider);
    await world.addGrant('eol');
    const ended: Promise<void>[] = [];
    world.answering = (_, answer: ServerResponse) => {
      answer.write('word ');
      const timer = setInterval(() => answer.write('word '), 20);
      ended.push(
        once(answer, 'close').then(() => {
          clearInterval(timer);
        }),
      );
    };
    return { ended };
  }
  const url = () => `${world.origin}/proxy/eol/v1/x`;

  test('to an API key that is removed breaks off, here and at the provider; to another key it goes on', async () => {
    const { ended } = await open();
    const [one, other] = [
      await world.api('POST', '/v1/api-keys', { name: 'a', scopes: ['proxy'] }),
      await world.keyWith('proxy'),
    ];
    const lost = await streaming(url(), `Bearer ${String(one.body.key)}`);
    const kept = await streaming(url(), `Bearer ${other}`);
    await world.api('DELETE', `/v1/api-keys/${String(one.body.id)}`);
    await lost.broken();
    await ended[0];
    for (let i = 0; i < 60; i++) expect(await kept.isNext()).toBe(true);
    await kept.cancel();
  });

  test.each([
    ['that is removed', 'DELETE', '', undefined],
    ['that loses the grant', 'PATCH', '', { grants: [] }],
    ['that gets another secret', 'POST', '/secret', {}],
    ['that is to prove a key from now on', 'PATCH', '', { dpop_bound_refresh_tokens: true }],
  ])('to a client %s breaks off', async (_, method, path, body) => {
    const { ended } = await open();
    const made = (await world.api('POST', '/v1/clients', { name: 'x', grants: ['eol'] })).body;
    const lost = await streaming(url(), basic(made.client_id, made.client_secret));
    await world.api(method, `/v1/clients/${String(made.client_id)}${path}`, body);
    await lost.broken();
    await ended[0];
  });

  test('to who holds the access token itself goes on as the provider wants, whatever comes after that token', async () => {
    await open();
    const kept = await streaming(url(), 'Bearer token-of-eol');
    await world.api('POST', '/v1/grants/eol/refresh');
    expect(world.exchanges).toHaveLength(1);
    for (let i = 0; i < 100; i++) expect(await kept.isNext()).toBe(true);
    await kept.cancel();
  });

  test.each([
    ['a key', () => world.keyWith('proxy').then((key) => `Bearer ${key}`)],
    ['who holds the access token itself', async () => 'Bearer token-of-eol'],
    [
      'a client',
      async () => {
        const made = (await world.api('POST', '/v1/clients', { name: 'x', grants: ['eol'] })).body;
        return basic(made.client_id, made.client_secret);
      },
    ],
  ])('to %s breaks off when the grant is removed; that of another grant goes on', async (_, authorizationOf) => {
    const { ended } = await open();
    await world.addGrant('other');
    const lost = await streaming(url(), await authorizationOf());
    const kept = await streaming(`${world.origin}/proxy/other/v1/x`, `Bearer ${world.key}`);
    expect((await world.api('DELETE', '/v1/grants/eol')).status).toBeLessThan(300);
    await lost.broken();
    await ended[0];
    for (let i = 0; i < 60; i++) expect(await kept.isNext()).toBe(true);
    await kept.cancel();
  });

  test('of a grant whose credentials are sent in place of a token breaks off with it as well', async () => {
    await open({ credentials: { api_key: { header: 'X-Api-Key', prefix: '' } } });
    const [app] = (await world.api('GET', '/v1/apps')).body.items as { id: string }[];
    const credentials = { api_key: 'of-the-provider' };
    const grant = { app: app?.id, alias: 'keyed', scheme: 'api_key', credentials };
    expect((await world.api('POST', '/v1/grants', grant)).body).toMatchObject({ alias: 'keyed' });
    const lost = await streaming(`${world.origin}/proxy/keyed/v1/x`, `Bearer ${world.key}`);
    for (let i = 0; i < 60; i++) expect(await lost.isNext()).toBe(true);
    await world.api('DELETE', '/v1/grants/keyed');
    await lost.broken();
  });

  test('and a request that still waits for its answer, are ended alike', async () => {
    await open();
    const asked = new Promise<ServerResponse>((done) => {
      world.answering = (_, answer: ServerResponse) => done(answer);
    });
    const one = (await world.api('POST', '/v1/api-keys', { name: 'a', scopes: ['proxy'] })).body;
    const waiting = fetch(url(), { headers: { authorization: `Bearer ${String(one.key)}` } });
    const gone = once(await asked, 'close');
    await world.api('DELETE', `/v1/api-keys/${String(one.id)}`);
    await expect(waiting).rejects.toThrow();
    await gone;
  });
});

test('what another node revokes breaks off here once that is heard, and not while the store is away', async () => {
  const api = createServer((_, answer) => {
    const timer = setInterval(() => answer.write('word '), 20);
    answer.once('close', () => clearInterval(timer));
  });
  api.listen(0, '127.0.0.1');
  await once(api, 'listening');
  const fakes = fakeParts();
  const { id } = fakes.keeper.addGrant('eol');
  for (const name of ['eol', id]) fakes.keeper.live.set(name, liveToken('at', 600_000));
  const baseUrls = [`http://127.0.0.1:${(api.address() as AddressInfo).port}`];
  const usual = await fakes.keeper.apis.of('eol');
  const apis = { of: async () => ({ ...usual, baseUrls, reach: 'local' as const }) };
  const parts = { ...fakes, keeper: { ...fakes.keeper, apis }, clock: systemClock, relay: relay() };
  const server = await buildServer(parts);
  await server.listen({ host: '127.0.0.1', port: 0 });
  try {
    const url = `http://127.0.0.1:${(server.server.address() as AddressInfo).port}/proxy/eol/x`;
    const { key, text } = await parts.apiKeys.create({ name: 'a', scopes: ['proxy'] });
    const { client, secret } = await parts.issuer.clients.create({ name: 'x', grants: ['eol'] });
    const byKey = await streaming(url, `Bearer ${text.reveal()}`);
    const byClient = await streaming(url, basic(client.id, secret?.reveal()));
    const { find, get } = parts.records;
    const away = () => Promise.reject(new Error('the store is away'));
    Object.assign(parts.records, { find: away, get: away });
    fakes.changes.tell({ kind: 'unsure' });
    for (let i = 0; i < 100; i++) expect([await byKey.isNext(), await byClient.isNext()]).toEqual([true, true]);
    Object.assign(parts.records, { find, get });
    await parts.records.remove('api-key', key.id);
    await parts.records.remove('client', client.id);
    fakes.changes.tell({ kind: 'api-key', id: key.id });
    fakes.changes.tell({ kind: 'client', id: client.id });
    await Promise.all([byKey.broken(), byClient.broken()]);
  } finally {
    api.closeAllConnections();
    api.close();
    await parts.relay.close();
    await server.close();
  }
});
