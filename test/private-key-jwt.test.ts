/** Apps that prove themselves by a JWT for each request (RFC 7523), against the emulator, which checks them strictly. */
import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { Secret } from '../src/core/secret.ts';
import type { Network } from '../src/ports/network.ts';
import { joined } from './support/joined.ts';
import { bench } from './support/keeper-bench.ts';
import type { VirtualClock } from './support/virtual-clock.ts';

const PAIRS = {
  RS256: () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
  ES256: () => generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  EdDSA: () => generateKeyPairSync('ed25519'),
};

function keyOf(alg: keyof typeof PAIRS, format: 'pem' | 'jwk' = 'pem') {
  const { privateKey, publicKey } = PAIRS[alg]();
  const privateJwk = JSON.stringify({ ...privateKey.export({ format: 'jwk' }), kid: 'key-1' });
  return {
    privateKey: format === 'jwk' ? privateJwk : String(privateKey.export({ format: 'pem', type: 'pkcs8' })),
    jwks: { keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'key-1' }] },
  };
}

/** Requests wait for so long before they go on; nobody else is told. */
function slowly(delayMs: () => number) {
  return (network: Network, clock: VirtualClock): Network => ({
    async open(url, reach, timeoutMs) {
      const connection = await network.open(url, reach, timeoutMs);
      if (connection.kind === 'not_sent') return connection;
      return {
        ...connection,
        async send(request, ms) {
          if (delayMs() > 0) await clock.sleep(delayMs());
          return connection.send(request, ms);
        },
      };
    },
  });
}

describe('an app with a private key', () => {
  for (const alg of ['RS256', 'ES256', 'EdDSA'] as const) {
    for (const format of ['pem', 'jwk'] as const) {
      test(`gets a grant and exchanges it, each time with another assertion (${alg}, ${format})`, async () => {
        const world = await joined('auth0', { key: keyOf(alg, format) });
        for (let i = 0; i < 2; i++) {
          await world.clock.advance(86_400_000);
          expect(await world.ask()).toBe('token');
        }
        expect((await world.world.keeper.grants.get('it')).exchanges).toBe(2);
      });
    }
  }

  test('is refused before its refresh token is looked at, when its request was held back past its time', async () => {
    let delayMs = 0;
    const world = await joined('auth0', { key: keyOf('ES256'), through: slowly(() => delayMs) });
    await world.clock.advance(86_400_000);
    delayMs = 31_000;
    expect(await world.ask()).not.toBe('token');
    await world.clock.advance(40_000);
    const reasons = world.provider.control.ledger().map((one) => one.reason);
    expect(reasons).toContain('assertion-expired');
    delayMs = 0;
    await world.clock.advance(3_600_000);
    expect(await world.ask()).toBe('token');
    expect((await world.world.keeper.grants.get('it')).generation).toBe(1);
  });

  test('whose request is delivered twice is refused the second time, and its chain lives [S84]', async () => {
    const twice = (network: Network): Network => ({
      async open(url, reach, timeoutMs) {
        const connection = await network.open(url, reach, timeoutMs);
        if (connection.kind === 'not_sent') return connection;
        return {
          ...connection,
          async send(request, ms) {
            const first = await connection.send(request, ms);
            if (request.method === 'POST') await connection.send(request, ms);
            return first;
          },
        };
      },
    });
    const world = await joined('auth0', { key: keyOf('RS256'), through: twice });
    for (let i = 0; i < 3; i++) {
      await world.clock.advance(86_400_000);
      expect(await world.ask()).toBe('token');
    }
    expect((await world.world.keeper.grants.get('it')).generation).toBe(1);
  });

  test('never shows it, and a text that is no key is refused without being repeated', async () => {
    const { keeper } = await bench();
    const wrong = ['no key at all', '{"kty":"oct","k":"c2VjcmV0"}', keyOf('RS256').privateKey.slice(0, 300)];
    for (const text of wrong) {
      const made = keeper.apps.create({
        provider: 'test',
        clientId: 'client',
        clientSecret: null,
        privateKey: new Secret('private key', text),
      });
      const error = await made.catch((cause: unknown) => cause);
      expect(error).toMatchObject({ code: 'invalid_request' });
      expect(`${(error as Error).message} ${(error as Error).stack}`).not.toContain(text.slice(0, 40));
    }
    const app = await keeper.apps.create({
      provider: 'test',
      clientId: 'client',
      clientSecret: null,
      privateKey: new Secret('private key', keyOf('EdDSA').privateKey),
    });
    expect(JSON.stringify(app)).not.toContain('PRIVATE');
    expect(app.hasSecret).toBe(true);
  });
});
