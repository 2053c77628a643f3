/** `/v1/grants` and `/v1/renewals`: what resource owners allowed, and the links by which they do. */
import { z } from 'zod';
import { type Instant, toRfc3339 } from '../core/instant.ts';
import { Secret } from '../core/secret.ts';
import type { Grant, ImportedGrant, NewGrant } from '../keeper/keeper.ts';
import type { Credentials } from '../keeper/schemes/credential.ts';
import { GrantJson, grantJson, PendingGrantJson } from './grant-json.ts';
import type { HttpParts, Routes } from './parts.ts';
import { invalidRequest } from './problem.ts';
import {
  Alias,
  FreshnessJson,
  GRANT_STATES,
  Labels,
  Name,
  named,
  PageQuery,
  pageOf,
  present,
  printable,
  problems,
  ReturnUrl,
  SCHEMES,
  Scope,
  Time,
  text,
} from './schemas.ts';

const LONGEST_TOKEN = 16_384;
/** Ten years: no access token lives longer. */
const MOST_EXPIRES_IN = 315_360_000;

const CredentialsBody = named(
  'Credentials',
  z.strictObject({
    username: text(255).optional(),
    password: printable(LONGEST_TOKEN).optional(),
    api_key: printable(LONGEST_TOKEN).optional(),
    subject: text(255).optional().describe('Of jwt_bearer: for whom the app acts; left out: for itself.'),
  }),
);

const NewGrantBody = named(
  'NewGrant',
  z.strictObject({
    app: Name.describe('Id of the app.'),
    alias: Alias,
    owner: text(255).optional(),
    labels: Labels.optional(),
    scope: Scope.optional(),
    freshness: FreshnessJson.optional(),
    return_url: ReturnUrl.optional(),
    scheme: z.enum(SCHEMES).optional().describe('Makes this a grant that needs no person and has no refresh token.'),
    credentials: CredentialsBody.optional().describe('What the scheme needs.'),
    refresh_token: printable(LONGEST_TOKEN).optional().describe('Makes this an import.'),
    access_token: printable(LONGEST_TOKEN).optional(),
    expires_in: z.number().min(0).max(MOST_EXPIRES_IN).optional(),
    obtained_at: z
      .string()
      .refine((value) => isTime(value), 'must be a time as in 2026-11-21T12:00:00Z')
      .meta({ format: 'date-time' })
      .optional(),
    takeover: z.boolean().optional().describe('Default true: exchanged at once.'),
  }),
);
type NewGrantBody = z.infer<typeof NewGrantBody>;

const GrantChange = named(
  'GrantChange',
  z.strictObject({
    alias: Alias.optional(),
    owner: text(255).nullable().optional(),
    labels: Labels.optional(),
    freshness: FreshnessJson.optional(),
    credentials: CredentialsBody.optional().describe('Other ones, for a grant with a scheme.'),
  }),
);

const GrantFilter = PageQuery.extend({
  state: z.enum(GRANT_STATES).optional(),
  provider: text(64).optional(),
  app: text(64).optional(),
  owner: text(255).optional(),
  label: text(320)
    .refine((value) => value.indexOf('=') > 0, 'must be key=value')
    .optional(),
  q: text(255).optional(),
  ends_before: z
    .string()
    .refine((value) => isTime(value), 'must be a time as in 2026-11-21T12:00:00Z')
    .meta({ format: 'date-time', description: 'Only grants that a person has to renew before then.' })
    .optional(),
});

const Link = named('AuthorizationLink', z.object({ authorization_url: z.string(), expires_at: Time }));
const RenewBody = named('Renewal', z.strictObject({ return_url: ReturnUrl.optional(), scope: Scope.optional() }));
const Params = z.object({ grant: Name });

const Next = named(
  'NextRenewal',
  z.object({
    grant: GrantJson.nullable(),
    authorization_url: z.string().nullable(),
    expires_at: Time.nullable(),
    left: z.int().describe('How many grants are in this state.'),
    next: z.string().nullable().describe('Give it as `after` to skip this one.'),
  }),
);

const IMPORT_FIELDS = ['access_token', 'expires_in', 'obtained_at', 'takeover'] as const;

function isTime(value: string): boolean {
  return (
    /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$/.test(value) && Number.isFinite(Date.parse(value))
  );
}

export function grantRoutes(routes: Routes, parts: HttpParts): void {
  listGrants(routes, parts);
  createGrant(routes, parts);
  oneGrant(routes, parts);
  renewals(routes, parts);
}

function listGrants(routes: Routes, parts: HttpParts): void {
  routes.get(
    '/v1/grants',
    { schema: { summary: 'List grants', querystring: GrantFilter, response: { 200: pageOf(GrantJson), ...problems } } },
    async ({ query: { ends_before: before, ...query } }) => {
      const endsBefore = before === undefined ? undefined : (Date.parse(before) as Instant);
      const page = await parts.keeper.grants.list(present({ ...query, endsBefore, after: query.after ?? null }));
      return { items: await Promise.all(page.items.map((grant) => shown(parts, grant))), next: page.next };
    },
  );
}

function createGrant(routes: Routes, parts: HttpParts): void {
  const summary = 'Make a grant: with a link for a person, or from a refresh token';
  routes.post(
    '/v1/grants',
    { schema: { summary, body: NewGrantBody, response: { 201: PendingGrantJson, ...problems } } },
    async ({ body }, reply) => {
      const json = await made(parts, body);
      return reply.code(201).header('location', `/v1/grants/${json.id}`).send(json);
    },
  );
}

function made(parts: HttpParts, body: NewGrantBody): Promise<z.infer<typeof PendingGrantJson>> {
  if (body.scheme !== undefined) return grantWithCredentials(parts, body, body.scheme);
  if (body.credentials !== undefined) throw invalidRequest('credentials: are only possible together with scheme.');
  return body.refresh_token === undefined ? pendingGrant(parts, body) : importedGrant(parts, body);
}

