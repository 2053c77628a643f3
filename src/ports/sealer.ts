/** Seals secrets for storage, and recognises a token without keeping it. */
import type { Fingerprint, Sealed, Secret, SecretKind } from '../core/secret.ts';

/** Where a sealed secret belongs. A blob moved to another row or field does not open there. */
export interface SealedPlace {
  readonly table: 'answers' | 'apps' | 'authorizations' | 'idempotency' | 'client-tokens';
  readonly row: string;
  readonly field: string;
}

export interface Sealer {
  seal(secret: Secret, place: SealedPlace): Sealed;
  /** Throws `SealBroken` when the blob was altered, moved, or sealed with a key that is not here. */
  open<K extends SecretKind>(sealed: Sealed, kind: K, place: SealedPlace): Secret<K>;
  /** The same secret always gives the same fingerprint under one root key: 22 characters, base64url. */
  fingerprint(secret: Secret): Fingerprint;
}

export class SealBroken extends Error {
  constructor(place: SealedPlace, reason: string) {
    super(`The sealed ${place.field} of ${place.table} ${place.row} cannot be opened: ${reason}.`);
    this.name = 'SealBroken';
  }
}
