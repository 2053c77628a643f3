/**
 * Which grant a request is about, and whether its scope is one that the grant has. A client bound to one grant need not
 * say; otherwise `resource`, `audience` or a scope names the alias, so that tools with standard fields alone can.
 */
import { EvergrantError } from '../core/errors.ts';
import { ALIAS } from '../core/id.ts';
import type { Grant } from '../keeper/keeper.ts';
import type { Parameters } from '../oauth/form.ts';
import { invalidRequest, OAuthError } from '../oauth/oauth-error.ts';
import type { IssuerParts } from './parts.ts';
import type { Rights } from './rights.ts';

const MOST_SCOPES = 100;
/** Characters of all of them; the provider gets them in an address. */
const LONGEST_SCOPE = 4_096;
/** What is given here in any case: lasting access is what this server is for. */
const IMPLIED = ['offline_access'];

/** The address of a grant as a protected resource (RFC 8707). */
export function resourceOf({ publicUrl }: IssuerParts, alias: string): string {
  return `${publicUrl}/proxy/${alias}`;
}

/** The grant that is meant among those that the client may use. */
export async function grantMeant(parts: IssuerParts, rights: Rights, parameters: Parameters): Promise<Grant> {
  const named = namedGrant(parts, parameters);
  if (named !== null) {
    const grant = await grantOf(parts, named);
    if (grant && (await rights.mayUse(grant.id)).isAllowed) return grant;
    // Not there and not yours are the same.
    throw invalidTarget('The client may not use a grant of that name.');
  }
  const only = await rights.only();
  const grant = only === null ? null : await grantOf(parts, only);
  if (grant) return grant;
  for (const scope of scopesIn(parameters) ?? []) {
    const one = ALIAS.test(scope) ? await grantOf(parts, scope) : null;
    if (one && (await rights.mayUse(one.id)).isAllowed) return one;
  }
  throw invalidTarget('Say which grant is meant: its alias as resource, audience or scope.');
}

/** That what a request names beside a refresh token is the token's own grant. */
export function assertNamed(parts: IssuerParts, grant: Grant, parameters: Parameters): void {
  const named = namedGrant(parts, parameters);
  if (named !== null && named !== grant.alias && named !== grant.id) throw invalidTarget('That is another grant.');
}

/** The alias or id in `resource` or `audience`; null where there is neither. */
export function namedGrant(parts: IssuerParts, parameters: Parameters): string | null {
  const names = ['resource', 'audience'].flatMap((name) => parameters.get(name) ?? []);
  // RFC 8707 section 2.
  if (names.some((name) => name.includes('#'))) throw invalidTarget('A resource has no fragment.');
  const [first, second] = names.map((name) => aliasIn(parts, name));
  if (first !== undefined && second !== undefined && first !== second) {
    throw invalidTarget('resource and audience name different grants.');
  }
  return first ?? null;
}

function aliasIn({ publicUrl }: IssuerParts, name: string): string {
  const base = `${publicUrl}/proxy/`;
  return name.startsWith(base) ? (name.slice(base.length).split(/[/?#]/)[0] ?? '') : name;
}

export async function grantOf({ keeper }: IssuerParts, name: string): Promise<Grant | null> {
  try {
    return await keeper.grants.get(name);
  } catch (cause) {
    if (cause instanceof EvergrantError && cause.code === 'not_found') return null;
    throw cause;
  }
}

/** The scopes that are asked for, apart from what only names the grant; null where none are. */
export function scopesAsked(grant: Grant, parameters: Parameters): readonly string[] | null {
  const scopes = scopesIn(parameters)?.filter((scope) => ![grant.alias, grant.id, ...IMPLIED].includes(scope));
  return scopes === undefined || scopes.length === 0 ? null : scopes;
}

/** A scope that the provider did not give is refused; the token that is given may allow more than was asked for. */
export function assertScope(grant: Grant, parameters: Parameters): void {
  const asked = scopesAsked(grant, parameters);
  const granted = grant.scope.granted ?? grant.scope.requested;
  if (asked && !asked.every((scope) => granted.includes(scope))) {
    throw new OAuthError('invalid_scope', { description: 'The grant does not have that scope.' });
  }
}

export function scopesIn(parameters: Parameters): readonly string[] | undefined {
  const text = parameters.get('scope');
  if (text !== undefined && text.length > LONGEST_SCOPE) throw invalidRequest('scope is too long.');
  const scopes = text?.split(' ').filter(Boolean);
  if (scopes && scopes.length > MOST_SCOPES) throw invalidRequest('There are too many scopes.');
  return scopes;
}

function invalidTarget(description: string): OAuthError {
  return new OAuthError('invalid_target', { description });
}
