/**
 * What real answers mean under the provider that gives them. The bodies are those that vendors document or that users
 * reported, to the letter; where only members are known, they stand in the form that the provider has.
 */
import { describe, expect, test } from 'vitest';
import { catalogue } from '../../src/catalogue/catalogue.ts';
import type { Provider } from '../../src/catalogue/provider.ts';
import type { Instant } from '../../src/core/instant.ts';
import { readTokenResponse, type TokenResponse } from '../../src/oauth/token-response.ts';
import { readProviderFiles } from '../../src/world/provider-files.ts';

const FOLDER = new URL('../../providers', import.meta.url).pathname;
const NOW = Date.parse('2026-11-22T00:00:00Z') as Instant;
const providers = catalogue({ builtIn: readProviderFiles(FOLDER), extra: [], now: () => NOW });

function provider(id: string): Provider {
  const found = providers.get(id);
  if (!found) throw new Error(`no provider ${id}`);
  return found;
}

function read(id: string, status: number, body: string): TokenResponse {
  const answer = { status, headers: {}, body: new TextEncoder().encode(body), complete: true };
  return readTokenResponse(answer, provider(id), { now: NOW, secrets: [] });
}

describe('the dead refresh token of every provider is recognised', () => {
  test.each<[provider: string, status: number, body: string, means: string]>([
    [
      'exact-online',
      401,
      '{"error":"unauthorized_client","error_description":"Old refresh token used."}',
      'superseded',
    ],
    [
      'exact-online',
      400,
      '{"error":"invalid_grant","error_description":"Token is not allowed, because of invalid or empty chainId"}',
      'invalid_chain',
    ],
    [
      'exact-online',
      400,
      '{"error":"invalid_request","error_description":"The refresh token expired at 10/11/2022 9:18:20 PM and it is now 10/28/2022 4:15:50 PM."}',
      'expired_idle',
    ],
    ['xero', 400, '{"error":"invalid_grant"}', 'invalid_grant'],
    ['quickbooks-online', 400, '{"error":"invalid_grant"}', 'invalid_grant'],
    [
      'quickbooks-online',
      400,
      '{"error":"invalid_grant","error_description":"Incorrect or invalid refresh token"}',
      'invalid_grant',
    ],
    ['quickbooks-online', 400, '{"error":"invalid_grant","error_description":"Token invalid"}', 'invalid_grant'],
    ['intuit', 400, '{"error":"invalid_grant"}', 'invalid_grant'],
    [
      'intuit',
      400,
      '{"error":"invalid_grant","error_description":"Incorrect or invalid refresh token"}',
      'invalid_grant',
    ],
    ['intuit', 400, '{"error":"invalid_grant","error_description":"Token invalid"}', 'invalid_grant'],
    ['zoho', 200, '{"error":"invalid_code"}', 'invalid_grant'],
    ['box', 400, '{"error":"invalid_grant","error_description":"Refresh token has expired"}', 'expired_idle'],
    ['zoom', 400, '{"error":"4735","error_description":"Invalid refresh token"}', 'invalid_grant'],
    ['zoom', 401, '{"reason":"Invalid Token!","error":"invalid_request"}', 'invalid_grant'],
    [
      'atlassian',
      403,
      '{"error":"invalid_grant","error_description":"Unknown or invalid refresh token."}',
      'invalid_grant',
    ],
    [
      'github-app',
      200,
      '{"error":"bad_refresh_token","error_description":"The refresh token passed is incorrect or expired."}',
      'invalid_grant',
    ],
    [
      'gitlab',
      400,
      '{"error":"invalid_grant","error_description":"The provided authorization grant is invalid, expired, revoked, does not match the redirection URI used in the authorization request, or was issued to another client."}',
      'invalid_grant',
    ],
    ['slack', 200, '{"ok":false,"error":"invalid_refresh_token"}', 'invalid_grant'],
    ['linear', 400, '{"error":"invalid_grant"}', 'invalid_grant'],
    [
      'salesforce',
      400,
      '{"error":"invalid_grant","error_description":"expired access/refresh token"}',
      'invalid_grant',
    ],
    ['salesforce', 400, '{"error":"invalid_grant","error_description":"inactive user"}', 'revoked'],
    [
      'microsoft-entra',
      400,
      '{"error":"invalid_grant","error_description":"AADSTS700082: The refresh token has expired due to inactivity."}',
      'expired_idle',
    ],
    ['microsoft-entra', 400, '{"error":"invalid_grant","error_description":"AADSTS70008"}', 'expired_idle'],
    ['microsoft-entra', 400, '{"error":"invalid_grant","error_description":"AADSTS700084"}', 'expired_absolute'],
    ['microsoft-entra', 400, '{"error":"invalid_grant","error_description":"AADSTS50173"}', 'revoked'],
    [
      'google',
      400,
      '{"error":"invalid_grant","error_description":"Token has been expired or revoked."}',
      'invalid_grant',
    ],
    [
      'auth0',
      403,
      '{"error":"invalid_grant","error_description":"Unknown or invalid refresh token."}',
      'invalid_grant',
    ],
    [
      'auth0',
      403,
      '{"error":"invalid_grant","error_description":"The refresh_token was generated for a user who doesn\'t exist anymore."}',
      'revoked',
    ],
    [
      'okta',
      400,
      '{"error":"invalid_grant","error_description":"The refresh token is invalid or expired."}',
      'invalid_grant',
    ],
    ['freee', 401, '', 'invalid_grant'],
    ['monzo', 401, '{"code":"unauthorized.bad_refresh_token.evicted"}', 'reauthorized_elsewhere'],
    ['monzo', 401, '{"code":"unauthorized.bad_refresh_token"}', 'invalid_grant'],
    ['truelayer', 400, '{"error":"invalid_grant"}', 'invalid_grant'],
    ['wise', 400, '{"error":"invalid_grant"}', 'invalid_grant'],
    [
      'amazon-lwa',
      400,
      '{"error":"invalid_grant","error_description":"The request has an invalid grant parameter : refresh_token. User may have revoked or didn\'t grant the permission."}',
      'invalid_grant',
    ],
    [
      'amazon-sp-api',
      400,
      '{"error":"invalid_grant","error_description":"The request has an invalid grant parameter : refresh_token. User may have revoked or didn\'t grant the permission."}',
      'invalid_grant',
    ],
    ['square', 400, '{"message":"Invalid refresh token","type":"service.not_authorized"}', 'invalid_grant'],
    ['hubspot', 400, '{"status":"BAD_REFRESH_TOKEN","message":"missing or unknown refresh token"}', 'invalid_grant'],
    ['hubspot', 400, '{"status":"BAD_REFRESH_TOKEN","message":"missing or invalid refresh token"}', 'invalid_grant'],
    ['airtable', 400, '{"error":"invalid_grant"}', 'invalid_grant'],
    [
      'confluence',
      403,
      '{"error":"invalid_grant","error_description":"Unknown or invalid refresh token."}',
      'invalid_grant',
    ],
    ['jira', 403, '{"error":"invalid_grant","error_description":"Unknown or invalid refresh token."}', 'invalid_grant'],
    [
      'dropbox',
      400,
      '{"error":"invalid_grant","error_description":"refresh token is invalid or revoked"}',
      'invalid_grant',
    ],
    [
      'fitbit',
      400,
      '{"errors":[{"errorType":"invalid_grant","message":"Refresh token invalid: ..."}],"success":false}',
      'invalid_grant',
    ],
    [
      'strava',
      400,
      '{"message":"Bad Request","errors":[{"resource":"RefreshToken","field":"refresh_token","code":"invalid"}]}',
      'invalid_grant',
    ],
    ['keycloak', 400, '{"error":"invalid_grant","error_description":"Token is not active"}', 'invalid_grant'],
    ['keycloak', 400, '{"error":"invalid_grant","error_description":"Session not active"}', 'invalid_grant'],
    [
      'keycloak',
      400,
      '{"error":"invalid_grant","error_description":"Maximum allowed refresh token reuse exceeded"}',
      'superseded',
    ],
    ['keycloak', 400, '{"error":"invalid_grant","error_description":"Stale token"}', 'superseded'],
    ['keycloak', 400, '{"error_description":"Session doesn\'t have required client"}', 'revoked'],
    [
      'airwallex',
      400,
      '{"error":"invalid_grant","error_description":"OAuth 2.0 Parameter: refresh_token"}',
      'invalid_grant',
    ],
    ['discord', 400, '{"error":"invalid_grant"}', 'invalid_grant'],
    ['linkedin', 400, '{"error":"invalid_grant"}', 'invalid_grant'],
    ['spotify', 400, '{"error":"invalid_grant","error_description":"Refresh token revoked"}', 'revoked'],
    ['spotify', 400, '{"error":"invalid_grant"}', 'invalid_grant'],
    ['twitch', 400, '{"error":"Bad Request","status":400,"message":"Invalid refresh token"}', 'invalid_grant'],
    [
      'x',
      400,
      '{"error":"invalid_request","error_description":"Value passed for the token was invalid."}',
      'invalid_grant',
    ],
    ['hmrc', 400, '{"error":"invalid_grant","error_description":"refresh_token is invalid"}', 'invalid_grant'],
    ['ringcentral', 400, '{"error_description":"Token not found"}', 'invalid_grant'],
    ['ringcentral', 401, '{"error_description":"Access token corrupted"}', 'upstream_fault'],
  ])('%s: %i %s means %s', (id, status, body, means) => {
    expect(read(id, status, body)).toMatchObject({ kind: 'refused', means });
  });
});

