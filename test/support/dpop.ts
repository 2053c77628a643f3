/** Keys and proofs of clients (RFC 9449), right ones and such as a test bends; signed without waiting. */
import { createHash, generateKeyPairSync, type KeyObject, randomUUID, sign } from 'node:crypto';

export interface ProofWish {
  readonly header?: Readonly<Record<string, unknown>>;
  readonly claims?: Readonly<Record<string, unknown>>;
  /** Signs in the place of the key that the header shows. */
  readonly signer?: KeyObject;
}

export interface DpopKey {
  readonly jwk: Readonly<Record<string, string>>;
  readonly jkt: string;
  readonly privateKey: KeyObject;
  /** A proof for a POST to this address, made at this time. */
  proof(address: string, nowMs: number, wish?: ProofWish): string;
}

export function dpopKey(): DpopKey {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const { crv = '', kty = '', x = '', y = '' } = publicKey.export({ format: 'jwk' });
  const jwk = { crv, kty, x, y };
  const jkt = createHash('sha256').update(JSON.stringify(jwk)).digest('base64url');
  return {
    jwk,
    jkt,
    privateKey,
    proof(address, nowMs, { header = {}, claims = {}, signer = privateKey } = {}) {
      const head = { typ: 'dpop+jwt', alg: 'ES256', jwk, ...header };
      const said = { jti: randomUUID(), htm: 'POST', htu: address, iat: Math.floor(nowMs / 1000), ...claims };
      const text = `${encoded(head)}.${encoded(said)}`;
      const signature = sign('sha256', Buffer.from(text), { key: signer, dsaEncoding: 'ieee-p1363' });
      return `${text}.${signature.toString('base64url')}`;
    },
  };
}

export function encoded(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}
