/**
 * Any provider, made from its provider file: the policy decides, the file's JSON Pointers give its answers their form,
 * and its table of errors the wording of its refusals; where the file is silent, RFC 6749 has it.
 */
import { parseProvider } from '../catalogue/parse.ts';
import type { Provider, TokenScheme } from '../catalogue/provider.ts';
import type { ProviderFile } from '../catalogue/schema.ts';
import type { Meaning } from '../core/diagnosis.ts';
import { toRfc3339 } from '../core/instant.ts';
import type { RotationPolicy } from '../core/rotation-policy.ts';
import type { Access, ApiRefusal, Form, OpenId, Paths, RefusalDetails, TokenRefusal, TokenTexts } from './form.ts';
import { claimsOf } from './id-tokens.ts';
import { beside, type Fields, setAt } from './pointers.ts';
import { type Document, movedFile, pathAndQuery } from './provider-file.ts';
import { COMMON, PLAIN, type Switches } from './switches.ts';
import { answer, bodyText, type Reply, type EmulatorRequest, json, pathOf, urlOf } from './wire.ts';

/** Throws `setting` where the file is wrong. `name` is how messages call it. */
export function genericForm(name: string, file: Document): Form {
  parseProvider(name, file, 'local');
  const document = concrete(file);
  const provider = parseProvider(name, document, 'local');
  const openId = openIdOf(provider);
  const paths = pathsOf(provider, openId);
  const { tokenResponse } = provider;
  return {
    id: provider.id,
    name: provider.name,
    paths,
    switches: switchesOf(provider),
    clientIdParameter: provider.clientIdParameter ?? 'client_id',
    settable: [...COMMON, 'absoluteMs', 'leewayMs', 'tokensPerUserAndApp', 'rotation'],
    bodies: provider.tokenRequest.format === 'json' ? ['json', 'form'] : ['form'],
    responseTypes: ['code'],
    hasPublicClients: provider.tokenEndpointAuthMethods.includes('none'),
    directGrants: directGrantsOf(provider),
    openId,
    scope: { separator: provider.scope.separator, byDefault: provider.scope.default },
    revocationKills: killsOf(document),
    revocationNeedsClient: true,
    accessEndsWithConsent: false,
    policy: (switches) => policyOf(provider.policy, switches),
    givesRefreshToken: ({ scope }) => givesRefreshToken(provider, scope),
    // A token that never changes is named once (RFC 6749 section 6 leaves it open).
    namesRefreshToken: (isNew) => isNew || provider.policy.rotate.mode !== 'never',
    realm: () => '',
    codeText: (chance) => chance.text('code', 43),
    refreshTokenText: (chance) => `rt.${chance.text('refresh token', 64)}`,
    accessTokenText: (chance) => `at.${chance.text('access token', 64)}`,
    looksLikeRefreshToken: (text) => /^[\x21-\x7e]+$/.test(text),
    tokenAnswer: (texts) => tokenAnswer(provider, texts),
    members: {
      refreshToken: tokenResponse.refreshToken,
      expiresIn: tokenResponse.expiresIn,
      tokenType: beside(tokenResponse.accessToken, 'token_type'),
    },
    refusal: (reason, details) => refusal(provider, reason, details),
    apiRefusal,
    api: (request, access) => api(provider, request, access),
    providerFile: (baseUrl, policy) =>
      movedFile(document, baseUrl, {
        id: provider.id,
        paths,
        policy,
        issuerPath: openId?.hasDiscovery ? openId.issuerPath : null,
      }),
  };
}

/** For no app in particular: each variable has its default, its first choice, or some name. */
function concrete(file: Document): Document {
  const variables = Object.entries((file.variables ?? {}) as NonNullable<ProviderFile['variables']>);
  const values = variables.map(([name, { choices, default: preset, is_issuer }]) => {
    const chosen = choices ? (choices[preset ?? ''] ?? Object.values(choices)[0]) : preset;
    return [name, chosen ?? (is_issuer ? 'https://issuer.example' : 'emulated')] as const;
  });
  const filled = values.reduce((text, [name, value]) => text.replaceAll(`{${name}}`, value), JSON.stringify(file));
  return { ...(JSON.parse(filled) as Document), variables: {} };
}

function directGrantsOf({ credentials, grantTypes }: Provider): readonly TokenScheme[] {
  const described = Object.keys(credentials?.requests ?? {}) as TokenScheme[];
  return grantTypes?.includes('client_credentials') ? [...described, 'client_credentials'] : described;
}

