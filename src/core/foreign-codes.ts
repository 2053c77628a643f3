/**
 * What other systems say for the things that our codes name: authorization servers, and programs that keep their
 * tokens. Data with its sources; `docs/errors.md` prints it, and `diagnose` finds it in any text.
 */
import type { DiagnosisCode } from './diagnosis.ts';

export interface ForeignCode {
  readonly system: string;
  /** As people see it and search for it. */
  readonly code: string;
  /** Other texts by which it is recognised, in any case; a code is recognised as a whole word. */
  readonly texts?: readonly string[];
  readonly means: DiagnosisCode | 'account_taken';
  /** What it says there, and what of that differs from the usual reading of our code. */
  readonly note: string;
  /** Said instead of our code's remedy, where that does not fit. */
  readonly remedy?: string;
  readonly source: string;
  /** `memory`: no source was read; the reading may be wrong. */
  readonly grade: 'documented' | 'observed' | 'memory';
}

const INVANTIVE = 'https://forums.invantive.com/t/2177';
const AUTH0_LOGS = 'https://github.com/auth0/auth0-log-schemas';
const MICROSOFT = 'https://nango.dev/blog/microsoft-oauth-refresh-token-invalid-grant';
const picqer = (issue: number): string => `https://github.com/picqer/exact-php-client/issues/${issue}`;
const laravel = (issue: number): string => `https://github.com/websmurf/laravel-exact-online/issues/${issue}`;

