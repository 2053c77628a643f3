/**
 * The token endpoint (RFC 6749 section 3.2).
 *
 * Its hot path rests on what a durable credential is: a client sends the very same request each time. One that was
 * checked whole is remembered by its digest, and while nothing changed it is answered from memory, in the same turn of
 * the event loop: no store, no write, no parsing. Whatever changes a client or a token, here or on another node, makes
 * what rests on it unknown again (`heard`).
 */
import { hash } from 'node:crypto';
import type { FamilyId, GrantId } from '../core/id.ts';
import type { AccessToken, RefreshToken } from '../core/secret.ts';
import type { Standing } from '../core/standing.ts';
import { readForm } from '../oauth/form.ts';
import { invalidRequest, OAuthError } from '../oauth/oauth-error.ts';
import type { Client } from './client.ts';
import type { Authenticate, OAuthRequest } from './client-authentication.ts';
import type { ClientTokens, Held } from './client-tokens.ts';
import type { CodeGrant } from './code-grant.ts';
import { isSecretNotEnough } from './clients.ts';
import type { DpopProof, DpopProofs } from './dpop.ts';
import type { CheckedAt, Heard } from './heard.ts';
import type { IssuerParts } from './parts.ts';
import type { RefreshGrant } from './refresh-grant.ts';
import { rightsOf } from './rights.ts';
import { aroundSeconds, liveToken, scopeOf, type TokenAnswer, tokenBody, wholeSeconds } from './token-answer.ts';
import type { TokenExchangeGrant } from './token-exchange-grant.ts';
import { assertScope, grantMeant } from './which-grant.ts';

export const DEVICE_CODE = 'urn:ietf:params:oauth:grant-type:device_code';
export const TOKEN_EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
export const GRANT_TYPES = ['authorization_code', 'refresh_token', 'client_credentials', TOKEN_EXCHANGE, DEVICE_CODE];

export interface TokenEndpoint {
  /** The body of the answer, from memory alone; null where more is needed. */
  recall(authorization: string | undefined, form: Buffer): string | null;
  /** `dpop`: the header of that name. A request with one is never answered from memory, for each proof works once. */
  answer(authorization: string | undefined, form: Buffer, dpop?: string): Promise<string>;
}

interface Checked {
  readonly client: Client;
  readonly grant: GrantId;
  /** Null for client credentials. */
  readonly held: Held | null;
  /** The client's refresh token without which it would not be so; null: there is none. */
  readonly token: FamilyId | null;
  readonly refreshToken: RefreshToken | null;
  readonly requestedScope: string;
  readonly at: CheckedAt;
  /** The last answer but for the seconds that are left. */
  ready: { readonly accessToken: AccessToken; readonly head: string; readonly tail: string } | null;
}

/** Who asks, what, and since when that is looked into. */
interface Sender {
  readonly client: Client;
  readonly request: OAuthRequest;
  readonly proof: DpopProof | null;
  readonly key: string;
  readonly at: CheckedAt;
}

/** The least life that a token from memory must have. */
const MIN_TTL_MS = 5_000;
const MOST_CHECKED = 20_000;

export interface TokenEndpointParts {
  readonly authenticate: Authenticate;
  readonly proofs: DpopProofs;
  readonly tokens: ClientTokens;
  readonly refresh: RefreshGrant;
  readonly codes: CodeGrant;
  readonly exchange: TokenExchangeGrant;
}

