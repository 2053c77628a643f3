/**
 * JWTs that come to the token endpoint: a client's own assertion (RFC 7523), or the word of an issuer that the client's
 * operator trusts, a Kubernetes cluster for one. Keys come from the client's settings, or from where the issuer
 * publishes them; those are kept for a while, and asked for again, not too often, when a key is new.
 */
import { createLocalJWKSet, decodeJwt, errors, type JSONWebKeySet, type JWTPayload, jwtVerify } from 'jose';
import type { Instant } from '../core/instant.ts';
import { OAuthError } from '../oauth/oauth-error.ts';
import type { Client, Jwks, TrustedIssuer } from './client.ts';
import type { IssuerParts } from './parts.ts';
import type { UsedAssertions } from './used-assertions.ts';

/** Signatures only, by a key pair: with a shared key whoever checks could also sign. */
export const ALGORITHMS = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
  'Ed25519',
];
const CLOCK_TOLERANCE_S = 30;
/** An assertion that lives longer would have to be remembered for as long. */
const LONGEST_ASSERTION_S = 600;
const KEYS_KEPT_MS = 300_000;
const ASK_AGAIN_MS = 30_000;
const TIMEOUT_MS = 5_000;
/** After it could not be read. */
const FAILED_MS = 5_000;
const MOST_JWKS_BYTES = 262_144;

/** What an issuer published; null: nothing that could be read so far. */
interface Keys {
  readonly keys: JSONWebKeySet | null;
  /** On the clock that nobody sets. */
  readonly askedAtMs: number;
  readonly isFailed: boolean;
}

export class JsonWebTokens {
  readonly #parts: IssuerParts;
  readonly #published = new Map<string, Keys>();
  readonly #asking = new Map<string, Promise<Keys>>();
  readonly #used: UsedAssertions;

  constructor(parts: IssuerParts, used: UsedAssertions) {
    this.#parts = parts;
    this.#used = used;
  }

