import { expect, test } from 'vitest';
import type { Instant } from './instant.ts';
import { fromBase32, toBase32, totp } from './totp.ts';

const KEY = '1234567890';
const SECRETS = {
  sha1: Buffer.from(KEY.repeat(2)),
  sha256: Buffer.from(KEY.repeat(4).slice(0, 32)),
  sha512: Buffer.from(KEY.repeat(7).slice(0, 64)),
} as const;

// RFC 6238, appendix B.
const VECTORS = [
  [59, '94287082', '46119246', '90693936'],
  [1111111109, '07081804', '68084774', '25091201'],
  [1111111111, '14050471', '67062674', '99943326'],
  [1234567890, '89005924', '91819424', '93441116'],
  [2000000000, '69279037', '90698825', '38618901'],
  [20000000000, '65353130', '77737706', '47863826'],
] as const;

test.each(VECTORS)('[S69] a code is that of RFC 6238 at second %i', (seconds, sha1, sha256, sha512) => {
  const at = (seconds * 1000) as Instant;
  const code = (algorithm: keyof typeof SECRETS) =>
    totp(SECRETS[algorithm], at, { digits: 8, stepMs: 30_000, algorithm });
  expect([code('sha1'), code('sha256'), code('sha512')]).toEqual([sha1, sha256, sha512]);
});

test('a code of six digits keeps its leading zeros', () => {
  expect(totp(SECRETS.sha1, 1_111_111_109_000 as Instant)).toBe('081804');
});

test('[S69] a secret may be pasted in lower case, with spaces, dashes and padding', () => {
  const pasted = [
    'GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ',
    'gezd gnbv gy3t qojq gezd gnbv gy3t qojq',
    'GEZDGNBV-GY3TQOJQ-GEZDGNBV-GY3TQOJQ==',
  ];
  for (const text of pasted) expect(Buffer.from(fromBase32(text) ?? []).toString()).toBe(KEY.repeat(2));
});

test('a text that is not base32 is no secret', () => {
  expect([fromBase32(''), fromBase32('0189'), fromBase32('no!')]).toEqual([null, null, null]);
});

test('base32 of a secret reads back as the same secret', () => {
  expect(toBase32(SECRETS.sha1)).toBe('GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ');
});
