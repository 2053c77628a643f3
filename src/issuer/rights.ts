/**
 * Which grants a client may use: those that an operator named in its settings, and those for which a person allowed it
 * and it holds a token. The latter may be very many, so they are never gathered.
 */
import type { GrantId } from '../core/id.ts';
import type { Client } from './client.ts';
import type { ClientToken, ClientTokens } from './client-tokens.ts';

export interface Rights {
  mayUse(grant: GrantId): Promise<boolean>;
  /** The one grant that a client may use; null where there are none or several. */
  only(): Promise<GrantId | null>;
}

export function rightsOf(tokens: ClientTokens, client: Client): Rights {
  return {
    async mayUse(grant) {
      return client.grants.includes(grant) || tokens.isAllowed(client.id, grant);
    },
    async only() {
      const grants = new Set([...client.grants, ...(await tokens.firstAllowed(client.id))]);
      const [first] = grants;
      return grants.size === 1 && first !== undefined ? first : null;
    },
  };
}

/** Of just these. */
export function rightsTo(grants: readonly GrantId[]): Rights {
  const [first] = grants;
  return {
    mayUse: async (grant) => grants.includes(grant),
    only: async () => (grants.length === 1 && first !== undefined ? first : null),
  };
}

/** A grant that the operator took from the client takes the tokens with it that were issued for it. */
export function isStillAllowed(client: Client, { allowedBy, grant }: ClientToken): boolean {
  return allowedBy === 'person' || client.grants.includes(grant);
}