describe('the same in another form', () => {
  test.each<[what: string, provider: string, status: number, body: string, means: string]>([
    [
      'form-encoded',
      'github-app',
      200,
      'error=bad_refresh_token&error_description=The+refresh+token+passed+is+incorrect+or+expired.&error_uri=https%3A%2F%2Fdocs.github.com',
      'invalid_grant',
    ],
    [
      'with the standard members, too',
      'hubspot',
      400,
      '{"error":"invalid_grant","error_description":"refresh token is invalid, expired or revoked","status":"BAD_REFRESH_TOKEN","message":"refresh token is invalid, expired or revoked"}',
      'invalid_grant',
    ],
    [
      'with the standard code',
      'x',
      400,
      '{"error":"invalid_grant","error_description":"Value passed for the token was invalid."}',
      'invalid_grant',
    ],
    ['with a number', 'zoom', 400, '{"code":4735,"message":"Invalid refresh token"}', 'invalid_grant'],
    [
      'with the whole text',
      'microsoft-entra',
      400,
      '{"error":"invalid_grant","error_description":"AADSTS700082: The refresh token has expired due to inactivity. The token was issued on 2026-01-01 and was inactive for 90.00:00:00.","error_codes":[700082]}',
      'expired_idle',
    ],
    [
      'with a request id',
      'amazon-sp-api',
      400,
      '{"error":"invalid_grant","error_description":"The request has an invalid grant parameter : refresh_token. User may have revoked or didn\'t grant the permission.","error_index":"1","request_id":"1"}',
      'invalid_grant',
    ],
    [
      'in the words of another page',
      'airwallex',
      400,
      '{"error":"invalid_grant","error_description":"invalid or expired refresh token"}',
      'invalid_grant',
    ],
  ])('%s, at %s: %i %s', (_, id, status, body, means) => {
    expect(read(id, status, body)).toMatchObject({ kind: 'refused', means });
  });
});

