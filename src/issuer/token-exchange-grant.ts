/**
 * Token exchange (RFC 8693): an access token for the client's own refresh token, which is not spent by it, or for a JWT
 * of an issuer that the client's operator trusts. Such a JWT names an owner, and gives the token of that owner's grant:
 * so an agent or a service gets its user's token, and nobody else's.
 */
import type { Grant } from '../keeper/keeper.ts';
import type { Parameters } from '../oauth/form.ts';
import { invalidRequest, OAuthError } from '../oauth/oauth-error.ts';
import type { Client } from './client.ts';
import type { ClientTokens } from './client-tokens.ts';
import type { DpopProof } from './dpop.ts';
import type { ClientEvents } from './events.ts';
import type { JsonWebTokens } from './json-web-tokens.ts';
import type { IssuerParts } from './parts.ts';
import type { RefreshGrant } from './refresh-grant.ts';
import { rightsOf, rightsTo } from './rights.ts';
import { liveToken, scopeOf, type TokenAnswer } from './token-answer.ts';
import { assertNamed, assertScope, grantMeant } from './which-grant.ts';

const TYPE = 'urn:ietf:params:oauth:token-type:';
const ACCESS_TOKEN = `${TYPE}access_token` as const;
const JWT_TYPES = [`${TYPE}jwt`, `${TYPE}id_token`, ACCESS_TOKEN];
const MOST_GRANTS_OF_AN_OWNER = 200;

export type TokenExchangeGrant = (
  client: Client,
  parameters: Parameters,
  proof: DpopProof | null,
) => Promise<TokenAnswer>;

export function tokenExchangeGrant(
  parts: IssuerParts,
  tokens: ClientTokens,
  refresh: RefreshGrant,
  webTokens: JsonWebTokens,
  events: ClientEvents,
): TokenExchangeGrant {
  /** The client's own grants of this owner, and those of the apps that it may connect through. */
  async function grantsOf(client: Client, owner: string): Promise<readonly Grant[]> {
    const page = await parts.keeper.grants.list({ owner, limit: MOST_GRANTS_OF_AN_OWNER, after: null });
    const rights = rightsOf(tokens, client);
    const isHis = await Promise.all(
      page.items.map(async ({ id, app }) => client.apps.includes(app) || (await rights.mayUse(id)).isAllowed),
    );
    return page.items.filter((_, i) => isHis[i]);
  }

  async function ofOwner(client: Client, token: string, parameters: Parameters): Promise<Grant> {
    const owner = await webTokens.ownerIn(token, client);
    const grants = owner === null ? [] : await grantsOf(client, owner);
    if (grants.length === 0) {
      events.note(client.id, {
        type: 'refresh_token_refused',
        reason: owner === null ? 'wrong JWT' : 'owner has no grant',
      });
      throw new OAuthError('invalid_grant');
    }
    return grantMeant(parts, rightsTo(grants.map(({ id }) => id)), parameters);
  }

  async function ofSubject(client: Client, parameters: Parameters, proof: DpopProof | null): Promise<Grant> {
    const token = parameters.get('subject_token');
    const type = parameters.get('subject_token_type');
    if (token === undefined || type === undefined) throw invalidRequest('subject_token or its type is missing.');
    if (JWT_TYPES.includes(type)) return ofOwner(client, token, parameters);
    if (type !== `${TYPE}refresh_token`) throw invalidRequest('subject_token_type is not one that is taken here.');
    const { found, grant } = await refresh.accept(client, token, proof);
    // One that rotates with each use is noticed when it was stolen; here it would be used without that. A key does as well.
    if (client.type === 'public' && tokens.keyOf(found, client.rotation) === null)
      throw new OAuthError('unauthorized_client');
    assertNamed(parts, grant, parameters);
    if (client.rotation.mode === 'durable') await tokens.present(found, client.rotation);
    return grant;
  }

  return async (client, parameters, proof) => {
    const wanted = parameters.get('requested_token_type');
    if (wanted !== undefined && wanted !== ACCESS_TOKEN) throw invalidRequest('Only access tokens are given.');
    if (parameters.has('actor_token')) throw invalidRequest('actor_token is not taken.');
    const grant = await ofSubject(client, parameters, proof);
    assertScope(grant, parameters);
    const live = await liveToken(parts, grant);
    return { live, scope: scopeOf(live, grant), refreshToken: null, issuedTokenType: ACCESS_TOKEN };
  };
}
