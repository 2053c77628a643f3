import { inspect } from 'node:util';
import { describe, expect, test } from 'vitest';
import { type Sealed, Secret } from '../core/secret.ts';
import { SealBroken, type SealedPlace } from '../ports/sealer.ts';
import { createAesSealer } from './aes-sealer.ts';
import { RootKey } from './root-key.ts';
import { systemRandom } from './system-random.ts';

const sealer = createAesSealer(new RootKey(Buffer.alloc(32, 1)), systemRandom);
const otherSealer = createAesSealer(new RootKey(Buffer.alloc(32, 2)), systemRandom);
const secret = new Secret('refresh token', 'the-refresh-token é');
const place: SealedPlace = { table: 'answers', row: 'grt_1/lnk_1', field: 'answer' };

test('[S33] what was sealed opens at its place and nowhere shows the secret', () => {
  const sealed = sealer.seal(secret, place);
  expect(sealer.open(sealed, 'refresh token', place).reveal()).toBe('the-refresh-token é');
  expect(sealed).toMatch(/^v1\.[\w-]{8}\.[\w-]{16}\.[\w-]+$/);
  expect(Buffer.from(sealed.split('.').at(-1) ?? '', 'base64url').includes('refresh')).toBe(false);
});

test('sealing one secret twice gives two texts that have nothing in common', () => {
  const [a, b] = [sealer.seal(secret, place).split('.'), sealer.seal(secret, place).split('.')];
  expect(a[2]).not.toBe(b[2]);
  expect(a[3]).not.toBe(b[3]);
});

describe('[S33] a sealed secret does not open', () => {
  const refuses = (sealed: string, where = place, by = sealer) =>
    expect(() => by.open(sealed as Sealed, 'refresh token', where)).toThrow(SealBroken);

  test('with another root key', () => refuses(sealer.seal(secret, place), place, otherSealer));

  test('with another root key that claims its name', () => {
    const [format, , iv, body] = sealer.seal(secret, place).split('.');
    const otherName = otherSealer.seal(secret, place).split('.')[1];
    refuses([format, otherName, iv, body].join('.'), place, otherSealer);
  });

  test.each([
    ['another row', { ...place, row: 'grt_2/lnk_1' }],
    ['another field', { ...place, field: 'other' }],
    ['another table', { ...place, table: 'apps' as const }],
    ['a place that spells the same', { ...place, row: 'grt_1/lnk_1a', field: 'nswer' }],
  ])('at %s', (_, moved) => refuses(sealer.seal(secret, place), moved));

  test('when any one of its characters is another one', () => {
    const sealed = sealer.seal(secret, place);
    for (let i = 0; i < sealed.length; i++) {
      refuses(`${sealed.slice(0, i)}${sealed[i] === 'A' ? 'B' : 'A'}${sealed.slice(i + 1)}`);
    }
  });

  test('when it is cut short, empty, or of a format that is not known', () => {
    const sealed = sealer.seal(secret, place);
    for (const text of [
      '',
      'v1',
      'v1...',
      sealed.slice(0, -1),
      sealed.slice(0, 30),
      `${sealed}A`,
      `${sealed}.`,
      sealed.replace('v1', 'v2'),
    ]) {
      refuses(text);
    }
  });
});

test('the same token has the same fingerprint under one root key, and another one under another', () => {
  const twin = new Secret('refresh token', 'the-refresh-token é');
  expect(sealer.fingerprint(twin)).toBe(sealer.fingerprint(secret));
  expect(sealer.fingerprint(secret)).toMatch(/^[\w-]{22}$/);
  expect(sealer.fingerprint(new Secret('refresh token', 'another'))).not.toBe(sealer.fingerprint(secret));
  expect(otherSealer.fingerprint(secret)).not.toBe(sealer.fingerprint(secret));
});

test('the key check tells root keys apart and holds none of the key', () => {
  const again = createAesSealer(new RootKey(Buffer.alloc(32, 1)), systemRandom);
  expect(again.keyCheck).toBe(sealer.keyCheck);
  expect(otherSealer.keyCheck).not.toBe(sealer.keyCheck);
  expect(Buffer.from(sealer.keyCheck.split('.')[2] ?? '', 'base64url').equals(Buffer.alloc(32, 1))).toBe(false);
});

test('a root key prints as words', () => {
  const key = new RootKey(Buffer.alloc(32, 0x41));
  expect(`${String(key)} ${JSON.stringify({ key })} ${inspect(key, { depth: 9 })}`).toBe(
    '[root key] {"key":"[root key]"} [root key]',
  );
});
