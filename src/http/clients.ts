/** `/v1/clients`: who gets tokens of grants from here. Secrets and refresh tokens are shown once, when they are made. */
import { z } from 'zod';
import { EvergrantError } from '../core/errors.ts';
import { toRfc3339 } from '../core/instant.ts';
import type { Client } from '../issuer/client.ts';
import type { ClientToken } from '../issuer/client-tokens.ts';
import type { NewClient } from '../issuer/clients.ts';
import { endOf } from '../issuer/introspection.ts';
import {
  ClientChangeJson,
  ClientEventJson,
  ClientJson,
  ClientTokenJson,
  clientEventJson,
  clientJson,
  NewClientJson,
  Thumbprint,
  timeOrNull,
} from './client-json.ts';
import type { HttpParts, Routes } from './parts.ts';
import { Name, named, PageQuery, pageOf, present, problems } from './schemas.ts';

const CreatedClientJson = named(
  'CreatedClient',
  ClientJson.extend({
    client_secret: z.string().nullable().describe('Shown this once; null for clients without a secret.'),
    refresh_tokens: z.record(z.string(), z.string()).describe('By alias; shown this once.'),
  }),
);

const MOST_KEEP_PREVIOUS_S = 604_800;
const Params = z.object({ client: Name });
const TokenParams = z.object({ client: Name, token: Name });

