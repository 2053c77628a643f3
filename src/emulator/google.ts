/**
 * Google: a refresh token does not change and is named once; of one user and app the newest N live, the oldest goes
 * without a word. Sources: current documentation says 100, older pages 50 (both seen November 2026).
 */
import type { RotationPolicy } from '../core/rotation-policy.ts';
import type { ApiRefusal, Form, TokenRefusal } from './form.ts';
import { apiRefusal, genericForm } from './generic.ts';
import type { Document } from './provider-file.ts';
import { COMMON, type Switches } from './switches.ts';
import { type Reply, json } from './wire.ts';

const TESTING_LIFE_MS = 7 * 86_400_000;

/** `id` is what the profile is called; `window` how many refresh tokens of one user and app live. */
export function googleForm(file: string, document: Document, { id, window }: { id: string; window: number }): Form {
  const generic = genericForm(file, { ...document, id });
  return {
    ...generic,
    id,
    switches: { ...generic.switches, tokensPerUserAndApp: window, accessTokenMs: 3_599_000 },
    settable: [...COMMON, 'tokensPerUserAndApp', 'testing'],
    policy: (switches) => policy(generic.policy(switches), switches),
    givesRefreshToken: ({ query }) => query.get('access_type') === 'offline' && query.get('prompt') === 'consent',
    namesRefreshToken: () => false,
    revocationNeedsClient: false,
    refreshTokenText: (chance) => `1//0${chance.text('refresh token', 98)}`,
    accessTokenText: (chance) => `ya29.${chance.text('access token', 160)}`,
    refusal: (reason) => refusal(reason),
    apiRefusal: (reason: ApiRefusal) => apiRefusal(reason),
  };
}

/** While the consent screen is in testing, refresh tokens end after seven days. */
function policy(usual: RotationPolicy, { testing }: Switches): RotationPolicy {
  return testing ? { ...usual, life: { ...usual.life, absoluteMs: TESTING_LIFE_MS } } : usual;
}

function refusal(reason: TokenRefusal): Reply {
  const no = (status: number, error: string, description: string) =>
    json(status, { error, error_description: description });
  switch (reason) {
    case 'malformed':
      return no(400, 'invalid_request', 'Invalid request.');
    case 'unsupported-grant-type':
      return no(400, 'unsupported_grant_type', 'Invalid grant_type.');
    case 'scope-too-wide':
      return no(400, 'invalid_scope', 'Some requested scopes were invalid.');
    case 'client-unknown':
      return no(401, 'invalid_client', 'The OAuth client was not found.');
    case 'client-secret-wrong':
      return no(401, 'invalid_client', 'The provided client secret is invalid.');
    case 'redirect-uri-mismatch':
      return no(400, 'redirect_uri_mismatch', 'Bad Request');
    case 'quota':
    case 'too-early':
    case 'too-many-errors':
      return no(429, 'rate_limit_exceeded', 'Rate Limit Exceeded');
    case 'code-unknown':
    case 'code-replayed':
    case 'code-expired':
    case 'code-of-another-client':
    case 'verifier-mismatch':
    case 'unknown':
      return no(400, 'invalid_grant', 'Bad Request');
    default:
      return no(400, 'invalid_grant', 'Token has been expired or revoked.');
  }
}
