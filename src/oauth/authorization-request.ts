/** The address at the provider that a person's browser is sent to (RFC 6749 section 4.1.1). */

/** What the address depends on; every resolved provider has it. */
export interface AuthorizationEndpoint {
  readonly authorizationEndpoint: string;
  readonly authorizationParameters: Readonly<Record<string, string>>;
  /** How the client id is called, where not `client_id`. */
  readonly clientIdParameter?: string;
  readonly scope: {
    readonly default: readonly string[];
    /** The scope (or several, with spaces) without which no refresh token is given. */
    readonly forRefreshToken: string | null;
    readonly separator: string;
  };
}

export interface AuthorizationRequest {
  readonly clientId: string;
  readonly redirectUri: string;
  readonly state: string;
  /** Empty: the provider's default. */
  readonly scope: readonly string[];
  /** Null where the provider has no PKCE. */
  readonly codeChallenge: string | null;
}

/** The whole address. A query that the endpoint already has is kept (RFC 6749 section 3.1). */
export function authorizationUrl(endpoint: AuthorizationEndpoint, request: AuthorizationRequest): string {
  const scope = scopeOf(endpoint, request.scope);
  const url = new URL(endpoint.authorizationEndpoint);
  const parameters = {
    ...endpoint.authorizationParameters,
    response_type: 'code',
    [endpoint.clientIdParameter ?? 'client_id']: request.clientId,
    redirect_uri: request.redirectUri,
    state: request.state,
    ...(scope !== '' && { scope }),
    ...(request.codeChallenge !== null && { code_challenge: request.codeChallenge, code_challenge_method: 'S256' }),
  };
  for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value);
  // Both spellings of a space are right in a form; some providers know only this one.
  url.search = url.search.replaceAll('+', '%20');
  return url.href;
}

function scopeOf({ scope }: AuthorizationEndpoint, requested: readonly string[]): string {
  const wanted = requested.length > 0 ? requested : scope.default;
  const forRefreshToken = scope.forRefreshToken?.split(' ') ?? [];
  return [...new Set([...wanted, ...forRefreshToken])].join(scope.separator);
}
