/**
 * `private_key_jwt` (RFC 7523 section 3): a client proves itself by a JWT that it signed with its own key. Strict, so
 * that a client finds its mistakes here: `exp` and `jti` must be there, and one `jti` is good for one request.
 */
import {
  createPublicKey,
  constants,
  type JsonWebKey,
  type KeyObject,
  verify,
  type VerifyKeyObjectInput,
} from 'node:crypto';
import type { Instant } from '../core/instant.ts';
import { parseObject } from '../oauth/json.ts';
import type { AssertionRefusal } from './form.ts';

export const ASSERTION_TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';

/** The signatures that are understood (RFC 7518, RFC 8037). */
const ALGORITHMS: Readonly<Record<string, { readonly hash: string | null } & Partial<VerifyKeyObjectInput>>> = {
  RS256: { hash: 'sha256' },
  PS256: { hash: 'sha256', padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 },
  ES256: { hash: 'sha256', dsaEncoding: 'ieee-p1363' },
  EdDSA: { hash: null },
};
export const ASSERTION_ALGORITHMS = Object.keys(ALGORITHMS);

/** An assertion may be good for so long at most: RFC 7523 lets a server refuse an unreasonable `exp`. */
const LONGEST_MS = 3_600_000;

/** The keys of one app, and the assertions that it has used. State: each `jti` is remembered until its `exp`. */
export class ClientKeys {
  readonly #keys: readonly { readonly kid: string | null; readonly key: KeyObject }[];
  readonly #used = new Map<string, number>();

  /** Throws a RangeError for what is no JSON Web Key Set with public keys (RFC 7517). */
  constructor(jwks: unknown) {
    const keys = typeof jwks === 'object' && jwks !== null && 'keys' in jwks ? jwks.keys : null;
    if (!Array.isArray(keys) || keys.length === 0) throw new RangeError('jwks is an object with a list of keys');
    this.#keys = keys.map((jwk: JsonWebKey) => ({
      kid: typeof jwk.kid === 'string' ? jwk.kid : null,
      key: keyOf(jwk),
    }));
  }

  /** What is wrong with an assertion; null when it is good, and from then on it is used. */
  refusalOf(
    text: string,
    expected: {
      readonly clientId: string;
      readonly audiences: readonly string[];
      readonly now: Instant;
      /** Of an assertion that is a grant: it may be about somebody else. */
      readonly anySubject?: boolean;
    },
  ): AssertionRefusal | null {
    const parts = /^([\w-]+)\.([\w-]+)\.([\w-]+)$/.exec(text);
    const [, head = '', content = '', signature = ''] = parts ?? [];
    const header = decoded(head);
    const claims = decoded(content);
    if (!header || !claims) return 'assertion-malformed';
    if (!this.#isSigned(header, `${head}.${content}`, signature)) return 'assertion-signature-wrong';
    const { iss, sub, aud, exp, nbf, jti } = claims;
    const isOwn = sub === expected.clientId || (expected.anySubject === true && typeof sub === 'string');
    if (iss !== expected.clientId || !isOwn) return 'assertion-of-another-client';
    const audiences: readonly unknown[] = Array.isArray(aud) ? aud : [aud];
    if (!audiences.some((one) => expected.audiences.includes(String(one)))) return 'assertion-audience-wrong';
    if (typeof exp !== 'number' || typeof jti !== 'string' || jti === '') return 'assertion-malformed';
    const isEarly = typeof nbf === 'number' && nbf * 1000 > expected.now;
    if (isEarly || exp * 1000 <= expected.now || exp * 1000 > expected.now + LONGEST_MS) return 'assertion-expired';
    return this.#use(jti, exp * 1000, expected.now) ? null : 'assertion-replayed';
  }

  #isSigned(header: Readonly<Record<string, unknown>>, content: string, signature: string): boolean {
    const algorithm = Object.hasOwn(ALGORITHMS, String(header.alg)) ? ALGORITHMS[String(header.alg)] : undefined;
    if (!algorithm) return false;
    const { hash, ...how } = algorithm;
    const fitting = this.#keys.filter(
      ({ kid, key }) => isFor(key, String(header.alg)) && (!header.kid || !kid || kid === header.kid),
    );
    return fitting.some(({ key }) =>
      verify(hash, Buffer.from(content), { key, ...how }, Buffer.from(signature, 'base64url')),
    );
  }

  #use(jti: string, until: number, now: Instant): boolean {
    for (const [old, end] of this.#used) if (end <= now) this.#used.delete(old);
    if (this.#used.has(jti)) return false;
    this.#used.set(jti, until);
    return true;
  }
}

function keyOf(jwk: JsonWebKey): KeyObject {
  if (jwk.d !== undefined) throw new RangeError('jwks holds a private key; the emulator needs the public one');
  try {
    return createPublicKey({ key: jwk, format: 'jwk' });
  } catch {
    throw new RangeError('jwks holds a key that is none');
  }
}

const KEY_TYPES: Readonly<Record<string, string>> = { RS256: 'rsa', PS256: 'rsa', ES256: 'ec', EdDSA: 'ed25519' };
const isFor = (key: KeyObject, algorithm: string) => key.asymmetricKeyType === KEY_TYPES[algorithm];

const decoded = (part: string) => parseObject(Buffer.from(part, 'base64url').toString());
