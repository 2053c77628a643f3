/** How our OAuth endpoints answer what went wrong: as the RFCs want it, whatever it was. */
import type { FastifyReply, FastifyRequest } from 'fastify';
import { EvergrantError } from '../core/errors.ts';
import { invalidRequest, OAuthError } from '../oauth/oauth-error.ts';
import type { HttpParts } from './parts.ts';
import { asEvergrantError } from './problem.ts';
import { secureHeaders } from './security-headers.ts';

export const WRONG_TYPE = 'Content-Type must be application/x-www-form-urlencoded.';
const CHALLENGE = 'Basic realm="evergrant", charset="UTF-8"';

export function sendOAuthError(parts: HttpParts, request: FastifyRequest, reply: FastifyReply, thrown: unknown): void {
  const error = asOAuthError(parts, request, thrown);
  secureHeaders(reply);
  reply.header('cache-control', 'no-store').header('pragma', 'no-cache');
  if (error.status === 401) reply.header('www-authenticate', CHALLENGE);
  const { retryAfterMs, dpopNonce } = error.details;
  if (dpopNonce !== undefined) reply.header('dpop-nonce', dpopNonce);
  if (retryAfterMs !== undefined) reply.header('retry-after', Math.max(1, Math.ceil(retryAfterMs / 1000)));
  reply.code(error.status).type('application/json; charset=utf-8').send(JSON.stringify(error.parameters));
}

export function asOAuthError(parts: HttpParts, request: FastifyRequest, thrown: unknown): OAuthError {
  if (thrown instanceof OAuthError) return thrown;
  const error = asEvergrantError(parts, request, thrown);
  if (error.code === 'payload_too_large') {
    return new OAuthError('invalid_request', { description: 'The request is too large.', status: error.status });
  }
  if (error.code === 'unsupported_media_type') {
    // The framework's own, that a type is none, says the same as of another type.
    if (error !== thrown) return invalidRequest(WRONG_TYPE);
    const description = `${error.message} ${error.details.remedy}`;
    return new OAuthError('invalid_request', { description, status: error.status });
  }
  if (error.status === 503) {
    const { retryAfterMs = 1_000 } = error.details;
    return new OAuthError('temporarily_unavailable', { description: error.code, retryAfterMs });
  }
  if (error.status >= 500) return new OAuthError('server_error', { description: error.message });
  if (error instanceof EvergrantError && error.code === 'not_found') return invalidRequest('What was named is gone.');
  return invalidRequest(error.message);
}
