/**
 * Exact Online, as public code and issue threads show it (seen November 2026). Bodies, statuses and headers are literal;
 * some of Exact's own texts have spaces after the brace, and the replay text has two spaces in its middle.
 *
 * Rule: usable are the last activated refresh token and the last issued one that is not activated yet. A token is
 * activated by presenting it or by an API call with its access token; that ends its predecessor, which in any case
 * ends 600 s after its own first use. Asking the active token again displaces the one that waits: `answer: replace`.
 */
import type { Instant } from '../core/instant.ts';
import { type RotationPolicy, UNKNOWN_POLICY } from '../core/rotation-policy.ts';
import type { Chance } from './chance.ts';
import { api } from './exact-online-api.ts';
import { providerFile } from './exact-online-provider.ts';
import type { ApiRefusal, Form, RefusalDetails, TokenRefusal, TokenTexts } from './form.ts';
import { COMMON, COUNTRIES, PLAIN, type Switches } from './switches.ts';
import { answer, type Reply, jsonText } from './wire.ts';

const SECOND = 1000;
const DAY = 86_400 * SECOND;
const FOREVER = Number.POSITIVE_INFINITY;

const STRICT: Switches = {
  ...PLAIN,
  codeFormat: 'stamp',
  spacingMs: 570 * SECOND,
  codeMs: 180 * SECOND,
  accessTokenMs: 600 * SECOND,
  inUseMs: 600 * SECOND,
  idleMs: 30 * DAY,
  tokenCallsPerDay: 200,
  apiCallsPerMinute: 60,
  apiCallsPerDay: 5000,
  errorsPerHour: 10,
};

function policy(switches: Switches): RotationPolicy {
  return {
    ...UNKNOWN_POLICY,
    overlap: { ...UNKNOWN_POLICY.overlap, ...overlap(switches) },
    onReuse: { refresh: 'reject', access: 'keep' },
    life: {
      idleMs: switches.idleMs,
      idleFrom: 'last-use',
      absoluteMs: FOREVER,
      accessTokenMs: switches.accessTokenMs,
      codeMs: switches.codeMs,
    },
    caps: { ...UNKNOWN_POLICY.caps, familiesPerUserClient: 1 },
    pacing: { minSpacingMs: switches.spacingExempt ? 0 : switches.spacingMs, perDay: switches.tokenCallsPerDay },
    access: 'keep',
  };
}

function overlap(switches: Switches): Partial<RotationPolicy['overlap']> {
  if (switches.allowOldRefreshTokens) return { windowMs: FOREVER, depth: FOREVER, answer: 'fork' };
  const { previousDiesOn, inUseMs } = switches;
  return {
    windowMs: previousDiesOn === 'successor-use' ? FOREVER : inUseMs,
    depth: 1,
    successorUnused: previousDiesOn !== 'window',
    successorUse: 'refresh-or-access',
    answer: 'replace',
  };
}

const stamp = (country: string) => `stamp${country.toUpperCase()}001.`;

/** Key handle, `!`, payload: the form that DotNetOpenAuth gives its refresh tokens and codes. */
function handleAndPayload(chance: Chance, country: string, purpose: string, length: number): string {
  const text = chance.text(purpose, 4 + length);
  return `${stamp(country)}${text.slice(0, 4)}!IAAAA${text.slice(4)}`;
}

function codeText(chance: Chance, country: string, { codeFormat }: Switches, now: Instant): string {
  if (codeFormat === 'stamp') return handleAndPayload(chance, country, 'code', 600);
  if (codeFormat === 'opaque') return chance.text('code', 43);
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const claims = { jti: chance.guid('code id'), iat: Math.floor(now / SECOND) };
  return `${part({ alg: 'HS256', typ: 'JWT' })}.${part(claims)}.${chance.text('code', 43)}`;
}

/** Each country has its own host, and knows nothing of the others' tokens: `be.localhost` is Belgium's. */
function realm(host: string, { country }: Switches): string {
  const named = /^(\w\w)\.localhost(:|$)/.exec(host)?.[1];
  return COUNTRIES.find((one) => one === named) ?? country;
}

/** Key order and the string in `expires_in` are Exact's. Nothing in a token needs escaping. */
function tokenAnswer({ accessToken, refreshToken, expiresInSeconds }: TokenTexts): Reply {
  const refresh = refreshToken === null ? '' : `,"refresh_token":"${refreshToken}"`;
  const common = `"token_type":"bearer","expires_in":"${expiresInSeconds}"`;
  return jsonText(200, `{"access_token":"${accessToken}",${common}${refresh}}`);
}

const OLD_TOKEN = 'Old refresh token used.';
const CHAIN = 'Token is not allowed, because of invalid or empty chainId';
const EARLY = 'Rate limit exceeded: access_token not expired';
const REPLAY = 'This message has already been processed.  This could indicate a replay attack in progress.';

/** As the server's library writes errors. */
function plain(status: number, error: string, description?: string, headers: Record<string, string> = {}) {
  const body = description === undefined ? { error } : { error, error_description: description };
  return jsonText(status, JSON.stringify(body), headers);
}