describe('what only looks like a dead refresh token is not taken for one', () => {
  test.each<[what: string, provider: string, status: number, body: string, means: string]>([
    [
      'too early',
      'exact-online',
      400,
      '{ "error":"access_denied","error_description":"Rate limit exceeded: access_token not expired" }',
      'too_early',
    ],
    [
      'a code that was used',
      'exact-online',
      400,
      '{"error":"invalid_request","error_description":"This message has already been processed.  This could indicate a replay attack in progress."}',
      'code_replayed',
    ],
    [
      'throttling',
      'zoho',
      400,
      '{"error":"Access Denied","error_description":"You have made too many requests continuously. Please try again after some time.","status":"failure"}',
      'throttled',
    ],
    [
      'throttling with status 200',
      'zoho',
      200,
      '{"error":"Access Denied","error_description":"You have made too many requests continuously. Please try again after some time.","status":"failure"}',
      'throttled',
    ],
    [
      'a second factor',
      'microsoft-entra',
      400,
      '{"error":"invalid_grant","error_description":"AADSTS50076: Due to a configuration change made by your administrator, you must use multi-factor authentication."}',
      'consent_ended',
    ],
    [
      'a second factor to set up',
      'microsoft-entra',
      400,
      '{"error":"interaction_required","error_description":"AADSTS50079: The user is required to use multi-factor authentication."}',
      'consent_ended',
    ],
    ['a wrong secret', 'freee', 401, '{"error":"invalid_client"}', 'client_rejected'],
    ['a wrong secret, in the standard form', 'square', 401, '{"error":"invalid_client"}', 'client_rejected'],
    [
      'an access token that a refresh ended',
      'ringcentral',
      401,
      '{"error_description":"Access token corrupted"}',
      'upstream_fault',
    ],
    [
      'an error that nobody knows, with status 200',
      'slack',
      200,
      '{"ok":false,"error":"fatal_error"}',
      'upstream_fault',
    ],
    [
      'a status that is not 0',
      'withings',
      200,
      '{"status":601,"body":{},"error":"Too Many Requests"}',
      'upstream_fault',
    ],
  ])('%s, at %s: %i %s', (_, id, status, body, means) => {
    expect(read(id, status, body)).toMatchObject({ kind: 'refused', means });
  });

  test.each([
    [
      'strava',
      400,
      '{"message":"Bad Request","errors":[{"resource":"Application","field":"client_id","code":"invalid"}]}',
    ],
    ['hubspot', 400, '{"status":"BAD_CLIENT_ID","message":"missing or unknown client id"}'],
    ['monzo', 503, '{"code":"unauthorized.other"}'],
  ])('%s: %i %s decides nothing', (id, status, body) => {
    expect(read(id, status, body)).toMatchObject({ kind: 'unreadable' });
  });
});

