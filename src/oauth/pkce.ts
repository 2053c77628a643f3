/** Proof Key for Code Exchange (RFC 7636), method S256 only: a code is worth nothing to whoever did not ask for it. */
import { createHash } from 'node:crypto';
import { Secret } from '../core/secret.ts';

/** RFC 7636 section 4.1 recommends 32 octets, which give a verifier of 43 characters, the least that is allowed. */
const VERIFIER_BYTES = 32;

/** A new verifier from random bytes, of which it needs at least 32. */
export function createVerifier(chance: Uint8Array): Secret<'code verifier'> {
  if (chance.length < VERIFIER_BYTES) throw new Error(`createVerifier needs ${VERIFIER_BYTES} random bytes`);
  return new Secret('code verifier', Buffer.from(chance.subarray(0, VERIFIER_BYTES)).toString('base64url'));
}

/** What goes into the authorization request for this verifier (RFC 7636 section 4.2). */
export function challengeOf(verifier: Secret<'code verifier'>): string {
  return createHash('sha256').update(verifier.reveal(), 'ascii').digest('base64url');
}
