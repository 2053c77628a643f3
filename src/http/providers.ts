/** `/v1/providers`: the catalogue, to read. Names as in a provider file, durations in seconds, null for no limit. */
import { z } from 'zod';
import type { Provider } from '../catalogue/provider.ts';
import { classOf, type RotationPolicy } from '../core/rotation-policy.ts';
import type { HttpParts, Routes } from './parts.ts';
import { notFound } from './problem.ts';
import { Name, named, problems } from './schemas.ts';

const Limit = z.number().nullable();

const ProviderJson = named(
  'Provider',
  z.object({
    id: z.string(),
    name: z.string(),
    variables: z.record(
      z.string(),
      z.object({ choices: z.record(z.string(), z.string()).nullable(), default: z.string().nullable() }),
    ),
    issuer: z.string().nullable(),
    authorization_endpoint: z.string().nullable(),
    token_endpoint: z.string().nullable(),
    refresh_endpoint: z.string().nullable(),
    revocation_endpoint: z.string().nullable(),
    api_base_urls: z.array(z.string()),
    token_endpoint_auth_methods: z.array(z.string()),
    code_challenge_methods: z.array(z.string()),
    scope: z.object({ default: z.array(z.string()), for_refresh_token: z.string().nullable(), separator: z.string() }),
    policy: z.object({
      class: z.string().describe('After a lost answer, may the same refresh token be presented again?'),
      rotate: z.string(),
      overlap_window: Limit,
      on_reuse: z.string(),
      idle: Limit,
      absolute: Limit,
      access_token: Limit,
      min_spacing: z.number(),
      per_day: Limit,
    }),
  }),
);

export function providerRoutes(routes: Routes, { catalogue }: HttpParts): void {
  const Items = z.object({ items: z.array(ProviderJson), next: z.null() });
  routes.get(
    '/v1/providers',
    { schema: { summary: 'List providers', querystring: z.strictObject({}), response: { 200: Items, ...problems } } },
    async () => ({ items: catalogue.list().map(providerJson), next: null }),
  );

  routes.get(
    '/v1/providers/:provider',
    {
      schema: {
        summary: 'Show a provider',
        params: z.object({ provider: Name }),
        response: { 200: ProviderJson, ...problems },
      },
    },
    async ({ params }) => {
      const provider = catalogue.get(params.provider);
      if (!provider) throw notFound('There is no such provider.');
      return providerJson(provider);
    },
  );
}

function providerJson(provider: Provider): z.infer<typeof ProviderJson> {
  return {
    id: provider.id,
    name: provider.name,
    variables: Object.fromEntries(
      Object.entries(provider.variables).map(([name, { choices, default: preset }]) => [
        name,
        { choices: choices && { ...choices }, default: preset },
      ]),
    ),
    issuer: provider.issuer,
    authorization_endpoint: provider.authorizationEndpoint,
    token_endpoint: provider.tokenEndpoint,
    refresh_endpoint: provider.refreshEndpoint,
    revocation_endpoint: provider.revocationEndpoint,
    api_base_urls: [...provider.apiBaseUrls],
    token_endpoint_auth_methods: [...provider.tokenEndpointAuthMethods],
    code_challenge_methods: [...provider.codeChallengeMethods],
    scope: {
      default: [...provider.scope.default],
      for_refresh_token: provider.scope.forRefreshToken,
      separator: provider.scope.separator,
    },
    policy: policyJson(provider.policy),
  };
}

function policyJson(policy: RotationPolicy): z.infer<typeof ProviderJson>['policy'] {
  return {
    class: classOf(policy).class,
    rotate: policy.rotate.mode,
    overlap_window: seconds(policy.overlap.windowMs),
    on_reuse: policy.onReuse.refresh,
    idle: seconds(policy.life.idleMs),
    absolute: seconds(policy.life.absoluteMs),
    access_token: policy.life.accessTokenMs === null ? null : seconds(policy.life.accessTokenMs),
    min_spacing: policy.pacing.minSpacingMs / 1000,
    per_day: limit(policy.pacing.perDay),
  };
}

function seconds(ms: number): number | null {
  return limit(ms / 1000);
}

function limit(count: number): number | null {
  return Number.isFinite(count) ? count : null;
}
