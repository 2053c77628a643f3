/**
 * A form is what makes an emulator one provider's: its policy, the look of its tokens, and how it words each decision.
 * Everything else (pages, families, faults, control, ledger) is common to all forms.
 */
import type { TokenScheme } from '../catalogue/provider.ts';
import type { RefusalReason } from '../core/family.ts';
import type { Instant } from '../core/instant.ts';
import type { RotationPolicy } from '../core/rotation-policy.ts';
import type { Chance } from './chance.ts';
import type { Happening } from './happening.ts';
import type { SwitchName, Switches } from './switches.ts';
import type { Reply, EmulatorRequest } from './wire.ts';

export type { Switches } from './switches.ts';

/** What can be refused at the token endpoint, apart from what a family decides. */
export type TokenRefusal =
  | RefusalReason
  | 'malformed'
  | 'unsupported-grant-type'
  | 'scope-too-wide'
  | 'client-unknown'
  | 'client-secret-wrong'
  | 'code-unknown'
  | 'code-replayed'
  | 'code-expired'
  | 'code-of-older-authorization'
  | 'code-of-another-client'
  | 'redirect-uri-mismatch'
  | 'verifier-mismatch'
  | 'token-of-another-client'
  | 'client-is-public'
  | 'password-wrong'
  | GrantAssertionRefusal
  | AssertionRefusal
  | DeviceRefusal
  | 'too-many-errors';

/** What is wrong with a client's assertion (RFC 7523); on the wire all of these are one. */
export type AssertionRefusal = `assertion-${
  | 'missing'
  | 'malformed'
  | 'signature-wrong'
  | 'of-another-client'
  | 'audience-wrong'
  | 'expired'
  | 'replayed'}`;

/** What is wrong with an assertion that is a grant (RFC 7523 section 2.1): `invalid_grant`, all of them. */
export type GrantAssertionRefusal = `grant-${AssertionRefusal}` | 'grant-subject-unknown';

/** Answers to a device that asks whether it may go on (RFC 8628 section 3.5). */
export type DeviceRefusal = `device-${'pending' | 'too-fast' | 'denied' | 'expired' | 'unknown'}`;

/** What the wording of a refusal may need. */
export interface RefusalDetails {
  readonly now: Instant;
  /** When the token or code ended, where its age is the reason. */
  readonly endedAt: Instant | null;
  /** Whether the client authenticated in the Authorization header. */
  readonly basic: boolean;
}

export interface TokenTexts {
  readonly accessToken: string;
  /** Null where this answer brings none. */
  readonly refreshToken: string | null;
  readonly idToken: string | null;
  readonly expiresInSeconds: number;
  readonly expiresAt: Instant;
  readonly scope: readonly string[];
}

/** What is known about the user when the API is asked who it is. */
export interface Identity {
  readonly id: string;
  readonly username: string;
  readonly fullName: string;
  readonly division: number;
}

/** Whose access token reached the API, and what it is good for. */
export interface Access {
  readonly user: Identity;
  readonly client: string;
  readonly scope: readonly string[];
  /** Companies that the user left out on the consent page. */
  readonly withheld: readonly string[];
  readonly now: Instant;
}

export type ApiRefusal = 'missing' | 'unknown' | 'expired' | 'revoked' | 'consent-gone';

/** Where things are. `api` are the beginnings of paths that want an access token. */
export interface Paths {
  readonly authorize: string;
  readonly token: string;
  /** Where exchanges go, if not to `token`. */
  readonly refresh: string | null;
  readonly api: readonly string[];
  readonly userinfo: string | null;
  readonly revoke: string | null;
  /** The device authorization endpoint (RFC 8628). */
  readonly device: string | null;
}

/** OpenID Connect, where the provider has it. */
export interface OpenId {
  /** The path of the issuer, as it ends its address: `/` or nothing, for instance. */
  readonly issuerPath: string;
  /** Whether its own description of itself is to be found (OpenID Connect Discovery 1.0, RFC 8414). */
  readonly hasDiscovery: boolean;
  readonly hasResponseIss: boolean;
}

/** What an authorization request asked for, beyond who asks. */
export interface Asked {
  readonly scope: readonly string[];
  readonly query: URLSearchParams;
}

/** What a form may look at when it answers on a path of its own. */
export interface Inside {
  readonly now: Instant;
  switches(): Switches;
  change(switches: Partial<Switches>): void;
  /** Oldest first. */
  readonly happenings: readonly Happening[];
  readonly apps: readonly { readonly clientId: string; readonly name: string }[];
  userName(id: string): string;
  /** Whether the request carries the token that this grant type gave to an app as such. */
  readonly isManager: boolean;
}

export interface Form {
  readonly id: string;
  readonly name: string;
  readonly paths: Paths;
  readonly switches: Switches;
  /** Which switches mean something here. */
  readonly settable: readonly SwitchName[];
  /** How requests call the client id. */
  readonly clientIdParameter: string;
  readonly bodies: readonly ('form' | 'json')[];
  readonly responseTypes: readonly ('code' | 'token')[];
  /** Whether clients without a secret are let in. */
  readonly hasPublicClients: boolean;
  /** Which grants without an authorization it takes; left out: none. */
  readonly directGrants?: readonly TokenScheme[];
  readonly openId: OpenId | null;
  readonly scope: { readonly separator: string; readonly byDefault: readonly string[] };
  /** What revoking a refresh token (RFC 7009) ends. */
  readonly revocationKills: 'token' | 'family' | 'client-user';
  /** Whether only the client whose token it is may revoke it. */
  readonly revocationNeedsClient: boolean;
  /** Whether an access token dies with the consent it comes from. */
  readonly accessEndsWithConsent: boolean;
  policy(switches: Switches): RotationPolicy;
  /** Whether this authorization brings a refresh token. */
  givesRefreshToken(asked: Asked): boolean;
  /** Which refresh token, if any, the answer to an exchange names: the one given is new, or goes on. */
  namesRefreshToken(isNew: boolean): boolean;
  /** Which part of the provider a request reaches, where it has several that do not know each other's tokens. */
  realm(host: string, switches: Switches): string;
  codeText(chance: Chance, realm: string, switches: Switches, now: Instant): string;
  refreshTokenText(chance: Chance, realm: string): string;
  accessTokenText(chance: Chance, realm: string): string;
  /** Whether a text could be one of its refresh tokens at all. */
  looksLikeRefreshToken(text: string): boolean;
  tokenAnswer(texts: TokenTexts): Reply;
  /** Names of the members of a token answer, as JSON Pointers; faults reach for them. */
  readonly members: { readonly refreshToken: string; readonly expiresIn: string; readonly tokenType: string };
  refusal(reason: TokenRefusal, details: RefusalDetails, switches: Switches): Reply;
  apiRefusal(reason: ApiRefusal): Reply;
  api(request: EmulatorRequest, access: Access): Reply;
  /** Pages of its own, such as a management API; null where the path is none of them. */
  own?(request: EmulatorRequest, inside: Inside): Reply | null;
  /** The provider file of `contract`, for the policy as it is played at this address. */
  providerFile(baseUrl: string, policy: RotationPolicy): Record<string, unknown>;
}
