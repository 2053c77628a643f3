/**
 * `grant_type=refresh_token` (RFC 6749 section 6), and the same token as the subject of an exchange (RFC 8693).
 *
 * Every reason for which a refresh token is not accepted is answered alike, after the same steps; the true one is noted.
 * The provider's token is there before a rotating token is spent, so that an outage costs no client its chain.
 *
 * The key comes first: who cannot prove it has nothing, and so can neither spend a token nor end its family.
 */
import type { RefusalReason } from '../core/family.ts';
import type { RefreshToken } from '../core/secret.ts';
import { Secret } from '../core/secret.ts';
import type { Grant } from '../keeper/keeper.ts';
import type { Parameters } from '../oauth/form.ts';
import { invalidRequest, OAuthError } from '../oauth/oauth-error.ts';
import type { Client } from './client.ts';
import type { ClientTokens, Found, Held } from './client-tokens.ts';
import { bindsTokens, type DpopProof } from './dpop.ts';
import type { ClientEvents } from './events.ts';
import type { IssuerParts } from './parts.ts';
import { isStillAllowed } from './rights.ts';
import { liveToken, scopeOf, type TokenAnswer } from './token-answer.ts';
import { assertNamed, assertScope, grantOf } from './which-grant.ts';

/** A token that was found, belongs to this client and is alive, with its grant. */
export interface Accepted {
  readonly found: Found;
  readonly grant: Grant;
}

export interface RefreshGrant {
  answer(
    client: Client,
    parameters: Parameters,
    proof: DpopProof | null,
  ): Promise<TokenAnswer & { readonly held: Held; readonly grant: Grant }>;
  /** Proves the token without spending it; the proof that came with it is spent, where one is needed. */
  accept(client: Client, text: string, proof: DpopProof | null): Promise<Accepted>;
}

export function refreshGrant(parts: IssuerParts, tokens: ClientTokens, events: ClientEvents): RefreshGrant {
  function refuse(
    client: Client,
    found: Found | null,
    reason: RefusalReason | 'other client' | KeyFault,
    type: Refusal,
  ): OAuthError {
    const { grant, id: familyId, counter: latestCounter } = found?.held.token ?? {};
    const counters = { familyId, tokenCounter: found?.counter, latestCounter };
    events.note(client.id, { type, reason, ...(grant === undefined ? {} : { grant }), ...present(counters) });
    return new OAuthError('invalid_grant');
  }

  /** Its proof is spent, and a token without a key gets that of the first proof. */
  async function hold(client: Client, found: Found, proof: DpopProof): Promise<void> {
    const isNeeded = tokens.keyOf(found, client.rotation) !== null;
    if (!isNeeded && !bindsTokens(client)) return;
    await proof.use();
    if (isNeeded) return;
    // One that is spent soon is not worth it: of those, the successors are bound.
    const from = client.rotation.mode === 'durable' ? found.counter : found.held.token.counter + 1;
    await tokens.bind(found, { jkt: proof.jkt, from });
    const fault = keyFault(client, tokens.keyOf(found, client.rotation), proof);
    if (fault) throw refuse(client, found, fault, 'refresh_token_refused');
  }

  async function accept(client: Client, text: string, proof: DpopProof | null): Promise<Accepted> {
    const found = await tokens.find(text);
    if (!found) throw refuse(client, null, 'unknown', 'refresh_token_refused');
    const { held } = found;
    if (held.token.client !== client.id) throw refuse(client, found, 'other client', 'refresh_token_refused');
    if (!isStillAllowed(client, held.token)) throw refuse(client, found, 'revoked', 'refresh_token_refused');
    const fault = keyFault(client, tokens.keyOf(found, client.rotation), proof);
    if (fault) throw refuse(client, found, fault, 'refresh_token_refused');
    let judged = tokens.judge(found, client.rotation, true);
    if (judged.outcome === 'refused' && judged.reason === 'consent-ended') {
      // The consent may have been given anew since.
      await tokens.consentEnds(held, (await grantOf(parts, held.token.grant))?.expires.absoluteAt ?? null);
      judged = tokens.judge(found, client.rotation, true);
    }
    if (judged.outcome === 'refused') {
      const isReuse = judged.revokes !== 'nothing';
      if (isReuse) await tokens.present(found, client.rotation);
      throw refuse(client, found, judged.reason, isReuse ? 'refresh_token_reused' : 'refresh_token_refused');
    }
    const grant = await grantOf(parts, held.token.grant);
    if (!grant) throw refuse(client, found, 'revoked', 'refresh_token_refused');
    await tokens.consentEnds(held, grant.expires.absoluteAt);
    if (proof) await hold(client, found, proof);
    return { found, grant };
  }

  return {
    accept,

    async answer(client, parameters, proof) {
      const text = parameters.get('refresh_token');
      if (text === undefined) throw invalidRequest('refresh_token is missing.');
      const { found, grant } = await accept(client, text, proof);
      assertNamed(parts, grant, parameters);
      assertScope(grant, parameters);
      const live = await liveToken(parts, grant);
      const result = await tokens.present(found, client.rotation);
      // Another request may have spent it meanwhile.
      if (result.outcome === 'refused') {
        const type = result.revokes === 'nothing' ? 'refresh_token_refused' : 'refresh_token_reused';
        throw refuse(client, found, result.reason, type);
      }
      const refreshToken: RefreshToken = result.text ?? new Secret('refresh token', text);
      return { live, scope: scopeOf(live, grant), refreshToken, held: found.held, grant };
    },
  };
}

/** What is wrong with the key of a token that is itself right. */
type KeyFault = 'no DPoP proof' | 'another DPoP key';

function keyFault(client: Client, key: string | null, proof: DpopProof | null): KeyFault | null {
  if (!proof) return key !== null || client.isDpopBound ? 'no DPoP proof' : null;
  return key === null || key === proof.jkt ? null : 'another DPoP key';
}

type Refusal = 'refresh_token_refused' | 'refresh_token_reused';

function present<T extends object>(value: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(value).filter(([, member]) => member !== undefined)) as {
    [K in keyof T]: Exclude<T[K], undefined>;
  };
}
