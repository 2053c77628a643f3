/** A provider that departs from RFC 6749 in nothing: what a file leaves out, and what stands where there is no file. */
import { UNKNOWN_POLICY } from '../core/rotation-policy.ts';
import type { Provider } from './provider.ts';

/** Where RFC 6749 sections 5.1 and 5.2 put everything. */
export const STANDARD_TOKEN_RESPONSE: Provider['tokenResponse'] = {
  accessToken: '/access_token',
  refreshToken: '/refresh_token',
  expiresIn: '/expires_in',
  scope: '/scope',
  error: '/error',
  errorDescription: '/error_description',
};

/** With what is known of it; of its rotation, without a word, the worst is believed. */
export function standardProvider(known: Pick<Provider, 'id' | 'name'> & Partial<Provider>): Provider {
  return {
    reach: 'public',
    variables: {},
    issuer: null,
    authorizationEndpoint: null,
    tokenEndpoint: null,
    refreshEndpoint: null,
    revocationEndpoint: null,
    deviceAuthorizationEndpoint: null,
    apiBaseUrls: [],
    tokenEndpointAuthMethods: ['client_secret_post'],
    codeChallengeMethods: ['S256'],
    authorizationResponseIss: false,
    authorizationParameters: {},
    scope: { default: [], forRefreshToken: null, separator: ' ' },
    tokenRequest: { format: 'form', parameters: {}, refreshParameters: {} },
    tokenResponse: STANDARD_TOKEN_RESPONSE,
    identity: null,
    policy: UNKNOWN_POLICY,
    errors: [],
    ...known,
  };
}
