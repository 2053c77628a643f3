/** What this authorization server offers (RFC 8414), for clients that ask. */
import { AUTH_METHODS } from './client.ts';
import { ALGORITHMS } from './json-web-tokens.ts';
import { GRANT_TYPES } from './token-endpoint.ts';

export function metadata(publicUrl: string): Readonly<Record<string, unknown>> {
  const endpoint = (name: string) => `${publicUrl}/oauth/${name}`;
  return {
    issuer: publicUrl,
    authorization_endpoint: endpoint('authorize'),
    token_endpoint: endpoint('token'),
    revocation_endpoint: endpoint('revoke'),
    introspection_endpoint: endpoint('introspect'),
    pushed_authorization_request_endpoint: endpoint('par'),
    device_authorization_endpoint: endpoint('device_authorization'),
    response_types_supported: ['code'],
    response_modes_supported: ['query'],
    grant_types_supported: GRANT_TYPES,
    code_challenge_methods_supported: ['S256'],
    authorization_response_iss_parameter_supported: true,
    dpop_signing_alg_values_supported: ALGORITHMS,
    token_endpoint_auth_methods_supported: AUTH_METHODS,
    token_endpoint_auth_signing_alg_values_supported: ALGORITHMS,
    revocation_endpoint_auth_methods_supported: AUTH_METHODS,
    revocation_endpoint_auth_signing_alg_values_supported: ALGORITHMS,
    introspection_endpoint_auth_methods_supported: AUTH_METHODS.filter((method) => method !== 'none'),
    introspection_endpoint_auth_signing_alg_values_supported: ALGORITHMS,
  };
}
