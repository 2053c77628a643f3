/** Tokens in the shape of Vault. */
import { expect, test } from 'vitest';
import { admin, serve } from './fake-server.ts';
import { ADMIN_KEY, fail, liveToken } from './fake-keeper.ts';

test('a tool that knows Vault alone reads a token with its X-Vault-Token', async () => {
  const { keeper, send } = await serve();
  keeper.onGet = async () => liveToken('at-1', 60_000);
  const answer = await send('GET', '/v1/vault/creds/eol?minimum_seconds=30', undefined, { 'x-vault-token': ADMIN_KEY });
  expect([answer.statusCode, answer.json().data, answer.headers['cache-control']]).toEqual([
    200,
    { access_token: 'at-1', type: 'Bearer', expire_time: '2026-11-21T12:01:00.000Z' },
    'no-store',
  ]);
  expect(keeper.calls).toEqual([
    { name: 'tokens.get', input: { name: 'eol', wish: { minTtlMs: 30_000, waitMs: 30_000 } } },
  ]);
});

test('what goes wrong stands where those tools look for it', async () => {
  const { keeper, send } = await serve();
  keeper.onGet = async () => {
    throw fail('authorization_required', 'It is broken.');
  };
  const answer = await send('GET', '/v1/vault/creds/eol', undefined, admin);
  expect([answer.statusCode, answer.json().errors]).toEqual([409, ['It is broken.', 'None is needed.']]);
});

test.each([{}, { 'x-vault-token': 'nonsense' }, { cookie: 'vault=1' }])(
  'with %o there is no token',
  async (headers) => {
    const { send } = await serve();
    expect((await send('GET', '/v1/vault/creds/eol', undefined, headers)).statusCode).toBe(401);
  },
);
