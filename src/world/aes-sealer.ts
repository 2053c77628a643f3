/**
 * Seals secrets with AES-256-GCM, synchronously, so that a simulated world can seal too.
 *
 * A sealed text is `v1.<key id>.<iv>.<ciphertext and tag>`, the parts in base64url. Its place (format, key, table, row,
 * field) is authenticated with it: a blob that was moved does not open. Each purpose has a key of its own, derived
 * from the root key by HKDF (RFC 5869): sealing, fingerprints, and the key check that a database remembers.
 */
import { createCipheriv, createDecipheriv, createHmac, createSecretKey, hkdfSync, type KeyObject } from 'node:crypto';
import { type Fingerprint, type Sealed, Secret } from '../core/secret.ts';
import type { Random } from '../ports/random.ts';
import { SealBroken, type SealedPlace, type Sealer } from '../ports/sealer.ts';
import type { RootKey } from './root-key.ts';

const FORMAT = 'v1';
const CIPHER = 'aes-256-gcm';
const KEY_BYTES = 32;
/** NIST SP 800-38D: 96 bits, by chance; good for 2^32 seals under one key. */
const IV_BYTES = 12;
const TAG_BYTES = 16;
const KEY_ID_BYTES = 6;
const FINGERPRINT_BYTES = 16;

export interface AesSealer extends Sealer {
  /** Differs for every root key and says nothing about it; a database keeps it (`verifyKeyCheck`). */
  readonly keyCheck: string;
}

export function createAesSealer(rootKey: RootKey, random: Random): AesSealer {
  // As objects: of bytes, Node would make one at every call, which takes longer than to seal.
  const sealing = createSecretKey(derive(rootKey, 'sealing', KEY_BYTES));
  const fingerprinting = createSecretKey(derive(rootKey, 'fingerprints', KEY_BYTES));
  const keyId = derive(rootKey, 'key id', KEY_ID_BYTES).toString('base64url');
  return {
    keyCheck: `${FORMAT}.${keyId}.${derive(rootKey, 'key check', KEY_BYTES).toString('base64url')}`,
    seal(secret, place) {
      const iv = random.bytes(IV_BYTES);
      const cipher = createCipheriv(CIPHER, sealing, iv, { authTagLength: TAG_BYTES });
      cipher.setAAD(aad(keyId, place));
      const text = cipher.update(secret.reveal(), 'utf8');
      cipher.final();
      const bytes = Buffer.concat([text, cipher.getAuthTag()]);
      const nonce = Buffer.from(iv.buffer, iv.byteOffset, iv.byteLength);
      return `${FORMAT}.${keyId}.${nonce.toString('base64url')}.${bytes.toString('base64url')}` as Sealed;
    },
    open: (sealed, kind, place) => new Secret(kind, open(sealing, keyId, sealed, place)),
    fingerprint(secret) {
      const digest = createHmac('sha256', fingerprinting).update(secret.reveal(), 'utf8').digest();
      return digest.subarray(0, FINGERPRINT_BYTES).toString('base64url') as Fingerprint;
    },
  };
}

function open(key: KeyObject, keyId: string, sealed: Sealed, place: SealedPlace): string {
  const [format, sealedBy, iv, bytes, ...rest] = sealed.split('.');
  if (format !== FORMAT || sealedBy === undefined || iv === undefined || bytes === undefined || rest.length > 0) {
    throw new SealBroken(place, 'it is not in a format that is known here');
  }
  if (sealedBy !== keyId) throw new SealBroken(place, `it was sealed with the key ${sealedBy}, and this is ${keyId}`);
  const body = Buffer.from(bytes, 'base64url');
  const nonce = Buffer.from(iv, 'base64url');
  if (nonce.length !== IV_BYTES || body.length < TAG_BYTES) throw new SealBroken(place, 'it is cut short');
  // Buffer ignores what is not base64url, and a text that was altered must never open.
  if (body.toString('base64url') !== bytes || nonce.toString('base64url') !== iv) {
    throw new SealBroken(place, 'it was altered');
  }
  try {
    const decipher = createDecipheriv(CIPHER, key, nonce, { authTagLength: TAG_BYTES });
    decipher.setAAD(aad(keyId, place));
    decipher.setAuthTag(body.subarray(-TAG_BYTES));
    const text = decipher.update(body.subarray(0, -TAG_BYTES));
    // Throws where the tag is another one; nothing is left to be told by it.
    decipher.final();
    return text.toString('utf8');
  } catch {
    throw new SealBroken(place, 'it was altered, or belongs to another place');
  }
}

const LENGTH_BYTES = 4;

/** Each part with its length before it, so that no two places give the same bytes. */
function aad(keyId: string, place: SealedPlace): Buffer {
  const parts = ['evergrant', FORMAT, keyId, place.table, place.row, place.field];
  const size = parts.reduce((sum, part) => sum + LENGTH_BYTES + Buffer.byteLength(part, 'utf8'), 0);
  const bytes = Buffer.allocUnsafe(size);
  let at = 0;
  for (const part of parts) {
    const length = bytes.write(part, at + LENGTH_BYTES, 'utf8');
    bytes.writeUInt32BE(length, at);
    at += LENGTH_BYTES + length;
  }
  return bytes;
}

function derive(rootKey: RootKey, purpose: string, bytes: number): Buffer {
  return Buffer.from(hkdfSync('sha256', rootKey.reveal(), '', `evergrant ${FORMAT} ${purpose}`, bytes));
}