export function tokenEndpoint(parts: IssuerParts, heard: Heard, grants: TokenEndpointParts): TokenEndpoint {
  const checked = new Map<string, Checked>();

  function standing({ client, token, at }: Checked): Standing {
    return heard.standing(at, client.id, token);
  }

  function serve(known: Checked): string | null {
    const live = parts.keeper.tokens.peek(known.grant, MIN_TTL_MS);
    if (!live) return null;
    if (known.held) {
      const judged = grants.tokens.judge({ held: known.held, counter: 1 }, known.client.rotation, true);
      if (judged.outcome !== 'accepted') return null;
      grants.tokens.touch(known.held, judged.family);
    }
    if (known.ready?.accessToken !== live.accessToken) {
      const scope = live.scope?.split(/[ ,]+/).filter(Boolean).join(' ') ?? known.requestedScope;
      const around = aroundSeconds({ live, scope, refreshToken: known.refreshToken });
      known.ready = { accessToken: live.accessToken, ...around };
    }
    return known.ready.head + wholeSeconds(live) + known.ready.tail;
  }

  function remember(key: string, entry: Omit<Checked, 'ready'>): void {
    checked.delete(key);
    checked.set(key, { ...entry, ready: null });
    const oldest = checked.keys().next().value;
    if (checked.size > MOST_CHECKED && oldest !== undefined) checked.delete(oldest);
  }

  async function refreshed({ client, request, proof, key, at }: Sender): Promise<TokenAnswer> {
    const answer = await grants.refresh.answer(client, request.parameters, proof);
    const { held, grant, refreshToken } = answer;
    const requestedScope = grant.scope.requested.join(' ');
    // Only what gives the same token back, and needs no key, can be answered without a write.
    if (client.rotation.mode === 'durable' && held.token.counter === 1 && held.token.bound === null) {
      remember(key, { client, grant: grant.id, held, token: held.token.id, refreshToken, requestedScope, at });
    }
    return answer;
  }

  async function credentials({ client, request, key, at }: Sender): Promise<TokenAnswer> {
    // A client that wants its tokens bound to a key would have one that is not, for its secret alone.
    if (client.type === 'public' || isSecretNotEnough(client)) throw new OAuthError('unauthorized_client');
    const rights = rightsOf(grants.tokens, client);
    const grant = await grantMeant(parts, rights, request.parameters);
    assertScope(grant, request.parameters);
    const live = await liveToken(parts, grant);
    // An assertion works once, and may not be answered for twice.
    if (!request.parameters.has('client_assertion')) {
      const requestedScope = grant.scope.requested.join(' ');
      const { token } = await rights.mayUse(grant.id);
      remember(key, { client, grant: grant.id, held: null, token, refreshToken: null, requestedScope, at });
    }
    return { live, scope: scopeOf(live, grant), refreshToken: null };
  }

  function byGrantType(sender: Sender): Promise<TokenAnswer> {
    const { client, request, proof } = sender;
    switch (request.parameters.get('grant_type')) {
      case 'refresh_token':
        return refreshed(sender);
      case 'client_credentials':
        return credentials(sender);
      case 'authorization_code':
        return grants.codes.redeem(client, request.parameters, proof);
      case DEVICE_CODE:
        return grants.codes.poll(client, request.parameters, proof);
      case TOKEN_EXCHANGE:
        return grants.exchange(client, request.parameters, proof);
      case undefined:
        throw invalidRequest('grant_type is missing.');
      default:
        throw new OAuthError('unsupported_grant_type');
    }
  }

  return {
    recall(authorization, form) {
      const known = checked.get(keyOf(authorization, form));
      return known && standing(known) === 'sure' ? serve(known) : null;
    },

    async answer(authorization, form, dpop) {
      const parameters = readForm(form);
      const key = keyOf(authorization, form);
      const at = heard.now();
      try {
        const request = { authorization, parameters };
        const client = await grants.authenticate(request);
        const proof = await grants.proofs.read(dpop, 'token', client);
        return tokenBody(await byGrantType({ client, request, proof, key, at }));
      } catch (cause) {
        if (cause instanceof OAuthError) throw cause;
        // The store is away, or a slip of ours.
        const known = checked.get(key);
        const body = known && standing(known) !== 'old' ? serve(known) : null;
        if (body === null) throw cause;
        return body;
      }
    },
  };
}

/** Of the whole request: with any other secret, token or parameter it is another one. */
function keyOf(authorization: string | undefined, form: Buffer): string {
  return hash('sha256', `${authorization ?? ''}\n${form.toString('latin1')}`, 'base64url');
}
