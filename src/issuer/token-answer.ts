/** What a token request is answered with: the same shape whatever the provider, and the reasons why there is none. */
import { EvergrantError } from '../core/errors.ts';
import type { RefreshToken } from '../core/secret.ts';
import type { Grant, LiveAccessToken } from '../keeper/keeper.ts';
import { OAuthError } from '../oauth/oauth-error.ts';
import type { IssuerParts } from './parts.ts';

export interface TokenAnswer {
  readonly live: LiveAccessToken;
  readonly scope: string;
  /** The token to go on with; a durable one is given back as it came. */
  readonly refreshToken: RefreshToken | null;
  /** Of token exchange (RFC 8693). */
  readonly issuedTokenType?: 'urn:ietf:params:oauth:token-type:access_token';
}

/** How long a request waits for a token, at most. Clients give up after half a minute or later. */
const MOST_WAIT_MS = 25_000;
/** A token without an end is asked for again after an hour, so that every answer says when. */
const ENDLESS_S = 3_600;

/** The grant's access token; rejects with what a client is told instead. */
export async function liveToken({ keeper }: IssuerParts, grant: Grant): Promise<LiveAccessToken> {
  try {
    return await keeper.tokens.get(grant.id, { minTtlMs: null, waitMs: MOST_WAIT_MS });
  } catch (cause) {
    if (cause instanceof EvergrantError) throw asOAuthError(cause);
    throw cause;
  }
}

/** `invalid_grant` is said only where a person must act; whatever passes by itself is "later". */
function asOAuthError(error: EvergrantError): OAuthError {
  const { diagnosis, renewUrl, retryAfterMs } = error.details;
  switch (error.code) {
    case 'authorization_required':
    case 'authorization_pending':
      return new OAuthError('invalid_grant', {
        description: diagnosis?.code ?? error.code,
        ...(renewUrl === undefined ? {} : { uri: renewUrl }),
        cause: error,
      });
    case 'no_access_token':
      return new OAuthError('invalid_target', {
        description: 'This grant has no access token: use the proxy.',
        cause: error,
      });
    case 'grant_revoked':
    case 'not_found':
      return new OAuthError('invalid_grant', { cause: error });
    default:
      return new OAuthError('temporarily_unavailable', {
        description: error.code,
        retryAfterMs: retryAfterMs ?? 1_000,
        cause: error,
      });
  }
}

/** What the token allows: as the provider said, else what it was asked for. */
export function scopeOf(live: LiveAccessToken, grant: Grant): string {
  return live.scope?.split(/[ ,]+/).filter(Boolean).join(' ') ?? grant.scope.requested.join(' ');
}

/** The body, as RFC 6749 section 5.1 has it. */
export function tokenBody(answer: TokenAnswer): string {
  const { head, tail } = aroundSeconds(answer);
  return head + wholeSeconds(answer.live) + tail;
}

/** The same but for the seconds that are left. Written by hand: this is the hot path. */
export function aroundSeconds({ live, scope, refreshToken, issuedTokenType }: TokenAnswer) {
  const token = JSON.stringify(live.accessToken.reveal());
  // Our own refresh tokens and types need no escaping.
  const refresh = refreshToken ? `,"refresh_token":"${refreshToken.reveal()}"` : '';
  const type = issuedTokenType ? `,"issued_token_type":"${issuedTokenType}"` : '';
  return {
    head: `{"access_token":${token},"token_type":"Bearer","expires_in":`,
    tail: `,"scope":${JSON.stringify(scope)}${refresh}${type}}`,
  };
}

/** Rounded down: a client that believes it is never late. */
export function wholeSeconds({ leftMs }: LiveAccessToken): number {
  return Number.isFinite(leftMs) ? Math.max(0, Math.floor(leftMs / 1000)) : ENDLESS_S;
}
