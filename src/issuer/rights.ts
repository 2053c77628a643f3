/**
 * Which grants a client may use: those that an operator named in its settings, and those for which a person allowed it
 * and it holds a token. The latter may be very many, so they are never gathered.
 */
import type { FamilyId, GrantId } from '../core/id.ts';
import type { Client } from './client.ts';
import type { ClientToken, ClientTokens } from './client-tokens.ts';

export interface Right {
  readonly isAllowed: boolean;
  /** The refresh token by which a person allowed it; null where the right rests on nothing that could end by itself. */
  readonly token: FamilyId | null;
}

export interface Rights {
  mayUse(grant: GrantId): Promise<Right>;
  /** The one grant that a client may use; null where there are none or several. */
  only(): Promise<GrantId | null>;
}

export function rightsOf(tokens: ClientTokens, client: Client): Rights {
  return {
    async mayUse(grant) {
      if (client.grants.includes(grant)) return { isAllowed: true, token: null };
      const token = await tokens.allowing(client.id, grant);
      return { isAllowed: token !== null, token };
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
    mayUse: async (grant) => ({ isAllowed: grants.includes(grant), token: null }),
    only: async () => (grants.length === 1 && first !== undefined ? first : null),
  };
}

/** A grant that the operator took from the client takes the tokens with it that were issued for it. */
export function isStillAllowed(client: Client, { allowedBy, grant }: ClientToken): boolean {
  return allowedBy === 'person' || client.grants.includes(grant);
}
