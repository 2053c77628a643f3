/** The API behind each grant: where its access tokens may be sent, and what is known of the limits there. */
import type { Apis } from './keeper.ts';
import type { Minders } from './minders.ts';
import type { Upstreams } from './upstream.ts';

export function apis(minders: Minders, upstreams: Upstreams): Apis {
  return {
    async of(idOrAlias) {
      const { grant, app } = await minders.of(idOrAlias);
      const { provider, registration } = await upstreams.of(app);
      const { name: providerName, apiBaseUrls: baseUrls, reach, apiLimits: limits = null } = provider;
      return { grant, providerName, baseUrls, reach, registration, limits };
    },
  };
}
