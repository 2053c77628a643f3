/** Errors of our own OAuth endpoints, in the words of their RFCs. What the wire shows may be less than what is known. */

/** RFC 6749 sections 4.1.2.1 and 5.2, RFC 8628 section 3.5, RFC 8707 section 2, RFC 9449 sections 5 and 8. */
export const OAUTH_ERRORS = {
  invalid_request: 400,
  invalid_client: 401,
  invalid_grant: 400,
  unauthorized_client: 400,
  unsupported_grant_type: 400,
  unsupported_response_type: 400,
  invalid_scope: 400,
  invalid_target: 400,
  access_denied: 400,
  authorization_pending: 400,
  slow_down: 400,
  expired_token: 400,
  invalid_dpop_proof: 400,
  use_dpop_nonce: 400,
  temporarily_unavailable: 503,
  server_error: 500,
} as const;

export type OAuthErrorCode = keyof typeof OAUTH_ERRORS;

export interface OAuthErrorDetails {
  /** For the developer of the client; ASCII without quotes and backslashes (RFC 6749 section 5.2). */
  readonly description?: string;
  readonly uri?: string;
  readonly retryAfterMs?: number;
  /** What the next DPoP proof is to carry (RFC 9449 section 8). */
  readonly dpopNonce?: string;
  /** Instead of the usual one, where HTTP has a better word: 405, 413. */
  readonly status?: number;
  readonly cause?: unknown;
}

export class OAuthError extends Error {
  readonly code: OAuthErrorCode;
  readonly details: OAuthErrorDetails;

  constructor(code: OAuthErrorCode, details: OAuthErrorDetails = {}) {
    super(details.description ?? code, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = 'OAuthError';
    this.code = code;
    this.details = details;
  }

  get status(): number {
    return this.details.status ?? OAUTH_ERRORS[this.code];
  }

  /** Name and value of each parameter, for a JSON body or a redirect. */
  get parameters(): Readonly<Record<string, string>> {
    const { description, uri } = this.details;
    return {
      error: this.code,
      ...(description === undefined ? {} : { error_description: plain(description) }),
      ...(uri === undefined ? {} : { error_uri: uri }),
    };
  }
}

/** The characters that a description may have. */
function plain(text: string): string {
  return text.replaceAll(/[^\x20\x21\x23-\x5b\x5d-\x7e]/g, '?');
}

export function invalidRequest(description: string): OAuthError {
  return new OAuthError('invalid_request', { description });
}
