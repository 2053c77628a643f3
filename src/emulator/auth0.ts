/**
 * Auth0: families of rotating refresh tokens. The previous one may be presented again within the leeway; any other that
 * comes again ends its family. Two lives, idle and absolute; 200 tokens of one user and app. One answer to everything
 * that is wrong with a token, and a log that tells more. Source: auth0/docs-v2 and auth0/auth0-log-schemas, 2026.
 */
import { auth0Management } from './auth0-management.ts';
import type { Form, TokenRefusal } from './form.ts';
import { genericForm } from './generic.ts';
import type { Document } from './provider-file.ts';
import { COMMON } from './switches.ts';
import { type Reply, json, jsonText } from './wire.ts';

const DAY_MS = 86_400_000;

export function auth0Form(file: string, document: Document): Form {
  const generic = genericForm(file, document);
  return {
    ...generic,
    switches: { ...generic.switches, accessTokenMs: DAY_MS, logRetentionMs: 2 * DAY_MS },
    settable: [...COMMON, 'absoluteMs', 'leewayMs', 'rotation', 'tokensPerUserAndApp', 'logRetentionMs'],
    bodies: ['form', 'json'],
    // A token that does not rotate is named once.
    namesRefreshToken: (isNew) => isNew,
    refreshTokenText: (chance) => `v1.${chance.text('refresh token', 64)}`,
    accessTokenText: (chance) => `${chance.text('access token', 36)}.${chance.text('access token', 400)}`,
    refusal: (reason) => refusal(reason),
    own: auth0Management,
  };
}

const DEAD = '{"error":"invalid_grant","error_description":"Unknown or invalid refresh token."}';

/** Statuses and texts besides `DEAD` are as clients of Auth0 remember them; the documentation does not list them. */
function refusal(reason: TokenRefusal): Reply {
  const no = (status: number, error: string, description: string) =>
    json(status, { error, error_description: description });
  switch (reason) {
    case 'malformed':
      return no(400, 'invalid_request', 'Missing or malformed parameter');
    case 'unsupported-grant-type':
      return no(400, 'unsupported_grant_type', 'Unsupported grant type');
    case 'scope-too-wide':
      return no(400, 'invalid_scope', 'The scope was not granted');
    case 'client-unknown':
    case 'client-secret-wrong':
      return no(401, 'access_denied', 'Unauthorized');
    case 'code-unknown':
    case 'code-replayed':
    case 'code-expired':
    case 'code-of-another-client':
    case 'code-of-older-authorization':
      return no(403, 'invalid_grant', 'Invalid authorization code');
    case 'redirect-uri-mismatch':
      return no(403, 'invalid_grant', 'The redirect URI is wrong');
    case 'verifier-mismatch':
      return no(403, 'invalid_grant', 'Failed to verify code verifier');
    case 'quota':
    case 'too-early':
    case 'too-many-errors':
      return no(429, 'too_many_requests', 'Global limit has been reached');
    default:
      return jsonText(403, DEAD);
  }
}