describe('tokens in the form of their provider', () => {
  test.each<[what: string, provider: string, body: string, expiresInMs: number | null]>([
    [
      'nested',
      'withings',
      '{"status":0,"body":{"access_token":"a-1","refresh_token":"r-1","expires_in":10800}}',
      10_800_000,
    ],
    [
      'until an instant',
      'square',
      '{"access_token":"a-1","refresh_token":"r-1","expires_at":"2026-11-22T01:00:00Z"}',
      3_600_000,
    ],
    ['with ok', 'slack', '{"ok":true,"access_token":"a-1","refresh_token":"r-1","expires_in":43200}', 43_200_000],
    [
      'form-encoded',
      'github-app',
      'access_token=a-1&expires_in=28800&refresh_token=r-1&scope=&token_type=bearer',
      28_800_000,
    ],
    ['without a life', 'notion', '{"access_token":"a-1","refresh_token":"r-1"}', null],
    [
      'with scopes in an array',
      'twitch',
      '{"access_token":"a-1","refresh_token":"r-1","expires_in":14124,"scope":["a","b"]}',
      14_124_000,
    ],
  ])('%s, at %s: %s', (_, id, body, expiresInMs) => {
    const reading = read(id, 200, body);
    expect(reading).toMatchObject({ kind: 'tokens', expiresInMs });
    expect(reading.kind === 'tokens' && reading.refreshToken?.reveal()).toBe('r-1');
  });
});

