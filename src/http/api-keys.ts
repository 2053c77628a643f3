/** `/v1/api-keys`: keys of operators and scripts. The text of a key is shown once, when it is made. */
import { z } from 'zod';
import { type ApiKey, SCOPES } from '../access/api-keys.ts';
import { toRfc3339 } from '../core/instant.ts';
import type { HttpParts, Routes } from './parts.ts';
import { Name, named, PageQuery, pageOf, problems, Time, text } from './schemas.ts';

const ApiKeyJson = named(
  'ApiKey',
  z.object({ id: z.string(), name: z.string(), scopes: z.array(z.enum(SCOPES)), created_at: Time }),
);
const NewApiKeyJson = named('CreatedApiKey', ApiKeyJson.extend({ key: z.string().describe('Shown this once.') }));
const NewApiKey = named(
  'NewApiKey',
  z.strictObject({ name: text(255), scopes: z.array(z.enum(SCOPES)).min(1).max(SCOPES.length).default(['admin']) }),
);
const Params = z.object({ key: Name });

function apiKeyJson(key: ApiKey): z.infer<typeof ApiKeyJson> {
  return { id: key.id, name: key.name, scopes: [...key.scopes], created_at: toRfc3339(key.createdAt) };
}

export function apiKeyRoutes(routes: Routes, { apiKeys }: HttpParts): void {
  routes.get(
    '/v1/api-keys',
    {
      schema: { summary: 'List API keys', querystring: PageQuery, response: { 200: pageOf(ApiKeyJson), ...problems } },
    },
    async ({ query }) => {
      const page = await apiKeys.list({ limit: query.limit, after: query.after ?? null });
      return { items: page.items.map(apiKeyJson), next: page.next };
    },
  );

  routes.post(
    '/v1/api-keys',
    { schema: { summary: 'Make an API key', body: NewApiKey, response: { 201: NewApiKeyJson, ...problems } } },
    async ({ body }, reply) => {
      const { key, text: keyText } = await apiKeys.create({ name: body.name, scopes: [...new Set(body.scopes)] });
      return reply
        .code(201)
        .header('location', `/v1/api-keys/${key.id}`)
        .header('cache-control', 'no-store')
        .send({ ...apiKeyJson(key), key: keyText.reveal() });
    },
  );

  routes.get(
    '/v1/api-keys/:key',
    { schema: { summary: 'Show an API key', params: Params, response: { 200: ApiKeyJson, ...problems } } },
    async ({ params }) => apiKeyJson(await apiKeys.get(params.key)),
  );

  routes.delete(
    '/v1/api-keys/:key',
    { schema: { summary: 'Revoke an API key at once', params: Params, response: { 204: z.null(), ...problems } } },
    async ({ params }, reply) => {
      await apiKeys.remove(params.key);
      return reply.code(204).send(null);
    },
  );
}
