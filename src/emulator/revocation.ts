/** Token revocation (RFC 7009), and what a server says of itself (OpenID Connect Discovery 1.0, RFC 8414). */
import { ASSERTION_ALGORITHMS } from './client-assertion.ts';
import { authenticate } from './client-authentication.ts';
import { type Context, tell } from './context.ts';
import type { Form } from './form.ts';
import { isRefreshToken, type TokenId } from './register.ts';
import { DEVICE_GRANT, readTokenRequest } from './token-request.ts';
import { answer, type Reply, type EmulatorRequest, json, originOf } from './wire.ts';

/** What is not known is answered as if it had been: RFC 7009 section 2.2. */
export function revocationEndpoint(context: Context, request: EmulatorRequest): Reply {
  if (request.method !== 'POST') return answer(405, { allow: 'POST' });
  const { upstream } = context;
  const { form, switches } = upstream;
  const parsed = readTokenRequest(upstream, request, form.realm(request.headers.host ?? '', switches));
  const token = parsed?.fields.get('token');
  const who = parsed && authenticate(context, parsed);
  const isOpen = !form.revocationNeedsClient && parsed?.clientId === null;
  const details = { now: context.now(), endedAt: null, basic: parsed?.basic ?? false };
  if (!parsed || token === undefined) return form.refusal('malformed', details, switches);
  if (!isOpen && !who?.app) return form.refusal('client-secret-wrong', details, switches);
  const presented = upstream.presented(token);
  const owner = typeof presented === 'number' ? upstream.ownerOf(presented) : null;
  if (typeof presented === 'number' && owner && (isOpen || owner.client === who?.app?.clientId))
    end(context, presented);
  return answer(200, { 'content-length': '0' });
}

function end(context: Context, token: TokenId): void {
  const { upstream } = context;
  const now = context.now();
  const family = upstream.familyOf(token);
  if (!family) return;
  tell(context, { at: now, client: family.client, user: family.user, what: 'revoked' });
  if (!isRefreshToken(token)) {
    upstream.endAccess(token, now);
    return;
  }
  const { revocationKills } = upstream.form;
  if (revocationKills === 'token') upstream.evict(token, now);
  else if (revocationKills === 'family') upstream.end(family, 'revoked', now);
  else upstream.revoke(family, 'revoked', now);
}

export const KEYS_PATH = '/.well-known/jwks.json';

/** The document of RFC 8414; null on paths where there is none. */
export function metadata(form: Form, request: EmulatorRequest, path: string): Reply | null {
  const { openId, paths } = form;
  if (!openId?.hasDiscovery) return null;
  const issuerPath = openId.issuerPath.replace(/\/$/, '');
  const places = [
    `${issuerPath}/.well-known/openid-configuration`,
    `/.well-known/oauth-authorization-server${issuerPath}`,
    `/.well-known/openid-configuration${issuerPath}`,
  ];
  if (!places.includes(path)) return null;
  const at = (place: string | null) => (place === null ? {} : `${originOf(request)}${place}`);
  return json(200, {
    issuer: at(openId.issuerPath),
    authorization_endpoint: at(paths.authorize),
    token_endpoint: at(paths.token),
    ...(paths.userinfo === null ? {} : { userinfo_endpoint: at(paths.userinfo) }),
    ...(paths.revoke === null ? {} : { revocation_endpoint: at(paths.revoke) }),
    ...(paths.device === null ? {} : { device_authorization_endpoint: at(paths.device) }),
    jwks_uri: at(KEYS_PATH),
    response_types_supported: form.responseTypes,
    grant_types_supported: ['authorization_code', 'refresh_token', ...(paths.device === null ? [] : [DEVICE_GRANT])],
    subject_types_supported: ['public'],
    id_token_signing_alg_values_supported: ['RS256'],
    token_endpoint_auth_methods_supported: [
      'client_secret_basic',
      'client_secret_post',
      'private_key_jwt',
      ...(form.hasPublicClients ? ['none'] : []),
    ],
    token_endpoint_auth_signing_alg_values_supported: ASSERTION_ALGORITHMS,
    code_challenge_methods_supported: ['S256'],
    scopes_supported: ['openid', 'profile', 'email', 'offline_access'],
    claims_supported: ['sub', 'name', 'preferred_username', 'email', 'email_verified'],
    authorization_response_iss_parameter_supported: openId.hasResponseIss,
  });
}