describe('what answers mean that were reported', () => {
  const reason = (text: string) => ({ reason: text });
  test.each<[string, string, number, string, Readonly<Record<string, string>>, string]>([
    [
      'an old refresh token',
      'exact-online',
      401,
      '{"error":"unauthorized_client","error_description":"Old refresh token used."}',
      {},
      'superseded',
    ],
    [
      'a foreign chain',
      'exact-online',
      400,
      '{ "error":"invalid_grant","error_description":"Token is not allowed, because of invalid or empty chainId" }',
      reason('Unknown: Token is not allowed, because of invalid or empty chainId'),
      'invalid_chain',
    ],
    [
      'a code that was used',
      'exact-online',
      400,
      '{"error":"invalid_request","error_description":"This message has already been processed.  This could indicate a replay attack in progress."}',
      {},
      'code_replayed',
    ],
    [
      'a code that is too old',
      'exact-online',
      400,
      '{"error":"invalid_request","error_description":"The authorization code expired at 10/11/2022 9:18:20 PM and it is now 10/11/2022 9:28:20 PM."}',
      {},
      'code_expired',
    ],
    [
      '30 days unused',
      'exact-online',
      400,
      '{"error":"invalid_request","error_description":"The refresh token expired at 10/11/2022 9:18:20 PM and it is now 10/28/2022 4:15:50 PM."}',
      {},
      'expired_idle',
    ],
    [
      'too early, as observed',
      'exact-online',
      400,
      '{ "error":"access_denied","error_description":"Rate limit exceeded: access_token not expired" }',
      reason('TooEarlyToRefreshTokens: Rate limit exceeded: access_token not expired'),
      'too_early',
    ],
    [
      'too early, in the header alone',
      'exact-online',
      400,
      '',
      reason('TooEarlyToRefreshTokens: Rate limit exceeded: access_token not expired'),
      'too_early',
    ],
    ['too early, as documented', 'exact-online', 401, '', reason('Access Token not expired'), 'too_early'],
    [
      'too early, as documented, in the body',
      'exact-online',
      401,
      '{"error":"access_denied","error_description":"access token not expired"}',
      {},
      'too_early',
    ],
    ['a wrong secret', 'exact-online', 400, '{"error":"invalid_client"}', {}, 'client_rejected'],
    [
      'a client without this right',
      'exact-online',
      401,
      '{"error":"unauthorized_client","error_description":"The client is not authorized to request an authorization code using this method and/or authorization grant type."}',
      {},
      'client_rejected',
    ],
    ['too many calls', 'exact-online', 429, '', {}, 'throttled'],
    [
      'any dead token',
      'auth0',
      403,
      '{"error":"invalid_grant","error_description":"Unknown or invalid refresh token."}',
      {},
      'invalid_grant',
    ],
    [
      'a user who is gone',
      'auth0',
      403,
      '{"error":"invalid_grant","error_description":"The refresh_token was generated for a user who doesn\'t exist anymore."}',
      {},
      'revoked',
    ],
    [
      'any dead token',
      'google',
      400,
      '{\n  "error": "invalid_grant",\n  "error_description": "Token has been expired or revoked."\n}',
      {},
      'invalid_grant',
    ],
    ['any dead token', 'xero', 400, '{"error":"invalid_grant"}', {}, 'invalid_grant'],
  ])('%s at %s: %i %s', (_, id, status, body, headers, means) => {
    const answer = { status, headers, body: new TextEncoder().encode(body), complete: true };
    expect(readTokenResponse(answer, provider(id), { now: NOW, secrets: [] })).toMatchObject({
      kind: 'refused',
      means,
    });
  });

  test('[S24] Exact Online gives the life of an access token as text', () => {
    const body =
      '{"access_token":"stampNL001.gAAAA","token_type":"bearer","expires_in":"600","refresh_token":"stampNL001.Ab3_!IAAAA"}';
    const answer = { status: 200, headers: {}, body: new TextEncoder().encode(body), complete: true };
    expect(readTokenResponse(answer, provider('exact-online'), { now: NOW, secrets: [] })).toMatchObject({
      kind: 'tokens',
      expiresInMs: 600_000,
    });
  });
});
