/** `/v1/providers`: the catalogue, to read. Names as in a provider file, durations in seconds, null for no limit. */
import { z } from 'zod';
import { againInWords, gradeOf, lossInWords, meaningInWords, rotationInWords } from '../catalogue/in-words.ts';
import type { Provider } from '../catalogue/provider.ts';
import { classOf, type RotationPolicy } from '../core/rotation-policy.ts';
import type { HttpParts, Routes } from './parts.ts';
import { notFound } from './problem.ts';
import { Name, named, problems } from './schemas.ts';

const Limit = z.number().nullable();

const Line = z.object({
  id: z.string(),
  name: z.string(),
  category: z.string().nullable(),
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
    again: z.string().describe('The same in words'),
    grade: z.string().nullable().describe('How well the rotation is known; null: not at all'),
    rotate: z.string(),
    overlap_window: Limit,
    on_reuse: z.string(),
    idle: Limit,
    absolute: Limit,
    access_token: Limit,
    min_spacing: z.number(),
    per_day: Limit,
  }),
});
const ProviderJson = named('Provider', Line);

/** One provider with everything that is known of it. */
const ProviderPageJson = named(
  'ProviderPage',
  Line.extend({
    rotation: z.array(z.string()).describe('How refresh tokens come and go, in sentences'),
    lost_answer: z.string().describe('What becomes of a grant when an answer is lost'),
    errors: z.array(
      z.object({
        status: z.number().nullable(),
        error: z.string().nullable(),
        description: z.string().nullable().describe('How it begins'),
        body: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])),
        means: z.string(),
        in_words: z.string(),
      }),
    ),
    notes: z.array(z.string()),
    facts: z.array(
      z.object({
        about: z.string(),
        source: z.string(),
        seen: z.string(),
        grade: z.string(),
        note: z.string().nullable(),
      }),
    ),
  }),
);

const Filter = z.strictObject({
  q: z.string().max(100).optional().describe('part of the id or the name'),
  category: z.string().max(100).optional(),
});

export function providerRoutes(routes: Routes, { catalogue }: HttpParts): void {
  const Items = z.object({ items: z.array(ProviderJson), next: z.null() });
  routes.get(
    '/v1/providers',
    { schema: { summary: 'List providers', querystring: Filter, response: { 200: Items, ...problems } } },
    async ({ query }) => ({
      items: catalogue
        .list()
        .filter((provider) => fits(provider, query))
        .map(providerJson),
      next: null,
    }),
  );

  routes.get(
    '/v1/providers/:provider',
    {
      schema: {
        summary: 'Show a provider',
        params: z.object({ provider: Name }),
        response: { 200: ProviderPageJson, ...problems },
      },
    },
    async ({ params }) => {
      const provider = catalogue.get(params.provider);
      if (!provider) throw notFound('There is no such provider.');
      return pageJson(provider);
    },
  );
}

function fits({ id, name, category }: Provider, filter: z.infer<typeof Filter>): boolean {
  const part = filter.q?.toLowerCase() ?? '';
  if (filter.category !== undefined && filter.category !== category) return false;
  return id.includes(part) || name.toLowerCase().includes(part);
}

function pageJson(provider: Provider): z.infer<typeof ProviderPageJson> {
  return {
    ...providerJson(provider),
    rotation: [...rotationInWords(provider)],
    lost_answer: lossInWords(provider),
    errors: provider.errors.map((one) => ({ ...one, body: { ...one.body }, in_words: meaningInWords(one) })),
    notes: [...(provider.notes ?? [])],
    facts: (provider.facts ?? []).map((fact) => ({ ...fact, note: fact.note ?? null })),
  };
}

function providerJson(provider: Provider): z.infer<typeof ProviderJson> {
  return {
    id: provider.id,
    name: provider.name,
    category: provider.category ?? null,
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
    policy: {
      ...policyJson(provider.policy),
      again: againInWords(provider),
      grade: gradeOf(provider, '/policy/rotate/mode'),
    },
  };
}

function policyJson(policy: RotationPolicy): Omit<z.infer<typeof ProviderJson>['policy'], 'again' | 'grade'> {
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
