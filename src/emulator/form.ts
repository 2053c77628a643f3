/**
 * A form is what makes an emulator one provider's: its policy, the look of its tokens, and how it words each decision.
 * Everything else (pages, families, faults, control, ledger) is common to all forms.
 */
import type { RefusalReason } from '../core/family.ts';
import type { Instant } from '../core/instant.ts';
import type { RotationPolicy } from '../core/rotation-policy.ts';
import type { Chance } from './chance.ts';
import type { EmulatorAnswer, EmulatorRequest } from './wire.ts';

/** What can be refused at the token endpoint, apart from what a family decides. */
export type TokenRefusal =
  | RefusalReason
  | 'malformed'
  | 'unsupported-grant-type'
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
  | 'too-many-errors';

/** What the wording of a refusal may need. */
export interface RefusalDetails {
  readonly now: Instant;
  /** When the token or code ended, where its age is the reason. */
  readonly endedAt: Instant | null;
  /** Whether the client authenticated in the Authorization header. */
  readonly basic: boolean;
}

/** Points at which the provider's sources contradict each other, and what operators there can set for one app. */
export interface Switches {
  /** Some apps may reuse every refresh token they ever had. */
  readonly allowOldRefreshTokens: boolean;
  readonly spacingExempt: boolean;
  /** Whether spacing counts from every issue, or only from those whose answer was delivered. */
  readonly spacingCounts: 'issued' | 'delivered';
  readonly earlyRefresh: 'error' | 'error-and-advance' | 'dead-token';
  readonly errorOrder: 'chain-first' | 'spacing-first';
  readonly tooEarlyStatus: 400 | 401;
  readonly codeFormat: 'stamp' | 'jwt' | 'opaque';
  readonly previousDiesOn: 'successor-use' | 'window' | 'both';
  readonly spacingMs: number;
  readonly codeMs: number;
  readonly accessTokenMs: number;
  /** Life of a refresh token from its own first use. */
  readonly inUseMs: number;
  readonly idleMs: number;
  readonly tokenCallsPerDay: number;
  readonly apiCallsPerMinute: number;
  readonly apiCallsPerDay: number;
  /** Errors of one (app, user, endpoint) in an hour before it is blocked for an hour. */
  readonly errorsPerHour: number;
}

export interface TokenTexts {
  readonly accessToken: string;
  readonly refreshToken: string;
  readonly expiresInSeconds: number;
}

/** What is known about the user when the API is asked who it is. */
export interface Identity {
  readonly id: string;
  readonly username: string;
  readonly fullName: string;
  readonly division: number;
}

export interface Form {
  readonly id: string;
  readonly name: string;
  readonly paths: { readonly authorize: string; readonly token: string; readonly api: string };
  readonly switches: Switches;
  policy(switches: Switches): RotationPolicy;
  codeText(chance: Chance, switches: Switches, now: Instant): string;
  refreshTokenText(chance: Chance): string;
  accessTokenText(chance: Chance): string;
  /** Whether a text could be one of its refresh tokens at all. */
  looksLikeRefreshToken(text: string): boolean;
  tokenAnswer(texts: TokenTexts): EmulatorAnswer;
  refusal(reason: TokenRefusal, details: RefusalDetails, switches: Switches): EmulatorAnswer;
  apiRefusal(reason: 'missing' | 'unknown' | 'expired' | 'revoked'): EmulatorAnswer;
  api(request: EmulatorRequest, user: Identity, now: Instant): EmulatorAnswer;
  /** The provider file of `contract`, for the policy as it is played at this address. */
  providerFile(baseUrl: string, policy: RotationPolicy): Record<string, unknown>;
}
