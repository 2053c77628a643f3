/** Introspection (RFC 7662) and revocation (RFC 7009), for the client whose tokens they are. */
import { timingSafeEqual } from 'node:crypto';
import { EvergrantError } from '../core/errors.ts';
import type { GrantId } from '../core/id.ts';
import type { LiveAccessToken } from '../keeper/keeper.ts';
import type { Client } from './client.ts';
import type { ClientToken, ClientTokens, Found } from './client-tokens.ts';
import { digestOf } from './clients.ts';
import type { IssuerParts } from './parts.ts';
import { isStillAllowed } from './rights.ts';
import { policyOf } from './rotation.ts';
import { scopeOf } from './token-answer.ts';
import { grantOf, resourceOf } from './which-grant.ts';

export type Introspection = Readonly<Record<string, string | number | boolean | { readonly jkt: string }>>;

/** Whatever is not alive, or somebody else's, is just that. */
const INACTIVE: Introspection = { active: false };

export async function introspect(
  parts: IssuerParts,
  tokens: ClientTokens,
  client: Client,
  token: string,
): Promise<Introspection> {
  const found = await tokens.find(token);
  if (found)
    return isAlive(tokens, client, found)
      ? ofRefreshToken(parts, client, found, tokens.keyOf(found, client.rotation))
      : INACTIVE;
  const allowed = (await tokens.list(client.id)).filter((one) => !one.family.revoked).map((one) => one.grant);
  return (await ofAccessToken(parts, client, [...new Set([...client.grants, ...allowed])], token)) ?? INACTIVE;
}

/**
 * Ends a refresh token of this client with all that came of it. A token of nobody is answered alike. An access token is
 * the provider's, and others share it: that is never revoked there.
 */
export async function revokeToken(tokens: ClientTokens, client: Client, token: string): Promise<void> {
  const found = await tokens.find(token);
  if (found?.held.token.client !== client.id) return;
  await tokens.end(found.held.token.id, 'revoked', { tokenCounter: found.counter });
}

function isAlive(tokens: ClientTokens, client: Client, found: Found): boolean {
  const { token } = found.held;
  if (token.client !== client.id || !isStillAllowed(client, token)) return false;
  return tokens.judge(found, client.rotation, false).outcome === 'accepted';
}

async function ofRefreshToken(
  parts: IssuerParts,
  client: Client,
  found: Found,
  jkt: string | null,
): Promise<Introspection> {
  const { family, grant: id } = found.held.token;
  const grant = await grantOf(parts, id);
  const row = family.tokens.find((one) => one.id === String(found.counter));
  if (!grant || !row) return INACTIVE;
  return {
    active: true,
    client_id: client.id,
    token_type: 'refresh_token',
    scope: (grant.scope.granted ?? grant.scope.requested).join(' '),
    iat: seconds(row.issuedAt),
    exp: seconds(endOf(found.held.token, client)),
    sub: grant.account?.subject ?? grant.id,
    aud: resourceOf(parts, grant.alias),
    iss: parts.publicUrl,
    // RFC 9449 section 6.2.
    ...(jkt === null ? {} : { cnf: { jkt } }),
  };
}

/** When it ends if it is not used any more. */
export function endOf({ family }: ClientToken, { rotation }: Client): number {
  const { life } = policyOf(rotation, family.consentEndsAt !== null);
  const newest = family.tokens.at(-1);
  const idle = (newest?.lastUsedAt ?? newest?.issuedAt ?? family.startedAt) + life.idleMs;
  return Math.min(idle, family.startedAt + life.absoluteMs, family.consentEndsAt ?? Number.POSITIVE_INFINITY);
}

/** Of the grants whose access token is not in memory, so many are looked at; with more of them a client uses them all. */
const MOST_LOOKED_AT = 200;

async function ofAccessToken(
  parts: IssuerParts,
  client: Client,
  grants: readonly GrantId[],
  token: string,
): Promise<Introspection | null> {
  const { tokens } = parts.keeper;
  const digest = Buffer.from(digestOf(token));
  const isIt = (live: LiveAccessToken | null) =>
    live !== null && timingSafeEqual(Buffer.from(digestOf(live.accessToken.reveal())), digest);
  const notThere: GrantId[] = [];
  for (const grant of grants) {
    const live = tokens.peek(grant, 0);
    if (live === null) notThere.push(grant);
    else if (isIt(live)) return shownAccessToken(parts, client, grant, live);
  }
  // After a restart, and on a node that nobody asked for that grant yet.
  for (const grant of notThere.slice(0, MOST_LOOKED_AT)) {
    const live = await tokens.look(grant).catch(nothingThere);
    if (live !== null && isIt(live)) return shownAccessToken(parts, client, grant, live);
  }
  return null;
}

function nothingThere(cause: unknown): null {
  if (cause instanceof EvergrantError && cause.code === 'not_found') return null;
  throw cause;
}

async function shownAccessToken(
  parts: IssuerParts,
  client: Client,
  id: GrantId,
  live: LiveAccessToken,
): Promise<Introspection | null> {
  const grant = await grantOf(parts, id);
  return (
    grant && {
      active: true,
      client_id: client.id,
      token_type: 'Bearer',
      scope: scopeOf(live, grant),
      ...(Number.isFinite(live.expiresAt) ? { exp: seconds(live.expiresAt) } : {}),
      sub: grant.account?.subject ?? grant.id,
      aud: resourceOf(parts, grant.alias),
      iss: parts.publicUrl,
    }
  );
}

function seconds(at: number): number {
  return Math.floor(at / 1000);
}
