/** The request for the next access token of a grant: by its refresh token, or by what it has instead of one. */
import type { TokenScheme } from '../../catalogue/provider.ts';
import type { RefreshToken } from '../../core/secret.ts';
import { credentialsRequest, refreshRequest, type TokenRequest } from '../../oauth/token-request.ts';
import { clientAssertion, signedJwt } from '../client-assertion.ts';
import type { KeeperParts } from '../parts.ts';
import type { Upstream } from '../upstream.ts';
import { credentialIn } from './credential.ts';

/** RFC 7523 section 2.1. */
const JWT_BEARER = 'urn:ietf:params:oauth:grant-type:jwt-bearer';

/** Throws `setting` where the app cannot authenticate in a way that the provider takes. */
export function nextRequest(parts: KeeperParts, upstream: Upstream, token: RefreshToken): TokenRequest {
  const { provider, scheme } = upstream;
  if (scheme === null) {
    return refreshRequest(provider, { ...upstream, clientAssertion: clientAssertion(parts, upstream) }, token);
  }
  const { scope, username = '', password = '' } = credentialIn(token);
  const parameters = {
    ...provider.credentials?.requests[scheme as TokenScheme]?.parameters,
    ...(scope.length > 0 ? { scope: scope.join(provider.scope.separator) } : {}),
  };
  if (scheme === 'jwt_bearer') return byAssertion(parts, upstream, token, parameters);
  const client = { ...upstream, clientAssertion: clientAssertion(parts, upstream) };
  const fields = scheme === 'password' ? { username, password } : {};
  return credentialsRequest(provider, client, { ...parameters, grant_type: scheme, ...fields });
}

/**
 * The app's key signs for the grant, not for the client: only an app that has a secret as well authenticates besides
 * (RFC 7523 section 3.1). The scope stands in the assertion too, where Google looks for it.
 */
function byAssertion(
  parts: KeeperParts,
  upstream: Upstream,
  token: RefreshToken,
  parameters: Readonly<Record<string, string>>,
): TokenRequest {
  const { provider, clientId, clientSecret, signingKey } = upstream;
  if (!signingKey) throw new Error('An app without a private key has a grant by JWT.');
  const { subject } = credentialIn(token);
  const { scope } = parameters;
  const audience = provider.credentials?.requests.jwt_bearer?.audience ?? provider.tokenEndpoint;
  const assertion = signedJwt(parts, signingKey, {
    iss: clientId,
    sub: subject ?? clientId,
    aud: audience,
    ...(scope === undefined ? {} : { scope }),
  });
  const client = clientSecret && { clientId, clientSecret };
  return credentialsRequest(provider, client, {
    ...parameters,
    grant_type: JWT_BEARER,
    assertion: assertion.reveal(),
  });
}
