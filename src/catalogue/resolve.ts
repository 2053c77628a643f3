/** A provider becomes concrete for one app: its variables filled in, and what it leaves to discovery added. */
import { EvergrantError } from '../core/errors.ts';
import { problemOfUrl } from './addresses.ts';
import type { ClientAuthentication, Provider, ProviderCredentials, ProviderVariable } from './provider.ts';
import { fill } from './templates.ts';

/** RFC 1123 section 2.1: letters, digits, hyphens inside, at most 63. */
const DNS_LABEL = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/i;

/** What discovery tells (RFC 8414), as far as it is used. */
export interface DiscoveredMetadata {
  readonly authorizationEndpoint: string | null;
  readonly tokenEndpoint: string | null;
  readonly revocationEndpoint: string | null;
  readonly deviceAuthorizationEndpoint: string | null;
  readonly userinfoEndpoint: string | null;
  readonly codeChallengeMethodsSupported: readonly string[];
  readonly tokenEndpointAuthMethodsSupported: readonly string[];
  readonly authorizationResponseIssParameterSupported: boolean;
}

/**
 * The provider for an app with these variables. Endpoints that only its issuer can tell stay null; then `withMetadata`
 * adds them. Throws `invalid_request` that names the variable and its possible values.
 */
export function resolve(provider: Provider, variables: Readonly<Record<string, string>>): Provider {
  const surplus = Object.keys(variables).find((name) => !Object.hasOwn(provider.variables, name));
  if (surplus !== undefined) throw unknownVariable(provider, surplus);
  const values = Object.fromEntries(
    Object.entries(provider.variables).map(([name, variable]) => [
      name,
      chosenValue(provider, name, variable, Object.hasOwn(variables, name) ? variables[name] : undefined),
    ]),
  );
  const filledAll = (parameters: Readonly<Record<string, string>>) =>
    Object.fromEntries(Object.entries(parameters).map(([name, value]) => [name, fill(value, values)]));
  const filled = <T extends string | null>(address: T) => (address === null ? address : fill(address, values));
  return {
    ...provider,
    issuer: filled(provider.issuer),
    authorizationEndpoint: filled(provider.authorizationEndpoint),
    tokenEndpoint: filled(provider.tokenEndpoint),
    refreshEndpoint: filled(provider.refreshEndpoint),
    revocationEndpoint: filled(provider.revocationEndpoint),
    deviceAuthorizationEndpoint: filled(provider.deviceAuthorizationEndpoint),
    apiBaseUrls: provider.apiBaseUrls.map((address) => fill(address, values)),
    authorizationParameters: filledAll(provider.authorizationParameters),
    tokenRequest: {
      ...provider.tokenRequest,
      parameters: filledAll(provider.tokenRequest.parameters),
      refreshParameters: filledAll(provider.tokenRequest.refreshParameters),
    },
    ...(provider.credentials ? { credentials: credentialsWith(provider.credentials, filledAll, filled) } : {}),
    identity: provider.identity && { ...provider.identity, endpoint: fill(provider.identity.endpoint, values) },
  };
}

function credentialsWith(
  { requests, headers }: ProviderCredentials,
  filledAll: (parameters: Readonly<Record<string, string>>) => Readonly<Record<string, string>>,
  filled: (text: string | null) => string | null,
): ProviderCredentials {
  const resolved = Object.entries(requests).map(([scheme, { parameters, audience }]) => [
    scheme,
    { parameters: filledAll(parameters), audience: filled(audience) },
  ]);
  return { requests: Object.fromEntries(resolved) as ProviderCredentials['requests'], headers };
}

function chosenValue(provider: Provider, name: string, variable: ProviderVariable, given: string | undefined): string {
  const value = given ?? variable.default;
  if (value === null) throw wrongVariable(provider, name, variable, 'is missing');
  if (variable.choices) {
    const chosen = Object.hasOwn(variable.choices, value) ? variable.choices[value] : undefined;
    if (chosen === undefined) throw wrongVariable(provider, name, variable, `cannot be ${JSON.stringify(value)}`);
    return chosen;
  }
  if (variable.isText && isText(value)) return value;
  const isRight = variable.isIssuer ? isIssuer(value, provider) : DNS_LABEL.test(value);
  if (!isRight) throw wrongVariable(provider, name, variable, `cannot be ${JSON.stringify(value)}`);
  return value;
}

