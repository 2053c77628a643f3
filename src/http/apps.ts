/** `/v1/apps`: registrations at providers. The client secret goes in and never comes out. */
import { z } from 'zod';
import { toRfc3339 } from '../core/instant.ts';
import { Secret } from '../core/secret.ts';
import type { App } from '../keeper/keeper.ts';
import type { HttpParts, Routes } from './parts.ts';
import { Name, named, PageQuery, pageOf, present, printable, problems, Time, text } from './schemas.ts';

const AppJson = named(
  'App',
  z.object({
    id: z.string(),
    provider: z.string(),
    client_id: z.string(),
    name: z.string(),
    variables: z.record(z.string(), z.string()),
    has_secret: z.boolean(),
    created_at: Time,
  }),
);

const Variables = z.record(z.string().regex(/^[a-z][a-z0-9_]{0,62}$/, 'not the name of a variable'), text(255));

/** PEM has line ends. */
const PrivateKeyText = z.string().min(1).max(16_384);

const NewApp = named(
  'NewApp',
  z.strictObject({
    provider: text(64),
    client_id: printable(1024)
      .optional()
      .describe('Left out, the app registers itself, where the provider offers that.'),
    client_secret: printable(4096).nullish().describe('Left out for a public client, and with a private key.'),
    private_key: PrivateKeyText.optional().describe('Of an app that proves itself by `private_key_jwt`.'),
    name: text(255).optional(),
    variables: Variables.optional(),
  }),
);

const AppChange = named(
  'AppChange',
  z.strictObject({
    name: text(255).optional(),
    client_secret: printable(4096).optional(),
    private_key: PrivateKeyText.optional(),
  }),
);

const Params = z.object({ app: Name });

function appJson(app: App): z.infer<typeof AppJson> {
  return {
    id: app.id,
    provider: app.provider,
    client_id: app.clientId,
    name: app.name,
    variables: { ...app.variables },
    has_secret: app.hasSecret,
    created_at: toRfc3339(app.createdAt),
  };
}

function privateKeyOf(given: string | undefined): Secret<'private key'> | undefined {
  return given === undefined ? undefined : new Secret('private key', given);
}

export function appRoutes(routes: Routes, { keeper }: HttpParts): void {
  routes.get(
    '/v1/apps',
    { schema: { summary: 'List apps', querystring: PageQuery, response: { 200: pageOf(AppJson), ...problems } } },
    async ({ query }) => {
      const page = await keeper.apps.list({ limit: query.limit, after: query.after ?? null });
      return { items: page.items.map(appJson), next: page.next };
    },
  );

  routes.post(
    '/v1/apps',
    { schema: { summary: 'Add an app', body: NewApp, response: { 201: AppJson, ...problems } } },
    async ({ body }, reply) => {
      const app = await keeper.apps.create({
        provider: body.provider,
        ...present({ clientId: body.client_id }),
        clientSecret: body.client_secret ? new Secret('client secret', body.client_secret) : null,
        ...present({ name: body.name, variables: body.variables, privateKey: privateKeyOf(body.private_key) }),
      });
      return reply.code(201).header('location', `/v1/apps/${app.id}`).send(appJson(app));
    },
  );

  routes.get(
    '/v1/apps/:app',
    { schema: { summary: 'Show an app', params: Params, response: { 200: AppJson, ...problems } } },
    async ({ params }) => appJson(await keeper.apps.get(params.app)),
  );

  routes.patch(
    '/v1/apps/:app',
    {
      schema: {
        summary: 'Rename an app or give it a new client secret',
        params: Params,
        body: AppChange,
        response: { 200: AppJson, ...problems },
      },
    },
    async ({ params, body }) => {
      const secret = body.client_secret;
      const clientSecret = secret === undefined ? undefined : new Secret('client secret', secret);
      const change = present({ name: body.name, clientSecret, privateKey: privateKeyOf(body.private_key) });
      return appJson(await keeper.apps.update(params.app, change));
    },
  );

  routes.delete(
    '/v1/apps/:app',
    {
      schema: {
        summary: 'Remove an app that no grant belongs to',
        params: Params,
        response: { 204: z.null(), ...problems },
      },
    },
    async ({ params }, reply) => {
      await keeper.apps.remove(params.app);
      return reply.code(204).send(null);
    },
  );
}
