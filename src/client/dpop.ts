/**
 * A proof that a request comes from who holds a key (DPoP, RFC 9449), by the platform's own cryptography. The private key
 * may be one that cannot be read, which is the point of it in a browser.
 */
import { now } from './time.ts';

type Platform = typeof globalThis.crypto.subtle;
/** As `crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, false, ['sign', 'verify'])` makes it. */
export type DpopKeyPair = Readonly<Record<'privateKey' | 'publicKey', Parameters<Platform['exportKey']>[1]>>;

const ES256 = { name: 'ECDSA', hash: 'SHA-256' };
const ID_BYTES = 16;

/** For one POST to this address. `nonce`: what the server asked for last. */
export async function dpopProof(key: DpopKeyPair, address: string, nonce: string | null): Promise<string> {
  const { subtle } = globalThis.crypto;
  const { crv, kty, x, y } = await subtle.exportKey('jwk', key.publicKey);
  const jti = base64url(globalThis.crypto.getRandomValues(new Uint8Array(ID_BYTES)));
  const claims = {
    jti,
    htm: 'POST',
    htu: address,
    iat: Math.floor(now() / 1000),
    ...(nonce === null ? {} : { nonce }),
  };
  const text = `${part({ typ: 'dpop+jwt', alg: 'ES256', jwk: { crv, kty, x, y } })}.${part(claims)}`;
  const signature = await subtle.sign(ES256, key.privateKey, new TextEncoder().encode(text));
  return `${text}.${base64url(new Uint8Array(signature))}`;
}

function part(value: object): string {
  return base64url(new TextEncoder().encode(JSON.stringify(value)));
}

export function base64url(bytes: Uint8Array): string {
  const base64 = btoa(String.fromCharCode(...bytes));
  return base64.replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
}