/** Printable, and short enough for a parameter of a URL. */
function isText(value: string): boolean {
  return /^[\x20-\x7e]{1,500}$/.test(value);
}

/** RFC 8414 section 2: https, no query and no fragment. */
function isIssuer(value: string, provider: Provider): boolean {
  return !/[?#\s\\]/.test(value) && problemOfUrl(value, provider.reach) === null;
}

function wrongVariable(provider: Provider, name: string, variable: ProviderVariable, problem: string): EvergrantError {
  return new EvergrantError('invalid_request', `The variable "${name}" of ${provider.name} ${problem}.`, {
    remedy: `It must be ${possibleValues(variable)}.${ownFile(provider, variable)}`,
  });
}

function possibleValues(variable: ProviderVariable): string {
  if (variable.choices) return `one of: ${Object.keys(variable.choices).join(', ')}`;
  if (variable.isIssuer) return 'the whole https address of the issuer, without ? and #';
  if (variable.isText) return 'a text of at most 500 printable ASCII characters';
  return 'one label of a host name: letters, digits and hyphens';
}

/** What somebody needs whose issuer is a test server, or one inside the house without https. */
function ownFile(provider: Provider, variable: ProviderVariable): string {
  if (!variable.isIssuer || provider.reach === 'local') return '';
  return ' For http or this machine, put a provider file of your own into the folder of --providers.';
}

function unknownVariable(provider: Provider, name: string): EvergrantError {
  const known = Object.keys(provider.variables);
  return new EvergrantError('invalid_request', `${provider.name} has no variable "${name}".`, {
    remedy: known.length > 0 ? `It has: ${known.join(', ')}.` : 'Leave the variables out.',
  });
}

const USABLE_METHODS: readonly ClientAuthentication[] = [
  'client_secret_basic',
  'client_secret_post',
  'private_key_jwt',
  'none',
];

/**
 * The provider with what its discovery document adds; what its file says goes first. Throws `upstream_refused` where
 * the document names an address that this provider may not use.
 */
export function withMetadata(provider: Provider, metadata: DiscoveredMetadata): Provider {
  const checked = (address: string | null) => (address === null ? null : usable(provider, address));
  const { tokenEndpointAuthMethods, codeChallengeMethods } = provider;
  const offered = USABLE_METHODS.filter((method) => metadata.tokenEndpointAuthMethodsSupported.includes(method));
  return {
    ...provider,
    authorizationEndpoint: provider.authorizationEndpoint ?? checked(metadata.authorizationEndpoint),
    tokenEndpoint: provider.tokenEndpoint ?? checked(metadata.tokenEndpoint),
    revocationEndpoint: provider.revocationEndpoint ?? checked(metadata.revocationEndpoint),
    deviceAuthorizationEndpoint: provider.deviceAuthorizationEndpoint ?? checked(metadata.deviceAuthorizationEndpoint),
    tokenEndpointAuthMethods: tokenEndpointAuthMethods.length > 0 ? tokenEndpointAuthMethods : offered,
    codeChallengeMethods:
      codeChallengeMethods.length === 0 && metadata.codeChallengeMethodsSupported.includes('S256')
        ? ['S256']
        : codeChallengeMethods,
    authorizationResponseIss: provider.authorizationResponseIss || metadata.authorizationResponseIssParameterSupported,
    identity: provider.identity ?? identityAt(checked(metadata.userinfoEndpoint)),
  };
}

/** OpenID Connect Core 1.0 section 5.3: the userinfo endpoint names the account of an access token. */
function identityAt(userinfoEndpoint: string | null): Provider['identity'] {
  return userinfoEndpoint === null
    ? null
    : { endpoint: userinfoEndpoint, subject: '/sub', label: '/preferred_username' };
}

function usable(provider: Provider, address: string): string {
  const problem = problemOfUrl(address, provider.reach);
  if (problem === null) return address;
  throw new EvergrantError(
    'upstream_refused',
    `The discovery document of ${provider.issuer} names ${address}: ${problem}.`,
    {
      remedy: 'Ask whoever runs the issuer, or name the endpoints in a provider file of your own.',
    },
  );
}