/** Where there is no exchange, there is nothing to exchange. */
function givesRefreshToken({ scope: { forRefreshToken, separator }, ...provider }: Provider, scope: readonly string[]) {
  if (!hasExchange(provider)) return false;
  return forRefreshToken === null || forRefreshToken.split(separator).every((one) => scope.includes(one));
}

const hasExchange = ({ grantTypes }: Pick<Provider, 'grantTypes'>) =>
  grantTypes === undefined || grantTypes.includes('refresh_token');

function killsOf(document: Document): Form['revocationKills'] {
  const { kills } = (document.revocation ?? {}) as { readonly kills?: Form['revocationKills'] | null };
  return kills ?? 'family';
}

/** id_tokens where the scope knows of OpenID, discovery where there is an issuer. */
function openIdOf({ issuer, scope, authorizationResponseIss }: Provider): OpenId | null {
  if (issuer === null && !scope.default.includes('openid')) return null;
  const path = issuer === null ? '' : issuer.replace(/^https?:\/\/[^/]*/, '');
  return { issuerPath: path, hasDiscovery: issuer !== null, hasResponseIss: authorizationResponseIss };
}

function pathsOf(provider: Provider, openId: OpenId | null): Paths {
  const path = (address: string | null, other: string | null) =>
    address === null ? other : pathAndQuery(address).replace(/\?.*$/, '');
  const authorize = path(provider.authorizationEndpoint, '/authorize');
  const identity = provider.identity && path(provider.identity.endpoint, null);
  const bases = provider.apiBaseUrls.map((address) => pathAndQuery(address));
  const hasDiscovery = openId?.hasDiscovery ?? false;
  return {
    // Under `/` everything else would lie.
    authorize: authorize === null || authorize === '/' ? '/authorize' : authorize,
    token: path(provider.tokenEndpoint, '/token') ?? '/token',
    refresh: path(provider.refreshEndpoint, null),
    api: [...new Set([...(identity === null ? [] : [identity]), ...bases, ...(bases.length > 0 ? [] : ['/api'])])],
    userinfo: openId && (provider.identity?.subject === '/sub' ? identity : '/userinfo'),
    revoke: path(provider.revocationEndpoint, hasDiscovery ? '/revoke' : null),
    device: path(provider.deviceAuthorizationEndpoint, null),
  };
}

function switchesOf(provider: Provider): Switches {
  const { rotate, overlap, life, caps, pacing } = provider.policy;
  // Without exchanges an access token is for good, where nothing else is said.
  const accessTokenMs = hasExchange(provider) ? PLAIN.accessTokenMs : Number.POSITIVE_INFINITY;
  return {
    ...PLAIN,
    rotation: rotate.mode !== 'never',
    leewayMs: overlap.windowMs,
    idleMs: life.idleMs,
    absoluteMs: life.absoluteMs,
    accessTokenMs: life.accessTokenMs ?? accessTokenMs,
    codeMs: life.codeMs ?? PLAIN.codeMs,
    spacingMs: pacing.minSpacingMs,
    tokenCallsPerDay: pacing.perDay,
    tokensPerUserAndApp: caps.tokensPerUserClient,
  };
}

/** The policy of the file with what was switched since. */
export function policyOf(policy: RotationPolicy, switches: Switches): RotationPolicy {
  const { rotate, overlap, life, caps } = policy;
  const mode = rotate.mode === 'never' ? 'always' : rotate.mode;
  return {
    ...policy,
    rotate: { ...rotate, mode: switches.rotation ? mode : 'never' },
    overlap: {
      ...overlap,
      windowMs: switches.rotation ? switches.leewayMs : 0,
      successorUnused: switches.rotation && overlap.successorUnused,
    },
    life: {
      ...life,
      idleMs: switches.idleMs,
      absoluteMs: switches.absoluteMs,
      accessTokenMs: switches.accessTokenMs,
      codeMs: switches.codeMs,
    },
    caps: { ...caps, tokensPerUserClient: switches.tokensPerUserAndApp },
    pacing: { minSpacingMs: switches.spacingExempt ? 0 : switches.spacingMs, perDay: switches.tokenCallsPerDay },
  };
}

