/**
 * id_tokens (OpenID Connect Core 1.0 section 2), signed with RS256. The key comes from the seed, so that the same seed
 * and requests give the same bytes; it is made when it is first needed.
 */
import { checkPrimeSync, createPrivateKey, createPublicKey, createSign, type KeyObject } from 'node:crypto';
import type { Instant } from '../core/instant.ts';
import { Chance } from './chance.ts';
import type { Identity } from './form.ts';

const KEY_ID = 'emulator';
const PRIME_BYTES = 128;
const EXPONENT = 65_537n;

export interface IdTokenWish {
  readonly issuer: string;
  readonly client: string;
  readonly user: Identity;
  readonly nonce: string | null;
  readonly now: Instant;
  readonly lifeSeconds: number;
}

export class IdTokens {
  readonly #seed: number | string;
  #key: KeyObject | null = null;

  constructor(seed: number | string) {
    this.#seed = seed;
  }

  /** The public key as a JSON Web Key Set (RFC 7517). */
  keySet(): unknown {
    const key = createPublicKey(this.#privateKey()).export({ format: 'jwk' });
    return { keys: [{ ...key, kid: KEY_ID, use: 'sig', alg: 'RS256' }] };
  }

  sign({ issuer, client, user, nonce, now, lifeSeconds }: IdTokenWish): string {
    const issuedAt = Math.floor(now / 1000);
    const claims = {
      iss: issuer,
      aud: client,
      iat: issuedAt,
      exp: issuedAt + lifeSeconds,
      ...claimsOf(user),
      ...(nonce === null ? {} : { nonce }),
    };
    const content = `${part({ alg: 'RS256', typ: 'JWT', kid: KEY_ID })}.${part(claims)}`;
    return `${content}.${createSign('RSA-SHA256').update(content).sign(this.#privateKey(), 'base64url')}`;
  }

  #privateKey(): KeyObject {
    this.#key ??= keyOfSeed(`${this.#seed}|signing key`);
    return this.#key;
  }
}

/** What id_token and userinfo tell of a user. */
export function claimsOf(user: Identity): Record<string, unknown> {
  const email = user.username.includes('@') ? user.username : `${user.username}@example.com`;
  return { sub: user.id, name: user.fullName, preferred_username: user.username, email, email_verified: true };
}

const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');

/** Keys of late, since making one takes a quarter of a second and a seed always gives the same. */
const made = new Map<string, KeyObject>();
const MOST_KEYS = 16;

function keyOfSeed(seed: string): KeyObject {
  const key = made.get(seed) ?? rsaKey(new Chance(seed));
  made.set(seed, key);
  const [oldest] = made.keys();
  if (made.size > MOST_KEYS && oldest !== undefined) made.delete(oldest);
  return key;
}

/** RFC 8017 section 3, with primes that chance gives. */
function rsaKey(chance: Chance): KeyObject {
  const [p, q] = [prime(chance), prime(chance)];
  const d = inverse(EXPONENT, (p - 1n) * (q - 1n));
  const parts = { n: p * q, e: EXPONENT, d, p, q, dp: d % (p - 1n), dq: d % (q - 1n), qi: inverse(q, p) };
  const jwk = Object.fromEntries(Object.entries(parts).map(([name, value]) => [name, base64url(value)]));
  return createPrivateKey({ key: { kty: 'RSA', ...jwk }, format: 'jwk' });
}

/** The next prime above a number that chance gives; its two highest bits are set, so that a product has all its bits. */
function prime(chance: Chance): bigint {
  const bytes = Buffer.from(chance.bytes('prime', PRIME_BYTES));
  let candidate = BigInt(`0x${bytes.toString('hex')}`) | (3n << BigInt(PRIME_BYTES * 8 - 2)) | 1n;
  while ((candidate - 1n) % EXPONENT === 0n || !checkPrimeSync(candidate)) candidate += 2n;
  return candidate;
}

/** Extended Euclid. */
function inverse(value: bigint, modulus: bigint): bigint {
  let [a, b, x, y] = [value, modulus, 1n, 0n];
  while (b > 0n) [a, b, x, y] = [b, a % b, y, x - (a / b) * y];
  return ((x % modulus) + modulus) % modulus;
}

function base64url(value: bigint): string {
  const hex = value.toString(16);
  return Buffer.from(hex.padStart(hex.length + (hex.length % 2), '0'), 'hex').toString('base64url');
}
