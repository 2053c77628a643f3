import { get } from 'node:https';
import { text } from 'node:stream/consumers';
import { expect, test } from 'vitest';
import { emulator } from '../emulator.ts';

/** Made for this test and known to everybody; good until 2126. */
const CERT = `-----BEGIN CERTIFICATE-----
MIIBmzCCAUGgAwIBAgIUCaLQ7+LedTbIgoJ+qQo9teJGYucwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyMjA0NDAzN1oYDzIxMjYxMDI5
MDQ0MDM3WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAATafe7goo7xNjP8voY2jUpUnuaoinS5+gUPmP6pl2MnmT8JwYgDjE6I
KvIr2qYPXF+dv11krpduDeR8SJ7X1Vc/o28wbTAdBgNVHQ4EFgQU0GbJd/C6Wz4r
GKSR7swDmRi9zekwHwYDVR0jBBgwFoAU0GbJd/C6Wz4rGKSR7swDmRi9zekwDwYD
VR0TAQH/BAUwAwEB/zAaBgNVHREEEzARgglsb2NhbGhvc3SHBH8AAAEwCgYIKoZI
zj0EAwIDSAAwRQIhAKVKPKZtOfZF6mEEHCLQkNeuEYaaI01acqZeknvgQGzwAiBg
e/t3EHx9zaGaG8SvfP6mvWDfoklQ0p7UOklHXh0AcA==
-----END CERTIFICATE-----`;
const KEY = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQga/fTTLUoNP2FTkLA
8mUnp8EK5Eo/39k6oJsYs6ioZfqhRANCAATafe7goo7xNjP8voY2jUpUnuaoinS5
+gUPmP6pl2MnmT8JwYgDjE6IKvIr2qYPXF+dv11krpduDeR8SJ7X1Vc/
-----END PRIVATE KEY-----`;

test('with a certificate the emulator serves https, and says so wherever it names itself', async () => {
  await using server = await emulator('oidc', { tls: { cert: CERT, key: KEY } });
  expect(server.baseUrl).toMatch(/^https:/);
  expect(server.providerFile.issuer).toBe(server.baseUrl);
  const said = await new Promise<string>((resolve, reject) => {
    const url = `${server.baseUrl}/.well-known/openid-configuration`;
    get(url, { ca: CERT }, (answer) => void text(answer).then(resolve, reject)).on('error', reject);
  });
  expect(JSON.parse(said)).toMatchObject({ issuer: server.baseUrl, token_endpoint: `${server.baseUrl}/token` });
});
