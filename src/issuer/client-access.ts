/**
 * Whether a client may use a grant, for those who act for it at once: the proxy. What was found is remembered for as long
 * as a checked token request is, and forgotten with it.
 */
import { hash } from 'node:crypto';
import type { GrantId } from '../core/id.ts';
import type { BasicCredentials } from '../oauth/basic-credentials.ts';
import { OAuthError } from '../oauth/oauth-error.ts';
import type { Authenticate } from './client-authentication.ts';
import type { ClientTokens } from './client-tokens.ts';
import type { IssuerParts } from './parts.ts';
import { rightsOf } from './rights.ts';

export interface ClientAccess {
  /** Null: these credentials are no client's. */
  mayUse(credentials: BasicCredentials, grant: GrantId): Promise<boolean | null>;
  forget(): void;
}

const MOST_KNOWN = 10_000;

export function clientAccess(parts: IssuerParts, authenticate: Authenticate, tokens: ClientTokens): ClientAccess {
  const known = new Map<string, { readonly isAllowed: boolean; readonly at: number }>();
  let age = 0;

  async function check({ id, secret }: BasicCredentials, grant: GrantId): Promise<boolean | null> {
    const parameters = new Map([
      ['client_id', id],
      ['client_secret', secret],
    ]);
    try {
      const client = await authenticate({ authorization: undefined, parameters });
      return await rightsOf(tokens, client).mayUse(grant);
    } catch (cause) {
      if (cause instanceof OAuthError) return null;
      throw cause;
    }
  }

  return {
    async mayUse(credentials, grant) {
      const key = hash('sha256', JSON.stringify([credentials.id, credentials.secret, grant]), 'base64url');
      const found = known.get(key);
      if (found && parts.clock.now() - found.at <= parts.recheckMs) return found.isAllowed;
      const checkedIn = age;
      const isAllowed = await check(credentials, grant);
      if (isAllowed === null || checkedIn !== age) return isAllowed;
      if (known.size >= MOST_KNOWN) known.clear();
      known.set(key, { isAllowed, at: parts.clock.now() });
      return isAllowed;
    },
    forget() {
      age += 1;
      known.clear();
    },
  };
}
