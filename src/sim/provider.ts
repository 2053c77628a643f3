/** The simulated provider as the keeper's catalogue has it. */
import type { Catalogue, Provider } from '../catalogue/provider.ts';
import { standardProvider } from '../catalogue/standard.ts';
import type { RotationPolicy } from '../core/rotation-policy.ts';
import { TOO_EARLY } from './upstream.ts';

export const TOKEN_URL = 'https://provider.invalid/token';
export const ACCOUNT_URL = 'https://provider.invalid/me';

export function simulatedCatalogue(policy: RotationPolicy): Catalogue {
  const provider = providerWith(policy);
  return {
    get: (id) => (id === provider.id ? provider : null),
    ids: () => [provider.id],
    list: () => [provider],
  };
}

function providerWith(policy: RotationPolicy): Provider {
  // Where an API call activates, the keeper asks for the account at once, as it does at Exact Online.
  const asksForAccount = policy.overlap.successorUnused && policy.overlap.successorUse === 'refresh-or-access';
  return standardProvider({
    id: 'simulated',
    name: 'Simulated provider',
    authorizationEndpoint: 'https://provider.invalid/authorize',
    tokenEndpoint: TOKEN_URL,
    identity: asksForAccount ? { endpoint: ACCOUNT_URL, subject: '/sub', label: null } : null,
    policy,
    errors: [
      { status: 400, error: 'access_denied', description: TOO_EARLY, means: 'too_early' },
      { status: null, error: 'invalid_grant', description: 'No such chain.', means: 'invalid_chain' },
    ],
  });
}
