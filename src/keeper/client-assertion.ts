/**
 * How an app with a private key proves itself: a JWT that it signs for one request (RFC 7523 section 3). The provider
 * refuses it after its `exp` and a second time (`jti`), before it looks at the refresh token. So a request that is
 * delayed, doubled, or sent by a process that stood still meanwhile can no longer do any harm: the one fence that a
 * provider itself keeps.
 */
import { constants, createPrivateKey, type KeyObject, sign } from 'node:crypto';
import { EvergrantError } from '../core/errors.ts';
import { type PrivateKey, Secret } from '../core/secret.ts';
import type { KeeperParts } from './parts.ts';
import type { Upstream } from './upstream.ts';

/** From its making on. Sending follows within `SEND_WITHIN_MS`; the rest is for clocks that differ. */
const GOOD_FOR_S = 30;
const JTI_BYTES = 16;

/** A key that can sign, with the name of its algorithm (RFC 7518 section 3.1, RFC 8037) and its id, if it has one. */
export interface SigningKey {
  readonly key: KeyObject;
  readonly alg: 'RS256' | 'ES256' | 'EdDSA';
  readonly kid: string | null;
}

/** Null where the app has no private key. */
export function clientAssertion(parts: KeeperParts, upstream: Upstream): Secret<'client assertion'> | null {
  const { signingKey, clientId, provider } = upstream;
  if (!signingKey) return null;
  return signedJwt(parts, signingKey, { iss: clientId, sub: clientId, aud: provider.tokenEndpoint });
}

/** For one request: it ends soon, and is not like any other. */
export function signedJwt(parts: KeeperParts, key: SigningKey, said: object): Secret<'client assertion'> {
  const { alg, kid } = key;
  const iat = Math.floor(parts.clock.now() / 1000);
  const jti = Buffer.from(parts.random.bytes(JTI_BYTES)).toString('base64url');
  const claims = { ...said, jti, iat, exp: iat + GOOD_FOR_S };
  const header = { alg, typ: 'JWT', ...(kid === null ? {} : { kid }) };
  const signed = `${encode(header)}.${encode(claims)}`;
  return new Secret('client assertion', `${signed}.${signatureOf(signed, key)}`);
}

/** Throws `invalid_request` where the text is no private key that providers take. */
export function signingKeyOf(text: PrivateKey): SigningKey {
  const { key, kid } = parsed(text);
  const alg = algorithmOf(key);
  if (!alg) throw notAKey();
  return { key, kid, alg };
}

function algorithmOf({ asymmetricKeyType: type, asymmetricKeyDetails: details }: KeyObject): SigningKey['alg'] | null {
  if (type === 'rsa') return 'RS256';
  if (type === 'ed25519') return 'EdDSA';
  return type === 'ec' && details?.namedCurve === 'prime256v1' ? 'ES256' : null;
}

function parsed(text: PrivateKey): { readonly key: KeyObject; readonly kid: string | null } {
  try {
    if (!text.reveal().trimStart().startsWith('{')) return { key: createPrivateKey(text.reveal()), kid: null };
    const jwk = JSON.parse(text.reveal()) as Record<string, unknown>;
    // As Google gives it to a service account: PEM within JSON.
    if (typeof jwk.private_key === 'string') {
      const { private_key: pem, private_key_id: id } = jwk;
      return { key: createPrivateKey(pem), kid: typeof id === 'string' ? id : null };
    }
    return { key: createPrivateKey({ key: jwk, format: 'jwk' }), kid: typeof jwk.kid === 'string' ? jwk.kid : null };
  } catch {
    throw notAKey();
  }
}

/** What could not be read is not repeated: it may be a key all the same. */
function notAKey(): EvergrantError {
  return new EvergrantError('invalid_request', 'private_key: is no private key for RS256, ES256 or EdDSA.', {
    remedy:
      'Give an RSA, P-256 or Ed25519 key, without a passphrase: PKCS #8 in PEM, a JSON Web Key, or the JSON file of a Google service account.',
  });
}

function signatureOf(text: string, { key, alg }: SigningKey): string {
  const data = Buffer.from(text);
  switch (alg) {
    case 'RS256':
      return sign('sha256', data, { key, padding: constants.RSA_PKCS1_PADDING }).toString('base64url');
    case 'ES256':
      return sign('sha256', data, { key, dsaEncoding: 'ieee-p1363' }).toString('base64url');
    case 'EdDSA':
      return sign(null, data, key).toString('base64url');
  }
}

function encode(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}
