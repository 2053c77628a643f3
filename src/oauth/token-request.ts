/**
 * Requests to a token endpoint: a code for tokens (RFC 6749 section 4.1.3), a refresh token for new ones (section 6),
 * and other grants. Pure: the request is a value that someone else sends, once.
 */
import { EvergrantError } from '../core/errors.ts';
import type { ClientSecret, RefreshToken, Secret } from '../core/secret.ts';

/** What a token request depends on; every resolved provider has it. */
export interface TokenEndpoint {
  readonly tokenEndpoint: string;
  /** Where refresh requests go, if not to the token endpoint. */
  readonly refreshEndpoint: string | null;
  readonly tokenEndpointAuthMethods: readonly ClientAuthenticationMethod[];
  /** How the client id is called, where not `client_id`. */
  readonly clientIdParameter?: string;
  readonly tokenRequest: {
    readonly format: 'form' | 'json';
    /** Sent with a code. */
    readonly parameters: Readonly<Record<string, string>>;
    /** Sent with a refresh token; `{redirect_uri}` stands for the one of the authorization. */
    readonly refreshParameters: Readonly<Record<string, string>>;
  };
}

type ClientAuthenticationMethod = 'client_secret_post' | 'client_secret_basic' | 'private_key_jwt' | 'none';

/** The app as the provider knows it; a public client has no secret. */
export interface ClientCredentials {
  readonly clientId: string;
  readonly clientSecret: ClientSecret | null;
  /** A JWT that it signed for this one request (RFC 7523 section 2.2); it then goes in the place of any secret. */
  readonly clientAssertion?: Secret<'client assertion'> | null;
  /** Some providers want it with every refresh, too. */
  readonly redirectUri?: string;
}

export interface TokenRequest {
  readonly method: 'POST';
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export interface CodeExchange {
  readonly code: Secret<'authorization code'>;
  /** Exactly as it was in the authorization request (RFC 6749 section 4.1.3). */
  readonly redirectUri: string;
  /** Null where the provider has no PKCE. */
  readonly codeVerifier: Secret<'code verifier'> | null;
}

/** A code for tokens. Throws `setting` where the app cannot authenticate in a way that the provider takes. */
export function codeRequest(endpoint: TokenEndpoint, client: ClientCredentials, exchange: CodeExchange): TokenRequest {
  return tokenRequest(endpoint, client, endpoint.tokenEndpoint, {
    ...endpoint.tokenRequest.parameters,
    grant_type: 'authorization_code',
    code: exchange.code.reveal(),
    redirect_uri: exchange.redirectUri,
    ...(exchange.codeVerifier && { code_verifier: exchange.codeVerifier.reveal() }),
  });
}

/**
 * A refresh token for new tokens. No scope is sent: left out, it is what the owner granted (RFC 6749 section 6).
 * Throws `setting` where the app cannot authenticate in a way that the provider takes.
 */
export function refreshRequest(
  endpoint: TokenEndpoint,
  client: ClientCredentials,
  refreshToken: RefreshToken,
): TokenRequest {
  const parameters = Object.entries(endpoint.tokenRequest.refreshParameters).map(([name, value]) => [
    name,
    value.replaceAll('{redirect_uri}', () => client.redirectUri ?? ''),
  ]);
  return tokenRequest(endpoint, client, refreshUrlOf(endpoint), {
    ...Object.fromEntries(parameters),
    grant_type: 'refresh_token',
    refresh_token: refreshToken.reveal(),
  });
}

/**
 * A token by a grant that is no authorization of a person: client credentials, a password, an assertion (RFC 6749
 * sections 4.4 and 4.3, RFC 7521 section 4.1). `client` is null where the grant itself says who asks.
 */
export function credentialsRequest(
  endpoint: TokenEndpoint,
  client: ClientCredentials | null,
  parameters: Readonly<Record<string, string>>,
): TokenRequest {
  return tokenRequest(endpoint, client, endpoint.tokenEndpoint, parameters);
}

/** Where refresh requests go: the address to open a connection to before one is sent. */
export function refreshUrlOf(endpoint: TokenEndpoint): string {
  return endpoint.refreshEndpoint ?? endpoint.tokenEndpoint;
}

function tokenRequest(
  endpoint: TokenEndpoint,
  client: ClientCredentials | null,
  url: string,
  parameters: Readonly<Record<string, string>>,
): TokenRequest {
  const authentication = client ? authenticate(endpoint, client) : { parameters: {}, headers: {} };
  const all = { ...parameters, ...authentication.parameters };
  const isJson = endpoint.tokenRequest.format === 'json';
  return {
    method: 'POST',
    url,
    headers: {
      accept: 'application/json',
      'content-type': isJson ? 'application/json' : 'application/x-www-form-urlencoded',
      ...authentication.headers,
    },
    body: isJson ? JSON.stringify(all) : new URLSearchParams(all).toString(),
  };
}

const ASSERTION_TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';

interface Authentication {
  readonly parameters: Readonly<Record<string, string>>;
  readonly headers: Readonly<Record<string, string>>;
}

/**
 * The first method of the provider that this app can use. Where the provider names none, it is `client_secret_basic`,
 * which is what leaving it out means (RFC 8414 section 2).
 */
function authenticate(endpoint: TokenEndpoint, client: ClientCredentials): Authentication {
  const { clientId, clientSecret } = client;
  const { tokenEndpointAuthMethods: methods, clientIdParameter = 'client_id' } = endpoint;
  const identified = { [clientIdParameter]: clientId };
  if (client.clientAssertion) {
    const assertion = { client_assertion_type: ASSERTION_TYPE, client_assertion: client.clientAssertion.reveal() };
    return { parameters: { ...identified, ...assertion }, headers: {} };
  }
  if (!clientSecret) return { parameters: identified, headers: {} };
  const offered = methods.length > 0 ? methods : ['client_secret_basic'];
  const method = offered.find((one) => one !== 'private_key_jwt');
  if (method === 'none') return { parameters: identified, headers: {} };
  if (method === 'client_secret_basic') {
    return { parameters: {}, headers: { authorization: basic(clientId, clientSecret) } };
  }
  if (method === 'client_secret_post') {
    return { parameters: { ...identified, client_secret: clientSecret.reveal() }, headers: {} };
  }
  throw new EvergrantError('setting', 'The provider takes only private_key_jwt, and this app has no private key.', {
    remedy: 'Add the app with its private key: evergrant apps add PROVIDER --private-key-file FILE',
  });
}

/** RFC 6749 section 2.3.1: both parts are form-encoded before they are joined, so a colon in the id does no harm. */
function basic(clientId: string, clientSecret: ClientSecret): string {
  const pair = `${formEncode(clientId)}:${formEncode(clientSecret.reveal())}`;
  return `Basic ${Buffer.from(pair).toString('base64')}`;
}

function formEncode(text: string): string {
  return new URLSearchParams({ x: text }).toString().slice('x='.length);
}
