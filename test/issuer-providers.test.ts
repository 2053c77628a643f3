/** What a client sees, whatever stands behind: providers as they are emulated, with their faults. */
import { describe, expect, test } from 'vitest';
import { Chance } from '../src/emulator/chance.ts';
import { OAuthError } from '../src/oauth/oauth-error.ts';
import { PROFILES, type Profile } from './diagnosis-table.ts';
import { issuerOn } from './support/issuer-bench.ts';
import { joined } from './support/joined.ts';

describe('a client sees the same', () => {
  test.each(Object.keys(PROFILES) as Profile[])('at %s as at any other provider [S116]', async (profile) => {
    const it = await joined(profile);
    const bench = issuerOn(it.world);
    const { refresh, refreshToken } = await bench.client({}, 'it');
    const seen = [await refresh()];
    await it.clock.leap(3_600_000);
    seen.push(await refresh());
    for (const answer of seen) {
      expect(Object.keys(answer)).toEqual(['access_token', 'token_type', 'expires_in', 'scope', 'refresh_token']);
      expect(answer).toMatchObject({ token_type: 'Bearer', refresh_token: refreshToken, scope: expect.any(String) });
      expect(Number.isInteger(answer.expires_in) && answer.expires_in > 0).toBe(true);
    }
  });
});

const FAULTS = [
  'drop-before-commit',
  'drop-after-commit',
  'truncate-body',
  'http-500',
  'http-503',
  'bad-json',
  'dns-failure',
  'omit-token-type',
] as const;
/** Two losses within its ten minutes close the window of Exact Online: then a person must act, and is asked to. */
const FAULTS_APART_MS = 1_800_000;
const SEED = Number(process.env.SEED ?? 5);

test('a client hears "later" at worst, whatever goes wrong on the way to the provider, and its token stays the same [S126]', async () => {
  const again = `SEED=${SEED} npx vitest run --project unit test/issuer-providers.test.ts`;
  const chance = new Chance(SEED);
  const next = () => (chance.bytes('faults', 1)[0] ?? 0) / 256;
  const it = await joined('exact-online');
  const bench = issuerOn(it.world);
  const { refresh, refreshToken } = await bench.client({}, 'it');
  const heard = { token: 0, later: 0 };
  let faultAt = 0;
  for (let i = 0; i < 300; i++) {
    const fault = FAULTS[Math.floor(next() * FAULTS.length)];
    if (fault && next() < 0.3 && it.clock.now() - faultAt > FAULTS_APART_MS) {
      faultAt = it.clock.now();
      it.provider.control.addFaults([{ fault, match: { endpoint: 'token' } }]);
    }
    await it.clock.advance(60_000 + next() * 600_000);
    const answer = await refresh().catch((error: unknown) => error);
    if (answer instanceof OAuthError) {
      expect([i, answer.code, again]).toEqual([i, 'temporarily_unavailable', again]);
      expect(answer.details.retryAfterMs).toBeGreaterThan(0);
      heard.later++;
    } else {
      expect(answer).toMatchObject({ refresh_token: refreshToken });
      heard.token++;
    }
  }
  expect(heard.token).toBeGreaterThan(200);
  expect(heard.later).toBeGreaterThan(0);
  expect((await it.world.keeper.grants.get('it')).state).not.toBe('broken');
}, 120_000);
