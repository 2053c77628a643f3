/**
 * Grants without refresh tokens, as the rest of the keeper sees them: chains whose token never changes and never ends by
 * itself. So everything that holds for a chain holds for them too: one request at a time on all nodes, the same token
 * for everybody, back-off, states, history. What differs is the request, and that nothing it loses is ever missed.
 */
import type { HeaderScheme, ResolvedProvider, Scheme } from '../../catalogue/provider.ts';
import { EvergrantError } from '../../core/errors.ts';
import { type RotationPolicy, UNKNOWN_POLICY } from '../../core/rotation-policy.ts';
import type { Upstream } from '../upstream.ts';
import type { Credentials } from './credential.ts';

/** An upstream as one grant uses it. Nobody asks for the account: an app, or whose password it is, is known. */
export function inScheme(upstream: Upstream, scheme: Scheme | undefined): Upstream {
  if (scheme === undefined) return upstream;
  const { provider } = upstream;
  const policy = lastingPolicy(provider.policy);
  return { ...upstream, scheme, provider: { ...provider, policy, identity: null, refreshEndpoint: null } };
}

/** Of the provider's rules, only how long its access tokens live is about these grants. */
function lastingPolicy({ life }: RotationPolicy): RotationPolicy {
  return {
    ...UNKNOWN_POLICY,
    rotate: { ...UNKNOWN_POLICY.rotate, mode: 'never' },
    onReuse: { refresh: 'reject', access: 'keep' },
    life: { ...UNKNOWN_POLICY.life, accessTokenMs: life.accessTokenMs },
  };
}

/** Whether its credential goes to the API as it is; there is nothing to fetch then, and nothing that ends. */
export function isHeaderScheme(scheme: Scheme | null): scheme is HeaderScheme {
  return scheme === 'api_key' || scheme === 'basic';
}

/** Throws `invalid_request` where this provider or app cannot do it, or something is missing or too much. */
export function checkScheme(upstream: Upstream, scheme: Scheme, given: Credentials): void {
  const { provider } = upstream;
  if (!isDescribed(provider, scheme)) throw notDescribed(provider, scheme);
  if (scheme === 'client_credentials' && !upstream.clientSecret && !upstream.signingKey) throw noSecret(upstream);
  if (scheme === 'jwt_bearer' && !upstream.signingKey) throw noKey(upstream);
  const wanted = WANTED[scheme];
  const there = Object.entries(given).flatMap(([name, value]) => (value === undefined ? [] : [name]));
  const missing = wanted.needs.filter((name) => !there.includes(name));
  const stray = there.filter((name) => ![...wanted.needs, ...wanted.may].includes(name as keyof Credentials));
  if (missing.length > 0 || stray.length > 0) throw wrongCredentials(scheme, missing, stray);
}

interface Wanted {
  readonly needs: readonly (keyof Credentials)[];
  readonly may: readonly (keyof Credentials)[];
}

const WANTED: Readonly<Record<Scheme, Wanted>> = {
  client_credentials: { needs: [], may: [] },
  jwt_bearer: { needs: [], may: ['subject'] },
  password: { needs: ['username', 'password'], may: [] },
  api_key: { needs: ['apiKey'], may: [] },
  basic: { needs: ['username', 'password'], may: [] },
};

/** Two are standard at any token endpoint, and refused there by who does not have them. The others need to be said. */
function isDescribed({ credentials, tokenEndpoint }: ResolvedProvider, scheme: Scheme): boolean {
  if (isHeaderScheme(scheme)) return credentials?.headers[scheme] !== undefined;
  if (scheme === 'password' && !credentials?.requests.password) return false;
  return tokenEndpoint !== '';
}

function notDescribed({ id, name }: ResolvedProvider, scheme: Scheme): EvergrantError {
  return new EvergrantError('invalid_request', `scheme: nothing is known of ${scheme} at ${name}.`, {
    remedy: `Say how it is done in a provider file of your own: "credentials" in docs/schemes.md. See docs/providers/${id}.md`,
  });
}

function noSecret({ appName }: Upstream): EvergrantError {
  return new EvergrantError('invalid_request', `scheme: the app ${appName} has neither a secret nor a private key.`, {
    remedy: 'Give the app its client secret, or its private key.',
  });
}

function noKey({ appName }: Upstream): EvergrantError {
  return new EvergrantError('invalid_request', `scheme: the app ${appName} has no private key to sign with.`, {
    remedy: 'Add the app with its private key: evergrant apps add PROVIDER --private-key-file FILE',
  });
}

const NAMES: Readonly<Record<string, string>> = { apiKey: 'api_key' };

function wrongCredentials(scheme: Scheme, missing: readonly string[], stray: readonly string[]): EvergrantError {
  const named = (names: readonly string[]) => names.map((name) => NAMES[name] ?? name).join(', ');
  const problem = missing.length > 0 ? `${named(missing)} is missing` : `${named(stray)} is not part of it`;
  const needs = named(WANTED[scheme].needs) || 'nothing: the app proves itself';
  return new EvergrantError('invalid_request', `credentials: ${problem}.`, { remedy: `${scheme} needs ${needs}.` });
}