function tokenAnswer({ tokenResponse: at, scope: { separator } }: Provider, texts: TokenTexts): Reply {
  const body: Fields = {};
  setAt(body, at.accessToken, texts.accessToken);
  setAt(body, beside(at.accessToken, 'token_type'), 'Bearer');
  const isEnding = Number.isFinite(texts.expiresInSeconds);
  if (isEnding && at.expiresAt) setAt(body, at.expiresAt, toRfc3339(texts.expiresAt));
  else if (isEnding) setAt(body, at.expiresIn, texts.expiresInSeconds);
  if (texts.refreshToken !== null) setAt(body, at.refreshToken, texts.refreshToken);
  if (texts.idToken !== null) setAt(body, beside(at.accessToken, 'id_token'), texts.idToken);
  if (texts.scope.length > 0) setAt(body, at.scope, texts.scope.join(separator));
  return json(200, body);
}

/** What each reason may be called in a table of errors, the best name first. */
const MEANINGS: Readonly<Partial<Record<TokenRefusal, readonly Meaning[]>>> = {
  unknown: ['invalid_chain', 'invalid_grant'],
  revoked: ['revoked', 'invalid_grant'],
  evicted: ['evicted_by_cap', 'invalid_grant'],
  superseded: ['superseded', 'invalid_grant'],
  'expired-in-use': ['superseded', 'invalid_grant'],
  displaced: ['superseded', 'invalid_grant'],
  'expired-idle': ['expired_idle', 'invalid_grant'],
  'expired-absolute': ['expired_absolute', 'invalid_grant'],
  'consent-ended': ['consent_ended', 'invalid_grant'],
  'token-of-another-client': ['invalid_grant'],
  'too-early': ['too_early', 'throttled'],
  quota: ['throttled'],
  'code-replayed': ['code_replayed'],
  'code-expired': ['code_expired'],
  'client-unknown': ['client_rejected'],
  'client-secret-wrong': ['client_rejected'],
};

/** RFC 6749 section 5.2, and 429 for what it does not know. */
function usual(reason: TokenRefusal): { status: number; error: string } {
  switch (reason) {
    case 'malformed':
      return { status: 400, error: 'invalid_request' };
    case 'unsupported-grant-type':
      return { status: 400, error: 'unsupported_grant_type' };
    case 'scope-too-wide':
      return { status: 400, error: 'invalid_scope' };
    case 'client-unknown':
    case 'client-secret-wrong':
      return { status: 401, error: 'invalid_client' };
    case 'too-early':
    case 'quota':
    case 'too-many-errors':
      return { status: 429, error: 'slow_down' };
    default:
      return { status: 400, error: 'invalid_grant' };
  }
}

function refusal(provider: Provider, reason: TokenRefusal, { basic }: RefusalDetails): Reply {
  const named = (MEANINGS[reason] ?? []).map((meaning) => provider.errors.find((one) => one.means === meaning));
  const known = named.find((one) => one !== undefined);
  const { status, error } = usual(reason);
  const body: Fields = {};
  const isWithoutCode = known?.error === null && known.body !== undefined;
  if (!isWithoutCode) setAt(body, provider.tokenResponse.error, known?.error ?? error);
  for (const [pointer, value] of Object.entries(known?.body ?? {})) setAt(body, pointer, value);
  if (known?.description) setAt(body, provider.tokenResponse.errorDescription, known.description);
  const isClient = reason === 'client-unknown' || reason === 'client-secret-wrong';
  return json(known?.status ?? status, body, isClient && basic ? { 'www-authenticate': 'Basic' } : {});
}

/** RFC 6750 section 3. */
export function apiRefusal(reason: ApiRefusal): Reply {
  if (reason === 'missing') return answer(401, { 'www-authenticate': 'Bearer' });
  const said = reason === 'expired' ? 'The access token expired' : 'The access token is not valid';
  const header = `Bearer error="invalid_token", error_description="${said}"`;
  return json(401, { error: 'invalid_token', error_description: said }, { 'www-authenticate': header });
}

/** Who am I, by the pointers of the file; everything else says what it was asked. */
function api({ identity }: Provider, request: EmulatorRequest, { user, scope, client }: Access): Reply {
  const path = pathOf(request);
  if (identity && path === pathAndQuery(identity.endpoint).replace(/\?.*$/, '')) {
    const body: Fields = identity.subject === '/sub' ? claimsOf(user) : {};
    setAt(body, identity.subject, user.id);
    if (identity.label !== null) setAt(body, identity.label, labelOf(identity.label, user));
    return json(200, body);
  }
  const asked = { method: request.method, path, query: urlOf(request).search, body: bodyText(request) };
  return json(200, { user: user.username, client, scope, ...asked });
}

function labelOf(pointer: string, user: Access['user']): unknown {
  const claims = claimsOf(user);
  return claims[pointer.slice(pointer.lastIndexOf('/') + 1)] ?? user.username;
}
