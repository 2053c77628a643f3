/** What becomes of a wish for an app before anything is sent anywhere. */
import { expect, test } from 'vitest';
import { bench } from './support/keeper-bench.ts';

const WISH = { clientId: 'c', clientSecret: null };

test('an app of a provider without refresh tokens is refused at once, since there is nothing to keep', async () => {
  await expect(bench({ provider: { grantTypes: ['authorization_code'] } })).rejects.toMatchObject({
    code: 'invalid_request',
    message: expect.stringContaining('access tokens do not expire'),
  });
});

test('a provider that is not there is answered with those that are called alike', async () => {
  const { keeper, app } = await bench();
  const alike = `${app.provider}-online`;
  await expect(keeper.apps.create({ ...WISH, provider: alike })).rejects.toMatchObject({
    code: 'unknown_provider',
    details: { remedy: expect.stringContaining(`Perhaps you mean ${app.provider}.`) },
  });
  await expect(keeper.apps.create({ ...WISH, provider: 'zzz' })).rejects.toMatchObject({
    details: { remedy: expect.stringMatching(/^See which there are: evergrant providers list/) },
  });
});
