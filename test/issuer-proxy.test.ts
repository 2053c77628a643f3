/** Clients at the proxy, over real sockets: Power Query and Excel know no more than a user name and a password. */
import { expect, test } from 'vitest';
import { proxyWorld } from './support/proxy-world.ts';

const basic = (id: unknown, secret: unknown) =>
  `Basic ${Buffer.from(`${String(id)}:${String(secret)}`).toString('base64')}`;

test('a client calls the API of its own grant by its id and secret, of no other grant, and not once it is gone [S86]', async () => {
  await using world = await proxyWorld();
  await world.addGrant('eol');
  await world.addGrant('theirs');
  const { body: made } = await world.api('POST', '/v1/clients', { name: 'Excel', grants: ['eol'] });
  const call = async (alias: string, secret: unknown = made.client_secret) => {
    const headers = { authorization: basic(made.client_id, secret) };
    return (await world.get(`/proxy/${alias}/v1/x`, { headers })).status;
  };
  expect(await call('eol')).toBe(200);
  expect(world.seen[0]?.headers.authorization).toBe('Bearer token-of-eol');
  expect([await call('theirs'), await call('nothing')]).toEqual([404, 404]);
  expect([await call('eol', 'wrong'), await call('nothing', 'wrong')]).toEqual([401, 401]);
  await world.api('DELETE', `/v1/clients/${String(made.client_id)}`);
  expect(await call('eol')).toBe(401);
  expect(world.seen).toHaveLength(1);
});
