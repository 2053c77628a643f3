/** `evergrant/emulator` as a test of anybody uses it. */
import { emulator } from 'evergrant/emulator';
import { expect, test } from 'vitest';

test('the emulator is started, used and gone in a few lines of a test', async () => {
  let address = '';
  {
    await using server = await emulator('auth0', { switches: { leewayMs: 30_000 } });
    const { refreshToken } = server.control.grant();
    address = `${server.baseUrl}/oauth/token`;
    const fields = { grant_type: 'refresh_token', refresh_token: refreshToken };
    const client = { client_id: server.clientId, client_secret: server.clientSecret };
    const answer = await fetch(address, { method: 'POST', body: new URLSearchParams({ ...fields, ...client }) });
    expect(await answer.json()).toMatchObject({ access_token: expect.any(String), token_type: 'Bearer' });
  }
  await expect(fetch(address, { method: 'POST' })).rejects.toThrow('fetch failed');
});
