/** Clients as JSON: what comes in, checked, and what goes out. Times in whole seconds. */
import { z } from 'zod';
import { toRfc3339, type Instant } from '../core/instant.ts';
import { AUTH_METHODS, type Client, type TrustedIssuer } from '../issuer/client.ts';
import { THUMBPRINT } from '../issuer/dpop.ts';
import type { ClientEvent } from '../issuer/events.ts';
import { type ClientRotation, DURABLE, MOST_KEPT, ROTATING } from '../issuer/rotation.ts';
import { Name, named, present, printable, text, Time } from './schemas.ts';

const DAY_S = 86_400;
const TEN_YEARS_S = 3_650 * DAY_S;
const Seconds = z.int().min(60).max(TEN_YEARS_S);

/** A public key; one with a private or a shared part is refused, so that none is ever kept here. */
const Jwk = z
  .record(z.string().max(64), z.unknown())
  .refine((key) => typeof key.kty === 'string' && !('d' in key) && !('k' in key), 'must be a public key (RFC 7517)');
const Jwks = z.strictObject({ keys: z.array(Jwk).min(1).max(20) });

const RotationSettings = z.strictObject({
  mode: z.enum(['durable', 'rotating']),
  reuse_interval: z
    .int()
    .min(0)
    .max(DAY_S)
    .nullable()
    .optional()
    .describe('rotating: seconds after its first use in which a token may be used again; null: no limit.'),
  keep: z.int().min(0).max(MOST_KEPT).optional().describe('rotating: how many tokens back that reaches.'),
  answer: z
    .enum(['same', 'new'])
    .optional()
    .describe('rotating: a repeated use gives the same successor, or one more.'),
  on_reuse: z
    .enum(['revoke', 'reject'])
    .optional()
    .describe('rotating: whether a dead token that comes back ends its family.'),
  idle: Seconds.optional().describe('It ends when unused for so many seconds.'),
  absolute: Seconds.nullable()
    .optional()
    .describe('It ends so many seconds after it was issued. Null: with the consent at the provider, or after a year.'),
  most_tokens: z
    .int()
    .min(1)
    .max(1_000)
    .optional()
    .describe('Live refresh tokens for one grant; the oldest are ended.'),
});

const Rotation = z
  .union([z.enum(['durable', 'rotating']), RotationSettings])
  .transform((value): ClientRotation => rotationOf(typeof value === 'string' ? { mode: value } : value));

function rotationOf(settings: z.infer<typeof RotationSettings>): ClientRotation {
  const usual = settings.mode === 'durable' ? DURABLE : ROTATING;
  const { reuse_interval: reuse, absolute, idle } = settings;
  return {
    ...usual,
    ...present({
      keep: settings.keep,
      answer: settings.answer,
      onReuse: settings.on_reuse,
      mostTokens: settings.most_tokens,
    }),
    ...(reuse === undefined ? {} : { reuseIntervalMs: reuse === null ? null : reuse * 1000 }),
    ...(absolute === undefined ? {} : { absoluteMs: absolute === null ? null : absolute * 1000 }),
    ...(idle === undefined ? {} : { idleMs: idle * 1000 }),
  };
}

const Https = z
  .string()
  .max(2048)
  .refine((value) => {
    const url = URL.parse(value);
    return url?.protocol === 'https:' && url.username === '' && url.password === '';
  }, 'must be an https URL');

const TrustedIssuerJson = z
  .strictObject({
    issuer: printable(2048).describe('What iss must be.'),
    audience: printable(2048).optional().describe('What aud must hold; left out: our own issuer identifier.'),
    jwks: Jwks.optional(),
    jwks_uri: Https.optional(),
    subject: printable(1024).optional().describe('A JWT with this sub authenticates the client itself.'),
    owner_claim: printable(255).optional().describe('The claim that names the owner of grants, for token exchange.'),
  })
  .refine((value) => (value.jwks === undefined) !== (value.jwks_uri === undefined), 'must have either jwks or jwks_uri')
  .refine(
    (value) => value.subject !== undefined || value.owner_claim !== undefined,
    'must have a subject or an owner_claim',
  )
  .transform(
    (value): TrustedIssuer => ({
      issuer: value.issuer,
      audience: value.audience ?? null,
      jwks: value.jwks ?? null,
      jwksUri: value.jwks_uri ?? null,
      subject: value.subject ?? null,
      ownerClaim: value.owner_claim ?? null,
    }),
  );

/** https; http for this machine; or a scheme of a program's own, which has a dot (RFC 8252 section 7.1). */
const RedirectUri = printable(2048).refine((value) => {
  const url = URL.parse(value);
  if (!url || value.includes('#') || url.username !== '' || url.password !== '') return false;
  const isHere = /^(localhost|127\.0\.0\.1|\[::1\])$/.test(url.hostname);
  return (
    url.protocol === 'https:' ||
    (url.protocol === 'http:' && isHere) ||
    /^[a-z][a-z0-9+-]*\.[a-z0-9.+-]*:$/.test(url.protocol)
  );
}, 'must be an https URL, http for this machine, or a scheme with a dot; without fragment, user and password');

