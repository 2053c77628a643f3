/**
 * Proofs that a request comes from who holds a key (DPoP, RFC 9449). The access tokens given here are the provider's and
 * cannot be bound, so it is the refresh token alone that is (section 5), and `token_type` stays `Bearer`.
 *
 * A proof is fresh by its own time, or by a nonce of ours where the client's clock is not right. Nonces are derived from
 * the time and a key that all nodes have: none is kept, and each is good on every node.
 */
import { timingSafeEqual } from 'node:crypto';
import { calculateJwkThumbprint, EmbeddedJWK, type JWK, jwtVerify } from 'jose';
import { Secret } from '../core/secret.ts';
import { OAuthError } from '../oauth/oauth-error.ts';
import type { Client } from './client.ts';
import type { ClientEvents } from './events.ts';
import { ALGORITHMS } from './json-web-tokens.ts';
import type { IssuerParts } from './parts.ts';
import type { UsedAssertions } from './used-assertions.ts';

export interface DpopProof {
  /** The key's thumbprint (RFC 7638), SHA-256, base64url. */
  readonly jkt: string;
  /** Spends the proof, once the request is otherwise right: each works once, on whichever node. */
  use(): Promise<void>;
}

/** The addresses that take proofs, beneath `/oauth/`. */
export type DpopEndpoint = 'token' | 'par';

export interface DpopProofs {
  /** Null where the request has no proof; rejects where it has one that is not right. */
  read(header: string | undefined, endpoint: DpopEndpoint, client: Client): Promise<DpopProof | null>;
}

/** How a thumbprint is written (RFC 9449 section 10). */
export const THUMBPRINT = /^[A-Za-z0-9_-]{43}$/;

/** With the largest keys in use a proof has about 2,000. */
const LONGEST_PROOF = 8_192;
/** How old a proof may be without a nonce, and how far its clock may be ahead. */
const OLDEST_MS = 60_000;
const AHEAD_MS = 30_000;
/** Some name an end or a beginning as well. */
const TOLERANCE_S = 60;
/** Nonces change so often, and each is good for so many of these spans. */
const NONCE_SPAN_MS = 60_000;
const NONCE_SPANS = 5;
/** A used proof is remembered for longer, because the clocks of nodes differ. */
const SKEW_MS = 60_000;
/** What only a private or a shared key has (RFC 7518 section 6). */
const PRIVATE_MEMBERS = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k', 'priv'];

interface Claims {
  readonly jkt: string;
  readonly jti: string;
  readonly iatMs: number;
  readonly nonce: string | null;
}

export function dpopProofs(parts: IssuerParts, used: UsedAssertions, events: ClientEvents): DpopProofs {
  function refused(client: Client, reason: string): OAuthError {
    events.note(client.id, { type: 'dpop_proof_refused', reason });
    return new OAuthError('invalid_dpop_proof', { description: `The DPoP proof is refused: ${reason}.` });
  }

  function nonceOf(span: number): string {
    const mac = parts.sealer.fingerprint(new Secret('credential', `DPoP nonce ${span}`));
    return `${span.toString(36)}.${mac}`;
  }

  /** Until when the nonce is good; null: it is none of ours, or too old. */
  function endOfNonce(nonce: string): number | null {
    const now = spanAt(parts.clock.now());
    const span = Number.parseInt(nonce.split('.')[0] ?? '', 36);
    // A node whose clock is ahead gives the next one already.
    if (!(span > now - NONCE_SPANS && span <= now + 1)) return null;
    return isSame(nonce, nonceOf(span)) ? (span + NONCE_SPANS) * NONCE_SPAN_MS : null;
  }

  /** Until when the proof could be sent; null: it is not fresh. */
  function endOf({ nonce, iatMs }: Claims): number | null {
    if (nonce !== null) return endOfNonce(nonce);
    const now = parts.clock.now();
    return iatMs >= now - OLDEST_MS && iatMs <= now + AHEAD_MS ? iatMs + OLDEST_MS : null;
  }

  return {
    async read(header, endpoint, client) {
      if (header === undefined) return null;
      const claims = await verified(header, `${parts.publicUrl}/oauth/${endpoint}`, parts.clock.now());
      if (typeof claims === 'string') throw refused(client, claims);
      const endsAtMs = endOf(claims);
      if (endsAtMs === null) {
        const dpopNonce = nonceOf(spanAt(parts.clock.now()));
        throw new OAuthError('use_dpop_nonce', { description: 'Send a proof with this nonce.', dpopNonce });
      }
      const { jkt, jti } = claims;
      return {
        jkt,
        async use() {
          if (!(await used.use(`dpop ${jkt}`, jti, endsAtMs + SKEW_MS))) throw refused(client, 'it was used before');
        },
      };
    },
  };
}

/** Whether refresh tokens of this client are bound to the key of a proof that it sends (RFC 9449 section 5). */
export function bindsTokens(client: Client): boolean {
  return client.type === 'public' || client.isDpopBound;
}

/** The checks of RFC 9449 section 4.3, but for freshness; gives what is wrong in words. */
async function verified(proof: string, address: string, now: number): Promise<Claims | string> {
  if (proof.length > LONGEST_PROOF) return 'it is too long';
  let result: Awaited<ReturnType<typeof jwtVerify>> & { readonly protectedHeader: { readonly jwk?: unknown } };
  try {
    // Two headers come joined by a comma, which no JWT has.
    const options = {
      algorithms: ALGORITHMS,
      typ: 'dpop+jwt',
      currentDate: new Date(now),
      clockTolerance: TOLERANCE_S,
    };
    result = await jwtVerify(proof, EmbeddedJWK, options);
  } catch {
    // Nothing is asked of anybody here: whatever fails, fails for what was sent.
    return 'it is no JWT of type dpop+jwt that is signed with the public key in its header';
  }
  const { payload, protectedHeader } = result;
  const jwk = protectedHeader.jwk as JWK;
  if (PRIVATE_MEMBERS.some((name) => name in jwk)) return 'its jwk has private parts';
  if (payload.htm !== 'POST') return 'its htm is not POST';
  if (!isAddress(payload.htu, address)) return `its htu is not ${address}`;
  const { jti, iat, nonce = null } = payload;
  if (typeof jti !== 'string' || jti === '') return 'it has no jti';
  if (typeof iat !== 'number') return 'it has no iat';
  if (nonce !== null && typeof nonce !== 'string') return 'its nonce is not a text';
  return { jkt: await calculateJwkThumbprint(jwk), jti, iatMs: iat * 1000, nonce };
}

/** Compared with our public address, never with a header; query and fragment make no difference. */
function isAddress(htu: unknown, address: string): boolean {
  const given = typeof htu === 'string' ? URL.parse(htu) : null;
  const ours = new URL(address);
  if (given?.username !== '' || given.password !== '') return false;
  return given.origin === ours.origin && given.pathname === ours.pathname;
}

function spanAt(now: number): number {
  return Math.floor(now / NONCE_SPAN_MS);
}

function isSame(a: string, b: string): boolean {
  const [one, other] = [Buffer.from(a), Buffer.from(b)];
  return one.length === other.length && timingSafeEqual(one, other);
}