  /** Whether this assertion proves that it comes from this client. */
  async authenticates(assertion: string, client: Client): Promise<boolean> {
    const claims = claimsOf(assertion);
    if (client.jwks && claims?.iss === client.id) return this.#isOwn(assertion, client, client.jwks);
    const named = client.trustedIssuers.filter((one) => one.issuer === claims?.iss && one.subject === claims.sub);
    return (await this.#firstOf(named, assertion, ({ sub }, { subject }) => sub === subject || null)) ?? false;
  }

  /** The owner that a JWT of an issuer names whom this client's operator trusts; null where it names none. */
  async ownerIn(token: string, client: Client): Promise<string | null> {
    const claims = claimsOf(token);
    const named = client.trustedIssuers.filter((one) => one.issuer === claims?.iss && one.ownerClaim !== null);
    return this.#firstOf(named, token, (payload, { ownerClaim }) => {
      const owner = payload[ownerClaim ?? ''];
      return typeof owner === 'string' && owner !== '' ? owner : null;
    });
  }

  /** What the first entry gives by which the JWT is valid; keys that cannot be had are no reason not to try the next. */
  async #firstOf<T>(
    entries: readonly TrustedIssuer[],
    token: string,
    read: (payload: JWTPayload, entry: TrustedIssuer) => T | null,
  ): Promise<T | null> {
    const failures: unknown[] = [];
    for (const entry of entries) {
      try {
        const payload = await this.#verified(token, entry);
        const found = payload && read(payload, entry);
        if (found !== null) return found;
      } catch (cause) {
        failures.push(cause);
      }
    }
    if (failures.length > 0) throw failures[0];
    return null;
  }

  async #isOwn(assertion: string, client: Client, jwks: Jwks): Promise<boolean> {
    const { publicUrl, clock } = this.#parts;
    // The endpoint's own address is what RFC 7523 names; clients send either.
    const audience = [publicUrl, `${publicUrl}/oauth/token`, `${publicUrl}/oauth/par`];
    const wanted = { issuer: client.id, subject: client.id, audience };
    const { payload } = await verify(assertion, asKeys(jwks), clock.now(), wanted);
    if (payload?.jti === undefined || payload.exp === undefined) return false;
    if (payload.exp - clock.now() / 1000 > LONGEST_ASSERTION_S + CLOCK_TOLERANCE_S) return false;
    return this.#used.use(client.id, payload.jti, (payload.exp + CLOCK_TOLERANCE_S) * 1000);
  }

  async #verified(token: string, trusted: TrustedIssuer): Promise<JWTPayload | null> {
    const now = this.#parts.clock.now();
    const wanted = { issuer: trusted.issuer, audience: trusted.audience ?? this.#parts.publicUrl };
    if (trusted.jwks) return (await verify(token, asKeys(trusted.jwks), now, wanted)).payload;
    if (trusted.jwksUri === null) return null;
    const result = await verify(token, await this.#keysAt(trusted.jwksUri, KEYS_KEPT_MS), now, wanted);
    if (!result.isKeyNew) return result.payload;
    return (await verify(token, await this.#keysAt(trusted.jwksUri, ASK_AGAIN_MS), now, wanted)).payload;
  }

  async #keysAt(url: string, freshForMs: number): Promise<JSONWebKeySet> {
    const known = this.#published.get(url);
    const ageMs = known ? this.#uptimeMs() - known.askedAtMs : Number.POSITIVE_INFINITY;
    const isFresh = ageMs < (known?.isFailed ? FAILED_MS : freshForMs);
    const { keys } = known && isFresh ? known : await this.#ask(url);
    if (keys) return keys;
    throw new OAuthError('temporarily_unavailable', { retryAfterMs: FAILED_MS });
  }

  /** Once for all who want to know: who sends an assertion has proved nothing yet. */
  #ask(url: string): Promise<Keys> {
    const asking = this.#asking.get(url) ?? this.#askAnew(url).finally(() => this.#asking.delete(url));
    this.#asking.set(url, asking);
    return asking;
  }

  async #askAnew(url: string): Promise<Keys> {
    const fetched = await this.#fetchKeys(url);
    // An issuer that is away for a moment keeps nobody out whose key is known.
    const keys = fetched ?? this.#published.get(url)?.keys ?? null;
    const answer = { keys, askedAtMs: this.#uptimeMs(), isFailed: fetched === null };
    this.#published.set(url, answer);
    return answer;
  }

  #uptimeMs(): number {
    return this.#parts.clock.moment().uptimeMs;
  }

  async #fetchKeys(url: string): Promise<JSONWebKeySet | null> {
    const connection = await this.#parts.network.open(url, 'public', TIMEOUT_MS);
    if (connection.kind === 'not_sent') return this.#failedKeys(connection.reason);
    const answer = await connection.send({ method: 'GET', url, headers: { accept: 'application/json' } }, TIMEOUT_MS);
    connection.close();
    if (answer.kind !== 'answer') return this.#failedKeys(answer.reason);
    const isWhole = answer.status === 200 && answer.complete && answer.body.length <= MOST_JWKS_BYTES;
    if (!isWhole) return this.#failedKeys(`status ${answer.status}`);
    try {
      const keys = JSON.parse(new TextDecoder().decode(answer.body)) as JSONWebKeySet;
      createLocalJWKSet(keys);
      return keys;
    } catch {
      return this.#failedKeys('not a JWK Set');
    }
  }

  #failedKeys(reason: string): null {
    this.#parts.log.warn('The keys of a trusted issuer could not be read.', { reason });
    return null;
  }
}

/** The claims, unchecked: they only say whose keys to check with. */
function claimsOf(token: string): JWTPayload | null {
  try {
    return decodeJwt(token);
  } catch {
    return null;
  }
}

interface Verified {
  /** Null for a JWT that is not valid. */
  readonly payload: JWTPayload | null;
  /** It names a key that is not among those. */
  readonly isKeyNew: boolean;
}

async function verify(
  token: string,
  keys: JSONWebKeySet,
  now: Instant,
  wanted: { readonly issuer: string; readonly audience: string | string[]; readonly subject?: string },
): Promise<Verified> {
  try {
    const { payload } = await jwtVerify(token, createLocalJWKSet(keys), {
      ...wanted,
      algorithms: ALGORITHMS,
      currentDate: new Date(now),
      clockTolerance: CLOCK_TOLERANCE_S,
      requiredClaims: ['exp', 'sub'],
    });
    return { payload, isKeyNew: false };
  } catch (cause) {
    if (!(cause instanceof errors.JOSEError || cause instanceof TypeError)) throw cause;
    return { payload: null, isKeyNew: cause instanceof errors.JWKSNoMatchingKey };
  }
}

function asKeys(jwks: Jwks): JSONWebKeySet {
  return jwks as unknown as JSONWebKeySet;
}
