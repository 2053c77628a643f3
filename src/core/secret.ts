/**
 * Secrets as values that cannot be printed by accident: in a template, a log line, JSON or `util.inspect` they show
 * their kind in brackets. Only `reveal()` gives the text, so every place that does so can be found and read.
 */

export type SecretKind =
  | 'refresh token'
  | 'access token'
  | 'client secret'
  | 'private key'
  | 'client assertion'
  | 'authorization code'
  | 'code verifier'
  | 'api key'
  | 'password'
  | 'credential'
  | 'id token'
  | 'family key'
  | 'answer of a token endpoint';

export class Secret<K extends SecretKind = SecretKind> {
  readonly kind: K;
  readonly #text: string;

  constructor(kind: K, text: string) {
    this.kind = kind;
    this.#text = text;
  }

  /** The text itself: only for the wire, the sealer and the one who asked for it. */
  reveal(): string {
    return this.#text;
  }

  toString(): string {
    return `[${this.kind}]`;
  }

  toJSON(): string {
    return this.toString();
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return this.toString();
  }
}

export type RefreshToken = Secret<'refresh token'>;
export type AccessToken = Secret<'access token'>;
export type ClientSecret = Secret<'client secret'>;
/** A private key with which an app signs for itself: PKCS #8 in PEM, or a JSON Web Key (RFC 7517). */
export type PrivateKey = Secret<'private key'>;

/** What a sealer made of a secret: safe to store, meaningless without the root key. */
export type Sealed = string & { readonly __brand: 'Sealed' };

/** A keyed digest of a token: the same token gives the same fingerprint here, and nothing elsewhere. */
export type Fingerprint = string & { readonly __brand: 'Fingerprint' };