/** As Exact's own checks write them: by hand, with inner spaces, and often a `Reason` header. */
function handMade(status: number, error: string, description: string, reason?: string) {
  const text = `{ "error":"${error}","error_description":"${description}" }`;
  return jsonText(status, text, reason === undefined ? {} : { reason });
}

function refusal(reason: TokenRefusal, details: RefusalDetails, switches: Switches): Reply {
  switch (reason) {
    case 'superseded':
    case 'displaced':
    case 'expired-in-use':
      return plain(401, 'unauthorized_client', OLD_TOKEN);
    case 'unknown':
    case 'revoked':
    case 'evicted':
    case 'consent-ended':
    case 'code-of-older-authorization':
      return handMade(400, 'invalid_grant', CHAIN, `Unknown: ${CHAIN}`);
    case 'expired-idle':
    case 'expired-absolute':
      return plain(400, 'invalid_request', `The refresh token expired ${endedAndNow(details)}`);
    case 'code-expired':
      return plain(400, 'invalid_request', `The authorization code expired ${endedAndNow(details)}`);
    case 'code-replayed':
      return plain(400, 'invalid_request', REPLAY);
    case 'too-early':
      return handMade(switches.tooEarlyStatus, 'access_denied', EARLY, `TooEarlyToRefreshTokens: ${EARLY}`);
    case 'quota':
      return handMade(429, 'access_denied', 'Rate limit exceeded');
    case 'too-many-errors':
      return answer(429, {});
    default:
      return refusalOfRequest(reason, details);
  }
}

/** What the server's library refuses before a token is looked at. */
function refusalOfRequest(reason: TokenRefusal, { basic }: RefusalDetails): Reply {
  switch (reason) {
    case 'client-unknown':
    case 'client-secret-wrong':
      return plain(basic ? 401 : 400, 'invalid_client', undefined, basic ? { 'www-authenticate': 'Basic' } : {});
    case 'code-of-another-client':
    case 'token-of-another-client':
      return plain(400, 'invalid_client');
    case 'code-unknown':
    case 'verifier-mismatch':
      return plain(400, 'invalid_grant');
    case 'unsupported-grant-type':
      return plain(400, 'unsupported_grant_type');
    default:
      return plain(400, 'invalid_request');
  }
}

function endedAndNow({ endedAt, now }: RefusalDetails): string {
  return `at ${usDate(endedAt ?? now)} and it is now ${usDate(now)}.`;
}

/** `M/d/yyyy h:mm:ss tt` in UTC, as in "10/11/2022 9:18:20 PM". */
export function usDate(instant: Instant): string {
  const date = new Date(instant);
  const two = (value: number) => String(value).padStart(2, '0');
  const hours = date.getUTCHours();
  const day = `${date.getUTCMonth() + 1}/${date.getUTCDate()}/${date.getUTCFullYear()}`;
  const time = `${hours % 12 || 12}:${two(date.getUTCMinutes())}:${two(date.getUTCSeconds())}`;
  return `${day} ${time} ${hours < 12 ? 'AM' : 'PM'}`;
}

/** The wording of `Reason` and the empty body are inferred: no such answer was seen in public. */
function apiRefusal(reason: ApiRefusal): Reply {
  const said = reason === 'expired' ? 'The access token has expired' : 'The access token is missing or invalid';
  return answer(401, { 'www-authenticate': 'Bearer', reason: `Unauthorized: ${said}` });
}

export const exactOnline: Form = {
  id: 'exact-online',
  name: 'Exact Online',
  paths: {
    authorize: '/api/oauth2/auth',
    token: '/api/oauth2/token',
    refresh: null,
    api: ['/api/v1'],
    userinfo: null,
    revoke: null,
    device: null,
  },
  switches: STRICT,
  settable: [
    ...COMMON,
    'allowOldRefreshTokens',
    'tooEarlyStatus',
    'codeFormat',
    'previousDiesOn',
    'inUseMs',
    'country',
  ],
  clientIdParameter: 'client_id',
  bodies: ['form'],
  responseTypes: ['code', 'token'],
  hasPublicClients: false,
  openId: null,
  scope: { separator: ' ', byDefault: [] },
  revocationKills: 'family',
  revocationNeedsClient: true,
  accessEndsWithConsent: false,
  policy,
  givesRefreshToken: () => true,
  namesRefreshToken: () => true,
  realm,
  codeText,
  refreshTokenText: (chance, country) => handleAndPayload(chance, country, 'refresh token', 240),
  accessTokenText: (chance, country) => `${stamp(country)}gAAAA${chance.text('access token', 360)}`,
  looksLikeRefreshToken: (text) => /^[\w-]+\.[\w-]{4}![\w-]+$/.test(text),
  tokenAnswer,
  members: { refreshToken: '/refresh_token', expiresIn: '/expires_in', tokenType: '/token_type' },
  refusal,
  apiRefusal,
  api,
  providerFile,
};