async function grantWithCredentials(
  { keeper }: HttpParts,
  body: NewGrantBody,
  scheme: (typeof SCHEMES)[number],
): Promise<z.infer<typeof PendingGrantJson>> {
  const stray = (['refresh_token', 'return_url', ...IMPORT_FIELDS] as const).find((field) => body[field] !== undefined);
  if (stray) throw invalidRequest(`${stray}: is not possible together with scheme.`);
  const credentials = credentialsOf(body.credentials ?? {});
  return grantJson(await keeper.grants.createWithCredentials({ ...newGrant(body), scheme, credentials }));
}

function credentialsOf({ username, password, api_key, subject }: z.infer<typeof CredentialsBody>): Credentials {
  return present({
    username,
    subject,
    password: password === undefined ? undefined : new Secret('password', password),
    apiKey: api_key === undefined ? undefined : new Secret('api key', api_key),
  });
}

async function pendingGrant(parts: HttpParts, body: NewGrantBody): Promise<z.infer<typeof PendingGrantJson>> {
  const stray = IMPORT_FIELDS.find((field) => body[field] !== undefined);
  if (stray) throw invalidRequest(`${stray}: is only possible together with refresh_token.`);
  const grant = await parts.keeper.grants.create(newGrant(body));
  const link = await beginLink(parts, grant.id, present({ returnUrl: body.return_url }));
  return { ...grantJson(grant), authorization_url: link.authorization_url, authorization_expires_at: link.expires_at };
}

async function importedGrant(parts: HttpParts, body: NewGrantBody): Promise<z.infer<typeof PendingGrantJson>> {
  if (body.return_url !== undefined) throw invalidRequest('return_url: an imported grant needs no browser.');
  if (body.expires_in !== undefined && body.access_token === undefined) {
    throw invalidRequest('expires_in: is only possible together with access_token.');
  }
  const imported: ImportedGrant = {
    ...newGrant(body),
    refreshToken: new Secret('refresh token', body.refresh_token ?? ''),
    takeover: body.takeover ?? true,
    ...(body.access_token === undefined ? {} : { accessToken: new Secret('access token', body.access_token) }),
    ...(body.expires_in === undefined ? {} : { expiresInMs: body.expires_in * 1000 }),
    ...(body.obtained_at === undefined ? {} : { obtainedAt: Date.parse(body.obtained_at) as Instant }),
  };
  return grantJson(await parts.keeper.grants.import(imported));
}

function newGrant({ app, alias, owner, labels, scope, freshness }: NewGrantBody): NewGrant {
  return present({ app, alias, owner, labels, scope, freshness });
}

async function beginLink(
  { keeper, settings }: HttpParts,
  grant: string,
  options: { readonly returnUrl?: string; readonly scope?: readonly string[] },
): Promise<z.infer<typeof Link>> {
  const { ticket, expiresAt } = await keeper.authorizations.begin(grant, options);
  return { authorization_url: `${settings.publicUrl}/authorize/${ticket}`, expires_at: toRfc3339(expiresAt) };
}

/** A grant with the clients that may use it. */
async function shown({ issuer }: HttpParts, grant: Grant): Promise<z.infer<typeof GrantJson>> {
  return grantJson(grant, await issuer.clients.ofGrant(grant.id));
}

function oneGrant(routes: Routes, parts: HttpParts): void {
  const { keeper } = parts;

  routes.get(
    '/v1/grants/:grant',
    { schema: { summary: 'Show a grant', params: Params, response: { 200: GrantJson, ...problems } } },
    async ({ params }) => shown(parts, await keeper.grants.get(params.grant)),
  );

  routes.patch(
    '/v1/grants/:grant',
    {
      schema: {
        summary: 'Change alias, owner, labels or freshness',
        params: Params,
        body: GrantChange,
        response: { 200: GrantJson, ...problems },
      },
    },
    async ({ params, body }) => {
      const { credentials: given, ...rest } = body;
      const credentials = given && credentialsOf(given);
      return shown(parts, await keeper.grants.update(params.grant, present({ ...rest, credentials })));
    },
  );

  routes.delete(
    '/v1/grants/:grant',
    { schema: { summary: 'End a grant here', params: Params, response: { 200: GrantJson, ...problems } } },
    async ({ params }) => shown(parts, await keeper.grants.end(params.grant)),
  );
}

function renewals(routes: Routes, parts: HttpParts): void {
  routes.post(
    '/v1/grants/:grant/renew',
    {
      schema: {
        summary: 'A new link for a person; clients notice nothing',
        params: Params,
        body: RenewBody.nullish(),
        response: { 200: Link, ...problems },
      },
    },
    async ({ params, body }) =>
      beginLink(parts, params.grant, present({ returnUrl: body?.return_url, scope: body?.scope })),
  );

  const body = z.strictObject({ state: z.literal('broken'), after: text(512).optional() });
  routes.post(
    '/v1/renewals',
    { schema: { summary: 'The next grant that needs a person', body, response: { 200: Next, ...problems } } },
    async ({ body: { state, after } }) => nextRenewal(parts, state, after ?? null),
  );
}

async function nextRenewal(parts: HttpParts, state: 'broken', after: string | null) {
  const { items, next } = await parts.keeper.grants.list({ state, limit: 1, after });
  const left = (await parts.keeper.countStates())[state] ?? 0;
  const grant: Grant | undefined = items[0];
  if (!grant) return { grant: null, authorization_url: null, expires_at: null, left, next: null };
  return { grant: grantJson(grant), ...(await beginLink(parts, grant.id, {})), left, next };
}
