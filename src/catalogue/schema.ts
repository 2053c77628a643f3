/**
 * The form of a provider file, `providers/ID.json`: names of RFC 8414 where they exist, all times in seconds, null for
 * no limit, and a key left out for what is not known. Unknown keys are refused, since a misspelt rule would silently be
 * read as "not known". `providers/schema.json` is generated from here:
 * `node -p "JSON.stringify(require('./src/catalogue/schema.ts').jsonSchema(), null, 2)" > providers/schema.json`
 */
import { z } from 'zod';
import { DIAGNOSES, type Meaning } from '../core/diagnosis.ts';

const isMeaning = (text: string): text is Meaning =>
  (Object.hasOwn(DIAGNOSES, text) && text !== 'in_doubt') || text === 'invalid_grant' || text === 'throttled';
const MEANINGS: readonly Meaning[] = [...Object.keys(DIAGNOSES), 'invalid_grant', 'throttled'].filter(isMeaning);

const seconds = z.number().nonnegative().describe('seconds');
const secondsOrNoLimit = seconds.nullable().describe('seconds; null = no limit');
const countOrNoLimit = z.number().int().positive().nullable().describe('null = no limit');
/** RFC 6901. */
const pointer = z
  .string()
  .regex(/^(\/([^~/]|~[01])*)+$/, 'must be a JSON Pointer such as /access_token')
  .describe('JSON Pointer (RFC 6901) into an answer');
