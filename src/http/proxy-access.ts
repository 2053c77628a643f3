/**
 * Who may use the proxy for a grant: an API key with the scope `proxy`, a client of the grant by token or by Basic
 * credentials, or whoever holds the grant's living access token already, as plain OAuth clients do. Never a cookie, and
 * never a page of another site: browsers repeat Basic credentials by themselves.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { type Caller, may } from '../access/api-keys.ts';
import { EvergrantError } from '../core/errors.ts';
import type { GrantId } from '../core/id.ts';
import type { GrantApi } from '../keeper/keeper.ts';
import { basicCredentials } from '../oauth/basic-credentials.ts';
import { bearerText } from './authentication.ts';
import type { HttpParts } from './parts.ts';
import { notFound } from './problem.ts';

/** Tokens of providers can be long; Node itself allows 16 KiB for all headers. */
const LONGEST_TOKEN = 12_000;

/** Refuses what a page of another site sent (Fetch Metadata; `Origin` for browsers without it). */
export function refuseCrossSite(headers: IncomingHttpHeaders, ownOrigin: string): void {
  const site = headers['sec-fetch-site'];
  const isForeign = site !== undefined && site !== 'same-origin' && site !== 'none';
  if (!isForeign && (headers.origin === undefined || headers.origin === ownOrigin)) return;
  throw new EvergrantError('cross_site', 'A page of another site may not use the proxy.', {
    remedy: 'Call the proxy from a program, or from a page of the same origin.',
  });
}

/** What a caller may reach, and by what: that is looked at again while the answer is under way. */
export interface Permit {
  readonly api: GrantApi;
  /** The provider's own token is good as long as that says so. */
  readonly by: 'key' | 'client' | 'access token';
}

/** The API that the caller may reach; a grant that is not there and one that is not the caller's look the same. */
export async function permitFor(parts: HttpParts, headers: IncomingHttpHeaders, name: string): Promise<Permit> {
  const { authorization } = headers;
  const caller = await callerOf(parts, authorization);
  if (caller) {
    if (may(caller, 'proxy')) return { api: await parts.keeper.apis.of(name), by: 'key' };
    throw new EvergrantError('forbidden', 'This API key does not have the scope "proxy".', {
      remedy: 'Use a key that has it, or make one: evergrant api-keys add NAME --scope proxy',
    });
  }
  const permit = await clientsPermit(parts, authorization, name);
  if (permit) return permit;
  const wasGiven = authorization !== undefined;
  throw new EvergrantError('unauthorized', wasGiven ? 'What was sent opens nothing here.' : 'No key was sent.', {
    remedy: 'Send Authorization: Bearer KEY with an API key of scope "proxy", or Basic with client id and secret.',
  });
}

/** Whether a request that was permitted would be once more. */
export async function stillMay(parts: HttpParts, headers: IncomingHttpHeaders, permit: Permit): Promise<boolean> {
  return (await isCallerStillAllowed(parts, headers, permit)) && (await isGrantThere(parts, permit.api.grant));
}

/** Where its token is in memory, nothing is asked: that goes with the grant. */
async function isGrantThere({ keeper }: HttpParts, grant: GrantId): Promise<boolean> {
  if (keeper.tokens.peek(grant, 0)) return true;
  const found = await keeper.grants.get(grant).catch(nothingThere);
  return found !== null && found.state !== 'revoked';
}

async function isCallerStillAllowed(
  parts: HttpParts,
  { authorization = '' }: IncomingHttpHeaders,
  { api, by }: Permit,
): Promise<boolean> {
  switch (by) {
    case 'key': {
      const caller = await callerOf(parts, authorization);
      return caller !== null && may(caller, 'proxy');
    }
    case 'client': {
      const credentials = basicCredentials(authorization);
      return credentials !== null && (await parts.issuer.access.mayUse(credentials, api.grant)) === true;
    }
    case 'access token':
      return true;
  }
}

async function callerOf({ apiKeys }: HttpParts, authorization: string | undefined): Promise<Caller | null> {
  const key = bearerText(authorization);
  return key === null ? null : (apiKeys.recall(key) ?? apiKeys.verify(key));
}

async function clientsPermit(
  parts: HttpParts,
  authorization: string | undefined,
  name: string,
): Promise<Permit | null> {
  if (authorization === undefined || authorization.length > LONGEST_TOKEN) return null;
  const token = /^bearer +(\S+) *$/i.exec(authorization)?.[1];
  if (token !== undefined) {
    const isLive = await isLiveToken(parts, name, token);
    return isLive ? { api: await parts.keeper.apis.of(name), by: 'access token' } : null;
  }
  const credentials = basicCredentials(authorization);
  if (!credentials) return null;
  // Who proves nothing does not learn which grants there are.
  const api = await parts.keeper.apis.of(name).catch(nothingThere);
  const isAllowed = await parts.issuer.access.mayUse(credentials, api?.grant ?? 'grt_');
  if (isAllowed === null) return null;
  if (!api || !isAllowed) throw notFound();
  return { api, by: 'client' };
}

function nothingThere(cause: unknown): null {
  if (cause instanceof EvergrantError && cause.code === 'not_found') return null;
  throw cause;
}

async function isLiveToken({ keeper }: HttpParts, name: string, token: string): Promise<boolean> {
  const live = keeper.tokens.peek(name, 0) ?? (await keeper.tokens.look(name).catch(nothingThere));
  return live !== null && timingSafeEqual(digest(live.accessToken.reveal()), digest(token));
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