/** The more telling entry first: the first that a text holds is taken. */
export const FOREIGN_CODES: readonly ForeignCode[] = [
  {
    system: 'Invantive',
    code: 'itgeneor361',
    means: 'superseded',
    note: 'Reads like too early ("Exact Online requires at least 9,5 minutes between each request for a new acces token."), but stands for a chain that broke because of it: a person is needed.',
    source: INVANTIVE,
    grade: 'documented',
  },
  {
    system: 'Invantive',
    code: 'itgeneor362',
    means: 'superseded',
    note: '"Only one refresh token can be active on Exact Online for a combination of client ID and user." Two causes in one: more than ten minutes after its first use, or never activated by an API call. The evidence of a diagnosis here says which.',
    source: INVANTIVE,
    grade: 'documented',
  },
  {
    system: 'Invantive',
    code: 'itgeneor364',
    texts: ['requires at least 9,5 minutes between each request', 'requires at least 9.5 minutes between each request'],
    means: 'too_early',
    note: '"Exact Online requires at least 9,5 minutes between each request for a new access token." Alone it breaks nothing. Once, and then a broken chain, means that somebody else refreshes as well.',
    source: INVANTIVE,
    grade: 'documented',
  },
  {
    system: 'Invantive',
    code: 'itgenoda494',
    texts: ['obsoleted refresh token can not be used'],
    means: 'superseded',
    note: '"An obsoleted refresh token can not be used on Exact Online. Please generate a new refresh token and make sure to keep the chain intact."',
    source: INVANTIVE,
    grade: 'documented',
  },
  {
    system: 'Invantive',
    code: 'itgenscr590',
    texts: ['at most one data container in all databases'],
    means: 'account_taken',
    note: '"There can be at most one data container in all databases in all organizations with the single authentication identifier …"',
    remedy: 'Share the grant that holds the account, or connect another account or an app of its own.',
    source: 'https://forums.invantive.com/t/2901',
    grade: 'observed',
  },
  {
    system: 'Invantive',
    code: 'itgenoda185',
    means: 'superseded',
    note: 'Wraps "Old refresh token used." of Exact Online: "Your session has expired."',
    source: 'https://forums.invantive.com/t/1394',
    grade: 'observed',
  },
  {
    system: 'Invantive',
    code: 'itgenoda219',
    means: 'superseded',
    note: 'Wraps "Old refresh token used." of Exact Online: "The data container … could not be opened".',
    source: 'https://forums.invantive.com/t/1223',
    grade: 'observed',
  },
  {
    system: 'Exact Online',
    code: 'Old refresh token used.',
    texts: ['old refresh token used'],
    means: 'superseded',
    note: 'HTTP 401 `unauthorized_client`. Also said of a token that is newer than the active one but was superseded before it was used: read it as "inactive refresh token used".',
    source: picqer(644),
    grade: 'observed',
  },
  {
    system: 'Exact Online',
    code: 'Token is not allowed, because of invalid or empty chainId',
    texts: ['invalid or empty chainid'],
    means: 'invalid_chain',
    note: 'HTTP 400 `invalid_grant`. After a newer authorization of the same app and account, after two authorizations at once, and now and then without a known cause: it is tried once more here before a person is called.',
    source: picqer(471),
    grade: 'observed',
  },
  {
    system: 'Exact Online',
    code: 'TooEarlyToRefreshTokens',
    texts: ['access_token not expired', 'access token not expired'],
    means: 'too_early',
    note: 'HTTP 400 `access_denied`, "Rate limit exceeded: access_token not expired", with the code in the header `Reason`. The documentation says 401 and "Access Token not expired".',
    source: laravel(31),
    grade: 'observed',
  },
  {
    system: 'Exact Online',
    code: 'The refresh token expired at',
    texts: ['the refresh token expired at'],
    means: 'expired_idle',
    note: 'HTTP 400 `invalid_request`, with both dates in the American form.',
    source: laravel(23),
    grade: 'observed',
  },
  {
    system: 'Exact Online',
    code: 'This message has already been processed.',
    texts: ['this message has already been processed'],
    means: 'code_replayed',
    note: 'HTTP 400 `invalid_request`: "This could indicate a replay attack in progress." Said of an authorization code that is sent twice.',
    source: picqer(96),
    grade: 'observed',
  },
  {
    system: 'Exact Online',
    code: 'The authorization code expired at',
    texts: ['the authorization code expired at'],
    means: 'code_expired',
    note: 'By analogy to the text for refresh tokens; a code lives three minutes.',
    source: laravel(23),
    grade: 'memory',
  },
  {
    system: 'Auth0',
    code: 'ferrt',
    means: 'used_elsewhere',
    note: 'Log type "Failed Exchange of Rotating Refresh Token": confirms a reused token. `details.familyId` names the chain; with `latestCounter` X and `tokenCounter` Y, the newest was the X-th and the older Y-th was presented. What was issued since is revoked.',
    source: AUTH0_LOGS,
    grade: 'documented',
  },
  {
    system: 'Auth0',
    code: 'resource_cleanup',
    means: 'evicted_by_cap',
    note: 'Log type "Refresh Token Excess Warning": more than 200 tokens of a user and application. `details.start` were there, `removedCount` of the oldest went, `endCount` are left.',
    source: AUTH0_LOGS,
    grade: 'documented',
  },
  {
    system: 'Auth0',
    code: 'fertft',
    means: 'revoked',
    note: 'Log type of a failed exchange of a refresh token that does not rotate, has expired or was revoked; `details.failure_reason` may be session_not_found, grant_revoked or invalid_token.',
    source: AUTH0_LOGS,
    grade: 'documented',
  },
  {
    system: 'Auth0',
    code: 'srrt',
    means: 'revoked',
    note: 'Log type of a refresh token that was revoked.',
    source: AUTH0_LOGS,
    grade: 'documented',
  },
  {
    system: 'Auth0',
    code: 'Unknown or invalid refresh token.',
    texts: ['unknown or invalid refresh token'],
    means: 'unknown',
    note: 'HTTP 403 `invalid_grant`, the same for a token that was reused, has reached the end of its life, was revoked or was dropped for newer ones.',
    remedy:
      'Look into the log of the tenant for ferrt, fertft and resource_cleanup at that time, then renew the grant.',
    source: 'https://community.auth0.com/t/120406',
    grade: 'observed',
  },
  {
    system: 'Microsoft',
    code: 'AADSTS700082',
    means: 'expired_idle',
    note: '"The refresh token has expired due to inactivity": 90 days unused.',
    source: MICROSOFT,
    grade: 'observed',
  },
  {
    system: 'Microsoft',
    code: 'AADSTS70008',
    means: 'expired_idle',
    note: 'The refresh token has expired, mostly because nobody used it.',
    source: MICROSOFT,
    grade: 'observed',
  },
  {
    system: 'Microsoft',
    code: 'AADSTS700084',
    means: 'expired_absolute',
    note: 'A token of a single-page app: 24 hours, however much it is used.',
    source: MICROSOFT,
    grade: 'observed',
  },
  {
    system: 'Microsoft',
    code: 'AADSTS50173',
    means: 'revoked',
    note: 'The grant was revoked, often by a new password.',
    source: MICROSOFT,
    grade: 'observed',
  },
  {
    system: 'Microsoft',
    code: 'AADSTS50076',
    means: 'consent_ended',
    note: 'Only looks dead: the refresh token is not consumed, but the person must sign in with a second factor.',
    source: 'from memory',
    grade: 'memory',
  },
  {
    system: 'Microsoft',
    code: 'AADSTS50079',
    means: 'consent_ended',
    note: 'Only looks dead: the refresh token is not consumed, but the person must set up a second factor.',
    source: 'from memory',
    grade: 'memory',
  },
  {
    system: 'Microsoft',
    code: 'AADSTS65001',
    means: 'consent_ended',
    note: 'The person or an administrator has not consented to the app, or took the consent back.',
    source: 'from memory',
    grade: 'memory',
  },
  {
    system: 'Microsoft',
    code: 'AADSTS70000',
    means: 'unknown',
    note: '"The provided grant is invalid or malformed": of the authorization, of the refresh token, or for another app or tenant.',
    remedy: 'Check that app, tenant and account belong together, then renew the grant.',
    source: 'from memory',
    grade: 'memory',
  },
  {
    system: 'Google',
    code: 'Token has been expired or revoked.',
    texts: ['token has been expired or revoked'],
    means: 'revoked',
    note: 'HTTP 400 `invalid_grant`, the same after six months unused, after seven days of an app in testing, and when newer tokens of the app and account pushed it out.',
    source: 'https://workos.com (seen 2026-08-27)',
    grade: 'observed',
  },
];

/** The entry that a text names; null where it names none. */
export function foreignCodeIn(text: string): ForeignCode | null {
  const lower = text.toLowerCase();
  return (
    FOREIGN_CODES.find((one) => isNamed(lower, one.code) || one.texts?.some((said) => lower.includes(said))) ?? null
  );
}

/** A code stands alone: `AADSTS50076` is not in `AADSTS500761`. */
function isNamed(text: string, code: string): boolean {
  const at = text.indexOf(code.toLowerCase());
  if (at === -1) return false;
  const around = `${text[at - 1] ?? ' '}${text[at + code.length] ?? ' '}`;
  return !/[a-z0-9]/.test(around);
}
