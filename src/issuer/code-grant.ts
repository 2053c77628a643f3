/**
 * `grant_type=authorization_code` (RFC 6749 section 4.1.3) and `device_code` (RFC 8628 section 3.4): a client comes for
 * what a person allowed, and gets a refresh token of its own, which is its right to the grant. A code works once; if it comes
 * again, whoever had it first may not be the client, and what it gave is ended.
 */
import { createHash } from 'node:crypto';
import type { Parameters } from '../oauth/form.ts';
import { invalidRequest, OAuthError } from '../oauth/oauth-error.ts';
import { POLL_INTERVAL_S } from './authorize.ts';
import type { Client } from './client.ts';
import type { ClientTokens } from './client-tokens.ts';
import { bindsTokens, type DpopProof } from './dpop.ts';
import type { ClientEvents } from './events.ts';
import type { IssuerParts } from './parts.ts';
import type { ClientRequest, Requests, StoredRequest } from './requests.ts';
import { liveToken, scopeOf, type TokenAnswer } from './token-answer.ts';
import { grantOf } from './which-grant.ts';

export interface CodeGrant {
  redeem(client: Client, parameters: Parameters, proof: DpopProof | null): Promise<TokenAnswer>;
  poll(client: Client, parameters: Parameters, proof: DpopProof | null): Promise<TokenAnswer>;
}

const MOST_POLLED = 10_000;

export function codeGrant(
  parts: IssuerParts,
  tokens: ClientTokens,
  requests: Requests,
  events: ClientEvents,
): CodeGrant {
  const polledAt = new Map<string, number>();

  function refuse(client: Client, reason: string): OAuthError {
    events.note(client.id, { type: 'refresh_token_refused', reason });
    return new OAuthError('invalid_grant');
  }

  async function replayed(client: Client, { family, grant }: ClientRequest): Promise<OAuthError> {
    events.note(client.id, {
      type: 'code_replayed',
      ...(grant ? { grant } : {}),
      ...(family ? { familyId: family } : {}),
    });
    if (family) await tokens.end(family, 'revoked', { reason: 'code replayed' });
    return new OAuthError('invalid_grant');
  }

  /** Gives the tokens, once. */
  async function give(client: Client, stored: StoredRequest, proof: DpopProof | null): Promise<TokenAnswer> {
    const grant = await grantOf(parts, stored.request.grant ?? '');
    if (!grant) throw refuse(client, 'the grant is gone');
    const isBound = bindsTokens(client);
    if (isBound || stored.request.asked.dpopJkt !== null) await proof?.use();
    const live = await liveToken(parts, grant);
    const jkt = (isBound && proof?.jkt) || null;
    const { id, text } = await tokens.issue(client, grant.id, grant.expires.absoluteAt, 'person', jkt);
    const used = await requests.move(stored, { status: 'used', family: id });
    if (used) return { live, scope: scopeOf(live, grant), refreshToken: text };
    // Somebody else had the code at the same time.
    await tokens.end(id, 'revoked', { reason: 'code replayed' });
    const faster = await requests.get(stored.request.id);
    throw faster ? await replayed(client, faster.request) : refuse(client, 'the code is gone');
  }

  return {
    async redeem(client, parameters, proof) {
      assertProof(client, proof);
      const code = parameters.get('code');
      if (code === undefined) throw invalidRequest('code is missing.');
      const stored = await requests.bySecret(code);
      if (stored?.request.asked.client !== client.id || stored.request.asked.redirectUri === null) {
        throw refuse(client, 'unknown code');
      }
      const { request } = stored;
      if (request.status === 'used') throw await replayed(client, request);
      if (request.status !== 'granted' || requests.isOver(request)) throw refuse(client, 'code expired');
      if (!isSameRedirectUri(request, parameters)) throw refuse(client, 'another redirect_uri');
      if (!isVerified(request, parameters.get('code_verifier'))) throw refuse(client, 'wrong code_verifier');
      if (request.asked.dpopJkt !== null && request.asked.dpopJkt !== proof?.jkt)
        throw refuse(client, 'another DPoP key');
      return give(client, stored, proof);
    },

    async poll(client, parameters, proof) {
      assertProof(client, proof);
      const code = parameters.get('device_code');
      if (code === undefined) throw invalidRequest('device_code is missing.');
      const stored = await requests.bySecret(code);
      if (stored?.request.asked.client !== client.id || stored.request.asked.redirectUri !== null) {
        throw refuse(client, 'unknown device code');
      }
      const { request } = stored;
      if (request.status === 'used') throw await replayed(client, request);
      if (request.status === 'denied') throw new OAuthError('access_denied');
      if (requests.isOver(request)) throw new OAuthError('expired_token');
      if (request.status === 'granted') return give(client, stored, proof);
      const isTooSoon = parts.clock.now() - (polledAt.get(request.id) ?? 0) < POLL_INTERVAL_S * 1000;
      if (polledAt.size >= MOST_POLLED) polledAt.clear();
      polledAt.set(request.id, parts.clock.now());
      throw new OAuthError(isTooSoon ? 'slow_down' : 'authorization_pending');
    },
  };
}

/** A client whose refresh tokens are bound gets none without a key. */
function assertProof({ isDpopBound }: Client, proof: DpopProof | null): void {
  if (isDpopBound && !proof)
    throw new OAuthError('invalid_dpop_proof', { description: 'This client must send a DPoP proof.' });
}

/** The very one of the authorization request, where that named one (RFC 6749 section 4.1.3). */
function isSameRedirectUri({ asked }: ClientRequest, parameters: Parameters): boolean {
  const given = parameters.get('redirect_uri');
  return given === undefined ? !asked.hasNamedRedirectUri : given === asked.redirectUri;
}

/** RFC 7636 section 4.6; a verifier for a request without a challenge is somebody else's (RFC 9700 section 4.8.2). */
function isVerified({ asked }: ClientRequest, verifier: string | undefined): boolean {
  if (asked.codeChallenge === null || verifier === undefined)
    return asked.codeChallenge === null && verifier === undefined;
  return createHash('sha256').update(verifier).digest('base64url') === asked.codeChallenge;
}