export function clientRoutes(routes: Routes, parts: HttpParts): void {
  const { clients } = parts.issuer;

  /** A grant that is gone is shown by its id. */
  async function aliasOf(id: string): Promise<string> {
    try {
      return (await parts.keeper.grants.get(id)).alias;
    } catch (cause) {
      if (cause instanceof EvergrantError && cause.code === 'not_found') return id;
      throw cause;
    }
  }

  async function shown(client: Client): Promise<z.infer<typeof ClientJson>> {
    return clientJson(client, await Promise.all(client.grants.map(aliasOf)));
  }

  async function tokenJson(client: Client, token: ClientToken): Promise<z.infer<typeof ClientTokenJson>> {
    const { family } = token;
    return {
      id: token.id,
      grant: await aliasOf(token.grant),
      issued_at: toRfc3339(family.startedAt),
      last_used_at: timeOrNull(family.lastRefreshedAt),
      expires_at: timeOrNull(endOf(token, client)) ?? '',
      latest_counter: token.counter,
      dpop_jkt: token.bound?.jkt ?? null,
      revoked: family.revoked && { at: toRfc3339(family.revoked.at), reason: family.revoked.reason },
    };
  }

  routes.get(
    '/v1/clients',
    { schema: { summary: 'List clients', querystring: PageQuery, response: { 200: pageOf(ClientJson), ...problems } } },
    async ({ query }) => {
      const page = await clients.list({ limit: query.limit, after: query.after ?? null });
      return { items: await Promise.all(page.items.map(shown)), next: page.next };
    },
  );

  routes.post(
    '/v1/clients',
    { schema: { summary: 'Add a client', body: NewClientJson, response: { 201: CreatedClientJson, ...problems } } },
    async ({ body }, reply) => {
      const { client, secret, tokens } = await clients.create(wishOf(body));
      return reply
        .code(201)
        .header('location', `/v1/clients/${client.id}`)
        .header('cache-control', 'no-store')
        .send({
          ...(await shown(client)),
          client_secret: secret?.reveal() ?? null,
          refresh_tokens: Object.fromEntries(tokens.map(({ alias, refreshToken }) => [alias, refreshToken.reveal()])),
        });
    },
  );

  routes.get(
    '/v1/clients/:client',
    { schema: { summary: 'Show a client', params: Params, response: { 200: ClientJson, ...problems } } },
    async ({ params }) => shown(await clients.get(params.client)),
  );

  routes.patch(
    '/v1/clients/:client',
    {
      schema: {
        summary: 'Change a client; grants that it loses take their refresh tokens with them',
        params: Params,
        body: ClientChangeJson,
        response: { 200: ClientJson, ...problems },
      },
    },
    async ({ params, body }) => {
      const {
        redirect_uris: redirectUris,
        trusted_issuers: trustedIssuers,
        dpop_bound_refresh_tokens: isDpopBound,
        ...rest
      } = body;
      const change = present({ ...rest, redirectUris, trustedIssuers, isDpopBound });
      return shown(await clients.update(params.client, change));
    },
  );

  routes.delete(
    '/v1/clients/:client',
    {
      schema: {
        summary: 'Remove a client: its access ends at once',
        params: Params,
        response: {
          200: z.object({
            client_id: z.string(),
            residual_seconds: z.int().describe('So long the access tokens that it may have still live.'),
          }),
          ...problems,
        },
      },
    },
    async ({ params }) => {
      const { residualMs } = await clients.remove(params.client);
      return {
        client_id: params.client,
        residual_seconds: Number.isFinite(residualMs) ? Math.ceil(residualMs / 1000) : 0,
      };
    },
  );

  routes.post(
    '/v1/clients/:client/secret',
    {
      schema: {
        summary: 'Give a client a new secret',
        params: Params,
        body: z
          .strictObject({
            keep_previous: z
              .int()
              .min(0)
              .max(MOST_KEEP_PREVIOUS_S)
              .default(0)
              .describe('Seconds for which the one before works yet.'),
          })
          .nullish(),
        response: { 201: z.object({ client_id: z.string(), client_secret: z.string() }), ...problems },
      },
    },
    async ({ params, body }, reply) => {
      const secret = await clients.rotateSecret(params.client, (body?.keep_previous ?? 0) * 1000);
      return reply
        .code(201)
        .header('cache-control', 'no-store')
        .send({ client_id: params.client, client_secret: secret.reveal() });
    },
  );

  routes.get(
    '/v1/clients/:client/refresh-tokens',
    {
      schema: {
        summary: "List a client's refresh tokens",
        params: Params,
        response: { 200: pageOf(ClientTokenJson), ...problems },
      },
    },
    async ({ params }) => {
      const [client, tokens] = [await clients.get(params.client), await clients.tokens(params.client)];
      return { items: await Promise.all(tokens.map((token) => tokenJson(client, token))), next: null };
    },
  );

  routes.post(
    '/v1/clients/:client/refresh-tokens',
    {
      schema: {
        summary: 'Issue a further refresh token for a grant of the client',
        params: Params,
        body: z.strictObject({ grant: Name, dpop_jkt: Thumbprint.optional() }),
        response: { 201: z.object({ id: z.string(), grant: z.string(), refresh_token: z.string() }), ...problems },
      },
    },
    async ({ params, body }, reply) => {
      const { id, alias, refreshToken } = await clients.issueToken(params.client, body.grant, body.dpop_jkt);
      return reply
        .code(201)
        .header('location', `/v1/clients/${params.client}/refresh-tokens/${id}`)
        .header('cache-control', 'no-store')
        .send({ id, grant: alias, refresh_token: refreshToken.reveal() });
    },
  );

  routes.delete(
    '/v1/clients/:client/refresh-tokens/:token',
    {
      schema: { summary: 'End a refresh token at once', params: TokenParams, response: { 204: z.null(), ...problems } },
    },
    async ({ params }, reply) => {
      await clients.endToken(params.client, params.token);
      return reply.code(204).send(null);
    },
  );

  routes.get(
    '/v1/clients/:client/events',
    {
      schema: {
        summary: "What happened to a client's tokens lately, newest first",
        params: Params,
        response: { 200: pageOf(ClientEventJson), ...problems },
      },
    },
    async ({ params }) => ({ items: (await clients.events(params.client)).map(clientEventJson), next: null }),
  );
}

function wishOf(body: z.infer<typeof NewClientJson>): NewClient {
  const {
    token_endpoint_auth_method: authMethod,
    redirect_uris: redirectUris,
    trusted_issuers: trustedIssuers,
    dpop_bound_refresh_tokens: isDpopBound,
    dpop_jkt: dpopJkt,
    ...rest
  } = body;
  return present({ ...rest, authMethod, redirectUris, trustedIssuers, isDpopBound, dpopJkt });
}
