/**
 * Errors that people and programs see. Each has a stable code (a section of docs/errors.md), says what happened, and
 * names the remedy. A programmer's slip is a plain `Error` and shows as `internal_error`.
 */
import type { Diagnosis } from './diagnosis.ts';
import type { GrantId } from './id.ts';

/** Code, HTTP status (RFC 9110) and command-line exit code of every error there is. */
export const ERRORS = {
  invalid_request: { status: 400, exit: 2, title: 'The request is not valid' },
  unknown_field: { status: 400, exit: 2, title: 'The request has a field that is not known' },
  min_ttl_impossible: { status: 400, exit: 2, title: 'No token of this provider lives that long' },
  no_access_token: { status: 400, exit: 2, title: 'This grant has no access token' },
  unknown_provider: { status: 400, exit: 2, title: 'There is no such provider' },
  unauthorized: { status: 401, exit: 1, title: 'An API key is needed' },
  forbidden: { status: 403, exit: 1, title: 'This API key may not do that' },
  not_found: { status: 404, exit: 1, title: 'There is no such thing' },
  method_not_allowed: { status: 405, exit: 1, title: 'This address does not take that method' },
  authorization_pending: { status: 409, exit: 3, title: 'Nobody has authorized this grant yet' },
  authorization_required: { status: 409, exit: 3, title: 'A person has to renew this grant' },
  alias_taken: { status: 409, exit: 1, title: 'The alias is taken' },
  already_held: { status: 409, exit: 1, title: 'This refresh token is held already' },
  older_than_held: { status: 409, exit: 1, title: 'A newer token of this chain is held already' },
  account_taken: { status: 409, exit: 1, title: 'Another grant holds this account of this app' },
  in_use: { status: 409, exit: 1, title: 'Something still depends on this' },
  idempotency_in_progress: { status: 409, exit: 75, title: 'The same request is still under way' },
  another_browser: { status: 403, exit: 1, title: 'Another browser began this authorization' },
  link_used: { status: 410, exit: 1, title: 'The link has been used' },
  link_expired: { status: 410, exit: 1, title: 'The link has expired' },
  grant_revoked: { status: 410, exit: 1, title: 'The grant was ended' },
  cross_site: { status: 403, exit: 1, title: 'A page of another site sent this request' },
  payload_too_large: { status: 413, exit: 2, title: 'The request is too large' },
  unsupported_media_type: { status: 415, exit: 2, title: 'The body is not of a kind that is read here' },
  idempotency_mismatch: { status: 422, exit: 2, title: 'The idempotency key belongs to another request' },
  rate_limited: { status: 429, exit: 75, title: "The provider's limit is used up" },
  internal_error: { status: 500, exit: 1, title: 'Something went wrong here' },
  upstream_refused: { status: 502, exit: 1, title: 'The provider refused' },
  upstream_lost: { status: 502, exit: 1, title: "The provider's API did not answer" },
  in_doubt: { status: 503, exit: 75, title: 'The answer to an exchange has not arrived' },
  too_early: { status: 503, exit: 75, title: 'The provider allows no exchange yet' },
  upstream_unavailable: { status: 503, exit: 75, title: 'The provider cannot be reached' },
  recovering: { status: 503, exit: 75, title: 'The grant is being recovered' },
  storage_unavailable: { status: 503, exit: 75, title: 'The store does not answer' },
  held: { status: 503, exit: 75, title: 'The grant waits for a journal' },
  shutting_down: { status: 503, exit: 75, title: 'The server is stopping' },
  server_unavailable: { status: 503, exit: 75, title: 'The server cannot be reached' },
  setting: { status: 500, exit: 78, title: 'A setting is wrong' },
  usage: { status: 400, exit: 2, title: 'The command is not used rightly' },
} as const;

export type ErrorCode = keyof typeof ERRORS;

export interface ErrorDetails {
  readonly remedy: string;
  readonly cause?: unknown;
  readonly grant?: GrantId;
  /** Milliseconds until asking again makes sense. */
  readonly retryAfterMs?: number;
  readonly diagnosis?: Diagnosis;
  /** A page on which a person renews the grant; carries no capability. */
  readonly renewUrl?: string;
}

/** An error with a stable code and a remedy. `message` is the detail and never holds a secret. */
export class EvergrantError extends Error {
  readonly code: ErrorCode;
  readonly details: ErrorDetails;

  constructor(code: ErrorCode, message: string, details: ErrorDetails) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = 'EvergrantError';
    this.code = code;
    this.details = details;
  }

  get status(): number {
    return ERRORS[this.code].status;
  }

  get exitCode(): number {
    return ERRORS[this.code].exit;
  }
}
