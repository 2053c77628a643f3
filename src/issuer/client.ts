/** Clients as the store keeps them, and as others see them. The only place that knows the record's shape. */
import type { ClientId, GrantId } from '../core/id.ts';
import type { Instant } from '../core/instant.ts';
import type { StoredRecord, Term } from '../ports/store.ts';
import type { ClientRotation } from './rotation.ts';

export const AUTH_METHODS = ['client_secret_basic', 'client_secret_post', 'private_key_jwt', 'none'] as const;
export type AuthMethod = (typeof AUTH_METHODS)[number];

/** JSON Web Key Set (RFC 7517) of public keys. */
export interface Jwks {
  readonly keys: readonly Readonly<Record<string, unknown>>[];
}

/** An issuer of JWTs whose word this client's operator accepts, a Kubernetes cluster for one. */
export interface TrustedIssuer {
  readonly issuer: string;
  /** What `aud` must hold; null: our own issuer identifier. */
  readonly audience: string | null;
  readonly jwks: Jwks | null;
  readonly jwksUri: string | null;
  /** A JWT with exactly this `sub` authenticates the client itself; null: none does. */
  readonly subject: string | null;
  /** The claim that names the owner whose grants may be had in exchange for a JWT; null: no exchange. */
  readonly ownerClaim: string | null;
}

export interface SecretDigest {
  /** SHA-256, base64url. 256 bits of chance need no slow hash. */
  readonly sha256: string;
  readonly endsAt: Instant | null;
}

export interface Client {
  readonly id: ClientId;
  readonly name: string;
  readonly type: 'confidential' | 'public';
  readonly grants: readonly GrantId[];
  /** Apps through which it may connect new grants. */
  readonly apps: readonly string[];
  readonly authMethod: AuthMethod;
  /** The present one last. */
  readonly secrets: readonly SecretDigest[];
  readonly jwks: Jwks | null;
  readonly redirectUris: readonly string[];
  readonly rotation: ClientRotation;
  /** Its refresh tokens work only with a proof by the key that they are bound to (RFC 9449). */
  readonly isDpopBound: boolean;
  readonly trustedIssuers: readonly TrustedIssuer[];
  readonly createdAt: Instant;
}

export interface StoredClient {
  readonly version: number;
  readonly client: Client;
}

export function readClient(record: StoredRecord): StoredClient {
  const client = { isDpopBound: false, ...(JSON.parse(record.body) as Partial<Client>) } as Client;
  return { version: record.version, client };
}

export function clientTerms(client: Client): readonly Term[] {
  return [
    ...browserOrigins(client).map((value) => ({ name: 'origin', value })),
    ...client.grants.map((value) => ({ name: 'grant', value })),
    ...client.apps.map((value) => ({ name: 'app', value })),
  ];
}

/**
 * Origins of pages that may call our endpoints as this client: those to which its users come back. A client that has a
 * secret or a private key is no page.
 */
function browserOrigins({ type, redirectUris }: Client): readonly string[] {
  if (type !== 'public') return [];
  // A program's own scheme has no origin that a browser would send.
  const origins = redirectUris.map((uri) => new URL(uri).origin).filter((origin) => origin !== 'null');
  return [...new Set(origins)];
}