/** An address in which `{name}` stands for a variable. */
const address = z
  .string()
  .regex(/^(https?:\/\/|\{)[^\s#]+$/, 'must be an http(s) address without fragment')
  .describe('address; {name} stands for a variable');
const parameters = z.record(z.string().min(1), z.string());
const calendarDate = z.iso.date();

const variable = z
  .strictObject({
    choices: z.record(z.string().min(1), z.string().min(1)).nullable().optional(),
    default: z.string().nullable().optional(),
    is_issuer: z.boolean().optional().describe('a whole issuer address; only for server admins'),
    of_resource: z
      .string()
      .optional()
      .describe('left out, this issuer is the one that the resource of that other variable names (RFC 9728)'),
    is_text: z.boolean().optional().describe('any text; may stand in parameters, never in an address'),
  })
  .describe('one DNS label, one of its choices, an issuer, or a text for parameters');

const policy = z.strictObject({
  rotate: z
    .strictObject({
      mode: z.enum(['never', 'always', 'aged']).optional(),
      aged_percent: z.number().min(0).max(100).nullable().optional(),
      not_within: seconds.optional(),
      until_family_age: secondsOrNoLimit.optional(),
    })
    .optional(),
  overlap: z
    .strictObject({
      window: secondsOrNoLimit.optional(),
      from: z.enum(['first-use', 'last-use', 'family-refresh']).optional(),
      depth: countOrNoLimit.optional(),
      successor_unused: z.boolean().optional(),
      join: z.enum(['and', 'or']).optional(),
      successor_use: z.enum(['refresh', 'refresh-or-access']).optional(),
      max_uses: countOrNoLimit.optional(),
      answer: z.enum(['fork', 'same', 'replace']).optional(),
    })
    .optional(),
  on_reuse: z
    .strictObject({
      refresh: z.enum(['reject', 'revoke-family', 'revoke-client-user']).optional(),
      access: z.enum(['keep', 'revoke']).optional(),
    })
    .optional(),
  reuse_memory: secondsOrNoLimit.optional(),
  life: z
    .strictObject({
      idle: secondsOrNoLimit.optional(),
      idle_from: z.enum(['issue', 'last-use']).optional(),
      absolute: secondsOrNoLimit.optional(),
      access_token: seconds.nullable().optional(),
      code: seconds.nullable().optional(),
    })
    .optional(),
  caps: z
    .strictObject({
      tokens_per_user_client: countOrNoLimit.optional(),
      families_per_user_client: countOrNoLimit.optional(),
      live_access_tokens: countOrNoLimit.optional(),
    })
    .optional(),
  pacing: z.strictObject({ min_spacing: seconds.optional(), per_day: countOrNoLimit.optional() }).optional(),
  access: z.enum(['keep', 'revoke-previous', 'revoke-all']).optional(),
});

export const providerFile = z
  .strictObject({
    $schema: z.string().optional(),
    id: z.string().regex(/^[a-z0-9][a-z0-9-]{0,62}$/, 'must be lower case, as in exact-online'),
    name: z.string().min(1),
    category: z.string().min(1).optional().describe('what kind of service, as in accounting'),
    variables: z.record(z.string().regex(/^[a-z][a-z0-9_]*$/), variable).optional(),
    issuer: address.nullable().optional(),
    authorization_endpoint: address.nullable().optional(),
    token_endpoint: address.nullable().optional(),
    refresh_endpoint: address.nullable().optional(),
    revocation_endpoint: address.nullable().optional(),
    device_authorization_endpoint: address.nullable().optional(),
    api_base_urls: z.array(address).optional(),
    api_limits: z
      .strictObject({
        by: z
          .string()
          .regex(/^(\/[\w.-]+)*\/\{\w+\}$/, 'must be a path with one {name} at its end')
          .describe('the part of a path under api_base_urls that has limits of its own, as in /v1/{division}'),
        errors: z
          .strictObject({
            most: z.number().int().positive(),
            window: seconds,
            statuses: z.array(z.number().int().min(400).max(499)).min(1),
          })
          .nullable()
          .optional()
          .describe('how many refusals of one endpoint are borne within a window'),
      })
      .optional()
      .describe('limits that the API tells by X-RateLimit headers, and who shares them'),
    token_endpoint_auth_methods: z
      .array(z.enum(['client_secret_post', 'client_secret_basic', 'private_key_jwt', 'none']))
      .optional(),
    code_challenge_methods: z.array(z.literal('S256')).optional(),
    grant_types_supported: z
      .array(z.enum(['authorization_code', 'refresh_token', 'client_credentials']))
      .min(1)
      .optional()
      .describe('left out: authorization_code and refresh_token'),
    credentials: z
      .strictObject({
        client_credentials: z.strictObject({ parameters: parameters.optional() }).optional(),
        jwt_bearer: z
          .strictObject({
            audience: z.string().min(1).optional().describe('aud of the assertion; left out: the token endpoint'),
            parameters: parameters.optional(),
          })
          .optional(),
        password: z
          .strictObject({ parameters: parameters.optional() })
          .optional()
          .describe('only where nothing else is offered: RFC 9700 forbids it'),
        api_key: z
          .strictObject({
            header: z.string().regex(/^[A-Za-z][A-Za-z0-9-]*$/, 'must be the name of a header'),
            prefix: z
              .string()
              .regex(/^[\x20-\x7e]*$/)
              .optional()
              .describe('what stands before the key, such as "Bearer "'),
          })
          .optional(),
        basic: z.strictObject({}).optional().describe('HTTP Basic with a user name and password (RFC 7617)'),
      })
      .optional()
      .describe('what it takes without refresh tokens; parameters are sent with each token request'),
    client_id_parameter: z.string().min(1).optional().describe('where it is not called client_id'),
    authorization_response_iss_parameter_supported: z.boolean().optional(),
    authorization_parameters: parameters.optional(),
    scope: z
      .strictObject({
        default: z.array(z.string().min(1)).optional(),
        for_refresh_token: z.string().min(1).nullable().optional(),
        separator: z.string().min(1).optional(),
      })
      .optional(),
    token_request: z
      .strictObject({
        format: z.enum(['form', 'json']).optional(),
        parameters: parameters.optional().describe('sent with a code'),
        refresh_parameters: parameters
          .optional()
          .describe('sent with a refresh token; {redirect_uri} stands for the one of the authorization'),
      })
      .optional(),
    token_response: z
      .strictObject({
        access_token: pointer.optional(),
        refresh_token: pointer.optional(),
        expires_in: pointer.optional(),
        expires_at: pointer.optional().describe('ISO 8601, or seconds since 1970; read where expires_in is missing'),
        scope: pointer.optional(),
        error: pointer.optional(),
        error_description: pointer.optional(),
      })
      .optional(),
    identity: z
      .strictObject({ endpoint: address, subject: pointer, label: pointer.nullable().optional() })
      .nullable()
      .optional(),
    login: z.strictObject({ origins: z.array(address) }).optional(),
    revocation: z
      .strictObject({ kills: z.enum(['token', 'family', 'client-user']).nullable() })
      .optional()
      .describe('what revoking one token ends; null = not known'),
    policy: policy.optional(),
    errors: z
      .array(
        z.strictObject({
          status: z.number().int().min(100).max(599).nullable().optional(),
          error: z.string().nullable().optional(),
          description: z.string().min(1).nullable().optional().describe('how the description begins'),
          body: z
            .record(pointer, z.union([z.string(), z.number(), z.boolean()]))
            .optional()
            .describe('what stands at these places of the body, where it has no error code of its own'),
          means: z.enum(MEANINGS),
        }),
      )
      .optional(),
    changes: z
      .array(z.strictObject({ from: calendarDate, set: z.record(pointer, z.json()) }))
      .optional()
      .describe('what is different from a date on (00:00 UTC)'),
    notes: z.array(z.string().min(1)).optional().describe('what else to know, a sentence each'),
    facts: z
      .array(
        z.strictObject({
          about: pointer,
          source: z.string().min(1),
          seen: calendarDate,
          grade: z.enum(['documented', 'observed', 'inferred', 'unverified']),
          note: z.string().min(1).optional(),
        }),
      )
      .optional(),
  })
  .describe('A provider of Evergrant: how an authorization server treats refresh tokens');

/** A provider file whose form is right; what its rules mean is `parse.ts`. */
export type ProviderFile = z.infer<typeof providerFile>;

/** What `providers/schema.json` holds: the same rules as JSON Schema (2020-12), for editors. */
export function jsonSchema(): unknown {
  return z.toJSONSchema(providerFile, { io: 'input' });
}
