/** The provider file of an emulated Exact Online: what a keeper is to believe about exactly this server. */
import type { RotationPolicy } from '../core/rotation-policy.ts';
import { policyInFile } from './provider-file.ts';

export function providerFile(baseUrl: string, policy: RotationPolicy): Record<string, unknown> {
  return {
    id: 'exact-online-emulated',
    name: 'Exact Online (emulated)',
    variables: {},
    issuer: null,
    authorization_endpoint: `${baseUrl}/api/oauth2/auth`,
    token_endpoint: `${baseUrl}/api/oauth2/token`,
    refresh_endpoint: null,
    revocation_endpoint: null,
    device_authorization_endpoint: null,
    api_base_urls: [`${baseUrl}/api`],
    api_limits: { by: '/v1/{division}' },
    token_endpoint_auth_methods: ['client_secret_post'],
    code_challenge_methods: [],
    authorization_parameters: {},
    scope: { default: [], for_refresh_token: null, separator: ' ' },
    token_request: { format: 'form', parameters: {}, refresh_parameters: {} },
    token_response: {
      access_token: '/access_token',
      refresh_token: '/refresh_token',
      expires_in: '/expires_in',
      error: '/error',
    },
    identity: {
      endpoint: `${baseUrl}/api/v1/current/Me?$select=UserID,UserName`,
      subject: '/d/results/0/UserID',
      label: '/d/results/0/UserName',
    },
    login: { origins: [baseUrl] },
    revocation: { kills: null },
    policy: policyInFile(policy),
    errors: ERRORS,
    changes: [],
    facts: [],
  };
}

/** How each answer is to be read; the description is a prefix. */
const ERRORS = [
  [401, 'unauthorized_client', 'Old refresh token used.', 'superseded'],
  [400, 'invalid_grant', 'Token is not allowed, because of invalid or empty chainId', 'invalid_chain'],
  [400, 'invalid_request', 'The refresh token expired at', 'expired_idle'],
  [400, 'invalid_request', 'The authorization code expired at', 'code_expired'],
  [400, 'invalid_request', 'This message has already been processed.', 'code_replayed'],
  [400, 'access_denied', 'Rate limit exceeded: access_token not expired', 'too_early'],
  [401, 'access_denied', 'Rate limit exceeded: access_token not expired', 'too_early'],
  [429, 'access_denied', 'Rate limit exceeded', 'throttled'],
  [400, 'invalid_client', null, 'client_rejected'],
  [401, 'invalid_client', null, 'client_rejected'],
].map(([status, error, description, means]) => ({ status, error, ...(description ? { description } : {}), means }));