/** Of a key (RFC 7638), SHA-256, base64url. */
export const Thumbprint = z
  .string()
  .regex(THUMBPRINT, 'must be the SHA-256 thumbprint of a key (RFC 7638)')
  .describe('Thumbprint of the key that the refresh token is bound to (RFC 7638); left out: that of its first proof.');

const fields = {
  name: text(255),
  grants: z.array(Name).max(10_000),
  apps: z.array(Name).max(1_000),
  jwks: Jwks,
  redirect_uris: z.array(RedirectUri).max(50),
  rotation: Rotation,
  dpop_bound_refresh_tokens: z
    .boolean()
    .describe('Its refresh tokens work only with a proof by the key that they are bound to (RFC 9449).'),
  trusted_issuers: z.array(TrustedIssuerJson).max(20),
};

export const NewClientJson = named(
  'NewClient',
  z.strictObject({
    name: fields.name,
    type: z.enum(['confidential', 'public']).optional(),
    grants: fields.grants.default([]).describe('Ids or aliases of the grants that it may use.'),
    apps: fields.apps.default([]).describe('Apps through which it may connect new grants.'),
    token_endpoint_auth_method: z.enum(AUTH_METHODS).optional(),
    jwks: fields.jwks.optional(),
    redirect_uris: fields.redirect_uris.optional(),
    rotation: fields.rotation.optional(),
    dpop_bound_refresh_tokens: fields.dpop_bound_refresh_tokens.optional(),
    dpop_jkt: Thumbprint.optional(),
    trusted_issuers: fields.trusted_issuers.optional(),
  }),
);

export const ClientChangeJson = named('ClientChange', z.strictObject(fields).partial());

export const ClientJson = named(
  'Client',
  z.object({
    client_id: z.string(),
    name: z.string(),
    type: z.enum(['confidential', 'public']),
    grants: z.array(z.string()).describe('Aliases.'),
    apps: z.array(z.string()),
    token_endpoint_auth_method: z.enum(AUTH_METHODS),
    redirect_uris: z.array(z.string()),
    rotation: z.object({
      mode: z.enum(['durable', 'rotating']),
      reuse_interval: z.number().nullable(),
      keep: z.int(),
      answer: z.enum(['same', 'new']),
      on_reuse: z.enum(['revoke', 'reject']),
      idle: z.number(),
      absolute: z.number().nullable(),
      most_tokens: z.int(),
    }),
    dpop_bound_refresh_tokens: z.boolean(),
    trusted_issuers: z.array(
      z.object({ issuer: z.string(), subject: z.string().nullable(), owner_claim: z.string().nullable() }),
    ),
    created_at: Time,
  }),
);

export function clientJson(client: Client, aliases: readonly string[]): z.infer<typeof ClientJson> {
  const { rotation } = client;
  const seconds = (ms: number | null) => ms && ms / 1000;
  return {
    client_id: client.id,
    name: client.name,
    type: client.type,
    grants: [...aliases],
    apps: [...client.apps],
    token_endpoint_auth_method: client.authMethod,
    redirect_uris: [...client.redirectUris],
    rotation: {
      mode: rotation.mode,
      reuse_interval: seconds(rotation.reuseIntervalMs),
      keep: rotation.keep,
      answer: rotation.answer,
      on_reuse: rotation.onReuse,
      idle: rotation.idleMs / 1000,
      absolute: seconds(rotation.absoluteMs),
      most_tokens: rotation.mostTokens,
    },
    dpop_bound_refresh_tokens: client.isDpopBound,
    trusted_issuers: client.trustedIssuers.map(({ issuer, subject, ownerClaim }) => ({
      issuer,
      subject,
      owner_claim: ownerClaim,
    })),
    created_at: toRfc3339(client.createdAt),
  };
}

export const ClientEventJson = named(
  'ClientEvent',
  z.object({
    type: z.string(),
    at: Time,
    grant: z.string().optional(),
    family_id: z.string().optional().describe('All that succeeded one refresh token share this.'),
    token_counter: z.int().optional().describe('The presented token was the so-manieth of its family …'),
    latest_counter: z.int().optional().describe('… when so many had been issued.'),
    reason: z.string().optional(),
    start: z.int().optional(),
    removed_count: z.int().optional(),
    end_count: z.int().optional(),
    times: z.int().optional().describe('How often this very thing happened, the last time then; left out: once.'),
  }),
);

export function clientEventJson(event: ClientEvent): z.infer<typeof ClientEventJson> {
  const { type, at, familyId, tokenCounter, latestCounter, removedCount, endCount, ...rest } = event;
  return present({
    type,
    at: toRfc3339(at),
    ...rest,
    family_id: familyId,
    token_counter: tokenCounter,
    latest_counter: latestCounter,
    removed_count: removedCount,
    end_count: endCount,
  });
}

export const ClientTokenJson = named(
  'ClientRefreshToken',
  z.object({
    id: z.string(),
    grant: z.string(),
    issued_at: Time,
    last_used_at: Time.nullable(),
    expires_at: Time.describe('If it is not used any more.'),
    latest_counter: z.int(),
    dpop_jkt: z.string().nullable().describe('Thumbprint of the key that it is bound to (RFC 7638).'),
    revoked: z.object({ at: Time, reason: z.string() }).nullable(),
  }),
);

export function timeOrNull(at: number | null): string | null {
  return at === null ? null : toRfc3339(at as Instant);
}
