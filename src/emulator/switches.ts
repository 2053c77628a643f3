/**
 * What can be set at an emulated server, also while it runs: what operators there set for one app, how sources that
 * contradict each other are read, and every duration and count. A form says which of them it has.
 */
export interface Switches {
  /** Least time between two exchanges. */
  readonly spacingMs: number;
  readonly codeMs: number;
  readonly accessTokenMs: number;
  /** Life of a refresh token that is not used. */
  readonly idleMs: number;
  /** Life of a chain from its authorization on, whatever happens to it. */
  readonly absoluteMs: number;
  /** How long a spent refresh token may be presented again; at Auth0 the leeway, or Rotation Overlap Period. */
  readonly leewayMs: number;
  /** How long a consent lasts. */
  readonly consentMs: number;
  /** Whether an exchange gives a new refresh token. */
  readonly rotation: boolean;
  /** Refresh tokens of one user and app; the oldest goes silently. */
  readonly tokensPerUserAndApp: number;
  readonly tokenCallsPerDay: number;
  readonly apiCallsPerMinute: number;
  readonly apiCallsPerDay: number;
  /** Errors of one (app, user, endpoint) in an hour before it is blocked for an hour. */
  readonly errorsPerHour: number;
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
  /** Life of a refresh token from its own first use. */
  readonly inUseMs: number;
  /** Which country's host a request without a country in its host name reaches. */
  readonly country: Country;
  /** How long the tenant's log remembers. */
  readonly logRetentionMs: number;
  /** The consent screen is in testing: refresh tokens end after seven days. */
  readonly testing: boolean;
}

export const COUNTRIES = ['nl', 'be', 'de', 'fr', 'es', 'uk', 'us'] as const;
export type Country = (typeof COUNTRIES)[number];

const FOREVER = Number.POSITIVE_INFINITY;

/** Nothing is limited and nothing is odd. */
export const PLAIN: Switches = {
  spacingMs: 0,
  codeMs: 600_000,
  accessTokenMs: 3_600_000,
  idleMs: FOREVER,
  absoluteMs: FOREVER,
  leewayMs: 0,
  consentMs: FOREVER,
  rotation: true,
  tokensPerUserAndApp: FOREVER,
  tokenCallsPerDay: FOREVER,
  apiCallsPerMinute: FOREVER,
  apiCallsPerDay: FOREVER,
  errorsPerHour: FOREVER,
  allowOldRefreshTokens: false,
  spacingExempt: false,
  spacingCounts: 'issued',
  earlyRefresh: 'error',
  errorOrder: 'chain-first',
  tooEarlyStatus: 400,
  codeFormat: 'opaque',
  previousDiesOn: 'both',
  inUseMs: FOREVER,
  country: 'nl',
  logRetentionMs: FOREVER,
  testing: false,
};

export type SwitchName = keyof Switches;

/** Those that every form has. */
export const COMMON: readonly SwitchName[] = [
  'spacingMs',
  'codeMs',
  'accessTokenMs',
  'idleMs',
  'tokenCallsPerDay',
  'apiCallsPerMinute',
  'apiCallsPerDay',
  'errorsPerHour',
  'spacingExempt',
  'spacingCounts',
  'earlyRefresh',
  'errorOrder',
];
