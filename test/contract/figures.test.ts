/** The figures that users of these providers know, each in one place with where it was said, and the files that hold them. */
import { expect, test } from 'vitest';
import { catalogue } from '../../src/catalogue/catalogue.ts';
import type { Provider } from '../../src/catalogue/provider.ts';
import { resolve } from '../../src/catalogue/resolve.ts';
import { PRESETS } from '../../src/core/family-presets.fixture.ts';
import type { Instant } from '../../src/core/instant.ts';
import { classOf } from '../../src/core/rotation-policy.ts';
import { readProviderFiles } from '../../src/world/provider-files.ts';

const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;

const FIGURES = {
  exactOnline: {
    /** "Old refresh token used", Invantive: refresh tokens are valid for ten minutes when used. */
    usedTokenMs: 10 * MINUTE,
    /** The same: an access token automatically expires after ten minutes, used or not. */
    accessTokenMs: 10 * MINUTE,
    /** The same: the authorization code is valid for 3 minutes. */
    codeMs: 3 * MINUTE,
    /** The same: 180 days at first, reduced to 30 in steps. */
    unusedTokenMs: { now: 30 * DAY, at_first: 180 * DAY },
    /** itgeneor361: at least 9,5 minutes between each request for a new access token. */
    spacingMs: 9.5 * MINUTE,
    /** itgeneor362: one refresh token for a combination of client id and user. */
    chainsPerAccount: 1,
  },
  auth0: {
    /** support.auth0.com: 403, "Unknown or invalid refresh token." */
    status: 403,
    /** The same: 200 active refresh tokens per user and application. */
    tokensPerAccount: 200,
  },
  trueLayer: {
    /** "Refresh Tokens — Refreshed": 30 days, or the remaining consent, whichever is less; each use begins them anew. */
    unusedTokenMs: 30 * DAY,
  },
  google: {
    /** Invantive, 2021: a window of 50 refresh tokens. */
    tokensPerAccount: { earlier: 50, now: 100 },
  },
} as const;

const FOLDER = new URL('../../providers', import.meta.url).pathname;
const files = readProviderFiles(FOLDER);

function provider(id: string, day = '2026-11-22'): Provider {
  const found = catalogue({ builtIn: files, extra: [], now: () => Date.parse(day) as Instant }).get(id);
  if (!found) throw new Error(`no provider ${id}`);
  return found;
}

test('[S131] Exact Online: the figures of its file are those that its users know', () => {
  const { policy } = provider('exact-online');
  const figures = FIGURES.exactOnline;
  expect(policy.overlap).toMatchObject({ windowMs: figures.usedTokenMs, from: 'first-use', answer: 'replace' });
  expect(policy.life).toMatchObject({
    idleMs: figures.unusedTokenMs.now,
    accessTokenMs: figures.accessTokenMs,
    codeMs: figures.codeMs,
  });
  expect(policy.pacing.minSpacingMs).toBe(figures.spacingMs);
  expect(policy.caps.familiesPerUserClient).toBe(figures.chainsPerAccount);
});

test('[S131] Exact Online: the emulated rules have the same figures as the file', () => {
  const file = provider('exact-online').policy;
  const emulated = PRESETS['Exact Online strict'];
  expect(emulated.pacing).toEqual(file.pacing);
  expect(emulated.life).toMatchObject({ idleMs: file.life.idleMs, codeMs: file.life.codeMs });
  expect(emulated.overlap.windowMs).toBe(file.overlap.windowMs);
  expect(emulated.caps.familiesPerUserClient).toBe(file.caps.familiesPerUserClient);
});

test('[S131] Auth0: 403 for a dead token, and 200 tokens per user and application', () => {
  const { policy, errors } = provider('auth0');
  expect(errors.filter(({ means }) => means !== 'client_rejected').map(({ status }) => status)).toEqual([
    FIGURES.auth0.status,
    FIGURES.auth0.status,
  ]);
  expect(policy.caps.tokensPerUserClient).toBe(FIGURES.auth0.tokensPerAccount);
});

test('[S131] TrueLayer: one use each until October 2019, then durable for 30 days unused', () => {
  expect(classOf(provider('truelayer', '2019-10-08').policy)).toEqual({ class: 'one-time-revoking' });
  const { policy } = provider('truelayer');
  expect(classOf(policy)).toEqual({ class: 'durable' });
  expect(policy.life).toMatchObject({ idleMs: FIGURES.trueLayer.unusedTokenMs, idleFrom: 'last-use' });
});

test('[S129] Google: tokens do not rotate, and the oldest goes when there are too many; 50 then, 100 now', () => {
  const { policy, facts } = provider('google');
  expect(policy.rotate.mode).toBe('never');
  expect(policy.caps.tokensPerUserClient).toBe(FIGURES.google.tokensPerAccount.now);
  const note = facts?.find(({ about }) => about === '/policy/caps/tokens_per_user_client')?.note;
  expect(note).toContain(String(FIGURES.google.tokensPerAccount.earlier));
});

test('[S6] [S23] the four kinds of refresh token that users meet are each the rules of some provider', () => {
  const kinds = ['github-app', 'exact-online', 'xero', 'google'].map((id) => classOf(provider(id).policy).class);
  expect(kinds).toEqual(['one-time-revoking', 'until-successor-used-within', 'window', 'durable']);
});

test('every provider can be resolved with a value for each of its variables, and then has whole addresses', () => {
  const list = catalogue({ builtIn: files, extra: [], now: () => Date.parse('2026-11-22') as Instant }).list();
  for (const one of list) {
    const values = Object.entries(one.variables).map(([name, { choices, isIssuer }]) => {
      const [choice] = Object.keys(choices ?? {});
      return [name, choice ?? (isIssuer ? 'https://issuer.test/realm' : 'acme-1')];
    });
    const resolved = resolve(one, Object.fromEntries(values));
    const { authorizationEndpoint, tokenEndpoint, refreshEndpoint, revocationEndpoint, identity, issuer } = resolved;
    const addresses = [authorizationEndpoint, tokenEndpoint, refreshEndpoint, revocationEndpoint, issuer];
    const named = [...addresses, identity?.endpoint ?? null].filter((address) => address !== null);
    expect
      .soft(
        named.filter((address) => /[{}]/.test(address) || !URL.canParse(address)),
        one.id,
      )
      .toEqual([]);
  }
});
