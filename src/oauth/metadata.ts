/**
 * Discovery: what an issuer says of itself (RFC 8414, OpenID Connect Discovery 1.0). Every answer must name exactly the
 * issuer that was asked for, or one server could pass for another (RFC 8414 section 3.3).
 */
import { EvergrantError } from '../core/errors.ts';
import { parseObject, textOf } from './json.ts';

export interface Metadata {
  readonly issuer: string;
  readonly authorizationEndpoint: string | null;
  readonly tokenEndpoint: string | null;
  readonly revocationEndpoint: string | null;
  readonly deviceAuthorizationEndpoint: string | null;
  /** RFC 7591. */
  readonly registrationEndpoint?: string | null;
  readonly userinfoEndpoint: string | null;
  readonly codeChallengeMethodsSupported: readonly string[];
  readonly tokenEndpointAuthMethodsSupported: readonly string[];
  readonly scopesSupported: readonly string[];
  /** RFC 9207. */
  readonly authorizationResponseIssParameterSupported: boolean;
}

/**
 * Where the document of an issuer may lie, to be tried in this order: OpenID's place, then those of RFC 8414 section 3,
 * which puts the well-known part before the issuer's path.
 */
export function metadataUrls(issuer: string): readonly string[] {
  const { origin, pathname } = new URL(issuer);
  const path = pathname.replace(/\/$/, '');
  const urls = [
    `${origin}${path}/.well-known/openid-configuration`,
    `${origin}/.well-known/oauth-authorization-server${path}`,
    `${origin}/.well-known/openid-configuration${path}`,
  ];
  return [...new Set(urls)];
}

/** Reads the document. Throws `upstream_refused` where it is no JSON object or names another issuer. */
export function readMetadata(body: Uint8Array, issuer: string): Metadata {
  const document = parseObject(new TextDecoder().decode(body));
  if (!document) throw notMetadata(issuer, 'it is not a JSON object');
  if (document.issuer !== issuer) throw notMetadata(issuer, `it names ${JSON.stringify(document.issuer)} instead`);
  return {
    issuer,
    authorizationEndpoint: textOf(document.authorization_endpoint),
    tokenEndpoint: textOf(document.token_endpoint),
    revocationEndpoint: textOf(document.revocation_endpoint),
    deviceAuthorizationEndpoint: textOf(document.device_authorization_endpoint),
    registrationEndpoint: textOf(document.registration_endpoint),
    userinfoEndpoint: textOf(document.userinfo_endpoint),
    codeChallengeMethodsSupported: textsOf(document.code_challenge_methods_supported),
    tokenEndpointAuthMethodsSupported: textsOf(document.token_endpoint_auth_methods_supported),
    scopesSupported: textsOf(document.scopes_supported),
    authorizationResponseIssParameterSupported: document.authorization_response_iss_parameter_supported === true,
  };
}

function notMetadata(issuer: string, reason: string): EvergrantError {
  return new EvergrantError('upstream_refused', `The discovery document of ${issuer} cannot be used: ${reason}.`, {
    remedy: 'Give the issuer exactly as its own discovery document spells it, a slash at the end included.',
  });
}

function textsOf(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.filter((one) => typeof one === 'string') : [];
}
