/**
 * Whether a client may use a grant, for those who act for it at once: the proxy. That it may is remembered for as long as
 * a checked token request is.
 */
import { hash } from 'node:crypto';
import type { ClientId, FamilyId, GrantId } from '../core/id.ts';
import type { Standing } from '../core/standing.ts';
import type { BasicCredentials } from '../oauth/basic-credentials.ts';
import { OAuthError } from '../oauth/oauth-error.ts';
import type { Authenticate } from './client-authentication.ts';
import type { ClientTokens } from './client-tokens.ts';
import { isSecretNotEnough } from './clients.ts';
import type { CheckedAt, Heard } from './heard.ts';
import { rightsOf } from './rights.ts';

export interface ClientAccess {
  /** Null: these credentials are no client's, or not enough for it. */
  mayUse(credentials: BasicCredentials, grant: GrantId): Promise<boolean | null>;
}

const MOST_KNOWN = 10_000;

/** That a client may use a grant, and what that rests on. */
interface Known {
  readonly client: ClientId;
  /** The refresh token by which a person allowed it; null where the client's settings name the grant. */
  readonly token: FamilyId | null;
  readonly at: CheckedAt;
}

export function clientAccess(heard: Heard, authenticate: Authenticate, tokens: ClientTokens): ClientAccess {
  const known = new Map<string, Known>();

  async function check({ id, secret }: BasicCredentials, grant: GrantId): Promise<Known | boolean | null> {
    const at = heard.now();
    const parameters = new Map([
      ['client_id', id],
      ['client_secret', secret],
    ]);
    try {
      const client = await authenticate({ authorization: undefined, parameters });
      if (isSecretNotEnough(client)) return null;
      const { isAllowed, token } = await rightsOf(tokens, client).mayUse(grant);
      return isAllowed && { client: client.id, token, at };
    } catch (cause) {
      if (cause instanceof OAuthError) return null;
      throw cause;
    }
  }

  function standing({ client, token, at }: Known): Standing {
    return heard.standing(at, client, token);
  }

  return {
    async mayUse(credentials, grant) {
      const key = hash('sha256', JSON.stringify([credentials.id, credentials.secret, grant]), 'base64url');
      const earlier = known.get(key);
      if (earlier && standing(earlier) === 'sure') return true;
      try {
        const found = await check(credentials, grant);
        known.delete(key);
        if (found === null || typeof found === 'boolean') return found;
        if (known.size >= MOST_KNOWN) known.clear();
        known.set(key, found);
        return true;
      } catch (cause) {
        if (earlier && standing(earlier) !== 'old') return true;
        throw cause;
      }
    },
  };
}
