/**
 * TrueLayer. Today (`truelayer`) a refresh token is durable: it does not change, lives 30 days from its last use, and
 * at most as long as the consent, 90 days. Until 2019 (`truelayer-2019`) each was good for one use. Whatever is wrong
 * with it, the answer is `invalid_grant` and no more; only the last access token is valid. Sources: TrueLayer's blog on
 * durable refresh tokens, and its support pages (seen November 2026).
 */
import type { ApiRefusal, Form, TokenRefusal } from './form.ts';
import { genericForm } from './generic.ts';
import type { Document } from './provider-file.ts';
import { COMMON } from './switches.ts';
import { type Reply, json } from './wire.ts';

const DAY_S = 86_400;
const CONSENT_MS = 90 * DAY_S * 1000;

const DOCUMENT: Document = {
  id: 'truelayer',
  name: 'TrueLayer',
  issuer: null,
  authorization_endpoint: 'https://auth.truelayer.com/',
  token_endpoint: 'https://auth.truelayer.com/connect/token',
  api_base_urls: ['https://api.truelayer.com/data/v1'],
  token_endpoint_auth_methods: ['client_secret_post'],
  scope: { default: ['info', 'accounts', 'offline_access'], for_refresh_token: 'offline_access', separator: ' ' },
  identity: {
    endpoint: 'https://api.truelayer.com/data/v1/me',
    subject: '/results/0/credentials_id',
    label: '/results/0/provider/display_name',
  },
  policy: {
    rotate: { mode: 'never' },
    on_reuse: { refresh: 'reject', access: 'keep' },
    life: { idle: 30 * DAY_S, idle_from: 'last-use', absolute: null, access_token: 3600 },
    access: 'revoke-all',
  },
  errors: [
    { status: 400, error: 'invalid_grant', means: 'invalid_grant' },
    { status: 401, error: 'invalid_client', means: 'client_rejected' },
  ],
};

const PATHS = {
  authorize: '/authorize',
  token: '/connect/token',
  refresh: null,
  api: ['/data/v1'],
  userinfo: null,
  revoke: null,
  device: null,
};

export const truelayer: Form = form('truelayer', DOCUMENT);

export const truelayer2019: Form = form('truelayer-2019', {
  ...DOCUMENT,
  policy: { ...(DOCUMENT.policy as object), rotate: { mode: 'always' }, overlap: { window: 0 } },
});

function form(id: string, document: Document): Form {
  const generic = genericForm(`${id}.json`, { ...document, id });
  return {
    ...generic,
    id,
    paths: PATHS,
    switches: { ...generic.switches, consentMs: CONSENT_MS },
    settable: [...COMMON, 'consentMs'],
    openId: null,
    accessEndsWithConsent: true,
    namesRefreshToken: () => true,
    refreshTokenText: (chance) => chance.text('refresh token', 64),
    accessTokenText: (chance) => `${chance.text('access token', 36)}.${chance.text('access token', 240)}`,
    looksLikeRefreshToken: (text) => /^[\w-]{64}$/.test(text),
    refusal,
    apiRefusal,
  };
}

function refusal(reason: TokenRefusal): Reply {
  switch (reason) {
    case 'unsupported-grant-type':
      return json(400, { error: 'unsupported_grant_type' });
    case 'client-unknown':
    case 'client-secret-wrong':
      return json(401, { error: 'invalid_client' });
    case 'scope-too-wide':
      return json(400, { error: 'invalid_scope' });
    case 'quota':
    case 'too-early':
    case 'too-many-errors':
      return json(429, { error: 'provider_too_many_requests' });
    case 'malformed':
      return json(400, { error: 'invalid_request' });
    default:
      return json(400, { error: 'invalid_grant' });
  }
}

function apiRefusal(reason: ApiRefusal): Reply {
  return reason === 'consent-gone' ? json(403, { error: 'access_denied' }) : json(401, { error: 'unauthorized' });
}
