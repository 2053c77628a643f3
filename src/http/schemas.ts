/**
 * The shapes that several endpoints share, parsed at the door. Messages say what is expected and never quote what came.
 */
import { z } from 'zod';
import type { Scheme } from '../catalogue/provider.ts';
import type { ChainState } from '../core/chain.ts';
import { ALIAS } from '../core/id.ts';

/** Gives a shape its name in `/openapi.json`. */
export function named<T extends z.ZodType>(id: string, schema: T): T {
  z.globalRegistry.add(schema, { ...z.globalRegistry.get(schema), id });
  return schema;
}

export const GRANT_STATES = [
  'pending',
  'active',
  'in_doubt',
  'waiting',
  'recovering',
  'held',
  'broken',
  'revoked',
] as const satisfies readonly ChainState[];

/** How a grant gets access tokens without a refresh token, or does without them. */
export const SCHEMES = [
  'client_credentials',
  'jwt_bearer',
  'password',
  'api_key',
  'basic',
] as const satisfies readonly Scheme[];

/** RFC 3339 in UTC, in answers. */
export const Time = z.string().meta({ format: 'date-time' });

const MOST_ITEMS = 200;
const DEFAULT_ITEMS = 50;
const CONTROL = /\p{Cc}/u;

/** A line of text for people: no control characters (a NUL would be one), whole characters only. */
export function text(most: number) {
  return z
    .string()
    .min(1)
    .max(most)
    .refine((value) => !CONTROL.test(value) && value.isWellFormed(), 'no control characters are possible here');
}

/** What travels in OAuth requests: printable ASCII (VSCHAR of RFC 6749, appendix A). */
export function printable(most: number) {
  return z
    .string()
    .min(1)
    .max(most)
    .regex(/^[\x20-\x7e]+$/, 'only printable ASCII characters are possible here');
}

/** An id or alias in a path. What has another form names nothing, and is answered with 404. */
export const Name = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/);

export const Alias = z
  .string()
  .regex(
    ALIAS,
    'must be 1 to 63 lower-case letters, digits, dots, dashes or underscores, and begin with one of the first two',
  );

/** Keys have no leading underscore, so none can be `__proto__`. */
export const Labels = z
  .record(
    z
      .string()
      .regex(
        /^[A-Za-z0-9][A-Za-z0-9._/-]{0,62}$/,
        'a label has 1 to 63 letters, digits, dots, dashes, slashes or underscores',
      ),
    text(255),
  )
  .refine((labels) => Object.keys(labels).length <= 64, 'at most 64 labels');

/** When a grant is exchanged without anybody asking for a token. */
export const FreshnessJson = z
  .discriminatedUnion('mode', [
    z.strictObject({ mode: z.literal('on_demand') }),
    z.strictObject({ mode: z.literal('always') }),
    z.strictObject({ mode: z.literal('before'), cron: text(128), timezone: text(64).default('UTC') }),
  ])
  .describe('on_demand: when asked for. always: one always lives. before: one is fresh when a job begins.');

/** `"read write"` or `["read", "write"]`. */
export const Scope = z
  .union([z.string().max(4096), z.array(z.string().min(1).max(255)).max(200)])
  .transform((scope) => (typeof scope === 'string' ? scope.split(' ').filter((part) => part !== '') : scope))
  .refine(
    (parts) => parts.every((part) => /^[\x21\x23-\x5b\x5d-\x7e]+$/.test(part)),
    'not a scope (RFC 6749 section 3.3)',
  );

/** Where a browser goes after an authorization. */
export const ReturnUrl = z
  .string()
  .max(2048)
  .refine(isReturnUrl, 'must be an https URL (http for this machine) without user and password');

const THIS_MACHINE = /^(localhost|127(\.\d+){3}|\[::1\])$/;

function isReturnUrl(value: string): boolean {
  const url = URL.parse(value);
  if (url === null || url.username !== '' || url.password !== '') return false;
  return url.protocol === 'https:' || (url.protocol === 'http:' && THIS_MACHINE.test(url.hostname));
}

export const PageQuery = z.strictObject({
  limit: z.coerce.number().int().min(1).max(MOST_ITEMS).default(DEFAULT_ITEMS),
  after: text(512).optional(),
});

/** A page of a list. */
export function pageOf<T extends z.ZodType>(item: T) {
  return z.object({ items: z.array(item), next: z.string().nullable() });
}

export const Problem = named(
  'Problem',
  z.object({
    type: z.string(),
    status: z.int(),
    code: z.string().describe('Stable; each has a section in the documentation.'),
    title: z.string(),
    detail: z.string(),
    remedy: z.string(),
    retry_after: z.int().optional().describe('Seconds.'),
    grant: z.string().optional(),
    renew_url: z.string().optional(),
    diagnosis: z.unknown().optional(),
  }),
);

/** For every status that an endpoint does not list itself. */
export const problems = {
  default: {
    description: 'What went wrong, and what to do (RFC 9457)',
    content: { 'application/problem+json': { schema: Problem } },
  },
} as const;

/** Without the members that are undefined, as optional fields want it. */
export function present<T extends object>(value: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(value).filter(([, member]) => member !== undefined)) as {
    [K in keyof T]: Exclude<T[K], undefined>;
  };
}
