/** The API behind each grant: where its access tokens may be sent, and what is known of the limits there. */
import type { Apis } from './keeper.ts';
import type { Minders } from './minders.ts';
import type { HeaderCredentials } from './schemes/header.ts';

export function apis(minders: Minders, headers: HeaderCredentials): Apis {
  return {
    async of(idOrAlias) {
      const minder = await minders.of(idOrAlias);
      const { provider, registration } = await minder.upstream();
      const { name: providerName, apiBaseUrls: baseUrls, reach, apiLimits: limits = null } = provider;
      const credential = await headers.of(minder);
      return { grant: minder.grant, providerName, baseUrls, reach, registration, limits, credential };
    },
  };
}
