/**
 * A provider as the rest of the program knows it: a file of `providers/`, parsed once at the door. Endpoints hold
 * `{variable}` until `resolve` fills them in for one app.
 */
import type { Meaning } from '../core/diagnosis.ts';
import type { RotationPolicy } from '../core/rotation-policy.ts';
import type { Reach } from '../ports/network.ts';

/** RFC 6901 pointer into a JSON answer, as in `/d/results/0/UserID`. */
export type JsonPointer = string;

export type GrantType = 'authorization_code' | 'refresh_token' | 'client_credentials';

export type ClientAuthentication = 'client_secret_post' | 'client_secret_basic' | 'private_key_jwt' | 'none';

/** How a grant comes by access tokens without a refresh token (RFC 6749 sections 4.4 and 4.3, RFC 7523 section 2.1). */
export type TokenScheme = 'client_credentials' | 'jwt_bearer' | 'password';
/** What an API takes as it is, without any token endpoint. */
export type HeaderScheme = 'api_key' | 'basic';
export type Scheme = TokenScheme | HeaderScheme;

/** What else a provider takes besides refresh tokens; a scheme that is not there is not described. */
export interface ProviderCredentials {
  readonly requests: Readonly<
    Partial<
      Record<
        TokenScheme,
        {
          readonly parameters: Readonly<Record<string, string>>;
          /** `aud` of the assertion of `jwt_bearer`; null: the token endpoint. */
          readonly audience: string | null;
        }
      >
    >
  >;
  readonly headers: Readonly<Partial<Record<HeaderScheme, { readonly header: string; readonly prefix: string }>>>;
}

export interface Provider {
  readonly id: string;
  readonly name: string;
  /** What kind of service, as in `accounting`; null where the file does not say. */
  readonly category?: string | null;
  /** `local` for files that an operator added (`--providers`): only these may use http and loopback. */
  readonly reach: Reach;
  readonly variables: Readonly<Record<string, ProviderVariable>>;
  /** Null where the provider names none. With an issuer and no endpoints, they are discovered (RFC 8414, OpenID). */
  readonly issuer: string | null;
  readonly authorizationEndpoint: string | null;
  readonly tokenEndpoint: string | null;
  /** Where refresh requests go, if not to the token endpoint. */
  readonly refreshEndpoint: string | null;
  readonly revocationEndpoint: string | null;
  readonly deviceAuthorizationEndpoint: string | null;
  readonly apiBaseUrls: readonly string[];
  /** What is known of the limits of its API; left out where nothing is. */
  readonly apiLimits?: ApiLimits | null;
  readonly tokenEndpointAuthMethods: readonly ClientAuthentication[];
  /** Empty: the provider has no PKCE (RFC 7636). */
  readonly codeChallengeMethods: readonly 'S256'[];
  /** Without `refresh_token`: its access tokens do not expire. Without `authorization_code`: nobody can authorize. */
  readonly grantTypes?: readonly GrantType[];
  /** Left out where the file says nothing of it. */
  readonly credentials?: ProviderCredentials;
  /** How requests call the client id, where not `client_id`. */
  readonly clientIdParameter?: string;
  /** Whether the callback carries `iss` (RFC 9207). */
  readonly authorizationResponseIss: boolean;
  readonly authorizationParameters: Readonly<Record<string, string>>;
  readonly scope: {
    readonly default: readonly string[];
    /** The scope without which no refresh token is given. */
    readonly forRefreshToken: string | null;
    readonly separator: string;
  };
  readonly tokenRequest: {
    readonly format: 'form' | 'json';
    readonly parameters: Readonly<Record<string, string>>;
    readonly refreshParameters: Readonly<Record<string, string>>;
  };
  readonly tokenResponse: {
    readonly accessToken: JsonPointer;
    readonly refreshToken: JsonPointer;
    readonly expiresIn: JsonPointer;
    /** An instant instead of a life; null where there is none. */
    readonly expiresAt?: JsonPointer | null;
    readonly scope: JsonPointer;
    readonly error: JsonPointer;
    readonly errorDescription: JsonPointer;
  };
  /** How the account of a grant is found; null: by the `sub` of the id_token, else not at all. */
  readonly identity: {
    readonly endpoint: string;
    readonly subject: JsonPointer;
    readonly label: JsonPointer | null;
  } | null;
  readonly policy: RotationPolicy;
  readonly errors: readonly ProviderError[];
  /** What else to know, a sentence each. */
  readonly notes?: readonly string[];
  /** Where each figure of the file comes from; left out where a provider was not read from a file. */
  readonly facts?: readonly Fact[];
}

/** Limits on calls of the API that its answers tell by `X-RateLimit-…` headers, and who shares them. */
export interface ApiLimits {
  /** The part of a path that has limits of its own within an app, as in `/v1/{division}`; the rest is by grant. */
  readonly by: string;
  /** More refusals than this of one endpoint within the window would block the app. */
  readonly errors: { readonly most: number; readonly windowMs: number; readonly statuses: readonly number[] } | null;
}

/** Where one figure comes from, and how well it is known. */
export interface Fact {
  /** The place in the file, as in `/policy/pacing/min_spacing`. */
  readonly about: JsonPointer;
  readonly source: string;
  /** The day on which the source was read, as in `2026-11-21`. */
  readonly seen: string;
  /** documented: by the vendor; observed: in issue threads and public code; inferred; unverified: from memory. */
  readonly grade: 'documented' | 'observed' | 'inferred' | 'unverified';
  readonly note?: string | undefined;
}

export interface ProviderVariable {
  /** The values it may have, by what a user types; null: any DNS label, or an issuer URL where `isIssuer`. */
  readonly choices: Readonly<Record<string, string>> | null;
  readonly default: string | null;
  /** A whole issuer URL; only for server admins. */
  readonly isIssuer: boolean;
  /** The variable whose resource names this issuer where none is given (RFC 9728). */
  readonly ofResource?: string | null;
  /** Any text, since it stands in parameters alone. */
  readonly isText?: boolean;
}

/** An answer that is recognised: every field that is given must match; the description as a prefix, in any case. */
export interface ProviderError {
  readonly status: number | null;
  readonly error: string | null;
  readonly description: string | null;
  /** What stands where in the body, for errors without a code of their own. */
  readonly body?: Readonly<Record<JsonPointer, string | number | boolean>>;
  readonly means: Meaning;
}

/** A provider whose endpoints are concrete and complete: for one app. */
export interface ResolvedProvider extends Provider {
  readonly authorizationEndpoint: string;
  readonly tokenEndpoint: string;
}

/** What the rest of the program asks of the catalogue. */
export interface Catalogue {
  get(id: string): Provider | null;
  ids(): readonly string[];
  list(): readonly Provider[];
}
